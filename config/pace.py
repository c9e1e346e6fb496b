"""What an account's limits mean for the size of its batches. Pure."""

from __future__ import annotations

from config.accounts import Account, Counts

MOST_IN_BATCH = 1000  # messages: two campaigns of an account take turns by batches
MOST_UNLIMITED = 5000  # where only the machine sets the pace: a batch costs five commits beside its messages'


def message_rate(account: Account, recipients: int) -> float:
    """Messages a second that the account's limits allow, at `recipients` in a request. Segments count as one each:
    an estimate is enough, the limiter is exact."""
    rates = [
        limit.limit * (recipients if limit.counts is Counts.REQUESTS else 1) / limit.per for limit in account.limits
    ]
    return min(rates, default=float("inf"))


def batch_size(account: Account, recipients: int, seconds: float) -> int:
    """Messages that the account may send in `seconds`, within 1 and `MOST_IN_BATCH`."""
    if not account.limits:
        return MOST_UNLIMITED
    return max(1, int(min(float(MOST_IN_BATCH), message_rate(account, recipients) * seconds)))
