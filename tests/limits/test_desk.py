"""Requests that missed their slot: asked for together, answered each, and nobody waits for what cannot come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, cast

from workers.desk import Desk
from workers.gate import Cost, Door, Gate, Pass, Wait
from workers.rate_permits import Permit


class Doorman:
    """A gate that answers from a list, and remembers what it was asked and what came back."""

    def __init__(self, *answers: int | Wait) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []
        self.returned: list[Pass] = []

    async def ask(
        self, costs: Sequence[Cost], horizon: float, tolls: Sequence[Any] = (), lead: float = 0.0
    ) -> list[Pass] | Wait:
        assert 0.0 <= lead <= horizon
        self.asked.append(len(costs))
        answer = self.answers.pop(0) if self.answers else len(costs)
        if isinstance(answer, Wait):
            return answer
        now = time.monotonic()
        permits = [Permit("acme:submit", cost, 1, now, now + 1) for cost in costs[:answer]]
        return [Pass(permit, "", cast(Any, None)) for permit in permits]

    async def unused(self, passed: Pass) -> None:
        self.returned.append(passed)


def desk(*answers: int | Wait) -> tuple[Desk, Doorman]:
    doorman = Doorman(*answers)
    return Desk(cast(Gate, doorman), lambda: 0.5), doorman


async def rebook(at: Desk, count: int, seconds: float = 5.0) -> list[Pass | None]:
    latest = time.monotonic() + seconds
    return list(await asyncio.gather(*(at.rebook(Cost(), latest) for _ in range(count))))


async def test_those_who_come_late_together_are_asked_for_together_and_each_gets_its_own() -> None:
    at, doorman = desk()
    found = await rebook(at, 50)
    assert doorman.asked == [50]
    assert len({id(passed) for passed in found if passed}) == 50


async def test_what_was_not_granted_is_asked_for_again() -> None:
    at, doorman = desk(10, Wait(0.01, "pace"), 40)
    found = await rebook(at, 30)
    assert doorman.asked == [30, 20, 20]
    assert all(found)


async def test_a_shut_account_sends_everybody_home_at_once() -> None:
    at, doorman = desk(Wait(900.0, "credentials", Door.BREAKER))
    assert await rebook(at, 5) == [None] * 5
    assert doorman.asked == [5]


async def test_who_cannot_wait_so_long_is_told_so() -> None:
    at, _ = desk(Wait(60.0, "window", Door.PACE))
    assert await rebook(at, 3, seconds=1.0) == [None] * 3


async def test_a_permit_that_nobody_waits_for_any_more_is_given_back() -> None:
    at, doorman = desk()
    leaver = asyncio.create_task(at.rebook(Cost(), time.monotonic() + 5))
    await asyncio.sleep(0)
    leaver.cancel()
    stayer = await at.rebook(Cost(), time.monotonic() + 5)
    assert stayer is not None
    assert doorman.asked == [1]
    assert leaver.cancelled()


async def test_after_a_quiet_time_the_desk_serves_again() -> None:
    at, doorman = desk()
    assert all(await rebook(at, 2))
    await asyncio.sleep(0.02)
    assert all(await rebook(at, 3))
    assert doorman.asked == [2, 3]
