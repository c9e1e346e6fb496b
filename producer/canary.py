"""The canary: send a few messages first, and the rest only if these arrive. The decision is pure.

waiting --(share reached)--> passed     the rest may leave
waiting --(share missed, a forbidden code, nothing left)--> halted     the campaign pauses and says the figures
halted  --(an operator resumes)--> passed
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from sqlalchemy import ARRAY, ColumnElement, Uuid, and_, any_, bindparam, func, select, text, union_all
from sqlalchemy.orm import Session

from models.phase import LEFT
from models.queries import note_event
from models.states import FINAL, CanaryState, MessageState
from models.steering import CanaryRule, steering_of
from models.tables import Batch, Campaign, Message
from producer.campaigns import halt

_NOT_SENT = frozenset({MessageState.SUPPRESSED, MessageState.CANCELLED})
_ON_THE_GROUND = frozenset({MessageState.QUEUED, MessageState.SUBMITTING})
_LEFT = tuple(state for state in LEFT if state not in _NOT_SENT)
SHOWN_CODES = 5

Outcomes = Mapping[tuple[MessageState, str | None], int]
"""Messages of the canary by state and failure code."""


class Word(StrEnum):
    WAIT = "wait"
    PASS = "pass"  # noqa: S105 - a verdict
    HALT = "halt"


@dataclass(frozen=True, slots=True)
class Verdict:
    word: Word
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Flight:
    """How the canary stands. Opted-out recipients are no part of it."""

    outcomes: Outcomes

    def _count(self, states: frozenset[MessageState]) -> int:
        return sum(n for (state, _), n in self.outcomes.items() if state in states)

    @property
    def total(self) -> int:
        return sum(self.outcomes.values()) - self._count(_NOT_SENT)

    @property
    def delivered(self) -> int:
        return self._count(frozenset({MessageState.DELIVERED}))

    @property
    def open(self) -> int:
        return self.total - self._count(FINAL - _NOT_SENT)

    @property
    def all_left(self) -> bool:
        return self._count(_ON_THE_GROUND) == 0

    @property
    def failures(self) -> Counter[str]:
        """Final and not delivered, by failure code, or by state where there is none."""
        found: Counter[str] = Counter()
        for (state, code), n in self.outcomes.items():
            if state in FINAL - _NOT_SENT - {MessageState.DELIVERED}:
                found[code or str(state)] += n
        return found

    def figures(self) -> str:
        share = f" ({self.delivered / self.total:.0%})" if self.total else ""
        failures = ", ".join(f"{code} {n}" for code, n in self.failures.most_common(SHOWN_CODES))
        parts = [f"{self.delivered} of {self.total} delivered{share}"]
        parts += [f"failed: {failures}"] if failures else []
        parts += [f"{self.open} without a report"] if self.open else []
        return "; ".join(parts)


def judge(rule: CanaryRule, flight: Flight, left_at: datetime | None, now: datetime) -> Verdict:
    """Wait, go on, or halt. `left_at`: when the last message of the canary had left, None if some have not."""
    if not flight.total:
        return Verdict(Word.HALT, "canary: every recipient of it had opted out, so it proves nothing")
    forbidden = [code for code in flight.failures if matches(code, rule.codes)]
    if forbidden:
        return Verdict(Word.HALT, f"canary: failed with {', '.join(forbidden)}; {flight.figures()}")
    needed = math.ceil(rule.share * flight.total - 1e-9)
    asked = f"{needed} were asked for ({rule.share:.0%})"
    if flight.delivered + flight.open < needed:
        return Verdict(Word.HALT, f"canary: {flight.figures()}; {asked}")
    if not flight.open or (flight.delivered >= needed and not rule.codes and flight.all_left):
        return Verdict(Word.PASS, f"canary: {flight.figures()}; {asked}")
    if left_at is None or now < left_at + timedelta(seconds=rule.wait):
        return Verdict(Word.WAIT)
    word = Word.PASS if flight.delivered >= needed else Word.HALT
    return Verdict(word, f"canary: after {rule.wait} s {flight.figures()}; {asked}")


def matches(code: str, rules: tuple[str, ...]) -> bool:
    """Whether a failure code is one of the rule's; upper and lower case are the same, `*` stands for anything."""
    return any(fnmatchcase(code.upper(), rule.upper()) for rule in rules)


def look(session: Session, campaign: Campaign, rule: CanaryRule) -> Flight:
    """The canary's messages: those of the batches that begin before its size. At most as many as the rule says.

    What waits is found by its batch, the rest by its campaign; in one statement, for they move meanwhile.
    """
    batches = select(Batch.id).where(Batch.campaign_id == campaign.id, Batch.position < rule.size)
    mine: ColumnElement[bool] = Message.batch_id.in_(batches)
    if session.get_bind().dialect.name == "postgresql":
        # By their names: it may go through all that is queued and ask of each whether it is theirs. And not through all
        # messages there are: it believes that as much of this campaign has left as of any other.
        mine = Message.batch_id == any_(bindparam("batches", session.execute(batches).scalars().all(), ARRAY(Uuid)))
        session.execute(text("SET LOCAL enable_seqscan = off"))
    waits = and_(Message.phase == MessageState.QUEUED, mine)
    left = and_(Message.campaign_id == campaign.id, Message.phase.in_(_LEFT), mine)
    found = select(Message.state, Message.code, func.count()).group_by(Message.state, Message.code)
    both = session.execute(union_all(found.where(waits), found.where(left)))
    return Flight({(MessageState(state), code): n for state, code, n in both})


def decide(session: Session, campaign: Campaign, now: datetime) -> Word:
    """Look at a running campaign's canary and act. The campaign is locked."""
    rule = steering_of(campaign.steering).canary
    if rule is None or campaign.canary is not CanaryState.WAITING:
        return Word.WAIT
    flight = look(session, campaign, rule)
    if flight.all_left and campaign.canary_at is None:
        campaign.canary_at = now
        note_event(session, campaign.id, "canary_left", f"{flight.total} messages; their reports are awaited", now)
    verdict = judge(rule, flight, campaign.canary_at if flight.all_left else None, now)
    _ACTS[verdict.word](session, campaign, verdict.reason, now)
    return verdict.word


def _pass(session: Session, campaign: Campaign, reason: str, now: datetime) -> None:
    campaign.canary = CanaryState.PASSED
    campaign.anchor_at = now  # pace and validity of the rest count from here
    note_event(session, campaign.id, "canary_passed", reason, now)


def _halt(session: Session, campaign: Campaign, reason: str, now: datetime) -> None:
    campaign.canary = CanaryState.HALTED
    note_event(session, campaign.id, "canary_halted", reason, now)
    halt(session, campaign, reason, now)


def _wait(session: Session, campaign: Campaign, reason: str, now: datetime) -> None:
    """Nothing to do: the next look decides."""


_ACTS = {Word.WAIT: _wait, Word.PASS: _pass, Word.HALT: _halt}
