"""A span around every request; part of the app only where tracing is on."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config import tracing
from producer.api.request_id import request_id_of

_KIND = re.compile(r":[a-z]+\}")  # `{campaign_id:uuid}`: how a parameter is read is nobody's business


def route_of(scope: Scope) -> str:
    """The route's pattern (`/v1/campaigns/{campaign_id}`), never the path itself, which may hold a number."""
    return _KIND.sub("}", str(getattr(scope.get("route"), "path", ""))) or "unmatched"


class Traced:
    """Continues the caller's trace, if it brought one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method = str(scope["method"])
        with tracing.continued(Headers(scope=scope)), tracing.span("API request") as span:

            async def told(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            span.set_attribute("http.request.method", method)
            span.set_attribute("drumline.request_id", request_id_of(scope) or "")
            try:
                await self.app(scope, receive, told)
            finally:
                span.set_attribute("http.route", route_of(scope))
