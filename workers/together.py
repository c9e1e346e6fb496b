"""One transaction for all who have something to write: whoever comes while one is under way joins the next.

Nobody waits for company: the first one's transaction begins at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from models.database import PASSING_ERRORS

T = TypeVar("T")
R = TypeVar("R")


class Together(Generic[T, R]):
    """`write` commits what it is given and answers in its order. `most`: how much a transaction takes, by `weight`;
    at least one. Use it on one event loop."""

    def __init__(
        self, write: Callable[[Sequence[T]], Awaitable[Sequence[R]]], weight: Callable[[T], int], most: int
    ) -> None:
        self._write = write
        self._weight = weight
        self._most = most
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def write(self, one: T) -> R:
        """What became of it, once it is committed. Raises what the database said."""
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, done))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="together")
        return await done

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._commit(self._group())
        finally:
            self._task = None

    def _group(self) -> list[tuple[T, asyncio.Future[R]]]:
        group = [self._waiting.popleft()]
        left = self._most - self._weight(group[0][0])
        while self._waiting and (left := left - self._weight(self._waiting[0][0])) >= 0:
            group.append(self._waiting.popleft())
        return group

    async def _commit(self, group: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        """What cannot be written must not keep the others from it: then each is written by itself. Where the connection
        broke instead, nobody knows whether it was committed, and everybody is told so."""
        try:
            answers = await self._write([one for one, _ in group])
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait
            if len(group) > 1 and not isinstance(error, PASSING_ERRORS):
                for alone in group:
                    await self._commit([alone])
                return
            for _, done in group:
                if not done.done():
                    done.set_exception(error)
            return
        for (_, done), answer in zip(group, answers, strict=True):
            if not done.done():  # its batch was given up meanwhile
                done.set_result(answer)
