"""How an answer is written to its connection."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from aiohttp import ClientConnectionResetError, HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import SERVER_SOFTWARE

from sandbox.exchange import Reply

MOST: Final = 65_536  # bytes: what is longer waits for its reader
_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


def response(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """An answer of the providers' own words; what a fault makes of one goes by aiohttp's usual way."""
    plain = request.version == HttpVersion11 and request.keep_alive and request.method != "HEAD"
    if plain and len(reply.body) < MOST and reply.status in _LINES:
        return _Written(reply)
    return web.Response(body=reply.body, status=reply.status, headers=reply.headers)


class _Written(web.StreamResponse):
    """Written at once and as a whole: aiohttp's own takes as long as a provider needs to accept a message."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(status=reply.status)
        self._reply = reply
        self._keep_alive = True  # which preparing would decide: without, the server ends the connection

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("the client has gone")
        reply = self._reply
        given = "".join([f"{name}: {value}\r\n" for name, value in reply.headers.items()])
        head = (
            f"{_LINES[reply.status]}{given}Content-Length: {len(reply.body)}\r\n"
            f"Date: {_date(int(time.time()))}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n"
        )
        transport.write(head.encode("latin-1") + reply.body)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """It is all there already."""


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
