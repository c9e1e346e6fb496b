"""Counters for the metrics: kept in each process's memory, added to one small table every few seconds.

Counting in the transactions themselves would make every worker wait for the same rows; counting messages at every
scrape would read a million of them. What a killed process had not yet written is missing from the metrics (seconds of
it), never from a campaign's own counters, which are exact.
"""

from __future__ import annotations

import re
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from models.tables import TallyRow


class Tally(StrEnum):
    """What is counted, and the labels after the account."""

    SUBMITTED = "submitted"  # messages that a provider took
    OUTCOMES = "outcomes"  # (state, code): messages that became final
    UNKNOWN = "unknown"  # messages whose outcome became unknown
    REPORTS = "reports"  # (state, effect)
    REPORT_DELAY = "report_delay"  # histogram: from a report's arrival to what it did
    IMPORTED = "imported"  # (accepted | rejected): rows
    REQUESTS = "requests"  # (kind, status)
    REQUEST_TIME = "request_time"  # histogram
    WAITS = "waits"  # (door): times that a batch was told to wait
    WAIT_TIME = "wait_time"  # (door): seconds of it


BUCKETS: Mapping[Tally, tuple[float, ...]] = {
    Tally.REQUEST_TIME: (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    Tally.REPORT_DELAY: (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
}
SUM, BEYOND = "sum", "+Inf"
_LABELS = {name: (*(f"{bound:g}" for bound in bounds), BEYOND) for name, bounds in BUCKETS.items()}

FLUSH_SECONDS = 5.0
MOST_CODES = 100  # codes of outcomes by account: further ones are told together
NO_CODE, OTHER_CODE = "none", "other"

Key = tuple[str, str, str]  # name, account, labels
_FIT = re.compile(r"(?!\d{7,})[A-Za-z0-9][A-Za-z0-9_.:-]{0,39}").fullmatch


def code_label(code: str | None) -> str:
    """A provider's code as a label: what it sends may be anything, even a number."""
    if not code:
        return NO_CODE
    return code if _FIT(code) else OTHER_CODE


def key_of(name: Tally, account: str, labels: Iterable[str] = ()) -> Key:
    return name.value, account, "|".join(labels)


def bucket_keys(name: Tally, account: str, value: float) -> tuple[Key, Key]:
    """The keys that one observation counts in: its bucket and the sum."""
    return (name.value, account, _LABELS[name][bisect_left(BUCKETS[name], value)]), (name.value, account, SUM)


def tally(session: Session, name: Tally, account: str, labels: Iterable[str] = (), n: float = 1) -> None:
    """Count within a transaction: only if it commits."""
    pending: Counter[Key] = session.info.setdefault("tallies", Counter())
    pending[key_of(name, account, labels)] += n  # type: ignore[assignment]  # Counter is typed for whole numbers


def tally_value(session: Session, name: Tally, account: str, value: float, n: int = 1) -> None:
    """The same for a histogram: `n` observations of this value."""
    pending: Counter[Key] = session.info.setdefault("tallies", Counter())
    bucket, total = bucket_keys(name, account, value)
    pending[bucket] += n
    pending[total] += value * n  # type: ignore[assignment]  # as above


class Tallies:
    """What one process has counted and not yet written. Safe from every thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: dict[Key, float] = {}
        self._known: set[Key] = set()
        self._flushed_at = clock()

    def add(self, name: Tally, account: str, labels: Iterable[str] = (), n: float = 1) -> None:
        self.absorb({key_of(name, account, labels): n})

    def request(self, account: str, kind: str, status: str, seconds: float) -> None:
        """One request and its time."""
        bucket, total = bucket_keys(Tally.REQUEST_TIME, account, seconds)
        self.absorb({key_of(Tally.REQUESTS, account, (kind, status)): 1, bucket: 1, total: seconds})

    def absorb(self, counts: Mapping[Key, float]) -> None:
        with self._lock:
            for key, n in counts.items():
                self._pending[key] = self._pending.get(key, 0.0) + n

    def due(self) -> bool:
        return bool(self._pending) and self._clock() - self._flushed_at >= FLUSH_SECONDS

    def waiting(self) -> bool:
        return bool(self._pending)

    def take(self) -> dict[Key, float]:
        """Everything that waits; whoever cannot write it gives it back by `absorb`."""
        with self._lock:
            taken, self._pending = self._pending, {}
            self._flushed_at = self._clock()
        return taken

    def write(self, session: Session, counts: Mapping[Key, float]) -> None:
        """Add to the table, in a fixed order so that two processes never cross."""
        folded = self._fold(session, counts)
        rows = [
            {"name": name, "account": account, "labels": labels, "n": n}
            for (name, account, labels), n in sorted(folded.items())
        ]
        insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        table = TallyRow.__table__
        statement = insert(TallyRow)
        statement = statement.on_conflict_do_update(
            index_elements=["name", "account", "labels"], set_={"n": table.c.n + statement.excluded.n}
        )
        session.connection().execute(statement, rows)

    def _fold(self, session: Session, counts: Mapping[Key, float]) -> dict[Key, float]:
        """No account gets more than `MOST_CODES` codes, whatever its provider thinks of."""
        outcomes = {key for key in counts if key[0] == Tally.OUTCOMES}
        if not outcomes <= self._known:
            query = select(TallyRow.name, TallyRow.account, TallyRow.labels).where(TallyRow.name == Tally.OUTCOMES)
            self._known |= {(name, account, labels) for name, account, labels in session.execute(query)}
        folded: dict[Key, float] = {}
        for key, n in counts.items():
            fit = self._admitted(key) if key in outcomes else key
            folded[fit] = folded.get(fit, 0.0) + n
        return folded

    def _admitted(self, key: Key) -> Key:
        name, account, labels = key
        if key not in self._known and sum(1 for known in self._known if known[1] == account) >= MOST_CODES:
            return name, account, f"{labels.partition('|')[0]}|{OTHER_CODE}"
        self._known.add(key)
        return key
