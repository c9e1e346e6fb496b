"""What an account's limits mean for the size of its batches. Pure."""

from __future__ import annotations

from config.accounts import Account, Counts

MOST_IN_BATCH = 1000  # messages: two campaigns of an account take turns by batches
# Where only the machine sets the pace, a batch costs five commits beside its messages'; but the last ones of a campaign
# keep one worker busy when the others have nothing left.
MOST_UNLIMITED = 5000
REQUESTS_UNLIMITED = 1250


def message_rate(account: Account, recipients: int) -> float:
    """Messages a second that the account's limits allow, at `recipients` in a request. Segments count as one each:
    an estimate is enough, the limiter is exact."""
    rates = [
        limit.limit * (recipients if limit.counts is Counts.REQUESTS else 1) / limit.per for limit in account.limits
    ]
    return min(rates, default=float("inf"))


def batch_size(account: Account, recipients: int, seconds: float) -> int:
    """Messages that the account may send in `seconds`, `recipients` in a request: within 1 and `MOST_IN_BATCH`, and
    without limits as many as `REQUESTS_UNLIMITED` carry, within `MOST_UNLIMITED`."""
    if not account.limits:
        return min(MOST_UNLIMITED, REQUESTS_UNLIMITED * recipients)
    return max(1, int(min(float(MOST_IN_BATCH), message_rate(account, recipients) * seconds)))
