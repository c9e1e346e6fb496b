"""Budgets beside the account's own: a campaign's `max_rate`, and what a provider counts by sender ID.

They are asked before the account's budget, and only for what may leave now: so a permit of the account, which others
want too, is never taken and then not used. What the account does not grant at once is kept a moment for the next try.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from config.accounts import Account, Counts
from workers.rate_limit import RateLimiter
from workers.rate_permits import Grant, Permit
from workers.rate_rules import Budget, Cost, Window, windows_of

CAMPAIGN_WINDOW: Final = 10.0  # seconds; longer for less than one message in this time
CAMPAIGN_MARGIN: Final = 0.05
KEEP_SECONDS: Final = 1.0  # a campaign's permit may be used that late: its rate is our own rule, no provider's

# A sender's permit must outlast the wait for the account's permit (ACCOUNT_HORIZON and that one's grace).
ACCOUNT_HORIZON: Final = 0.1
SENDER_MARGIN: Final = 0.55

# What became due since the last question is granted in one answer; the account's own budget spaces it.
ALL_THAT_IS_DUE: Final = 1e6

SENDER: Final = "sender:"
CAMPAIGN: Final = "campaign:"


def campaign_budget(campaign_id: UUID, max_rate: float) -> Budget:
    """At most `max_rate` messages a second, over all accounts, by windows of ten seconds."""
    per = max(CAMPAIGN_WINDOW, 1.0 / max_rate)
    # A little more than the product: 0.1 x 10 must not become nought.
    limit = max(1, math.floor(max_rate * per + 1e-9))
    window = Window(limit, per, Counts.MESSAGES, CAMPAIGN_MARGIN)
    return Budget(f"{CAMPAIGN}{campaign_id}", (window,), "rate", ALL_THAT_IS_DUE)


def sender_budget(account: Account, sender: str) -> Budget | None:
    """What the provider counts for this sender ID apart; None if it does not."""
    if not account.sender_limits:
        return None
    windows = (
        Window(window.limit, window.per, window.counts, SENDER_MARGIN) for window in windows_of(account.sender_limits)
    )
    return Budget(account.name, tuple(windows), f"{SENDER}{sender}", ALL_THAT_IS_DUE)


@dataclass(frozen=True, slots=True)
class Paid:
    """Permits for the first of the costs asked for; if there is none, `grant` says how long to wait."""

    permits: list[Permit]
    grant: Grant


class Toll:
    """One further budget, for one batch. `strict`: a permit used too late counts as none (the provider's own rule)."""

    def __init__(
        self, limiter: RateLimiter, budget: Budget, *, strict: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.budget = budget
        self.strict = strict
        self._limiter = limiter
        self._clock = clock
        self._kept: deque[Permit] = deque()

    async def pay(self, costs: Sequence[Cost]) -> Paid:
        """Permits for as many of the costs, in order, as may leave now. Raises LimiterUnavailable."""
        permits = self._from_kept(costs)
        missing = costs[len(permits) :]
        if not missing:
            return Paid(permits, Grant(()))
        grant = await self._limiter.acquire(self.budget, missing, 0.0)
        return Paid([*permits, *grant.permits], grant)

    def keep(self, permits: Sequence[Permit]) -> None:
        """Paid for, but the account had no permit to go with it."""
        self._kept.extend(permits)

    def _from_kept(self, costs: Sequence[Cost]) -> list[Permit]:
        taken: list[Permit] = []
        for cost in costs:
            while self._kept and not (self._fresh(self._kept[0]) and _covers(self._kept[0].cost, cost)):
                self._kept.popleft()
            if not self._kept:
                break
            taken.append(self._kept.popleft())
        return taken

    def _fresh(self, permit: Permit) -> bool:
        ends = permit.not_after - ACCOUNT_HORIZON if self.strict else permit.not_before + KEEP_SECONDS
        return self._clock() < ends


def _covers(paid: Cost, cost: Cost) -> bool:
    return all(have >= need for have, need in zip(paid.as_tuple(), cost.as_tuple(), strict=True))
