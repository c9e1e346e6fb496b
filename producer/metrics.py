"""Prometheus metrics as a view of the database: every API process shows the same, and none is lost with a process.

Gauges are read from the rows (unfinished campaigns, batches, inbox, the workers' snapshots), counters from the small
table of tallies; nothing counts messages. What was read is kept for `KEEP_SECONDS`, however many scrapers ask. In rules
take `max by (account)` over the API's processes, not `sum`. Only the HTTP times are a process's own.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from config.accounts import Account
from config.settings import Settings
from models.database import Database
from producer.metrics_counts import counters
from producer.metrics_rows import gauge, gauges

log = structlog.get_logger("drumline.metrics")

KEEP_SECONDS = 5.0


class Metrics:
    """The exposition of one API process. `own`: the registry of what only this process knows."""

    def __init__(
        self,
        database: Database,
        accounts: Mapping[str, Account],
        settings: Settings,
        version: str,
        own: CollectorRegistry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.database = database
        self.accounts = accounts
        self.settings = settings
        self.version = version
        self._own = own
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: bytes = b""
        self._kept_until = float("-inf")

    def render(self, now: Callable[[], datetime]) -> bytes:
        """The whole exposition in Prometheus's text format. A database that is away is a metric, no error: that is
        when somebody looks."""
        return self._shared(now) + generate_latest(self._own)

    def _shared(self, now: Callable[[], datetime]) -> bytes:
        with self._lock:
            if self._clock() >= self._kept_until:
                self._kept = exposition(self._read(now))
                self._kept_until = self._clock() + KEEP_SECONDS
            return self._kept

    def _read(self, now: Callable[[], datetime]) -> list[Metric]:
        began = self._clock()
        try:
            self.database.flush_tallies()
            moment = now()
            with self.database.read() as session:
                found = self._rows(session, moment)
        except SQLAlchemyError as error:
            log.warning("metrics_without_database", error=type(error).__name__)
            found = []
        up = gauge("database_up", "1 if the last look into the database succeeded.", (), [(bool(found),)])
        spent = gauge("rollup_duration_seconds", "What the last look into the database took.", (),
                      [(self._clock() - began,)])  # fmt: skip
        return [*self._process(), up, spent, *found]

    def _rows(self, session: Session, now: datetime) -> list[Metric]:
        return [*gauges(session, self.accounts, now), *counters(session, self.accounts)]

    def _process(self) -> Iterable[GaugeMetricFamily]:
        labels = ("version", "environment")
        yield gauge(
            "build_info", "1; its labels say what runs.", labels, [(self.version, self.settings.environment, 1)]
        )
        try:
            disk = shutil.disk_usage(self.settings.state_dir)
        except OSError:
            return  # the folder is made by whoever needs it first
        yield gauge("state_dir_free_bytes", "Free space where DRUMLINE_STATE_DIR lies.", (), [(disk.free,)])
        yield gauge("state_dir_size_bytes", "Size of the file system of DRUMLINE_STATE_DIR.", (), [(disk.total,)])


class _Listed(Collector):
    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return self._found


def exposition(found: list[Metric]) -> bytes:
    """These families in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Listed(found))
    return generate_latest(registry)
