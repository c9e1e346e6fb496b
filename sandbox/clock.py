"""The sandbox's own time: monotonic for limits and due times, wall clock for what providers print.

Both can be moved forward together by a test (`advance`), so that a 24-hour cache or a five-minute lock-out can be
seen to end without waiting.
"""

import time
from datetime import UTC, datetime
from functools import lru_cache


class Clock:
    __slots__ = ("_offset",)

    def __init__(self) -> None:
        self._offset = 0.0

    def now(self) -> float:
        """Monotonic seconds; the base of every limit, delay and lock-out."""
        return time.monotonic() + self._offset

    def wall(self) -> float:
        """Unix seconds; only for timestamps shown to a client."""
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("time only moves forward")
        self._offset += seconds


def iso(unix: float) -> str:
    """`2026-03-26T12:00:00+00:00`, the form that QuickSMS and Cliqtel print."""
    return _iso(int(unix))


@lru_cache(maxsize=256)
def _iso(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()
