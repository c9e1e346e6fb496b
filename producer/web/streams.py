"""The door to a page's live stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Hashable
from contextlib import aclosing

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from producer.api.context import context_of, part_of
from producer.api.problems import Problem
from producer.sessions import alive
from producer.web.guard import Viewer
from producer.web.live import MOST_VIEWERS, Hub, Make, stream

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Cookie"}


class LiveResponse(StreamingResponse):
    """Leaves its topic as soon as the client is gone, wherever in the stream that was."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(events, headers=HEADERS, media_type="text/event-stream")
        self.events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self.events):
            await super().__call__(scope, receive, send)


def hub_of(request: Request) -> Hub:
    return part_of(request, "live", Hub)


def live(request: Request, viewer: Viewer, key: Hashable, make: Make) -> Response:
    """The stream of what `key` names. Viewers with the same key get the same fragments. Raises Problem 503."""
    here, hub = context_of(request), hub_of(request)
    if hub.stopping or hub.viewers >= MOST_VIEWERS:
        raise Problem(503, "unavailable", "too many live pages are open", headers={"Retry-After": "10"})

    def look() -> bool:
        with here.database.read() as session:
            return bool(alive(session, [viewer.session], here.now()))

    async def lives() -> bool:
        return await run_in_threadpool(look)

    return LiveResponse(stream(hub, key, make, lives))
