"""Beat's scheduler: Celery's own, that also says that it ticks, and leaves no backlog."""

from __future__ import annotations

import time
from typing import Any

import structlog
from celery.beat import Scheduler

from config import alive
from config.nudges import AWAY, MOST_WAITING, waiting
from config.settings import settings

log = structlog.get_logger("drumline.beat")

EVERY = 2.0  # seconds between two signs of life


class Clock(Scheduler):  # type: ignore[misc]  # Celery ships no types
    """Nothing to remember between starts, so no file to spoil or to share."""

    _said_at = float("-inf")
    _closed = False

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Seconds until the next tick. SystemExit once it was closed: the signal that closes it raises one as well, but
        where it meets a read from Redis, the library's tidying up can end in an error that hides it."""
        try:
            until = super().tick(*args, **kwargs)
        except Exception as error:
            if not self._closed:
                raise
            log.info("ended_within_a_tick", error=type(error).__name__)
        if self._closed:
            raise SystemExit
        if time.monotonic() - self._said_at >= EVERY:
            self._said_at = time.monotonic()
            say_alive("beat")
        return until

    def close(self) -> None:
        self._closed = True
        super().close()

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send the tick, unless its queue is full of jobs that nobody takes."""
        try:
            full = waiting(producer or self.producer, entry.options["queue"]) >= MOST_WAITING
        except AWAY as error:
            log.warning("tick_not_sent", task=entry.task, error=type(error).__name__)
            return
        if not full:
            super().apply_entry(entry, producer)


def say_alive(name: str) -> None:
    """A disk that is full must not stop the clock: then the health check says so."""
    try:
        alive.touch(settings().state_dir, name)
    except OSError as error:
        log.warning("no_sign_of_life", name=name, error=type(error).__name__)
