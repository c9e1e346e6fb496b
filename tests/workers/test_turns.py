"""Without limits, batches of an account go one after the other, and what waits too long is anybody's."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from models.database import Database
from models.states import BatchState
from models.states import MessageState as S
from models.tables import Batch
from providers.wire import Reply, Request
from tests.support.plans import analyze, plan, statements
from tests.support.rows import ACCOUNT, add_batch, add_campaign
from tests.support.scripted import OK
from tests.support.world import World
from workers import turns
from workers.in_turn import UNCLAIMED_FOR, next_unclaimed, submit_in_turn
from workers.turns import AT_WORK, Turns


async def test_so_many_at_work_and_the_others_in_order() -> None:
    places, begun, done = Turns(2), list[int](), [asyncio.Event() for _ in range(4)]

    async def work(number: int) -> None:
        async with places.turn():
            begun.append(number)
            await done[number].wait()

    tasks = [asyncio.create_task(work(number)) for number in range(4)]
    await asyncio.sleep(0)
    assert (begun, places.in_hand) == ([0, 1], 4)
    done[1].set()
    await tasks[1]
    for _ in range(5):
        await asyncio.sleep(0)
    assert begun == [0, 1, 2]
    for event in done:
        event.set()
    await asyncio.gather(*tasks)
    assert (begun, places.in_hand, places.has_nothing) == ([0, 1, 2, 3], 0, True)


async def test_behind_slow_ones_everybody_goes_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    places = Turns(1)
    async with places.turn():
        async with places.turn():
            assert places.in_hand == 2
        idle = [places.has_nothing]
    assert [*idle, places.has_nothing] == [False, True]
    async with places.turn():  # nobody gave back a place that was never held
        assert places._places is not None
        assert places._places.locked()


async def test_with_limits_all_are_at_work() -> None:
    places = Turns(None)
    async with places.turn(), places.turn(), places.turn():
        assert places.in_hand == 3
    assert not places.has_nothing


def test_what_nobody_began_is_taken_by_who_has_nothing(world: World) -> None:
    sent = world.campaign(3, batches=AT_WORK + 2)
    world.clock.advance(UNCLAIMED_FOR + 1)
    idle = world.new_runtime()
    idle.run(submit_in_turn(idle, sent.batches[-1]))  # its own, and then all the others
    assert world.states() == [S.SUBMITTED] * 3 * len(sent.batches)
    assert len(world.line.sent) == 3 * len(sent.batches)
    for batch in sent.batches:
        world.runtime.run(submit_in_turn(world.runtime, batch))  # the jobs that still come find nothing to do
    assert len(world.line.sent) == 3 * len(sent.batches)
    idle.close()


def test_what_was_dispatched_just_now_is_left_to_its_job(world: World) -> None:
    sent = world.campaign(1, batches=2)
    world.runtime.run(submit_in_turn(world.runtime, sent.batches[0]))
    assert world.states() == [S.SUBMITTED, S.QUEUED]
    with world.database.read() as session:
        assert next_unclaimed(session, world.account().name, world.clock()) is None
    world.clock.advance(UNCLAIMED_FOR + 0.1)
    with world.database.read() as session:
        assert next_unclaimed(session, world.account().name, world.clock()) == sent.batches[1]


def test_what_nobody_began_is_found_among_what_is_busy(unknown_database: Database) -> None:
    now = unknown_database.now()
    with unknown_database.write() as session:
        campaign = add_campaign(session, now)
        for _ in range(3000):
            add_batch(session, campaign, now, state=BatchState.DONE)
        waiting = add_batch(session, campaign, now, state=BatchState.DISPATCHED)
    analyze(unknown_database)
    with unknown_database.read() as session, statements(unknown_database) as seen:
        assert next_unclaimed(session, ACCOUNT, now + timedelta(seconds=1)) == waiting
    assert "ix_batches_busy" in plan(unknown_database, *seen[0])


def test_two_workers_that_take_the_same_batches_send_each_message_once(world: World) -> None:
    sent = world.campaign(4, batches=6)
    world.clock.advance(UNCLAIMED_FOR + 1)
    other = world.new_runtime()

    async def slow(request: Request) -> Reply:
        await asyncio.sleep(0.01)
        return OK

    world.line.answer = slow
    jobs = [
        asyncio.run_coroutine_threadsafe(submit_in_turn(runtime, batch), runtime.loop)
        for batch in sent.batches
        for runtime in (world.runtime, other)
    ]
    for job in jobs:
        job.result(timeout=30)
    assert world.states() == [S.SUBMITTED] * 24
    assert sorted(world.line.ids()) == sorted(str(message) for message in sent.messages)
    assert {world.batch(batch).state for batch in sent.batches} == {BatchState.DONE}
    other.close()


def test_a_batch_that_is_gone_is_no_work(world: World) -> None:
    gone = world.campaign(1).batch
    with world.database.write() as session:
        session.delete(session.get_one(Batch, gone))
    world.runtime.run(submit_in_turn(world.runtime, gone))
    assert world.line.sent == []
