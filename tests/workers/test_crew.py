"""Who carries requests: so many at once, in order, each in its own batch's context, whatever happens to one of them."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context
from functools import partial

import pytest

from workers.crew import Crew, Flight

BATCH: ContextVar[str] = ContextVar("batch")


class Sky:
    """Flights that stay in the air until they are let down."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, str]] = []
        self.up = self.most = 0
        self.down = asyncio.Event()

    def flight(self, number: int, batch: str) -> Flight:
        context = copy_context()
        context.run(BATCH.set, batch)
        return Flight(partial(self.fly, number), context)

    async def fly(self, number: int) -> None:
        self.seen.append((number, BATCH.get()))
        self.up += 1
        self.most = max(self.most, self.up)
        try:
            await self.down.wait()
            await asyncio.sleep(0)
        finally:
            self.up -= 1


async def settled(flights: int) -> None:
    for _ in range(10 * flights):
        await asyncio.sleep(0)


async def test_so_many_at_once_and_in_order() -> None:
    sky, crew = Sky(), Crew(3)
    for number in range(10):
        crew.take(sky.flight(number, "one"))
    await settled(10)
    assert [number for number, _ in sky.seen] == [0, 1, 2]
    sky.down.set()
    await settled(10)
    assert [number for number, _ in sky.seen] == list(range(10))
    assert (sky.most, sky.up) == (3, 0)


async def test_without_a_bound_all_are_carried_at_once() -> None:
    sky, crew = Sky(), Crew(None)
    for number in range(50):
        crew.take(sky.flight(number, "one"))
    await settled(1)
    assert (len(sky.seen), sky.up) == (50, 50)
    sky.down.set()
    await settled(50)
    assert sky.up == 0


async def test_each_flight_runs_in_its_own_batch() -> None:
    sky, crew = Sky(), Crew(1)
    shared = {name: sky.flight(0, name).context for name in "ab"}
    given = [(0, "a"), (1, "a"), (2, "b"), (3, "b"), (4, "a")]
    for number, batch in given:
        crew.take(Flight(partial(sky.fly, number), shared[batch]))
    sky.down.set()
    await settled(5)
    assert sky.seen == given
    assert sky.most == 1


@pytest.mark.parametrize("most", [1, 2])
async def test_a_runner_that_is_cancelled_leaves_the_others_their_turn(most: int) -> None:
    sky, crew = Sky(), Crew(most)
    flight = sky.flight(0, "one")
    for number in range(4):
        crew.take(Flight(partial(sky.fly, number), flight.context))
    await settled(4)
    for runner in tuple(crew._runners):
        runner.cancel()
    await settled(4)
    sky.down.set()
    await settled(4)
    assert [number for number, _ in sky.seen] == [0, 1, 2, 3]
    assert (sky.up, len(crew._runners)) == (0, 0)
