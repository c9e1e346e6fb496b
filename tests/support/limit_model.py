"""The limiter in a few lines of plain Python: slow, obvious, to compare the real one with. And a virtual clock."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from workers.rate_limit import LOOK_BACK
from workers.rate_rules import Budget, Cost, Window, plan_pace

START_US = 1_800_000_000_000_000


@dataclass
class VirtualClock:
    """Both clocks, the server's and the local one, moved by hand. `edit` makes the scripts read it instead of TIME."""

    redis: Redis
    local: float = 500.0
    server_us: int = START_US

    @staticmethod
    def edit(source: str) -> str:
        assert "redis.call('TIME')" in source
        return source.replace("redis.call('TIME')", "redis.call('HMGET', 'test:clock', 's', 'us')")

    def now(self) -> float:
        return self.local

    async def sleep(self, seconds: float) -> None:
        await self.advance(math.ceil(seconds * 1e6))

    async def advance(self, microseconds: int) -> None:
        self.local += microseconds / 1e6
        await self.step_server(microseconds)

    async def step_server(self, microseconds: int) -> None:
        """Moves the server's clock alone."""
        self.server_us += microseconds
        s, us = divmod(self.server_us, 1_000_000)
        await self.redis.hset("test:clock", mapping={"s": s, "us": us})

    def to_server_us(self, local: float) -> int:
        return self.server_us + round((local - self.local) * 1e6)


@dataclass
class ModelLimiter:
    """Says for each cost the slot the limiter must choose, by looking at everything ever granted."""

    budget: Budget
    peak: float = 1.1
    granted: list[tuple[int, Cost]] = field(default_factory=list)
    last: float = 0
    tat: float = 0
    gap: float = 0
    returned: set[tuple[int, Cost]] = field(default_factory=set)

    def take_back(self, now: int, permits: Iterable[tuple[int, Cost]]) -> None:
        """Nothing left by these: they take no room any more, and the pace may catch up with them."""
        longest = max(length for _, length in self._lengths()) + round(LOOK_BACK * 1e6)
        for slot, cost in permits:
            if slot > now - longest and (slot, cost) not in self.returned:
                self.returned.add((slot, cost))
                self.granted.remove((slot, cost))
                self.tat -= self._step(cost)

    def decide(self, now: int, costs: Sequence[Cost], horizon_us: int) -> list[int]:
        slots: list[int] = []
        for cost in costs:
            slot = self._slot(now, cost)
            if slot > now + horizon_us:
                break
            self._reserve(slot, cost)
            slots.append(slot)
        return slots

    def _lengths(self) -> Iterable[tuple[Window, int]]:
        for window, margin in zip(self.budget.windows, plan_pace(self.budget.windows).margins, strict=True):
            yield window, round(window.per * 1e6) + round(margin * 1e6)

    def _slot(self, now: int, cost: Cost) -> int:
        tolerance = int(plan_pace(self.budget.windows).tolerance * 1e6)
        slot = max(now, self.last, self.tat - tolerance, self.gap)
        for window, length in self._lengths():
            slot = max(slot, self._leaves_room(window, length, cost.of(window.counts)))
        return math.ceil(slot)

    def _leaves_room(self, window: Window, length: int, cost: int) -> int:
        total = cost
        for slot, before in reversed(self.granted):
            total += before.of(window.counts)
            if cost and total > window.limit:
                return slot + length
        return 0

    def _reserve(self, slot: int, cost: Cost) -> None:
        step = self._step(cost)
        self.granted.append((slot, cost))
        self.last, self.tat, self.gap = slot, max(self.tat, slot) + step, slot + step / self.peak

    def _step(self, cost: Cost) -> float:
        return max(cost.of(window.counts) * length / window.limit for window, length in self._lengths())


def most_in_any_window(moments: Iterable[tuple[float, int]], length: float) -> int:
    """The most units any window (t - length, t] holds; moments are (time, units)."""
    ordered = sorted(moments)
    first = total = most = 0
    for moment, units in ordered:
        total += units
        while ordered[first][0] <= moment - length:
            total -= ordered[first][1]
            first += 1
        most = max(most, total)
    return most
