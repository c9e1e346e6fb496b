"""How a batch goes through the gate: with which further budgets, how far ahead, and after whom."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Final

from models import leases
from models.leases import Lease, Terms
from models.priority import more_urgent
from workers.chunks import Cap
from workers.rate_rules import Budget, Cost
from workers.runtime import AccountRuntime, Runtime
from workers.toll import ACCOUNT_HORIZON, Toll, campaign_budget, sender_budget

WAVE: Final = 64  # requests whose intents share a transaction
WAVE_UNLIMITED: Final = 256  # where only the machine sets the pace: a transaction costs as much as some fifty requests

# While more urgent work goes on: only slots that it left over, and one in twenty all the same.
POLITE_HORIZON: Final = 0.03
GUARANTEED_SHARE: Final = 0.05
LOOK_EVERY: Final = 1.0  # seconds between looks for more urgent work


@dataclass(frozen=True, slots=True)
class Stride:
    """At most so many requests, with slots at most and at least so far ahead (seconds)."""

    most: int
    horizon: float
    lead: float


@dataclass
class Way:
    """One batch's way, made when its first message is loaded."""

    runtime: Runtime
    account: AccountRuntime
    lease: Lease
    terms: Terms
    cap: Cap
    tolls: list[Toll]
    _looked_at: float = float("-inf")
    _claimed_at: float = field(default_factory=time.monotonic)
    _outranked: bool = False
    _claiming: bool = False

    async def stride(self) -> Stride:
        """How to ask next."""
        await self._look()
        budget, usual = self.account.gate.budget, self.account.pace.horizon
        # Without windows no moment is ever over.
        lead = self.account.pace.lead if budget.windows else 0.0
        self._claiming = self._outranked and time.monotonic() >= self._claimed_at + claim_every(budget)
        if self._claiming:
            return Stride(1, usual + 2 * spacing(budget, Cost()), lead)
        ahead = POLITE_HORIZON if self._outranked else usual
        if any(toll.strict for toll in self.tolls):
            ahead = min(ahead, ACCOUNT_HORIZON)
        return Stride(WAVE if budget.windows else WAVE_UNLIMITED, ahead, min(lead, ahead))

    def went(self, cost: Cost) -> None:
        """A request was granted. The larger it is, the later the next one that insists."""
        if self._claiming:
            self._claimed_at = time.monotonic() + claim_every(self.account.gate.budget) * (max(1, cost.messages) - 1)

    async def _look(self) -> None:
        if not more_urgent(self.terms.priority) or not self.account.gate.budget.windows:
            return
        now = time.monotonic()
        if now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            self._outranked = await self.runtime.read(leases.outranked, self.lease, self.terms.priority)


def find_way(runtime: Runtime, account: AccountRuntime, lease: Lease, terms: Terms, sender: str) -> Way:
    """All messages of a batch have the same sender: their campaign's at this account."""
    cap, tolls = account.cap, []
    if terms.max_rate:
        budget = campaign_budget(lease.campaign_id, terms.max_rate)
        tolls.append(Toll(runtime.limiter, budget, strict=False))
        cap = replace(cap, recipients=min(cap.recipients, budget.windows[0].limit))
    if by_sender := sender_budget(account.account, sender):
        tolls.append(Toll(runtime.limiter, by_sender, strict=True))
    return Way(runtime, account, lease, terms, cap, tolls)


def spacing(budget: Budget, cost: Cost) -> float:
    """Seconds between requests of this cost at the full rate of a budget. Pure."""
    return max((cost.of(window.counts) * window.per / window.limit for window in budget.windows), default=0.0)


def claim_every(budget: Budget) -> float:
    """Seconds between the requests that insist on their place, so that they have the guaranteed share. Pure."""
    return spacing(budget, Cost()) / GUARANTEED_SHARE
