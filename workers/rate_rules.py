"""The plain values of the limiter: windows, costs, budgets, and the safety margins that follow from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from config.accounts import Account, Counts, Limit
from providers.base import ReadLimit

SHORTEST_MARGIN = 0.025
LONGEST_MARGIN = 0.200
MARGIN_SHARE = 1 / 300
GRACE_PART = 0.6
# Without a window no moment is too late; only a block makes such a permit void.
UNLIMITED_GRACE = 60.0


# The scripts' units are 1, 2, 3, in this order.
UNIT_NUMBER = {unit: number for number, unit in enumerate(Counts, start=1)}


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` units in any `per` seconds. `margin` (seconds) overrides the one chosen by its length."""

    limit: int
    per: float
    counts: Counts = Counts.REQUESTS
    margin: float | None = None

    def __post_init__(self) -> None:
        if self.limit < 1 or not self.per > 0 or (self.margin is not None and self.margin < 0):
            raise ValueError(f"not a window: {self}")

    def __str__(self) -> str:
        return f"{self.limit} {self.counts} per {self.per:g} s"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one permit takes of each unit. A poll is `Cost(1, 0, 0)`."""

    requests: int = 1
    messages: int = 1
    segments: int = 1

    def __post_init__(self) -> None:
        if min(self.requests, self.messages, self.segments) < 0 or not any(self.as_tuple()):
            raise ValueError(f"not a cost: {self}")

    def as_tuple(self) -> tuple[int, int, int]:
        return self.requests, self.messages, self.segments

    def of(self, unit: Counts) -> int:
        return self.as_tuple()[UNIT_NUMBER[unit] - 1]


@dataclass(frozen=True, slots=True)
class Budget:
    """The windows that some requests of one account share: "submit" (polls too, where the provider shares them).

    Without windows nothing is paced, but a block is still obeyed. `peak` overrides how fast it may catch up.
    """

    account: str
    windows: tuple[Window, ...]
    name: str = "submit"
    peak: float | None = None

    @property
    def key(self) -> str:
        return f"{self.account}:{self.name}"


def submit_budget(account: Account) -> Budget:
    """What submitting on this account shares."""
    return Budget(account.name, windows_of(account.limits))


def own_poll_budget(account: Account, documented: Sequence[ReadLimit]) -> Budget:
    """What polls and look-ups share where they are counted apart: as the account says (an empty list: no limit), else
    as the provider documents it."""
    limits = account.poll_limits
    if limits is None:
        limits = tuple(Limit(one.limit, one.per) for one in documented)
    return Budget(account.name, windows_of(limits), name="poll")


def windows_of(limits: Sequence[Limit]) -> tuple[Window, ...]:
    return tuple(Window(limit.limit, limit.per, limit.counts) for limit in limits)


class CostTooLarge(ValueError):
    """One permit alone is more than a window ever allows: the caller must make smaller chunks."""

    def __init__(self, cost: Cost, window: Window) -> None:
        super().__init__(f"{cost.of(window.counts)} {window.counts} at once, but only {window} are allowed")
        self.cost, self.window = cost, window


def check_costs(windows: Sequence[Window], costs: Sequence[Cost]) -> None:
    """Raises CostTooLarge for the first cost that could never be granted."""
    for cost, _ in groupby(costs):
        for window in windows:
            if cost.of(window.counts) > window.limit:
                raise CostTooLarge(cost, window)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. A permit may be used up to `grace` after its slot; `margins` lengthen the windows, in their order.

    A margin is grace plus the jitter a request may suffer on its way: so even when one request leaves at once and the
    one a window later leaves at the last moment, the provider sees them at least a window apart.
    """

    grace: float
    margins: tuple[float, ...]
    tolerance: float


def _margin(window: Window) -> float:
    if window.margin is not None:
        return window.margin
    return min(LONGEST_MARGIN, max(SHORTEST_MARGIN, window.per * MARGIN_SHARE))


def _rate(window: Window, margin: float) -> float:
    return window.limit / (window.per + margin)


def _margins(windows: Sequence[Window], grace: float) -> tuple[float, ...]:
    return tuple(grace + _margin(window) * (1 - GRACE_PART) for window in windows)


def _slows_down(windows: Sequence[Window], grace: float, tightest: float) -> bool:
    rates = map(_rate, windows, _margins(windows, grace))
    return min(rates) < tightest * (1 - 1e-9)


def _tolerance(windows: Sequence[Window], tightest: float) -> float:
    """How far behind schedule one may catch up: about a second, but no large part of a short window."""
    binding = min(windows, key=lambda window: _rate(window, _margin(window)))
    return max(1 / tightest, min(1.0, binding.per * 0.1))


@lru_cache(maxsize=1024)
def plan_pace(windows: tuple[Window, ...]) -> Pace:
    """Margins by window length, and the longest grace that costs no throughput.

    Next to 60 per minute, "10 per second" may have a generous margin (it never binds): both get the minute's grace.
    """
    if not windows:
        return Pace(grace=UNLIMITED_GRACE, margins=(), tolerance=0.0)
    tightest = min(_rate(window, _margin(window)) for window in windows)
    choices = sorted({_margin(window) * GRACE_PART for window in windows}, reverse=True)
    harmless = (grace for grace in choices if not _slows_down(windows, grace, tightest))
    grace = next(harmless, choices[-1])
    return Pace(grace, _margins(windows, grace), _tolerance(windows, tightest))
