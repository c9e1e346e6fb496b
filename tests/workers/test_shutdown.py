"""A worker that has to end: it hands back what it holds in its time, whatever the provider and the database do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy.exc import OperationalError

from models.states import MessageState as S
from providers.mark import _WATCH
from providers.wire import Reply, Request
from tests.support.world import World
from workers.runtime import ShuttingDown
from workers.submit import Ended, submit_batch

MakeWorld = Callable[..., World]


async def silent(request: Request) -> Reply:
    """A provider that took the request and never answers."""
    watch = _WATCH.get()
    if watch is not None:
        watch.written += 1
    await asyncio.Event().wait()
    raise AssertionError("never reached")


async def unreachable(request: Request) -> Reply:
    """A connection that is never made: nothing is written."""
    await asyncio.Event().wait()
    raise AssertionError("never reached")


def stop_in_flight(world: World, batch: UUID, requests: int) -> tuple[Ended, float]:
    """Submit, stop once so many requests are under way; how it ended and how long after the stop."""
    runtime = world.runtime
    runtime.settings = runtime.settings.model_copy(update={"shutdown_seconds": 2.0})

    async def work() -> tuple[Ended, float]:
        task = asyncio.create_task(submit_batch(runtime, batch))
        async with asyncio.timeout(20):
            while len(world.line.sent) < requests:  # noqa: ASYNC110 - the line is polled, it tells nobody
                await asyncio.sleep(0.01)
        stopped = time.monotonic()
        runtime.stop()
        return await task, time.monotonic() - stopped

    return runtime.run(work())


@pytest.mark.parametrize(("answer", "state"), [(silent, S.UNKNOWN), (unreachable, S.QUEUED)])
def test_a_request_without_an_answer_is_given_up_in_time_and_called_what_it_is(
    make_world: MakeWorld, answer: Callable[[Request], Reply | Awaitable[Reply]], state: S
) -> None:
    world = make_world(max_connections=2)
    sent = world.campaign(4)
    world.line.answer = answer
    ended, seconds = stop_in_flight(world, sent.batch, 2)
    assert ended is Ended.STOPPING
    assert seconds < 2.3
    assert world.states() == [state] * 2 + [S.QUEUED] * 2


def test_with_the_database_away_the_process_ends_all_the_same(make_world: MakeWorld) -> None:
    """What it held stays `submitting` and is found when the lease ends."""
    world = make_world(max_connections=1)
    sent = world.campaign(1)
    world.line.answer = silent
    write = world.runtime.recorder._write

    async def away(answers: object) -> None:
        raise OperationalError("COMMIT", {}, OSError("away"))

    world.runtime.recorder._write = away
    try:
        ended, seconds = stop_in_flight(world, sent.batch, 1)
    finally:
        world.runtime.recorder._write = write
    assert ended is Ended.LEASE_LOST
    assert seconds < 2.6
    assert world.states() == [S.SUBMITTING]


def test_nobody_waits_for_a_loop_that_has_ended(make_world: MakeWorld) -> None:
    """A job that comes while the process closes, long before its shutdown time is over."""
    runtime = make_world().new_runtime()
    with ThreadPoolExecutor(1) as threads:
        early = threads.submit(lambda: runtime.run(asyncio.sleep(3600)))
        runtime.close()
        late = threads.submit(lambda: runtime.run(asyncio.sleep(0)))
        for job in (early, late):
            with pytest.raises(ShuttingDown):
                job.result(timeout=10)
