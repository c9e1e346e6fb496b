"""Batches of an account one after the other, where only the machine sets the pace.

Batches that share the connections evenly all end at once: then nothing is ready to follow them, and one worker may have
all of the last ones in hand while the others have none. So two are at work in a process, and what waits has no lease
yet: whoever has nothing to do takes it from there (`workers.in_turn`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

AT_WORK: Final = 2  # while one lands, the other one fills the connections
PATIENCE: Final = 1.0  # seconds: behind slow ones everybody goes ahead, for somebody urgent may be among them


class Turns:
    """`most`: batches at work at once in this process; None: all that are dispatched. Use it on one event loop."""

    def __init__(self, most: int | None) -> None:
        self._places = asyncio.Semaphore(most) if most is not None else None
        self.in_hand = 0  # at work, and waiting for their turn

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits for a place, but not for long."""
        self.in_hand += 1
        held = False
        try:
            held = await self._place()
            yield
        finally:
            self.in_hand -= 1
            if held and self._places is not None:
                self._places.release()

    async def _place(self) -> bool:
        if self._places is None:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                return await self._places.acquire()
        return False

    @property
    def has_nothing(self) -> bool:
        """Whether batches that wait at other workers had better be ours."""
        return self._places is not None and not self.in_hand
