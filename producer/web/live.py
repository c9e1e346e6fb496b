"""Live pages: one producer for each thing that is watched, however many watch it.

A producer makes all fragments of its page every two seconds, in a thread, and wakes the streams of its viewers. A
stream sends what its viewer has not got yet, so a slow viewer skips states and never queues them up. The producer goes
with its last viewer, and ends by itself when the thing is final.
"""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from types import FrameType

import structlog
from sqlalchemy.exc import SQLAlchemyError

log = structlog.get_logger("drumline.web")

EVERY = 2.0  # seconds between two looks
SHARE = 100  # a look that took t seconds of a core is followed by a rest of SHARE x t: a hundredth of a core
LONGEST = 15.0  # seconds of rest
HEARTBEAT = 15.0  # seconds: proxies close what is silent
CHECK = 5.0  # seconds between two checks that the viewer's session still lives
MOST_VIEWERS = 500  # streams in one process


@dataclass(frozen=True, slots=True)
class Fragments:
    """A page's live parts by element id. `final`: nothing will change any more."""

    parts: Mapping[str, str]
    final: bool = False


Make = Callable[[], Fragments]


@dataclass(eq=False)
class Topic:
    """One thing that is watched."""

    make: Make
    every: float
    latest: Fragments = field(default_factory=lambda: Fragments({}))
    viewers: int = 0
    over: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Everybody who waits now goes on; who waits next waits for the next news."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def news(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return

    async def produce(self) -> None:
        """Until it is final, or nobody watches any more (then this task is cancelled)."""
        try:
            before = 0.0
            while not self.over:
                took = await self._look()
                if self.latest.final:
                    return
                # The smaller of two: a first look compiles templates, and any look may meet a busy moment.
                await asyncio.sleep(max(self.every, min(LONGEST, SHARE * min(took, before))))
                before = took
        finally:
            self.over = True
            self.wake()

    async def _look(self) -> float:
        """How many seconds of a core it took."""
        try:
            made, took = await asyncio.to_thread(self._timed)
        except SQLAlchemyError as error:
            log.warning("live_look_failed", error=type(error).__name__)  # viewers keep what they have; the next may do
            return 0.0
        changed = made.parts != self.latest.parts or made.final
        self.latest = made
        if changed:
            self.wake()
        return took

    def _timed(self) -> tuple[Fragments, float]:
        began = time.thread_time()
        made = self.make()
        return made, time.thread_time() - began


class Full(Exception):
    """As many streams are open as one process carries."""


class Hub:
    """All topics of one process."""

    def __init__(self, every: float = EVERY) -> None:
        self.every = every
        self.stopping = False
        self._topics: dict[Hashable, tuple[Topic, asyncio.Task[None]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def viewers(self) -> int:
        return sum(topic.viewers for topic, _ in self._topics.values())

    @asynccontextmanager
    async def join(self, key: Hashable, make: Make) -> AsyncIterator[Topic]:
        """The topic of this key, made if nobody watches it yet. Raises Full."""
        if self.viewers >= MOST_VIEWERS:
            raise Full
        self._loop = asyncio.get_running_loop()
        if key not in self._topics or self._topics[key][0].over:
            topic = Topic(make, self.every)
            self._topics[key] = topic, asyncio.create_task(topic.produce(), name=f"live {key}")
        topic, task = self._topics[key]
        topic.viewers += 1
        try:
            yield topic
        finally:
            topic.viewers -= 1
            if not topic.viewers:
                task.cancel()
                if self._topics.get(key, (None, None))[0] is topic:
                    del self._topics[key]

    def stop(self) -> None:
        """End every stream: the server waits for them before it ends. From any thread, and from a signal handler."""
        self.stopping = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        for topic, _ in self._topics.values():
            topic.wake()


async def stream(
    hub: Hub, key: Hashable, make: Make, lives: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[bytes, None]:
    """Server-sent events for one viewer: what changed, a heartbeat, and the end. `lives`: may they still look?"""
    yield b"retry: 3000\n\n"
    sent: dict[str, str] = {}
    checked = spoke = time.monotonic()
    async with hub.join(key, make) as topic:
        while not hub.stopping:
            now = time.monotonic()
            if now - checked >= CHECK:
                checked = now
                if not await lives():
                    yield event("gone", {})
                    return
            news = {name: html for name, html in topic.latest.parts.items() if sent.get(name) != html}
            sent.update(news)
            for html in news.values():
                yield event("fragment", {"html": html})
            if topic.latest.final:
                yield event("end", {})
                return
            if topic.over:
                return
            if news:
                spoke = now
            elif now - spoke >= HEARTBEAT:
                yield b": still here\n\n"
                spoke = now
            await topic.news(min(CHECK, HEARTBEAT))


def event(name: str, data: Mapping[str, str]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


@contextmanager
def ends_with_the_server(hub: Hub) -> Iterator[None]:
    """On SIGTERM and SIGINT streams end before the server's own handler waits for them.

    uvicorn tells an app that it ends only after every connection is closed, and a stream never closes by itself; so
    its signal handlers are wrapped. Where the loop does not run in the main thread there are no signals: whoever
    started that server calls `Hub.stop`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: FrameType | None) -> None:
        hub.stop()
        earlier = before[signal.Signals(number)]
        if callable(earlier):
            earlier(number, frame)

    wrapped = [number for number, earlier in before.items() if callable(earlier)]
    for number in wrapped:
        signal.signal(number, handle)
    try:
        yield
    finally:
        hub.stop()
        for number in wrapped:
            signal.signal(number, before[number])
