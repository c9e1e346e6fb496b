"""Runs one asynchronous test on both event loops: asyncio's own, and uvloop, which the workers use."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine

import pytest
import uvloop

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
Loop = Callable[[], asyncio.AbstractEventLoop]


def on_both_loops(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    """A synchronous test with one parameter more, `loop`; other parameters and fixtures stay as they are."""

    def run(loop: Loop, **arguments: object) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(test(**arguments))

    signature = inspect.signature(test)
    loop = inspect.Parameter("loop", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), loop])  # type: ignore[attr-defined]  # a function takes attributes
    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)(run)
