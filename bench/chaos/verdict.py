"""Our database against the providers' ledgers at the end of a run: nothing lost, nothing twice. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from models.states import FINAL, MessageState
from producer.demo.compare import COARSE, NEVER_ACCEPTED, TRUTHS, Entry, Row

OUTCOME_UNKNOWN = "outcome_unknown"
NO_REPORT = "no_dlr"


@dataclass(frozen=True, slots=True)
class Fate:
    """One message as our database has it, with the code it ended with. `sent_again`: how often the campaign's policy
    sent it again although nobody could prove that the provider did not have it."""

    row: Row
    code: str | None
    sent_again: int = 0


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One acceptance as the provider has it. `handed_over`: its final report reached us (or an answer that broke)."""

    entry: Entry
    handed_over: bool


@dataclass
class Verdict:
    """`wrong` must be empty. `unproven`: accepted, but the provider did not say so before the policy gave up;
    `unreported`: accepted, and its report never came; `sent_again`: as the campaign's policy
    wants what was never proven; `doubled`: accepted twice thereby."""

    wrong: list[tuple[str, str]] = field(default_factory=list)  # message id (or none) and what is wrong
    unproven: int = 0
    unreported: int = 0
    sent_again: int = 0
    doubled: int = 0

    def say(self, message_id: str, text: str) -> None:
        self.wrong.append((message_id, text))


def judge(fates: Sequence[Fate], acceptances: Sequence[Acceptance]) -> Verdict:
    verdict = Verdict()
    owners = _Owners(fate.row for fate in fates)
    by_message: dict[str, list[Acceptance]] = defaultdict(list)
    for one in acceptances:
        owner = owners.of(one.entry)
        if owner is None:
            verdict.say("", f"{one.entry.provider} accepted {one.entry.id}, which no message of ours knows")
        else:
            by_message[owner].append(one)
    for fate in fates:
        _judge_one(verdict, fate, by_message.get(fate.row.id, []))
    return verdict


class _Owners:
    """Which message an acceptance belongs to: by our reference, the provider's id, or the number (each has one)."""

    def __init__(self, rows: Iterable[Row]) -> None:
        rows = list(rows)
        self._refs = {row.id for row in rows}
        self._ids = {(row.provider, row.provider_id): row.id for row in rows if row.provider_id}
        self._numbers: Mapping[tuple[str, str], str] = {(row.provider, row.digits): row.id for row in rows}

    def of(self, entry: Entry) -> str | None:
        ref = (entry.ref or "")[:36]
        if ref in self._refs:
            return ref
        return self._ids.get((entry.provider, entry.id)) or self._numbers.get((entry.provider, entry.digits))


def _judge_one(verdict: Verdict, fate: Fate, accepted: Sequence[Acceptance]) -> None:
    row = fate.row
    verdict.sent_again += fate.sent_again
    if len(accepted) > 1 + fate.sent_again:
        verdict.say(row.id, f"accepted {len(accepted)} times: {', '.join(one.entry.id for one in accepted)}")
    elif row.state not in FINAL:
        verdict.say(row.id, f"not final: {row.state}")
    elif not accepted:
        _judge_unaccepted(verdict, fate)
    else:
        verdict.doubled += len(accepted) > 1
        _judge_accepted(verdict, fate, accepted)


def _judge_unaccepted(verdict: Verdict, fate: Fate) -> None:
    if fate.row.state not in NEVER_ACCEPTED:
        verdict.say(fate.row.id, f"{fate.row.state}, and the provider never accepted it")


def _judge_accepted(verdict: Verdict, fate: Fate, accepted: Sequence[Acceptance]) -> None:
    row = fate.row
    if any((row.digits, row.text) != (one.entry.digits, one.entry.text) for one in accepted):
        verdict.say(row.id, "the provider has another number or text")
    if row.state is MessageState.FAILED and fate.code == OUTCOME_UNKNOWN:
        verdict.unproven += 1
        return
    if any(row.state is _expected(row.provider, one.entry.truth) for one in accepted):
        return
    if row.state is MessageState.EXPIRED and fate.code == NO_REPORT and not all(one.handed_over for one in accepted):
        verdict.unreported += 1
    else:
        truths = ", ".join(one.entry.truth for one in accepted)
        verdict.say(row.id, f"{row.state} ({fate.code}), and the provider's truth is {truths}")


def _expected(provider: str, truth: str) -> MessageState:
    if provider in COARSE and truth in {"expired", "rejected"}:
        return MessageState.UNDELIVERED
    return TRUTHS[truth]
