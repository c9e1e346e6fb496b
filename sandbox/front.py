"""Where connections arrive. What is simple is answered here; everything else is for aiohttp's server.

aiohttp takes twice as long for a request as a provider needs to accept its message, and what is measured with the
sandbox shares its processors. A request is simple if it is a GET or POST of HTTP/1.1, whole, with a body of stated
length or none, and if the sandbox answers it at once: no fault, no latency, not the control API. The first other one
hands its connection over to aiohttp for good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from multidict import CIMultiDict
from yarl import URL

from sandbox.answers import written
from sandbox.exchange import Reply

LONGEST_BODY: Final = 1_048_576  # bytes, as aiohttp's server takes them
_UNUSUAL: Final = ("Transfer-Encoding", "Content-Encoding", "Expect", "Upgrade")


class Plain(NamedTuple):
    """A simple request. `size`: bytes of all of it, head and body."""

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes
    size: int

    def query(self) -> dict[str, str]:
        return dict(URL(self.target, encoded=True).query) if "?" in self.target else {}


class Unfinished(Exception):
    """A simple request, so far: its body goes on."""


AtOnce = Callable[[Plain, str], Reply | None]


def plain_request(data: bytes) -> Plain | None:
    """The simple request that `data` begins with; None where it begins with another. Errors: Unfinished."""
    end = data.find(b"\r\n\r\n")
    head = data[:end]
    if end < 0 or not head.isascii():
        return None
    first, *lines = head.decode("ascii").split("\r\n")
    method, _, rest = first.partition(" ")
    target, _, version = rest.partition(" ")
    pairs = [line.partition(": ") for line in lines]
    if method not in ("GET", "POST") or version != "HTTP/1.1" or not target.startswith("/"):
        return None
    if not all(colon and name.strip() == name for name, colon, _ in pairs):
        return None
    headers = CIMultiDict([(name, value.strip(" \t")) for name, _, value in pairs])
    length = _body_length(headers)
    if length is None:
        return None
    size = end + 4 + length
    if len(data) < size:
        raise Unfinished
    return Plain(method, target, headers, data[end + 4 : size], size)


def _body_length(headers: CIMultiDict[str]) -> int | None:
    """Bytes of the body; None where they are not stated once and for all, or the connection is not to stay."""
    if any(name in headers for name in _UNUSUAL) or headers.get("Connection", "keep-alive").lower() != "keep-alive":
        return None
    stated = headers.getall("Content-Length", ("0",))
    if len(stated) != 1 or not stated[0].isdecimal() or len(stated[0]) > 7 or int(stated[0]) > LONGEST_BODY:
        return None
    return int(stated[0])


class Front(asyncio.Protocol):
    """One connection. `answer` takes a simple request and its sender's address, and gives the reply or None where it
    does not answer at once; `other` makes aiohttp's protocol."""

    def __init__(self, answer: AtOnce, other: Callable[[], asyncio.Protocol], all_open: set[Front]) -> None:
        self._answer = answer
        self._other = other
        self._all_open = all_open
        self._held = b""
        self._transport: asyncio.Transport | None = None
        self._sender = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as TCP servers make
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._sender = str(peer[0]) if peer else ""
        self._all_open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all_open.discard(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._held = self._held + data if self._held else data
        while self._held and self._transport is not None:
            try:
                request = plain_request(self._held)
            except Unfinished:
                return
            reply = None if request is None else self._answer(request, self._sender)
            if request is None or reply is None:
                self._hand_over(self._transport)
                return
            self._held = self._held[request.size :]
            self._transport.write(written(reply))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _hand_over(self, transport: asyncio.Transport) -> None:
        other = self._other()
        self._all_open.discard(self)
        self._transport = None
        transport.set_protocol(other)
        other.connection_made(transport)
        other.data_received(self._held)
