"""How long a campaign takes at least: what its accounts' limits allow. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from config.accounts import Account, Counts


@dataclass(frozen=True, slots=True)
class Load:
    """What one account has to carry; `recipients`: how many messages one request of it takes."""

    messages: int
    segments: int
    recipients: int = 1

    @property
    def requests(self) -> int:
        return -(-self.messages // max(1, self.recipients))

    def amount(self, counts: Counts) -> int:
        return {
            Counts.REQUESTS: self.requests,
            Counts.MESSAGES: self.messages,
            Counts.SEGMENTS: self.segments,
        }[counts]


def account_seconds(account: Account, load: Load) -> float:
    """By the tightest of the account's windows; 0.0: it has none, so it is as fast as the provider answers."""
    return max((load.amount(limit.counts) * limit.per / limit.limit for limit in account.limits), default=0.0)


def seconds(accounts: Mapping[str, Account], loads: Mapping[str, Load], max_rate: float | None = None) -> float:
    """Seconds of sending if nothing else is sent: the slowest account's, or what the campaign's own rate asks for.
    Pauses by sending windows come on top."""
    slowest = max((account_seconds(accounts[name], load) for name, load in loads.items()), default=0.0)
    messages = sum(load.messages for load in loads.values())
    return max(slowest, messages / max_rate) if max_rate else slowest
