"""Who carries an account's requests: runners, each with one request at a time, as many as there are connections.

A request that waits for its turn is a line in a queue, not a task that fell out of the processor's caches: with four
hundred of those, each request cost half as much again. Where slots are handed out, every request has a runner at once,
for each waits for a moment of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, NamedTuple


class Flight(NamedTuple):
    """One request to be carried; tells its own errors. `context`: what its log lines and spans belong to."""

    fly: Callable[[], Coroutine[Any, Any, None]]
    context: Context


class Crew:
    """At most `most` flights at once (None: all), in the order in which they were given. Use it on one event loop."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._waiting: deque[Flight] = deque()
        self._runners: set[asyncio.Task[None]] = set()  # the loop itself keeps no task alive

    def take(self, flight: Flight) -> None:
        """Carried out at once, or when a runner is free."""
        if self._most is not None and len(self._runners) >= self._most:
            self._waiting.append(flight)
            return
        runner = asyncio.get_running_loop().create_task(self._run(flight), context=flight.context.copy())
        self._runners.add(runner)
        runner.add_done_callback(self._ended)

    async def _run(self, flight: Flight) -> None:
        """One flight after the other, as long as they belong to the same context."""
        context = flight.context
        await flight.fly()
        while self._waiting and self._waiting[0].context is context:
            await self._waiting.popleft().fly()

    def _ended(self, runner: asyncio.Task[None]) -> None:
        self._runners.discard(runner)
        if self._waiting:
            self.take(self._waiting.popleft())
