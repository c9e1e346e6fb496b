"""Schedules that no wall clock can stop.

Celery plans by the time of day: were that set back by an hour, beat would be silent for an hour.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from celery.schedules import schedule

_STARTED = datetime.now(UTC) - timedelta(seconds=time.monotonic())


def steady_now() -> datetime:
    """A date that only goes forward, a second each second. Right at the start, and never asked for the time of day."""
    return _STARTED + timedelta(seconds=time.monotonic())


def steady(every: float) -> schedule:
    """Due each `every` seconds, whatever becomes of the wall clock."""
    return schedule(timedelta(seconds=every), nowfun=steady_now)
