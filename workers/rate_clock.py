"""Where the Redis clock stands, told by the local monotonic clock alone."""

from dataclasses import dataclass, field

MICROSECOND = 1_000_000
DRIFT = 0.001
STEP = 0.010


@dataclass(slots=True)
class ServerClock:
    """Bounds on (Redis clock - local monotonic clock), in µs.

    One trip says: the server read its clock after we asked and before we had the answer. Several trips together say it
    much more sharply, so one slow trip, or a busy event loop, costs no precision. No wall clock of a worker takes part.
    """

    _low: float = float("-inf")
    _high: float = float("inf")
    _at: float = field(default=0.0)
    steps: int = 0

    def observe(self, server_us: int, asked: float, answered: float) -> None:
        """A trip: the server's time (µs) and the local monotonic seconds before and after it.

        Counts a step when the server's clock jumped by more than 10 ms: slots of before mean nothing any more.
        """
        widened = max(0.0, answered - self._at) * DRIFT * MICROSECOND
        trip_low, trip_high = server_us - answered * MICROSECOND, server_us - asked * MICROSECOND
        low, high = max(self._low - widened, trip_low), min(self._high + widened, trip_high)
        if low > high:
            self.steps += low - high > STEP * MICROSECOND
            low, high = trip_low, trip_high
        self._low, self._high, self._at = low, high, answered

    def earliest(self, server_us: int) -> float:
        """Local monotonic seconds before which `server_us` cannot be."""
        return (server_us - self._high) / MICROSECOND

    def latest(self, server_us: int) -> float:
        """Local monotonic seconds by which `server_us` has surely come."""
        return (server_us - self._low) / MICROSECOND
