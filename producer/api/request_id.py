"""A name for every request, to be quoted in a question and found in the log."""

from __future__ import annotations

import re
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = "X-Request-Id"
_FIT = re.compile(r"[A-Za-z0-9._:-]{1,64}").fullmatch


def request_id_of(scope: Scope) -> str | None:
    """This request's name."""
    found = scope.get("state", {}).get("request_id")
    return found if isinstance(found, str) else None


class RequestIds:
    """Takes the caller's X-Request-Id if it is fit for a log, else makes one; the answer and every log line have it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _FIT(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self.app(scope, receive, named)
