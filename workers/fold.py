"""What all reports of one message together say. Pure.

The answer depends on which reports there are, never on the order they came in: each has a place in one order (how far
along its state is, then the provider's clock, then its dedupe key), and later places overrule earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from models.moves import Locked
from models.states import OPEN_AT_PROVIDER, MessageState, may
from models.tables import round_of
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
POSITIVE = frozenset({_S.SENT, _S.DELIVERED})
"""Proof that a provider has (or had) the message."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_GENERAL = ("parts", "price", "currency", "network", "channel")
_MOST_PARTS = 32_767  # what the column holds


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


def counts(report: Report, row: Locked) -> bool:
    """Whether a report says something about the message as it is.

    One about an earlier round, which was refused and asked for again under a new reference, says nothing about the
    present one, unless it proves that the earlier one arrived after all.
    """
    if report.ref is None or row.ref_round <= 1 or report.provider_id == row.provider_id:
        return True
    return round_of(report.ref) >= row.ref_round or report.state in POSITIVE


def fold(row: Locked, reports: Iterable[Report], now: datetime) -> Verdict:
    """From a message and all its reports to what follows."""
    ordered = sorted((report for report in reports if counts(report, row)), key=place)
    if not ordered:
        return Verdict()
    word = ordered[-1]
    moves = word.state is not None and may(row.state, word.state)
    facts = _general(ordered) | _links(row, ordered)
    if moves or word.state is row.state:
        facts |= _ending(word)
    if moves and word.state is not None:
        return Verdict(word.state, f"report {word.raw_status}".strip(), facts | _held(row, word.state, now))
    return Verdict(facts=facts)


def _general(ordered: Sequence[Report]) -> dict[str, Any]:
    """Facts that any report may bring; a price comes with its currency."""
    facts: dict[str, Any] = {}
    for report in ordered:
        facts |= {name: value for name in _GENERAL if (value := getattr(report, name)) is not None}
    if not 0 < facts.get("parts", 1) <= _MOST_PARTS:
        del facts["parts"]
    read = [report.read_at for report in ordered if report.read_at is not None]
    if read:
        facts["read_at"] = min(read)
    return {name: _fit(name, value) for name, value in facts.items()}


_LENGTHS = {"currency": 8, "network": 64, "channel": 16, "code": 64, "reason": 300, "provider_id": 128, "group_id": 128}


def _fit(name: str, value: Any) -> Any:
    return value[: _LENGTHS[name]] if name in _LENGTHS else value


def _links(row: Locked, ordered: Sequence[Report]) -> dict[str, Any]:
    """The provider's ids, where the message has none yet: it was known by our reference alone."""
    facts: dict[str, Any] = {}
    for name in ("provider_id", "group_id"):
        found = next((value for report in ordered if (value := getattr(report, name))), None)
        if found and getattr(row, name) is None:
            facts[name] = _fit(name, found)
    return facts


def _ending(word: Report) -> dict[str, Any]:
    """When and why, as the report says that decides the state."""
    failure = word.failure if word.state is not _S.DELIVERED else None
    return {
        "provider_at": word.at,
        "code": _fit("code", failure.code) if failure else None,
        "klass": str(failure.klass) if failure else None,
        "reason": _fit("reason", failure.reason) if failure else None,
    }


def _held(row: Locked, new: MessageState, now: datetime) -> dict[str, Any]:
    """A message that is held, or let go, has all its time for a report before it: its clock starts again."""
    facts: dict[str, Any] = {"not_before": None}
    if new is _S.HELD or (row.state is _S.HELD and new in OPEN_AT_PROVIDER):
        span = row.deadline - row.submitted_at if row.deadline and row.submitted_at else timedelta()
        facts["deadline"] = max(row.deadline or now, now + span) if span else row.deadline
        facts["held_until"] = None
    return facts
