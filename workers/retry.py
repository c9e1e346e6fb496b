"""When to try again: pure decisions. Waits for the rate limit or an open breaker never come here: they spend no try."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential, with bounded jitter. Seconds; `jitter` is the share by which a delay may differ either way.

    `max_tries` counts the retries: the delay after the first failure is number 1.
    """

    base: float = 1.0
    factor: float = 2.0
    cap: float = 300.0
    jitter: float = 0.2
    max_tries: int = 5

    def __post_init__(self) -> None:
        if not (self.base > 0 and self.factor >= 1 and self.cap >= self.base and 0 <= self.jitter < 1):
            raise ValueError(f"not a backoff: {self}")
        if self.max_tries < 0:
            raise ValueError(f"not a number of tries: {self.max_tries}")

    def delay(self, tries: int, rnd: float, retry_after: float | None = None) -> float | None:
        """Seconds to wait after the `tries`-th failure (from 1), or None: give up.

        `rnd` is a random number in [0, 1). A provider's `retry_after` wins over ours; it gets jitter too, but only
        upwards, so that nobody comes early and not all come at once.
        """
        if tries < 1:
            raise ValueError(f"nothing has failed yet: {tries}")
        if tries > self.max_tries:
            return None
        if retry_after is not None:
            return max(0.0, retry_after) * (1 + self.jitter * rnd)
        return self._step(tries) * (1 + self.jitter * (2 * rnd - 1))

    def _step(self, tries: int) -> float:
        # Multiplied step by step: a power of a large number of tries would overflow.
        delay = self.base
        for _ in range(tries - 1):
            if delay >= self.cap:
                break
            delay *= self.factor
        return min(delay, self.cap)


QUICKSMS = Backoff(base=1.0, factor=2.0, cap=16.0, jitter=0.2, max_tries=5)
"""1, 2, 4, 8, 16 s, each ±20 %, then stop (QuickSMS API 2.0, Retry Strategy)."""

QIKBERRY = Backoff(base=5.0, factor=2.0, cap=300.0, jitter=0.2, max_tries=8)
"""The document names no figures: from 5 s, at most 5 min."""

DEFAULT = Backoff()
"""For providers whose documents say nothing."""
