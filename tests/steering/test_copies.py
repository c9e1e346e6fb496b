"""Copies of campaigns: the failed ones again, and runs of recurring campaigns."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from models.states import CampaignState, MessageState
from models.tables import Campaign, Message, Recurring
from producer import copies, recurring
from producer.campaigns import CampaignError
from producer.copies import fill, retry_failed, waiting
from producer.schedule import upcoming
from tests.steering.world import ACCOUNTS, START, World, new_york, uk

M = MessageState


def retry(world: World, campaign: UUID, **options: Any) -> UUID:
    with world.database.write() as session:
        made = retry_failed(session, campaign, world.now, **options)
    assert fill(world.database, ACCOUNTS, made)
    return made


def numbers(world: World, campaign: UUID) -> list[str]:
    return [message.msisdn for message in world.messages(campaign)]


ENDS = (
    (M.DELIVERED, None), (M.FAILED, "gave_up"), (M.FAILED, "outcome_unknown"), (M.EXPIRED, "EC-5"),
    (M.EXPIRED, "no_dlr"), (M.UNDELIVERED, "EC-1"), (M.REJECTED, "bad_sender"), (M.SENT, None), (M.UNKNOWN, None),
)  # fmt: skip


def ended(world: World, **spec: Any) -> UUID:
    """A campaign with one message in every kind of end, and one that has not left."""
    campaign = world.campaign(uk(len(ENDS) + 1), **spec)
    messages = world.messages(campaign)
    for message, (state, code) in zip(messages, ENDS, strict=False):
        world.end([message], state, code) if state is not M.UNKNOWN else _unknown(world, message)
    return campaign


def _unknown(world: World, message: Message) -> None:
    with world.database.write() as session:
        session.execute(update(Message).where(Message.id == message.id).values(state=M.UNKNOWN))


def test_a_retry_takes_what_surely_failed_and_nothing_that_may_still_arrive(world: World) -> None:
    campaign = ended(world)
    made = retry(world, campaign)
    assert numbers(world, made) == [uk(10)[n] for n in (1, 3, 5)]
    assert world.get(made).state is CampaignState.RUNNING
    assert world.states(made) == {"queued": 3}


def test_a_retry_takes_the_states_it_is_asked_for(world: World) -> None:
    campaign = ended(world)
    assert numbers(world, retry(world, campaign, states=[M.REJECTED])) == [uk(10)[6]]


@pytest.mark.parametrize("state", [M.DELIVERED, M.UNKNOWN, M.SENT, M.QUEUED, M.SUPPRESSED, M.CANCELLED])
def test_a_retry_of_anything_else_is_refused(world: World, state: MessageState) -> None:
    campaign = ended(world)
    with world.database.write() as session, pytest.raises(CampaignError, match="states"):
        retry_failed(session, campaign, world.now, [state])


def test_who_was_retried_once_is_not_retried_twice(world: World) -> None:
    campaign = ended(world)
    retry(world, campaign)
    with world.database.write() as session, pytest.raises(CampaignError, match="no message"):
        retry_failed(session, campaign, world.now)


def test_two_retries_at_once_are_refused(world: World) -> None:
    campaign = ended(world)
    with world.database.write() as session:
        retry_failed(session, campaign, world.now)
    with world.database.write() as session, pytest.raises(CampaignError, match="being made"):
        retry_failed(session, campaign, world.now)


def test_a_copy_says_the_same_by_the_same_sender_through_the_same_account(world: World) -> None:
    campaign = ended(world, template="Hi {{ reference }}", route={"qikli": 1, "quicksms": 1})
    made = retry(world, campaign)
    originals = {message.msisdn: message for message in world.messages(campaign)}
    for message in world.messages(made):
        original = originals[message.msisdn]
        for name in ("account", "sender", "text", "encoding", "segments", "row_no", "reference"):
            assert getattr(message, name) == getattr(original, name)
        assert message.ref != original.ref
    assert world.get(made).segments_total == 3


def test_both_campaigns_say_what_happened(world: World) -> None:
    campaign = ended(world)
    made = retry(world, campaign)
    assert world.last_event(campaign, "retried") == f"3 messages again as campaign {made}"
    assert world.events(made) == ["created", "imported", "running"]
    assert world.get(made).origin_id == campaign


def test_a_copy_is_filled_once_however_often_it_is_asked(world: World) -> None:
    made = retry(world, ended(world))
    assert not fill(world.database, ACCOUNTS, made)
    assert len(world.messages(made)) == 3


def test_a_copy_that_cannot_be_filled_fails_and_leaves_nothing(world: World) -> None:
    campaign = ended(world)
    with world.database.write() as session:
        made = retry_failed(session, campaign, world.now)
    with pytest.raises(CampaignError, match="qikli is not configured"):
        fill(world.database, {"quicksms"}, made)
    assert world.get(made).state is CampaignState.FAILED
    assert world.messages(made) == []
    assert len(numbers(world, retry(world, campaign))) == 3


def test_erased_texts_cannot_be_copied(world: World) -> None:
    campaign = ended(world)
    with world.database.write() as session:
        made = retry_failed(session, campaign, world.now)
        session.get_one(Campaign, made).common_text = None
    with pytest.raises(CampaignError, match="erased"):
        fill(world.database, ACCOUNTS, made)


def test_pages_leave_nobody_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "AT_ONCE", 7)
    campaign = world.campaign(uk(40))
    world.end(world.messages(campaign), M.UNDELIVERED)
    assert numbers(world, retry(world, campaign)) == uk(40)


# --- recurring -------------------------------------------------------------------------------------------------------


def repeated(world: World, campaign: UUID, cron: str = "0 14 * * *") -> Recurring:
    with world.database.write() as session:
        return recurring.add(session, campaign, cron, "Europe/London", world.now)


def tick(world: World, grace: float = 900.0) -> recurring.Due:
    with world.database.write() as session:
        return recurring.run_due(session, world.now, grace)


def test_each_run_is_a_campaign_of_its_own_with_the_same_recipients(world: World) -> None:
    source = world.campaign(uk(5), start=False)
    entry = repeated(world, source)
    assert entry.next_at == START + timedelta(hours=1)  # 14:00 in London
    assert tick(world).made == []
    world.tick(hours=1)
    runs = tick(world).made
    with world.database.read() as session:
        assert waiting(session) == runs
    assert fill(world.database, ACCOUNTS, runs[0])
    assert numbers(world, runs[0]) == uk(5)
    assert world.get(runs[0]).state is CampaignState.RUNNING
    assert world.get(runs[0]).name == "Test 2026-06-03 13:00"
    assert tick(world).made == []
    world.tick(days=1)
    assert len(tick(world).made) == 1
    assert world.events(source)[-2:] == ["recurring_run", "recurring_run"]


def test_the_audience_is_frozen_and_opt_outs_are_left_to_the_submit(world: World) -> None:
    source = world.campaign(uk(3))
    world.end(world.messages(source), M.DELIVERED)
    repeated(world, source)
    world.tick(hours=1)
    run = tick(world).made[0]
    fill(world.database, ACCOUNTS, run)
    assert world.states(run) == {"queued": 3}


def test_a_run_keeps_the_steering_of_its_campaign(world: World) -> None:
    source = world.campaign(uk(2) + new_york(1), {"window": {"from": "09:00", "to": "20:00"}}, start=False)
    repeated(world, source)
    world.tick(hours=1)
    run = tick(world).made[0]
    fill(world.database, ACCOUNTS, run)
    assert {batch.zones for batch in world.batches(run)} == {batch.zones for batch in world.batches(source)}


def test_a_missed_run_is_left_out_and_says_so(world: World) -> None:
    source = world.campaign(uk(2), start=False)
    repeated(world, source)
    world.tick(hours=30)
    due = tick(world)
    assert (due.made, due.missed) == ([], 1)
    assert "was missed by 1740 minutes" in world.last_event(source, "recurring_missed")
    with world.database.read() as session:
        assert [item["at"] for item in upcoming(session)] == [START + timedelta(hours=49)]


def test_after_a_long_silence_the_run_that_is_just_due_is_made(world: World) -> None:
    source = world.campaign(uk(2), start=False)
    repeated(world, source)
    world.tick(hours=25, minutes=5)
    due = tick(world)
    assert (len(due.made), due.missed) == (1, 1)
    assert world.get(due.made[0]).name == "Test 2026-06-04 13:00"


def test_a_removed_one_runs_no_more(world: World) -> None:
    source = world.campaign(uk(2), start=False)
    entry = repeated(world, source)
    with world.database.write() as session:
        recurring.remove(session, entry.id, world.now)
    world.tick(hours=1)
    assert tick(world).made == []
    with world.database.write() as session, pytest.raises(CampaignError, match="no recurring"):
        recurring.remove(session, entry.id, world.now)


@pytest.mark.parametrize(("cron", "zone", "field"), [("0 9 * *", "UTC", "cron"), ("0 9 * * *", "Mars/Base", "zone")])
def test_a_wrong_expression_or_zone_is_refused(world: World, cron: str, zone: str, field: str) -> None:
    source = world.campaign(uk(1), start=False)
    with world.database.write() as session, pytest.raises(CampaignError) as refused:
        recurring.add(session, source, cron, zone, world.now)
    assert refused.value.field == field
