"""How an answer is written to its connection: as bytes by our own front, as a response by aiohttp's server."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.http import SERVER_SOFTWARE

from sandbox.exchange import Reply

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


def written(reply: Reply) -> bytes:
    """Head and body as they go over a connection that stays open."""
    given = "".join([f"{name}: {value}\r\n" for name, value in reply.headers.items()])
    head = (
        f"HTTP/1.1 {reply.status} {_PHRASES.get(reply.status, '')}\r\n{given}Content-Length: {len(reply.body)}\r\n"
        f"Date: {_date(int(time.time()))}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n"
    )
    return head.encode("latin-1") + reply.body


def response(reply: Reply) -> web.Response:
    return web.Response(body=reply.body, status=reply.status, headers=reply.headers)


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
