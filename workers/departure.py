"""From the permit to the wire: a request leaves at its slot, or at another one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from providers.faults import Reason
from providers.wire import NotSent
from workers.gate import Pass
from workers.readings import Answer

Send = Callable[[Pass], Awaitable[Answer]]
Another = Callable[[Pass], Awaitable[Pass | None]]


class Departed(NamedTuple):
    """`passed`: what the request left with. `elapsed`: seconds from its slot to the answer."""

    answer: Answer
    passed: Pass
    elapsed: float


async def depart(
    passed: Pass, send: Send, another: Another, may_leave: Callable[[], bool] = lambda: True
) -> Departed | None:
    """None: the request did not leave, and no pass is held any more.

    A slot can be missed while the intent is committed, while the request stands in line, or while its connection is
    opened. It is replaced while the intent stands: writing that back and forth would cost more time than the next slots
    have. `another` gives back what was missed and answers None when there is no slot in good time.
    """
    current: Pass | None = passed
    while current is not None:
        if await current.wait() and may_leave():
            started = time.monotonic()
            answer = await send(current)
            if not (_missed(answer) and may_leave()):
                return Departed(answer, current, time.monotonic() - started)
        current = await another(current)
    return None


def _missed(answer: Answer) -> bool:
    """Its slot passed before the first byte left: that is nobody's failure, and another slot will do."""
    return isinstance(answer, NotSent) and answer.reason == Reason.TOO_LATE
