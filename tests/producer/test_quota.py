"""Daily quotas: however many start at the same moment, together they never get more."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from models.database import Database
from models.states import CampaignState
from models.tables import ApiKey, Campaign, KeyDay
from producer import campaigns, quota
from producer.campaigns import CampaignError
from producer.keys import create_key
from producer.quota import QuotaExceeded
from producer.tidy import tidy_up
from tests.support.rows import add_campaign

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
QUOTA = 100


def key_of(database: Database, most: int | None = QUOTA) -> UUID:
    with database.write() as session:
        return create_key(session, "shop", "submit", NOW, most)[1].id


def draft(database: Database, key_id: UUID, messages: int, start_at: datetime | None = None) -> UUID:
    with database.write() as session:
        return add_campaign(
            session, NOW, state=CampaignState.DRAFT, started_at=None, start_at=start_at, rows_accepted=messages,
            api_key_id=key_id,
        )  # fmt: skip


def start(database: Database, campaign_id: UUID) -> bool:
    try:
        with database.write() as session:
            campaigns.start(session, campaign_id, NOW)
    except QuotaExceeded:
        return False
    return True


def taken(database: Database) -> dict[date, int]:
    with database.read() as session:
        return {row.day: row.used for row in session.execute(select(KeyDay)).scalars() if row.used}


def test_starts_at_the_same_moment_never_take_more_than_the_quota(database: Database) -> None:
    key_id = key_of(database)
    drafts = [draft(database, key_id, 15) for _ in range(16)]
    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(lambda one: start(database, one), drafts))
    assert started.count(True) == QUOTA // 15
    assert taken(database) == {NOW.date(): 15 * (QUOTA // 15)}
    with database.read() as session:
        running = select(func.count()).select_from(Campaign).where(Campaign.state == CampaignState.RUNNING)
        assert session.execute(running).scalar_one() == QUOTA // 15


def test_one_campaign_started_many_times_at_once_is_counted_once(database: Database) -> None:
    campaign_id = draft(database, key_of(database), 60)
    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(lambda _: start(database, campaign_id), range(12)))
    assert taken(database) == {NOW.date(): 60}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["new", "start", "pause", "resume", "cancel", "reschedule", "due"]),
        st.integers(0, 3),
        st.integers(0, 60),
    ),
    max_size=14,
)


@settings(max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_what_campaigns_hold_is_what_is_counted_and_never_over_the_quota(
    database: Database, steps: list[tuple[str, int, int]]
) -> None:
    with database.write() as session:
        for row in session.execute(select(Campaign)).scalars():
            session.delete(row)
        for key in session.execute(select(ApiKey)).scalars():
            session.delete(key)
    key_id, made, now = key_of(database), list[UUID](), NOW
    for word, which, number in steps:
        if word == "new":
            made.append(draft(database, key_id, number + 1, now + timedelta(hours=number) if number % 2 else None))
        elif made:
            now = act(database, word, made[which % len(made)], now, number)
    with database.read() as session:
        rows = session.execute(select(Campaign).where(Campaign.quota_day.is_not(None))).scalars().all()
    held: dict[date, int] = {}
    for row in rows:
        assert row.quota_day is not None
        held[row.quota_day] = held.get(row.quota_day, 0) + row.quota_held
    assert {day: n for day, n in held.items() if n} == taken(database)
    assert all(n <= QUOTA for n in held.values())


def act(database: Database, word: str, campaign_id: UUID, now: datetime, number: int) -> datetime:
    """One step; what is refused changes nothing."""
    try:
        with database.write() as session:
            match word:
                case "start":
                    campaigns.start(session, campaign_id, now)
                case "pause":
                    campaigns.pause(session, campaign_id, "", now)
                case "resume":
                    campaigns.resume(session, campaign_id, now)
                case "cancel":
                    campaigns.cancel(session, campaign_id, "", now)
                case "reschedule":
                    campaigns.reschedule(session, campaign_id, now + timedelta(hours=number), now)
                case "due":
                    now += timedelta(hours=number)
                    campaigns.start_due(session, now, 900.0)
    except (CampaignError, QuotaExceeded):
        return now
    return now


def test_without_a_quota_it_is_counted_all_the_same(database: Database) -> None:
    key_id = key_of(database, None)
    assert start(database, draft(database, key_id, 1_000_000))
    with database.read() as session:
        assert quota.used(session, [key_id], NOW) == {key_id: 1_000_000}


def test_a_campaign_that_no_key_made_counts_nowhere(database: Database) -> None:
    with database.write() as session:
        campaign_id = add_campaign(session, NOW, state=CampaignState.DRAFT, started_at=None, rows_accepted=5)
    assert start(database, campaign_id)
    assert taken(database) == {}


@pytest.mark.parametrize("hour", [0, 12, 23])
def test_the_refusal_says_when_the_day_is_over(database: Database, hour: int) -> None:
    moment = NOW.replace(hour=hour)
    campaign_id = draft(database, key_of(database), QUOTA + 1)
    with pytest.raises(QuotaExceeded, match="split it") as caught, database.write() as session:
        campaigns.start(session, campaign_id, moment)
    assert timedelta(seconds=caught.value.retry_after) == timedelta(hours=24 - hour, seconds=1)
    assert taken(database) == {}


def test_a_start_that_has_come_too_late_for_a_new_quota_pauses_and_harms_no_other(database: Database) -> None:
    key_id = key_of(database, None)
    at = NOW + timedelta(hours=1)
    with database.write() as session:
        for messages in (200, 50):
            add_campaign(session, NOW, state=CampaignState.SCHEDULED, started_at=None, start_at=at,
                         rows_accepted=messages, api_key_id=key_id)  # fmt: skip
        session.get_one(ApiKey, key_id).daily_quota = QUOTA
    with database.write() as session:
        assert len(campaigns.start_due(session, at, 900.0)) == 1
    with database.read() as session:
        states = {row.rows_accepted: row for row in session.execute(select(Campaign)).scalars()}
    assert (states[200].state, states[50].state) == (CampaignState.PAUSED, CampaignState.RUNNING)
    assert "quota" in (states[200].state_reason or "")
    assert taken(database) == {NOW.date(): 50}


def test_counts_of_days_long_past_are_dropped(database: Database) -> None:
    key_id = key_of(database)
    with database.write() as session:
        for days in (0, 400):
            session.add(KeyDay(api_key_id=key_id, day=database.now().date() - timedelta(days=days), used=1))
    assert tidy_up(database) == 1
    assert list(taken(database)) == [database.now().date()]
