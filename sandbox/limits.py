"""Rate limits as strict sliding windows: no interval of the given length, of any alignment, holds more than the limit.

Only admitted requests fill a window; a refused one costs nothing.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Counts(StrEnum):
    REQUESTS = "requests"
    MESSAGES = "messages"


@dataclass(frozen=True, slots=True)
class Window:
    """`limit` requests or messages in any `per_seconds`; `methods` empty = every method."""

    limit: int
    per_seconds: float
    counts: Counts = Counts.REQUESTS
    methods: tuple[str, ...] = ()

    def applies(self, method: str) -> bool:
        return not self.methods or method in self.methods

    def scaled(self, factor: float) -> "Window":
        """The same window with `factor` times the allowance (never under one)."""
        return Window(max(1, round(self.limit * factor)), self.per_seconds, self.counts, self.methods)


class _Log:
    """What one window holds: (arrival, cost) of the last `per_seconds`."""

    __slots__ = ("events", "used", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.events: deque[tuple[float, int]] = deque()
        self.used = 0

    def expire(self, now: float) -> None:
        edge = now - self.window.per_seconds
        events = self.events
        while events and events[0][0] <= edge:
            self.used -= events.popleft()[1]

    def cost(self, messages: int) -> int:
        return 1 if self.window.counts is Counts.REQUESTS else messages

    def wait(self, now: float, cost: int) -> float:
        """Seconds until `cost` fits; 0 when it fits now. A cost over the limit waits for an empty window."""
        excess = self.used + cost - self.window.limit
        if excess <= 0:
            return 0.0
        for at, spent in self.events:
            excess -= spent
            if excess <= 0:
                return at + self.window.per_seconds - now
        return self.window.per_seconds


@dataclass(frozen=True, slots=True)
class Standing:
    """What rate headers say: the allowance, what is left, the seconds until the oldest request leaves the window."""

    limit: int
    remaining: int
    reset_in: float


class Limiter:
    """All windows of one account at one provider."""

    __slots__ = ("_logs",)

    def __init__(self, windows: Iterable[Window]) -> None:
        self._logs = [_Log(window) for window in windows]

    def admit(self, now: float, method: str, messages: int) -> float:
        """0 when admitted (and counted in every window), else the seconds to wait; a refusal counts nowhere."""
        logs = [log for log in self._logs if log.window.applies(method)]
        wait = 0.0
        for log in logs:
            log.expire(now)
            wait = max(wait, log.wait(now, log.cost(messages)))
        if wait > 0:
            return wait
        for log in logs:
            cost = log.cost(messages)
            if cost:
                log.events.append((now, cost))
                log.used += cost
        return 0.0

    def standing(self, now: float) -> Standing | None:
        """Of the first window that counts requests, the one that the providers' headers describe; None without any."""
        for log in self._logs:
            if log.window.counts is Counts.REQUESTS:
                log.expire(now)
                reset = log.events[0][0] + log.window.per_seconds - now if log.events else 0.0
                return Standing(log.window.limit, max(0, log.window.limit - log.used), reset)
        return None

    def usage(self, now: float) -> Sequence[dict[str, object]]:
        for log in self._logs:
            log.expire(now)
        return [
            {
                "limit": log.window.limit,
                "per_seconds": log.window.per_seconds,
                "counts": log.window.counts,
                "used": log.used,
            }
            for log in self._logs
        ]


def retry_after(wait: float) -> str:
    """Whole seconds, rounded up, at least one: a client that waits as long is admitted."""
    return str(max(1, math.ceil(wait)))
