"""What the limiter answers: permits, grants, verdicts, snapshots."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from workers.rate_rules import UNLIMITED_GRACE, Cost, Window


class Verdict(StrEnum):
    """What to do with a permit now."""

    GO = "go"
    LATE = "late"  # its moment has passed: take a new one
    VOID = "void"  # the account was blocked, or the log was rebuilt, after it was granted: take a new one


class WaitReason(StrEnum):
    NONE = "none"
    PACE = "pace"
    WINDOW = "window"
    BLOCKED = "blocked"
    RAMP = "ramp"


@dataclass(frozen=True, slots=True)
class Permit:
    """One request may leave between `not_before` and `not_after` (this process's monotonic seconds).

    Good only for the process that took it, and only once. `slot`: its moment by the server's clock, in µs.
    """

    key: str
    cost: Cost
    epoch: int
    not_before: float
    not_after: float
    slot: int = 0

    @property
    def unhurried(self) -> bool:
        """Whether no window limits its moment."""
        return self.not_after - self.not_before >= UNLIMITED_GRACE / 2

    def wait_seconds(self, now: float) -> float:
        return max(0.0, self.not_before - now)

    def usable(self, now: float) -> bool:
        return self.not_before <= now <= self.not_after

    def expired(self, now: float) -> bool:
        return now > self.not_after


@dataclass(frozen=True, slots=True)
class Grant:
    """`permits` for the first costs asked for, in their order. If some are missing: ask again in `wait` seconds.

    `next_slot_in` says when the first missing one could leave, `reason` (and `window`) what it waits for.
    """

    permits: tuple[Permit, ...]
    wait: float = 0.0
    next_slot_in: float = 0.0
    reason: WaitReason = WaitReason.NONE
    window: Window | None = None


class PastCost(NamedTuple):
    """One past request as the database knows it. `age` in seconds by the database's clock, never a worker's."""

    age: float
    requests: int
    messages: int
    segments: int


RecentCosts = Callable[[str, str, float], Awaitable[Sequence[PastCost]]]
"""(account, budget name, seconds) -> every request of that budget which may have left in the last `seconds`.

It must include requests whose intent is committed although nobody knows whether they left.
"""


@dataclass(frozen=True, slots=True)
class WindowUse:
    """`used` in the window until now, `ahead` reserved for later slots, `foreign` used by somebody else."""

    window: Window
    used: int
    ahead: int
    foreign: int
    next_free_in: float

    @property
    def remaining(self) -> int:
        return max(0, self.window.limit - self.used - self.ahead - self.foreign)


@dataclass(frozen=True, slots=True)
class LimitSnapshot:
    """For operators. Rates are per second over the last `RATE_SPAN`; `ramp` is the share of the full rate in force."""

    key: str
    seeded: bool
    windows: tuple[WindowUse, ...]
    blocked_for: float
    reason: str
    ramp: float
    requests_per_second: float
    messages_per_second: float
    next_free_in: float


RATE_SPAN: Final = 10.0
