"""Times: when a campaign starts, another time for it, and times as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from models.states import CampaignState
from producer import campaigns
from producer.campaigns import CampaignError
from producer.schedule import moment_of, upcoming
from tests.steering.world import START, World, uk

LATER = START + timedelta(hours=5)


def reschedule(world: World, campaign: object, at: datetime) -> CampaignState:
    with world.database.write() as session:
        return campaigns.reschedule(session, campaign, at, world.now)  # type: ignore[arg-type]


def start_due(world: World) -> int:
    with world.database.write() as session:
        return len(campaigns.start_due(session, world.now, 900.0))


def test_a_scheduled_campaign_gets_another_time(world: World) -> None:
    campaign = world.campaign(uk(2), start_at=START + timedelta(hours=1))
    assert reschedule(world, campaign, LATER) is CampaignState.SCHEDULED
    world.tick(hours=2)
    assert start_due(world) == 0
    world.now = LATER
    assert start_due(world) == 1
    assert world.get(campaign).anchor_at == LATER
    assert world.last_event(campaign, "rescheduled") == "from 2026-06-03T13:00:00+00:00 to 2026-06-03T17:00:00+00:00"


def test_a_draft_keeps_its_new_time_for_its_start(world: World) -> None:
    campaign = world.campaign(uk(2), start=False)
    assert reschedule(world, campaign, LATER) is CampaignState.DRAFT
    assert world.start(campaign) is CampaignState.SCHEDULED


def test_a_missed_campaign_can_be_given_a_new_time(world: World) -> None:
    campaign = world.campaign(uk(2), start_at=START + timedelta(hours=1))
    world.tick(hours=3)
    assert start_due(world) == 0
    assert world.get(campaign).state is CampaignState.PAUSED
    assert reschedule(world, campaign, LATER) is CampaignState.SCHEDULED


def test_what_has_begun_has_no_other_time(world: World) -> None:
    campaign = world.campaign(uk(2))
    with pytest.raises(CampaignError, match="not begun"):
        reschedule(world, campaign, LATER)
    world.pause(campaign)
    with pytest.raises(CampaignError, match="not begun"):
        reschedule(world, campaign, LATER)


def test_a_past_time_is_refused(world: World) -> None:
    campaign = world.campaign(uk(2), start=False)
    with pytest.raises(CampaignError, match="past"):
        reschedule(world, campaign, START)


def test_what_is_to_come_is_listed_the_next_first(world: World) -> None:
    world.campaign(uk(2), start_at=LATER, name="second")
    world.campaign(uk(1), start_at=START + timedelta(hours=1), name="first")
    with world.database.read() as session:
        assert [(item["name"], item["messages"]) for item in upcoming(session)] == [("first", 1), ("second", 2)]


def test_times_are_read_in_their_zone() -> None:
    assert moment_of("2026-06-03T14:00", "Europe/Berlin") == START
    assert moment_of("2026-06-03T14:00+02:00", "UTC") == START
    assert moment_of("2026-10-25T02:30", "Europe/Berlin") == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "zone", "field"),
    [
        ("tomorrow", "UTC", "at"),
        ("2026-06-03T14:00", "Mars/Base", "zone"),
        ("2026-03-29T02:30", "Europe/Berlin", "at"),
        ("0001-01-01T00:00:00", "Asia/Tokyo", "at"),
        ("0001-01-01T00:00:00+09:00", "UTC", "at"),
        ("9999-12-31T23:59:59", "America/Lima", "at"),
    ],
)
def test_times_that_are_none_are_refused(text: str, zone: str, field: str) -> None:
    with pytest.raises(CampaignError) as refused:
        moment_of(text, zone)
    assert refused.value.field == field
