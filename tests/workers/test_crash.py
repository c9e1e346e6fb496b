"""A worker dies at any step of a batch: nothing is lost, nothing is sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from models.states import MessageState as S
from providers.base import Found, NotThere, Report, Sighting, Sought
from providers.wire import Reply, Request
from tests.support.rows import ACCOUNT
from tests.support.scripted import OK, Scripted
from tests.support.world import Sent, World
from tests.workers.conftest import MakeWorld
from workers.resolve import resolve_unknown
from workers.runtime import Runtime
from workers.submit import submit_batch

STEPS = 6  # transactions of a batch of one request: claim, load, intents, answer, load, finish


class Mortal:
    """Lets a runtime die at its `at`-th transaction, before or after the commit: from then on it does nothing."""

    def __init__(self, runtime: Runtime, at: int, *, after: bool) -> None:
        self.runtime = runtime
        self.left = at
        self.after = after
        self.dead = asyncio.Event()
        runtime.write = partial(self.write, runtime.write)  # type: ignore[method-assign]  # the places to cut
        runtime.write_ready = partial(self.write, runtime.write_ready)  # type: ignore[method-assign]  # as above

    async def write(self, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.left -= 1
        if self.left > 0:
            return await real(*args, **kwargs)
        if self.left == 0 and self.after:
            await real(*args, **kwargs)
        self.dead.set()
        return await asyncio.Event().wait()

    def run(self, sent: Sent) -> bool:
        """Submit until death or the end; whether it died."""

        async def until_death() -> bool:
            work = asyncio.create_task(submit_batch(self.runtime, sent.batch))
            dying = asyncio.create_task(self.dead.wait())
            await asyncio.wait({work, dying}, return_when=asyncio.FIRST_COMPLETED)
            alive = work.done()
            dying.cancel()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                if task.get_name() != "recorder":
                    task.cancel()
            return not alive

        return self.runtime.run(until_death())


def recover(world: World, sent: Sent) -> None:
    """What beat and the next worker do, for as long as it takes."""
    for _ in range(12):
        if set(world.states()) == {S.SUBMITTED}:
            return
        world.clock.advance(world.settings.lease_seconds + 1)
        world.sweep()
        assert S.SUBMITTING not in world.states(), "nothing stays in a dead worker's hands"
        world.step()
        world.run(resolve_unknown(world.runtime, ACCOUNT))


def ask_the_line(world: World) -> Callable[[Sought], Sighting]:
    """The provider knows what really arrived."""

    def sight(sought: Sought) -> Sighting:
        if sought.message.id in world.line.ids():
            found = Report("d", S.SUBMITTED, provider_id=f"p-{sought.message.ref}", ref=sought.message.ref)
            return Found([found])
        return NotThere()

    return sight


@pytest.mark.parametrize("after", [False, True], ids=["before_commit", "after_commit"])
@pytest.mark.parametrize("at", range(1, STEPS + 1))
def test_a_crash_at_any_transaction_loses_nothing_and_sends_nothing_twice(
    make_world: MakeWorld, at: int, after: bool
) -> None:
    world = make_world({ACCOUNT: Scripted(max_recipients=2)})
    world.provider.sightings = ask_the_line(world)
    sent = world.campaign(3)  # two requests
    victim = world.new_runtime()
    died = Mortal(victim, at, after=after).run(sent)
    assert died or at > 4
    recover(world, sent)
    assert world.states() == [S.SUBMITTED] * 3
    assert sorted(world.line.ids()) == sorted(str(message) for message in sent.messages)
    world.check_counters(sent.id)


def test_what_was_in_the_air_at_a_crash_is_unknown_and_never_queued(make_world: MakeWorld) -> None:
    world = make_world(max_connections=2)
    sent = world.campaign(4)
    victim = world.new_runtime()
    flying = asyncio.Event()

    async def hang(request: Request) -> Reply:
        flying.set()
        await asyncio.Event().wait()
        return OK

    async def never(answers: object) -> None:
        await asyncio.Event().wait()

    async def die() -> None:
        """As by SIGKILL: nobody writes down what the cancelled tasks may still have to say."""
        victim.recorder._write = never
        work = asyncio.create_task(submit_batch(victim, sent.batch))
        await flying.wait()
        for task in {work} | (asyncio.all_tasks() - {asyncio.current_task()}):
            if task.get_name() != "recorder":
                task.cancel()

    # Two are in the air, and the intent of a third one stands: it waits for a connection.
    world.line.answer = hang
    victim.run(die())
    assert world.states() == [S.SUBMITTING] * 3 + [S.QUEUED]
    world.clock.advance(world.settings.lease_seconds - 1)
    world.sweep()
    assert world.states() == [S.SUBMITTING] * 3 + [S.QUEUED], "not before the lease ends"
    world.clock.advance(2)
    world.sweep()
    assert world.states() == [S.UNKNOWN] * 3 + [S.QUEUED]
    world.line.answer = lambda request: OK
    world.step()
    assert world.states() == [S.UNKNOWN] * 3 + [S.SUBMITTED]
