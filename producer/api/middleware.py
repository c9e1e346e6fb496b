"""What every answer carries, and how much any request may bring."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producer.api import docs_page
from producer.api.options import ApiOptions
from producer.api.problems import Problem, problem_response

SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_UPLOAD = re.compile(r"/v1/campaigns/[^/]+/recipients/?|/campaigns/new(/[^/]+/recipients)?/?").fullmatch


class SecurityHeaders:
    """Sets what the answer has not set itself. No CORS header is ever sent: no other page may read an answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        wanted = dict(SECURITY_HEADERS)
        if scope["path"] == "/docs":
            wanted["Content-Security-Policy"] = docs_page.POLICY
        if scope.get("scheme") == "https":
            wanted["Strict-Transport-Security"] = "max-age=31536000"

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in wanted.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, guarded)


def body_limit(options: ApiOptions) -> Callable[[str], int]:
    """How many bytes a request to a path may bring."""

    def limit(path: str) -> int:
        if _UPLOAD(path):
            return options.max_upload
        return options.max_push if path.startswith("/v1/dlr/") else options.max_body

    return limit


class BodyLimit:
    """Refuses what says it is too long before reading it, and stops reading what turns out to be."""

    def __init__(self, app: ASGIApp, limit: Callable[[str], int]) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = self.limit(scope["path"])
        told = Headers(scope=scope).get("content-length", "")
        if told.isdecimal() and (len(told) > 18 or int(told) > most):
            problem = Problem(413, "too-large", _text(most), headers={"Connection": "close"})
            await problem_response(Request(scope), problem)(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise HTTPException(413, _text(most), {"Connection": "close"})
            return message

        await self.app(scope, counted, send)


def _text(most: int) -> str:
    return f"the body is longer than the {most} bytes allowed here"
