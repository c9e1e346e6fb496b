"""Brute-force protection: too many consecutive failed logins from one address lock the address for a while."""

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Lockout:
    """`failures` within `per_seconds` lock an address for `lock_seconds`; a success forgets the failures before it."""

    failures: int = 10
    per_seconds: float = 60.0
    lock_seconds: float = 300.0
    _failed: dict[str, deque[float]] = field(default_factory=dict)
    _locked_until: dict[str, float] = field(default_factory=dict)

    def remaining(self, address: str, now: float) -> float:
        """Seconds that the address stays locked; 0 = not locked."""
        until = self._locked_until.get(address)
        if until is None:
            return 0.0
        if until <= now:
            del self._locked_until[address]
            return 0.0
        return until - now

    def succeeded(self, address: str) -> None:
        if self._failed:
            self._failed.pop(address, None)

    def failed(self, address: str, now: float) -> None:
        times = self._failed.setdefault(address, deque())
        times.append(now)
        while times[0] <= now - self.per_seconds:
            times.popleft()
        if len(times) >= self.failures:
            self._locked_until[address] = now + self.lock_seconds
            del self._failed[address]

    def clear(self) -> None:
        self._failed.clear()
        self._locked_until.clear()
