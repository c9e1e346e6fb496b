"""The door to a page's live stream."""

from __future__ import annotations

from collections.abc import Hashable

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from producer.api.context import context_of
from producer.api.problems import Problem
from producer.sessions import alive
from producer.web.guard import Viewer
from producer.web.live import MOST_VIEWERS, Hub, Make, stream

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Cookie"}


def hub_of(request: Request) -> Hub:
    found = request.app.state.live
    if not isinstance(found, Hub):
        raise TypeError("the app has no dashboard")
    return found


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

    return StreamingResponse(stream(hub, key, make, lives), headers=HEADERS, media_type="text/event-stream")
