"""Our database against a simulated provider's own ledger, message by message. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from models.states import FINAL, MessageState

TRUTHS: Mapping[str, MessageState] = {
    "delivered": MessageState.DELIVERED,
    "undelivered": MessageState.UNDELIVERED,
    "expired": MessageState.EXPIRED,
    "rejected": MessageState.REJECTED,
    "no_report": MessageState.EXPIRED,
}
COARSE = {"cliqtel"}
"""Providers that have one word for every failure: undelivered, expired and rejected all read as undelivered."""

NEVER_ACCEPTED = frozenset(
    {MessageState.QUEUED, MessageState.CANCELLED, MessageState.SUPPRESSED, MessageState.FAILED, MessageState.REJECTED}
)


@dataclass(frozen=True, slots=True)
class Row:
    """One message as our database has it."""

    id: str
    account: str
    provider: str
    state: MessageState
    provider_id: str | None
    digits: str
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One acceptance as the provider's ledger has it."""

    provider: str
    id: str
    ref: str | None
    digits: str
    text: str
    truth: str


def compare(rows: Sequence[Row], entries: Sequence[Entry], *, final: bool = True) -> list[str]:
    """Every difference, as a sentence. Empty: both agree, message by message."""
    by_ref, by_id = _index(rows)
    accepted: dict[str, list[Entry]] = {}
    differences: list[str] = []
    for entry in entries:
        owner = by_ref.get((entry.ref or "")[:36]) or by_id.get((entry.provider, entry.id))
        if owner is None:
            differences.append(f"{entry.provider}: accepted {entry.id}, which no message of ours knows")
        else:
            accepted.setdefault(owner.id, []).append(entry)
    for row in rows:
        differences += _row_differences(row, accepted.get(row.id, []), final=final)
    return differences


def _index(rows: Iterable[Row]) -> tuple[dict[str, Row], dict[tuple[str, str], Row]]:
    rows = list(rows)
    return {row.id: row for row in rows}, {(r.provider, r.provider_id): r for r in rows if r.provider_id}


def _row_differences(row: Row, entries: Sequence[Entry], *, final: bool) -> list[str]:
    name = f"{row.account}: message {row.id} ({row.state})"
    if len(entries) > 1:
        return [f"{name}: accepted {len(entries)} times by the provider"]
    if final and row.state not in FINAL:
        return [f"{name}: not final"]
    if not entries:
        return [] if row.state in NEVER_ACCEPTED else [f"{name}: the provider never accepted it"]
    return _truth_differences(name, row, entries[0], final=final)


def _truth_differences(name: str, row: Row, entry: Entry, *, final: bool) -> list[str]:
    if (row.digits, row.text) != (entry.digits, entry.text):
        return [f"{name}: the provider has another number or text"]
    expected = TRUTHS[entry.truth]
    if row.provider in COARSE and expected in {MessageState.EXPIRED, MessageState.REJECTED}:
        expected = MessageState.EXPIRED if entry.truth == "no_report" else MessageState.UNDELIVERED
    if final and row.state is not expected:
        return [f"{name}: the provider's truth is {entry.truth}"]
    return []
