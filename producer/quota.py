"""How many messages an API key may start in a day. Days are UTC's.

A campaign counts with all its messages on the day it starts (or is scheduled for), and on the key that made it, whoever
starts it. The count is taken in the transaction that starts the campaign, by one conditional UPDATE: however many start
at the same moment, together they never get more than the quota. What a campaign holds stands in its own row, so that
another day or a cancellation before the start gives back exactly that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from models.queries import insert_new
from models.tables import ApiKey, Campaign, KeyDay

MOST = 2**31 - 1
KEPT_DAYS = 62


class QuotaExceeded(ValueError):
    """The key has not so many messages left on that day; `retry_after` in seconds, until the day is over."""

    def __init__(self, quota: int, left: int, wanted: int, day: date, retry_after: int) -> None:
        advice = "that is more than it may in any day: split it" if wanted > quota else "wait, or start less"
        super().__init__(
            f"quota: the API key has {left} of its {quota} messages of {day:%Y-%m-%d} (UTC) left, "
            f"and {wanted} more are needed; {advice}"
        )
        self.retry_after = retry_after


def hold(session: Session, campaign: Campaign, moment: datetime, now: datetime) -> None:
    """Take what the locked campaign needs on the day of `moment`, and give back what it held on another.

    Once it has started, more may be taken (it is sent while it is imported), on the day it started. Raises
    QuotaExceeded; then nothing of this transaction may stay.
    """
    if campaign.api_key_id is None:
        return
    started = campaign.quota_day if campaign.started_at is not None else None
    day, wanted = started or moment.astimezone(UTC).date(), campaign.rows_accepted
    changes = {day: wanted}
    if campaign.quota_day is not None:
        changes[campaign.quota_day] = changes.get(campaign.quota_day, 0) - campaign.quota_held
    for changed in sorted(changes):  # in one order for all: two of them never wait for each other
        _add(session, campaign.api_key_id, changed, changes[changed], now)
    campaign.quota_day, campaign.quota_held = day, wanted


def look(session: Session, campaign: Campaign, wanted: int, now: datetime) -> None:
    """Whether so many could be taken today, without taking them: a kind word before the work. Raises QuotaExceeded."""
    if campaign.api_key_id is None:
        return
    quota = session.execute(select(ApiKey.daily_quota).where(ApiKey.id == campaign.api_key_id)).scalar_one_or_none()
    taken = used(session, [campaign.api_key_id], now).get(campaign.api_key_id, 0)
    if quota is not None and taken + wanted > quota:
        day = now.astimezone(UTC).date()
        raise QuotaExceeded(quota, max(0, quota - taken), wanted, day, _until_over(day, now))


def give_back(session: Session, campaign: Campaign, now: datetime) -> None:
    """All that the locked campaign holds: nothing of it has left."""
    if campaign.api_key_id is not None and campaign.quota_day is not None:
        _add(session, campaign.api_key_id, campaign.quota_day, -campaign.quota_held, now)
        campaign.quota_day, campaign.quota_held = None, 0


def _add(session: Session, key_id: UUID, day: date, change: int, now: datetime) -> None:
    if change == 0:
        return
    quota = session.execute(select(ApiKey.daily_quota).where(ApiKey.id == key_id)).scalar_one_or_none()
    insert_new(session, KeyDay, [{"api_key_id": key_id, "day": day, "used": 0}])
    enough = KeyDay.used + change <= (MOST if quota is None or change < 0 else quota)
    of_day = (KeyDay.api_key_id == key_id, KeyDay.day == day)
    taken = session.execute(
        update(KeyDay).where(*of_day, enough).values(used=KeyDay.used + change).returning(KeyDay.used),
        execution_options={"synchronize_session": False},
    ).first()
    if taken is None:
        used = session.execute(select(KeyDay.used).where(*of_day)).scalar_one()
        most = MOST if quota is None else quota
        raise QuotaExceeded(most, max(0, most - used), change, day, _until_over(day, now))


def _until_over(day: date, now: datetime) -> int:
    over = datetime.combine(day + timedelta(days=1), time(), UTC)
    return max(1, int((over - now).total_seconds()) + 1)


def used(session: Session, key_ids: Iterable[UUID], now: datetime) -> Mapping[UUID, int]:
    """Messages by key, today."""
    query = select(KeyDay.api_key_id, KeyDay.used).where(
        KeyDay.api_key_id.in_(list(key_ids)), KeyDay.day == now.astimezone(UTC).date()
    )
    return {row.api_key_id: row.used for row in session.execute(query)}


def forget_old(session: Session, now: datetime) -> int:
    """Drop the counts of days long past; how many there were."""
    past = KeyDay.day < now.astimezone(UTC).date() - timedelta(days=KEPT_DAYS)
    return len(session.execute(delete(KeyDay).where(past).returning(KeyDay.day)).all())
