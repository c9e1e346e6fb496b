"""Closing what will not leave any more: at any size, batch by batch, never what a worker holds."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from models.moves import Move, move_all
from models.queries import counts, recount
from models.states import BatchState, MessageState
from models.tables import Message
from tests.steering.world import World, uk
from workers import closing, sweep
from workers.closing import cancel_all, expire_all

PACED = {"pacing": {"slice": 10, "every": 600}}


def agree(world: World, campaign: UUID) -> bool:
    with world.database.read() as session:
        return counts(session, campaign) == recount(session, campaign)


def test_a_cancelled_campaign_is_closed_in_one_sweep(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "MESSAGES", 20)
    campaign = world.campaign(uk(95), PACED)
    world.cancel(campaign)
    assert cancel_all(world.database.write, world.now) == 95
    assert world.states(campaign) == {"cancelled": 95}
    assert {batch.state for batch in world.batches(campaign)} == {BatchState.DONE}
    assert agree(world, campaign)
    assert world.messages(campaign)[0].trail.splitlines()[-1].endswith("cancelled campaign cancelled")
    with world.database.write() as session:
        assert sweep.complete_campaigns(session, world.now) == 1


def test_what_a_worker_holds_is_closed_when_it_comes_back(world: World) -> None:
    campaign = world.campaign(uk(30), PACED)
    held = world.batches(campaign)[0]
    world.set_batch(held.id, BatchState.LEASED)
    world.cancel(campaign)
    assert cancel_all(world.database.write, world.now) == 20
    with world.database.write() as session:
        assert sweep.cancel_queued(session, world.now) == 0
    world.set_batch(held.id, BatchState.PLANNED)
    assert cancel_all(world.database.write, world.now) == 10


def test_what_comes_back_to_a_finished_batch_is_cancelled_too(world: World) -> None:
    campaign = world.campaign(uk(5))
    world.set_batch(world.batches(campaign)[0].id, BatchState.DONE)
    world.cancel(campaign)
    assert cancel_all(world.database.write, world.now) == 0
    with world.database.write() as session:
        assert sweep.cancel_queued(session, world.now) == 5


def test_what_left_is_not_cancelled(world: World) -> None:
    campaign = world.campaign(uk(10))
    world.end(world.messages(campaign)[:4], MessageState.SENT)
    world.cancel(campaign)
    assert cancel_all(world.database.write, world.now) == 6
    assert world.states(campaign) == {"sent": 4, "cancelled": 6}


def test_closing_keeps_to_its_budget_and_goes_on(world: World) -> None:
    campaign = world.campaign(uk(30), PACED)
    world.cancel(campaign)
    assert cancel_all(world.database.write, world.now, budget=-1.0) == 0
    assert cancel_all(world.database.write, world.now) == 30


def test_what_outlived_its_validity_expires(world: World) -> None:
    campaign = world.campaign(uk(10), validity=3600)
    assert expire_all(world.database.write, world.tick(minutes=60)) == 0
    assert expire_all(world.database.write, world.tick(seconds=1)) == 10
    expired = world.messages(campaign)[0]
    assert (expired.state, expired.code) == (MessageState.EXPIRED, "too_late")
    assert agree(world, campaign)


def test_validity_counts_from_the_start_not_from_the_import(world: World) -> None:
    campaign = world.campaign(uk(10), validity=3600, start=False)
    world.tick(days=2)
    assert expire_all(world.database.write, world.now) == 0
    world.start(campaign)
    assert expire_all(world.database.write, world.tick(minutes=59)) == 0
    assert expire_all(world.database.write, world.tick(minutes=2)) == 10


def test_a_later_slice_has_a_later_end(world: World) -> None:
    campaign = world.campaign(uk(30), PACED, validity=300)
    assert expire_all(world.database.write, world.tick(minutes=6)) == 10
    assert expire_all(world.database.write, world.tick(minutes=5)) == 0
    assert expire_all(world.database.write, world.tick(minutes=5)) == 10
    assert world.states(campaign) == {"expired": 20, "queued": 10}


def test_what_waits_for_its_canary_does_not_expire(world: World) -> None:
    campaign = world.campaign(uk(30), {"canary": {"size": 10}}, validity=60)
    assert expire_all(world.database.write, world.tick(hours=1)) == 10
    assert world.states(campaign) == {"expired": 10, "queued": 20}


def test_a_pause_does_not_lengthen_validity(world: World) -> None:
    campaign = world.campaign(uk(5), validity=3600)
    world.pause(campaign)
    assert expire_all(world.database.write, world.now + timedelta(hours=2)) == 5


def test_only_declared_transitions_are_made_for_many(world: World) -> None:
    campaign = world.campaign(uk(3))
    move = Move(UUID(int=0), MessageState.DELIVERED)
    with world.database.write() as session, pytest.raises(ValueError, match="no transition"):
        move_all(session, Message.campaign_id == campaign, MessageState.CANCELLED, move, world.now)
    with world.database.read() as session:
        assert session.execute(select(Message.state).distinct()).scalars().all() == [MessageState.QUEUED]
