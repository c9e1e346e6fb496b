"""What Qikli keeps for one account: messages, bulks, and the reports nobody has read yet."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from sandbox.ledger import Entry
from sandbox.qikli_request import Order

RETENTION_SECONDS: Final = 48 * 3600.0
FLOOD_SECONDS: Final = 3600.0
FLOOD_DIFFERING: Final = 20
FLOOD_IDENTICAL: Final = 6


@dataclass(slots=True, eq=False)
class Report:
    """One status change to be handed over. `spec` is the status in the notation of `qikli_codes.spell`."""

    entry: Entry
    spec: str
    at: float
    final: bool
    taken: bool = False


@dataclass(slots=True, eq=False)
class Ticket:
    """What Qikli knows of a message beyond the ledger's entry (`entry.extra`)."""

    order: Order
    bulk_id: str
    final: str | None = None
    unread: list[Report] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Refused:
    """A destination that was refused at submit: it stands in the logs and gets no report."""

    message_id: str
    bulk_id: str
    to: str
    order: Order
    spec: str
    at: float


@dataclass(slots=True, eq=False)
class Bulk:
    id: str
    orders: list[Order] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    state: str = "PENDING"


def ticket_of(entry: Entry) -> Ticket:
    if not isinstance(entry.extra, Ticket):
        raise TypeError("a message of another provider")
    return entry.extra


class Box:
    """One account. Every report is handed out by `take` exactly once, whichever filter asks for it."""

    def __init__(self) -> None:
        self.messages: dict[str, Entry] = {}
        self.refused: dict[str, Refused] = {}
        self.bulks: dict[str, Bulk] = {}
        self.spent = 0.0
        self._unread: deque[Report] = deque()
        self._recent: defaultdict[str, deque[tuple[float, int]]] = defaultdict(deque)

    def open(self, bulk_id: str) -> Bulk:
        """The bulk of this id; a second request under the same id joins the first."""
        return self.bulks.setdefault(bulk_id, Bulk(bulk_id))

    def offer(self, report: Report) -> None:
        self._unread.append(report)
        ticket_of(report.entry).unread.append(report)

    def take(self, limit: int, bulk_id: str | None, message_id: str | None, oldest: float) -> list[Report]:
        """Up to `limit` unread reports, oldest first; those from before `oldest` are gone for good."""
        source = self._drain() if bulk_id is None and message_id is None else self._filtered(bulk_id, message_id)
        page: list[Report] = []
        for report in source:
            report.taken = True
            ticket_of(report.entry).unread.remove(report)
            if report.at >= oldest:
                page.append(report)
            if len(page) >= limit:
                break
        return page

    def _drain(self) -> Iterator[Report]:
        while self._unread:
            report = self._unread.popleft()
            if not report.taken:  # a filtered look-up was quicker
                yield report

    def _filtered(self, bulk_id: str | None, message_id: str | None) -> Iterator[Report]:
        for entry in self._candidates(bulk_id, message_id):
            yield from tuple(ticket_of(entry).unread)

    def _candidates(self, bulk_id: str | None, message_id: str | None) -> Iterable[Entry]:
        if message_id is None:
            bulk = self.bulks.get(bulk_id or "")
            return bulk.entries if bulk else ()
        entry = self.messages.get(message_id)
        return (entry,) if entry and bulk_id in (None, ticket_of(entry).bulk_id) else ()

    def floods(self, to: str, text: str, now: float) -> bool:
        """Whether this is one too many for the number within an hour: 20 differing or 6 identical texts pass."""
        recent, fingerprint = self._recent[to], hash(text)
        while recent and recent[0][0] <= now - FLOOD_SECONDS:
            recent.popleft()
        identical = sum(1 for _, seen in recent if seen == fingerprint)
        if identical >= FLOOD_IDENTICAL or len(recent) >= FLOOD_DIFFERING:
            return True
        recent.append((now, fingerprint))
        return False
