"""New permits for requests that missed their slot, many with one question.

On a busy machine whole waves come late together. Asked for one by one, new permits would cost more time than they have.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from workers.gate import Cost, Gate, Pass, Wait

GATHER: Final = 0.005  # seconds: those who come late together ask together
LEAD: Final = 0.015  # seconds: on a loop that is late, a slot that is there at once is over when its answer is read
MOST: Final = 64


@dataclass(eq=False, slots=True)
class _Late:
    cost: Cost
    latest: float  # this process's monotonic seconds
    given: asyncio.Future[Pass | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Desk:
    """One per account and process. `horizon`: seconds that slots may lie ahead."""

    def __init__(self, gate: Gate, horizon: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        self._gate, self._horizon, self._clock = gate, horizon, clock
        self._waiting: list[_Late] = []
        self._server: asyncio.Task[None] | None = None

    async def rebook(self, cost: Cost, latest: float) -> Pass | None:
        """Another permit, to be used by `latest`; None: there is none in that time, or the account is shut."""
        late = _Late(cost, latest)
        self._waiting.append(late)
        if self._server is None or self._server.done():
            self._server = asyncio.create_task(self._serve(), name="desk")
        try:
            return await late.given
        finally:
            if late in self._waiting:
                self._waiting.remove(late)

    async def _serve(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(GATHER)
                await self._round()
        finally:
            self._answer(list(self._waiting), None)

    async def _round(self) -> None:
        self._answer([late for late in self._waiting if late.latest <= self._clock()], None)
        asking = self._waiting[:MOST]
        if not asking:
            return
        horizon = self._horizon()
        answer = await self._gate.ask([late.cost for late in asking], horizon, lead=min(LEAD, horizon))
        if isinstance(answer, Wait):
            await self._wait(answer)
            return
        for place, passed in enumerate(answer):
            late = asking[place]
            if late.given.done() or passed.permit.not_before > late.latest:
                await self._gate.unused(passed)
            self._answer([late], passed if passed.permit.not_before <= late.latest else None)

    async def _wait(self, answer: Wait) -> None:
        """Those who can, wait for the next slots; the others are told that there is none."""
        if answer.for_all:
            self._answer(list(self._waiting), None)
            return
        when = self._clock() + answer.seconds
        self._answer([late for late in self._waiting if late.latest < when], None)
        if self._waiting:
            await asyncio.sleep(answer.seconds)

    def _answer(self, ready: list[_Late], passed: Pass | None) -> None:
        for late in ready:
            if late in self._waiting:
                self._waiting.remove(late)
            if not late.given.done():
                late.given.set_result(passed)
