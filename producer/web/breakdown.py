"""What a campaign's messages add up to by code, country and currency: counted from them, seldom, in the background.

One pass over a million messages takes seconds, so no view waits for it, and many views cause no more than one: a
campaign is counted again when its counters have moved and a hundred times its last duration and more has passed. Small
campaigns are counted every few seconds, a campaign of a million every few minutes, and the page says how old the
figures are.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from config.prices import Prices
from models.database import Database
from models.states import ACCEPTED_ONCE, MessageState
from producer.figures import FAILED, Cell, cells

log = structlog.get_logger("drumline.web")

SHARE = 120  # rest between two counts, in durations of a count: less than a hundredth of a core
LEAST = 3.0  # seconds between two counts
KEPT = 100  # campaigns
_PERHAPS_BILLED = ACCEPTED_ONCE | {MessageState.EXPIRED}


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """One way in which messages failed."""

    code: str
    klass: str | None
    reason: str | None
    state: MessageState
    messages: int


@dataclass(frozen=True, slots=True)
class Country:
    country: str
    messages: int
    delivered: int
    failed: int


@dataclass(frozen=True, slots=True)
class Cost:
    """In one currency: what providers named, and what the price table expects for all messages that are sent."""

    currency: str
    named: Decimal
    named_messages: int
    expected: Decimal


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A campaign's figures as they were at `at`; counting them took `took` seconds."""

    cells: tuple[Cell, ...]
    at: datetime
    took: float

    @property
    def messages(self) -> int:
        return _sum(self.cells)

    @property
    def errors(self) -> list[ErrorLine]:
        """The most frequent first."""
        found: dict[tuple[object, ...], list[Cell]] = {}
        for cell in self.cells:
            if cell.state in FAILED:
                found.setdefault((cell.code, cell.klass, cell.state), []).append(cell)
        lines = [
            ErrorLine(
                some[0].code or "no code", some[0].klass, max((cell.reason or "" for cell in some), default="") or None,
                some[0].state, sum(cell.messages for cell in some),
            )
            for some in found.values()
        ]  # fmt: skip
        return sorted(lines, key=lambda line: (-line.messages, line.code))

    @property
    def countries(self) -> list[Country]:
        """The largest first."""
        found: dict[str, list[Cell]] = {}
        for cell in self.cells:
            found.setdefault(cell.country or "unknown", []).append(cell)
        lines = [
            Country(
                name, _sum(some), _sum(cell for cell in some if cell.state is MessageState.DELIVERED),
                _sum(cell for cell in some if cell.state in FAILED),
            )
            for name, some in found.items()
        ]  # fmt: skip
        return sorted(lines, key=lambda line: (-line.messages, line.country))

    def costs(self, prices: Prices) -> list[Cost]:
        """By currency; currencies are never added up. What a provider named goes before what a table says."""
        found: dict[str, Cost] = {}
        for cell in self.cells:
            for cost in _costs(cell, prices):
                old = found.get(cost.currency, Cost(cost.currency, Decimal(0), 0, Decimal(0)))
                found[cost.currency] = Cost(
                    cost.currency, old.named + cost.named, old.named_messages + cost.named_messages,
                    old.expected + cost.expected,
                )  # fmt: skip
        return [found[currency] for currency in sorted(found)]


def _costs(cell: Cell, prices: Prices) -> Iterable[Cost]:
    if cell.price is not None and cell.currency:
        return [Cost(cell.currency, cell.price, cell.messages, cell.price)]
    price = prices.of(cell.account, cell.country or "")
    to_come = cell.state in _PERHAPS_BILLED or cell.state in {MessageState.QUEUED, MessageState.SUBMITTING}
    return [Cost(price.currency, Decimal(0), 0, price.amount * cell.segments)] if price and to_come else []


def _sum(some: Iterable[Cell]) -> int:
    return sum(cell.messages for cell in some)


@dataclass
class Breakdowns:
    """Those of one process. Asking never waits longer than it says."""

    database: Database
    now: Callable[[], datetime]
    clock: Callable[[], float] = time.monotonic
    _kept: OrderedDict[UUID, tuple[Breakdown, Hashable, float]] = field(default_factory=OrderedDict)
    _counting: dict[UUID, threading.Event] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turn: threading.Lock = field(default_factory=threading.Lock)  # one count at a time: they must not fill the cores

    def of(self, campaign_id: UUID, counters: Mapping[MessageState, int], wait: float = 0.0) -> Breakdown | None:
        """The newest there is, or None while the first is being counted. `counters` say whether anything has moved;
        `wait`: seconds to wait for a first count."""
        moved = tuple(sorted(counters.items()))
        with self._lock:
            kept = self._kept.get(campaign_id)
            if kept is not None:
                self._kept.move_to_end(campaign_id)
            event = self._counting.get(campaign_id)
            if event is None and self._due(kept, moved):
                event = self._begin(campaign_id, moved)
        if kept is None and event is not None and wait:
            event.wait(wait)
            with self._lock:
                kept = self._kept.get(campaign_id)
        return kept[0] if kept else None

    def _due(self, kept: tuple[Breakdown, Hashable, float] | None, moved: Hashable) -> bool:
        if kept is None:
            return True
        breakdown, counted, ended = kept
        return counted != moved and self.clock() - ended >= max(LEAST, SHARE * breakdown.took)

    def _begin(self, campaign_id: UUID, moved: Hashable) -> threading.Event:
        event = self._counting[campaign_id] = threading.Event()
        # A daemon: a count that takes long must not keep the process from ending.
        threading.Thread(
            target=self._count, args=(campaign_id, moved, event), name=f"count {campaign_id}", daemon=True
        ).start()
        return event

    def _count(self, campaign_id: UUID, moved: Hashable, event: threading.Event) -> None:
        try:
            with self._turn:
                began = self.clock()
                with self.database.read() as session:
                    found = tuple(cells(session, campaign_id))
                breakdown = Breakdown(found, self.now(), self.clock() - began)
            with self._lock:
                self._kept[campaign_id] = breakdown, moved, self.clock()
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        except SQLAlchemyError as error:
            log.warning("count_failed", campaign=str(campaign_id), error=type(error).__name__)  # the next view retries
        finally:
            with self._lock:
                self._counting.pop(campaign_id, None)
            event.set()
