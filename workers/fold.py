"""What all reports of one message together say. Pure.

The answer depends on which reports there are, never on the order they came in: each has a place in one order (how far
along its state is, then the provider's clock, then its dedupe key), and later places overrule earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from models.moves import Locked, Move
from models.states import ACCEPTED_ONCE, OPEN_AT_PROVIDER, MessageState, may
from models.tables import ref_round_of
from providers.base import Report

_S = MessageState

# How far along a message is. Where two ends contradict each other, the stronger evidence wins.
RANK: Mapping[MessageState | None, int] = {
    None: 0,
    _S.SUBMITTED: 1,
    _S.HELD: 1,
    _S.SENT: 2,
    _S.FAILED: 3,
    _S.EXPIRED: 4,
    _S.REJECTED: 5,
    _S.UNDELIVERED: 6,
    _S.DELIVERED: 7,
}
_PROVES = frozenset({_S.SUBMITTED, _S.SENT})
"""Proof of an acceptance: worth something of an older try only while the new one has not left."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_GENERAL = ("parts", "price", "currency", "network", "channel")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows for a message: `state` it moves to (None: it stays), `facts` columns to set."""

    state: MessageState | None = None
    note: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def place(report: Report) -> tuple[int, datetime, str]:
    """Where a report stands among all of its message."""
    return RANK.get(report.state, 0), report.at or _LONG_AGO, report.dedupe


def is_simple(row: Locked, new: Sequence[Report]) -> bool:
    """Whether the new reports alone decide: every one is further along than anything known so far."""
    known = RANK.get(row.state)
    return known is None or all(RANK.get(report.state, 0) > known for report in new)


def is_older_try(report: Report, row: Locked) -> bool:
    """Whether a report speaks of a try that was refused, and so not of the present or the coming one.

    That the refused one arrived after all is news whenever it comes: nothing more has to be sent.
    """
    queued = row.state is _S.QUEUED
    made_in = ref_round_of(report.ref) if report.ref else None
    if made_in is not None and made_in < row.ref_round:
        return report.state is not _S.DELIVERED and not (queued and report.state in _PROVES)
    return queued and report.state is not None and report.state not in ACCEPTED_ONCE


def fold(row: Locked, reports: Iterable[Report], now: datetime) -> Verdict:
    """From a message and all its reports to what follows."""
    ordered = [report for report in reports if not is_older_try(report, row)]
    if len(ordered) > 1:
        ordered.sort(key=place)
    if not ordered:
        return Verdict()
    word = ordered[-1]
    moves = word.state is not None and may(row.state, word.state)
    facts = _general(ordered) | _links(row, ordered)
    if moves or word.state is row.state:
        facts |= _ending(word)
    if moves and word.state is not None:
        return Verdict(word.state, _note(word), facts | _held(row, word.state, now) | _round(row, word))
    return Verdict(facts=facts)


def report_move(message_id: UUID, report: Report) -> Move:
    """The move that one report alone asks for, of a message that nothing is known of. Raises ValueError for a report
    without a state."""
    if report.state is None:
        raise ValueError("a report without a state moves nothing")
    links = {"provider_id": report.provider_id} if report.provider_id else {}
    return Move(message_id, report.state, _note(report), _general([report]) | _ending(report) | links)


def _note(report: Report) -> str:
    return f"report {report.raw_status}".strip()


def _round(row: Locked, word: Report) -> dict[str, Any]:
    """An older try that was accepted after all is the one that counts from now on."""
    made_in = ref_round_of(word.ref) if word.ref else None
    return {"ref_round": made_in} if made_in is not None and made_in < row.ref_round else {}


def _general(ordered: Sequence[Report]) -> dict[str, Any]:
    """Facts that any report may bring; a price comes with its currency."""
    facts: dict[str, Any] = {}
    for report in ordered:
        facts |= {name: value for name in _GENERAL if (value := getattr(report, name)) is not None}
    read = [report.read_at for report in ordered if report.read_at is not None]
    if read:
        facts["read_at"] = min(read)
    return facts


def _links(row: Locked, ordered: Sequence[Report]) -> dict[str, Any]:
    """The provider's ids, where the message has none yet: it was known by our reference alone."""
    facts: dict[str, Any] = {}
    for name in ("provider_id", "group_id"):
        found = next((value for report in ordered if (value := getattr(report, name))), None)
        if found and getattr(row, name) is None:
            facts[name] = found
    return facts


def _ending(word: Report) -> dict[str, Any]:
    """When and why, as the report says that decides the state."""
    failure = word.failure if word.state is not _S.DELIVERED else None
    return {
        "provider_at": word.at,
        "code": failure.code if failure else None,
        "klass": str(failure.klass) if failure else None,
        "reason": failure.reason if failure else None,
    }


def _held(row: Locked, new: MessageState, now: datetime) -> dict[str, Any]:
    """A message that is held, or let go, has all its time for a report before it: its clock starts again."""
    facts: dict[str, Any] = {"not_before": None}
    if new is _S.HELD or (row.state is _S.HELD and new in OPEN_AT_PROVIDER):
        span = row.deadline - row.submitted_at if row.deadline and row.submitted_at else timedelta()
        facts["deadline"] = max(row.deadline or now, now + span) if span else row.deadline
        facts["held_until"] = None
    return facts
