"""How fast a campaign may go: what its accounts' limits, its own rate and its pace allow together. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from config.accounts import Account
from models.states import MessageState
from models.steering import Slices, Spread, Steering
from models.tables import Campaign
from producer.estimate import Load, account_seconds
from providers.base import Provider

_MANY = 10_000  # messages: enough for a request's size not to matter


def allowed(
    campaign: Campaign,
    counts: Mapping[str, Mapping[MessageState, int]],
    accounts: Mapping[str, Account],
    providers: Mapping[str, Provider],
    steering: Steering,
) -> float | None:
    """Messages a second, over the accounts that still have something to send, else over all of the route that have
    messages. None: nothing limits it. Other campaigns on the same accounts share the same allowance."""
    segments = campaign.segments_total / campaign.rows_accepted if campaign.rows_accepted else 1.0
    waiting = [name for name, states in counts.items() if states.get(MessageState.QUEUED)] or list(counts)
    speeds = [_speed(accounts[name], providers[name], segments) for name in waiting if name in accounts]
    known = [speed for speed in speeds if speed is not None]
    by_limits = sum(known) if known and len(known) == len(speeds) else None
    caps = [by_limits, campaign.max_rate, _pace(steering, campaign.rows_accepted)]
    return min((cap for cap in caps if cap is not None), default=None)


def _speed(account: Account, provider: Provider, segments: float) -> float | None:
    seconds = account_seconds(account, Load(_MANY, round(_MANY * max(1.0, segments)), provider.max_recipients))
    return _MANY / seconds if seconds else None


def _pace(steering: Steering, messages: int) -> float | None:
    match steering.pacing:
        case Spread(seconds):
            return messages / seconds
        case Slices(size, every):
            return size / every
        case _:
            return None
