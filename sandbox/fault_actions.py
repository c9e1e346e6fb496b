"""What a fault does on the wire.

An action gets the live request and, for faults "after", the reply that would have been sent. It returns the response to
send, or None once the connection is closed.
"""

import asyncio
import gzip
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate

from aiohttp import web

from sandbox.core import Provider
from sandbox.exchange import Call, Reply, text_reply
from sandbox.faults import Kind, Rule

HTML = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1><p>nginx</p></body></html>"
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Scene:
    provider: Provider
    request: web.BaseRequest
    call: Call
    rule: Rule
    reply: Reply | None


Action = Callable[[Scene], Awaitable[Reply | None]]


async def perform(scene: Scene) -> Reply | None:
    """Count and act. None: the connection is closed, nothing is to be sent."""
    scene.provider.ledger.counts.faults[scene.rule.kind] += 1
    return await _ACTIONS[scene.rule.kind](scene)


def close(scene: Scene, reset: bool = False) -> None:
    """End the connection; `reset` sends RST instead of FIN."""
    transport = scene.request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if reset and sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort() if reset else transport.close()


async def _drop(scene: Scene) -> None:
    close(scene, bool(scene.rule.params.get("reset", False)))


async def _stall(scene: Scene) -> None:
    await asyncio.sleep(scene.rule.number("seconds", 30))
    close(scene)


async def _error(scene: Scene) -> Reply:
    status = int(scene.rule.number("status", 500))
    return _error_body(scene, status, scene.rule.text("body", "envelope"))


def _error_body(scene: Scene, status: int, body: str) -> Reply:
    if body == "html":
        return text_reply(status, HTML.format(f"{status} Server Error"))
    if body == "empty":
        return Reply(status)
    return scene.provider.error(status, "Internal server error")


async def _throttle(scene: Scene) -> Reply:
    return scene.provider.throttled(_retry_after(scene))


def _retry_after(scene: Scene) -> str | None:
    """`form`: seconds (default), date, garbage, negative, absent; `seconds` is the wait."""
    seconds = scene.rule.number("seconds", 1)
    forms = {
        "seconds": f"{seconds:g}",
        "date": formatdate(scene.provider.world.clock.wall() + seconds, usegmt=True),
        "garbage": "soon, maybe",
        "negative": f"-{seconds:g}",
        "absent": None,
    }
    return forms[scene.rule.text("form", "seconds")]


async def _unauthorized(scene: Scene) -> Reply:
    return scene.provider.unauthorized(scene.call)


async def _outage(scene: Scene) -> Reply | None:
    """`mode`: 503 (default) or close."""
    if scene.rule.text("mode", "503") == "close":
        close(scene)
        return None
    return _error_body(scene, 503, scene.rule.text("body", "envelope"))


async def _malformed(scene: Scene) -> Reply | None:
    reply = scene.reply or Reply(200)
    variant = scene.rule.text("variant", "truncated")
    if variant == "short":
        _short(scene, reply)
        return None
    return _VARIANTS[variant](scene, reply)


def _short(scene: Scene, reply: Reply) -> None:
    """A Content-Length that the body never reaches: the connection ends in the middle."""
    transport = scene.request.transport
    if transport is not None:
        promised = len(reply.body) + 64
        head = f"HTTP/1.1 {reply.status} OK\r\nContent-Type: application/json\r\nContent-Length: {promised}\r\n\r\n"
        transport.write(head.encode() + reply.body)
    close(scene)


def _gzip_bomb(scene: Scene, reply: Reply) -> Reply:
    bomb = gzip.compress(bytes(int(scene.rule.number("bytes", 100_000_000))))
    return Reply(reply.status, bomb, reply.headers | {"Content-Encoding": "gzip"})


def _huge(scene: Scene, reply: Reply) -> Reply:
    filler = b" " * int(scene.rule.number("bytes", 10_000_000))
    return Reply(reply.status, reply.body[:-1] + filler + reply.body[-1:], reply.headers)


_VARIANTS: dict[str, Callable[[Scene, Reply], Reply]] = {
    "truncated": lambda _, reply: Reply(reply.status, reply.body[: len(reply.body) // 2], reply.headers),
    "html": lambda _, reply: text_reply(reply.status, HTML.format("Welcome")),
    "empty": lambda _, reply: Reply(reply.status, b"", reply.headers),
    "content_type": lambda _, reply: Reply(reply.status, reply.body, reply.headers | {"Content-Type": "text/plain"}),
    "invalid_utf8": lambda _, reply: Reply(reply.status, b'{"id":"\xff\xfe\xc3"}', reply.headers),
    "wrong_shape": lambda _, reply: Reply(reply.status, b"[]", reply.headers),
    "null": lambda _, reply: Reply(reply.status, b"null", reply.headers),
    "huge": _huge,
    "gzip_bomb": _gzip_bomb,
}


async def _slow_body(scene: Scene) -> None:
    """The reply in ten pieces over `seconds`, then the connection ends."""
    reply = scene.reply or Reply(200)
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_length = len(reply.body)
    await response.prepare(scene.request)
    size = max(1, len(reply.body) // 10)
    for start in range(0, len(reply.body), size):
        await asyncio.sleep(scene.rule.number("seconds", 5) / 10)
        await response.write(reply.body[start : start + size])
    close(scene)


_ACTIONS: dict[Kind, Action] = {
    Kind.DROP_BEFORE: _drop,
    Kind.DROP_AFTER: _drop,
    Kind.STALL_BEFORE: _stall,
    Kind.STALL_AFTER: _stall,
    Kind.ERROR_BEFORE: _error,
    Kind.ERROR_AFTER: _error,
    Kind.THROTTLE: _throttle,
    Kind.UNAUTHORIZED: _unauthorized,
    Kind.OUTAGE: _outage,
    Kind.MALFORMED: _malformed,
    Kind.SLOW_BODY: _slow_body,
}
