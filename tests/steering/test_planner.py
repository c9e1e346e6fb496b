"""The planner: every batch of a steered campaign gets its time, and only then."""

from datetime import timedelta

import pytest

from models.reassign import Target, movable, reassign
from models.states import BatchState
from models.steering import steering_of
from models.tables import Batch
from models.types import new_id
from producer import planner
from producer.control import steer
from producer.dispatch import choose
from producer.shaping import UNPLANNED, Batcher, Shape
from tests.steering.world import START, World, new_york, uk

WINDOW = {"window": {"from": "09:00", "to": "20:00"}}


def due(world: World, account: str = "qikli") -> int:
    """How many batches the dispatcher would take now."""
    with world.database.write() as session:
        return len(choose(session, world.accounts[account], world.now))


def test_recipients_of_different_zones_are_in_different_batches(world: World) -> None:
    campaign = world.campaign(uk(3) + new_york(2), WINDOW, start=False)
    zones = {batch.zones: batch.size for batch in world.batches(campaign)}
    assert zones == {"Europe/Guernsey Europe/Isle_of_Man Europe/London": 3, "America/New_York": 2}


def test_a_row_may_say_its_own_zone(world: World) -> None:
    campaign = world.campaign(uk(2), WINDOW, zones=["Asia/Kolkata", ""], start=False)
    assert {batch.zones for batch in world.batches(campaign)} == {
        "Asia/Kolkata",
        "Europe/Guernsey Europe/Isle_of_Man Europe/London",
    }


def test_a_row_with_an_unknown_zone_is_rejected(world: World) -> None:
    campaign = world.campaign(uk(2), WINDOW, zones=["Mars/Base", "Europe/London"], start=False)
    assert world.get(campaign).rows_rejected == 1


def test_each_zone_waits_for_its_own_opening(world: World) -> None:
    world.now = START.replace(hour=5)  # 06:00 in London, 01:00 in New York
    campaign = world.campaign(uk(2) + new_york(2), WINDOW)
    assert steer(world.database, world.now).planned == 2
    times = {batch.zones: batch.not_before for batch in world.batches(campaign)}
    assert times["America/New_York"] == START.replace(hour=13)
    assert times["Europe/Guernsey Europe/Isle_of_Man Europe/London"] == START.replace(hour=8)
    assert due(world) == 0
    world.now = START.replace(hour=8)
    assert due(world) == 1


def test_nothing_of_a_steered_campaign_leaves_before_it_is_planned(world: World) -> None:
    world.campaign(uk(3), WINDOW)
    assert due(world) == 0
    steer(world.database, world.now)
    assert due(world) == 1


def test_a_number_whose_zones_are_never_open_at_once_is_refused_with_the_reason(world: World) -> None:
    campaign = world.campaign(["+61491570156", *uk(1)], {"window": {"from": "09:00", "to": "10:00"}})
    steer(world.database, world.now)
    assert world.states(campaign) == {"rejected": 1, "queued": 1}
    refused = world.messages(campaign)[0]
    assert (refused.code, refused.reason) == ("window_never_open", planner.NEVER_OPEN)
    assert "window_never_open" in world.events(campaign)


def test_slices_leave_one_after_the_other(world: World) -> None:
    campaign = world.campaign(uk(25), {"pacing": {"slice": 10, "every": 600}})
    steer(world.database, world.now)
    planned = [(batch.size, batch.not_before - START) for batch in world.batches(campaign)]
    assert planned == [(10, timedelta()), (10, timedelta(minutes=10)), (5, timedelta(minutes=20))]


def test_a_spread_is_even_over_its_time(world: World) -> None:
    campaign = world.campaign(uk(100), {"pacing": {"spread": 1000}})
    steer(world.database, world.now)
    offsets = [(batch.not_before - START).total_seconds() for batch in world.batches(campaign)]
    assert offsets == [0, 200, 400, 600, 800]


def test_slices_and_window_together_leave_at_the_next_opening(world: World) -> None:
    world.now = START.replace(hour=18, minute=50)  # 19:50 in London
    campaign = world.campaign(uk(20), {**WINDOW, "pacing": {"slice": 10, "every": 1200}})
    steer(world.database, world.now)
    assert [batch.not_before for batch in world.batches(campaign)] == [world.now, START.replace(day=4, hour=8)]


def test_a_pause_moves_the_rest_of_the_pace_on(world: World) -> None:
    campaign = world.campaign(uk(30), {"pacing": {"slice": 10, "every": 600}})
    steer(world.database, world.now)
    first = world.batches(campaign)[0]
    world.set_batch(first.id, BatchState.DONE)
    world.tick(minutes=5)
    world.pause(campaign)
    world.tick(hours=2)
    assert due(world) == 0
    world.resume(campaign)
    steer(world.database, world.now)
    rest = [batch.not_before for batch in world.batches(campaign)[1:]]
    assert rest == [START + timedelta(hours=2, minutes=10), START + timedelta(hours=2, minutes=20)]


def test_planning_goes_on_where_it_stopped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "AT_ONCE", 2)
    campaign = world.campaign(uk(50), {"pacing": {"slice": 10, "every": 60}})
    assert planner.plan_all(world.database, world.now, budget=-1.0) == 0
    with world.database.write() as session:
        assert planner.plan_some(session, campaign, "qikli", world.now) == 2
    assert sum(batch.not_before == UNPLANNED for batch in world.batches(campaign)) == 3
    assert planner.plan_all(world.database, world.now) == 3
    assert planner.plan_all(world.database, world.now) == 0


def test_a_plain_campaign_needs_no_planner(world: World) -> None:
    world.campaign(uk(5))
    assert due(world) == 1


def test_large_spreads_make_larger_batches() -> None:
    shape = Shape(steering_of({"pacing": {"spread": 3600}}))
    assert [shape.most(1000, position) for position in (0, 5000, 100_000, 1_000_000)] == [20, 25, 500, 1000]
    assert Shape().most(1000, 0) == 1000


def test_every_message_is_in_one_batch_and_positions_count_them() -> None:
    batcher = Batcher(new_id(), {"a": 4, "b": 4}, Shape(steering_of({"canary": {"size": 5}})), lambda: START)
    for n in range(12):
        batcher.place({"account": "ab"[n % 2], "n": n}, None)
    batches, messages = batcher.take(last=True)
    assert sorted(message["n"] for message in messages) == list(range(12))
    canary = {batch["id"] for batch in batches if batch["position"] < 5}
    assert sorted(message["n"] for message in messages if message["batch_id"] in canary) == [0, 1, 2, 3, 4]
    assert sum(batch["size"] for batch in batches) == 12


def test_messages_that_move_to_another_account_keep_their_time_and_place(world: World) -> None:
    campaign = world.campaign(uk(30), {"canary": {"size": 10}})
    rest = world.batches(campaign)[1]
    with world.database.write() as session:
        rows = movable(session, rest.id)
        reassign(session, session.get_one(Batch, rest.id), rows, Target("quicksms", "Drumline", 50), "away", world.now)
    moved = [batch for batch in world.batches(campaign) if batch.account == "quicksms"]
    assert [(batch.position, batch.not_before) for batch in moved] == [(10, UNPLANNED)]
    assert steer(world.database, world.now).planned == 1
