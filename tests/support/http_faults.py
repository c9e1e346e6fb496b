"""Everything that can go wrong between us and a provider, as scripts of a raw server and as stages around one.

Each case says what the client must answer and whether the server saw the request.
"""

import gzip
import socket
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import EllipsisType

from providers.faults import Reason
from providers.wire import NotSent, OutcomeUnknown
from tests.support.raw_server import Peer, RawServer, Script, answer, certificates, replies, until_end

MEGABYTE = 1_048_576
PATIENCE = 5.0  # seconds
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


@dataclass(slots=True)
class Scene:
    """A place to send to; `server` counts what arrived there (None: nobody listens)."""

    url: str
    server: RawServer | None = None
    ca_file: Path | None = None


Stage = Callable[[Path], AbstractAsyncContextManager[Scene]]


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    stage: Stage
    expect: type[NotSent] | type[OutcomeUnknown] | int  # a number: a Reply with this status
    reason: Reason | None = None
    seen: bool = True  # did the server read (part of) the request?
    partial: int | EllipsisType | None = None  # ...: depends on how the packets fell
    body: bytes = b'{"to": "+12025550123"}'
    patience: float = PATIENCE  # half of the whole request's; short where silence is what is shown
    bad_json: str | None = field(default=None)  # why Reply.json() refuses the body

    @property
    def connect_timeout(self) -> float:
        """Seconds. Short only where nobody connects: on a busy machine a good connection may take its time."""
        return self.patience if self.expect is NotSent else PATIENCE


def on(script: Script) -> Stage:
    @asynccontextmanager
    async def stage(_folder: Path) -> AsyncIterator[Scene]:
        async with RawServer(script) as server:
            yield Scene(server.url, server)

    return stage


def says(*parts: bytes, then: str = "close") -> Stage:
    """Reads the whole request, sends these parts, then closes, resets or stalls."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        for part in parts:
            await peer.send(part)
        match then:
            case "reset":
                peer.reset()
            case "stall":
                await until_end(peer)

    return on(script)


def replying(*answers: bytes) -> Stage:
    return on(replies(*answers))


async def reset_unread(peer: Peer) -> None:
    await peer.readable()
    peer.reset()


async def reset_within_body(peer: Peer) -> None:
    await peer.read()
    peer.reset()


async def close_unread(peer: Peer) -> None:
    await peer.readable()


@asynccontextmanager
async def nobody_listens(_folder: Path) -> AsyncIterator[Scene]:
    # Bound without listening: the port is ours, and refuses.
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield Scene(f"http://127.0.0.1:{sock.getsockname()[1]}/sms?access_token=s3cret")


@asynccontextmanager
async def no_such_host(_folder: Path) -> AsyncIterator[Scene]:
    yield Scene("http://nowhere.invalid/sms?access_token=s3cret")  # RFC 6761: never resolves


@asynccontextmanager
async def full_backlog(_folder: Path) -> AsyncIterator[Scene]:
    """A listener that accepts nobody and whose queue is full: the kernel drops further connection attempts."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield Scene(f"http://127.0.0.1:{listener.getsockname()[1]}/sms?access_token=s3cret")


@asynccontextmanager
async def untrusted(_folder: Path) -> AsyncIterator[Scene]:
    context, _ = certificates()
    async with RawServer(replies(answer()), tls=context) as server:
        yield Scene(server.url, server)


@asynccontextmanager
async def trusted(folder: Path) -> AsyncIterator[Scene]:
    context, authority = certificates()
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    async with RawServer(replies(answer()), tls=context) as server:
        yield Scene(server.url, server, ca_file)


@asynccontextmanager
async def wrong_name(folder: Path) -> AsyncIterator[Scene]:
    async with trusted(folder) as scene:
        yield Scene(scene.url.replace("127.0.0.1", "localhost"), scene.server, scene.ca_file)


def secured(stage: Stage) -> Stage:
    """The same server without TLS, addressed as if it had it."""

    @asynccontextmanager
    async def stage_(folder: Path) -> AsyncIterator[Scene]:
        async with stage(folder) as scene:
            yield Scene(scene.url.replace("http://", "https://"), scene.server)

    return stage_


async def plain_text_first(peer: Peer) -> None:
    await peer.read()
    await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await until_end(peer)


async def hangs_up_on_hello(peer: Peer) -> None:
    await peer.read()


BOMB = gzip.compress(bytes(50 * MEGABYTE), mtime=0)
GZIPPED = gzip.compress(b'{"ok": true}', mtime=0)
GZIP = "Content-Encoding: gzip"

CASES = (
    # Known not sent: no byte of the request was written.
    Case("connection refused", nobody_listens, NotSent, Reason.REFUSED, seen=False),
    Case("unknown host", no_such_host, NotSent, Reason.DNS, seen=False),
    Case("certificate of an unknown authority", untrusted, NotSent, Reason.TLS, seen=False),
    Case("certificate of another name", wrong_name, NotSent, Reason.TLS, seen=False),
    Case("plain text where TLS is spoken", secured(on(plain_text_first)), NotSent, Reason.TLS, seen=False),
    Case("hang-up in the TLS handshake", secured(on(hangs_up_on_hello)), NotSent, Reason.CONNECT, seen=False),
    Case("silence in the TLS handshake", secured(on(until_end)), NotSent, Reason.CONNECT_TIMEOUT, False, patience=0.1),
    Case("connect timeout", full_backlog, NotSent, Reason.CONNECT_TIMEOUT, seen=False, patience=0.1),
    # Unknown: bytes may have left.
    Case("reset before anything was read", on(reset_unread), OutcomeUnknown, Reason.RESET, seen=False),
    Case("close before anything was read", on(close_unread), OutcomeUnknown, Reason.RESET, seen=False),
    Case("reset within the body", on(reset_within_body), OutcomeUnknown, Reason.RESET, body=bytes(8 * MEGABYTE)),
    Case("reset after the body", says(then="reset"), OutcomeUnknown, Reason.RESET),
    Case("close without an answer", says(), OutcomeUnknown, Reason.DISCONNECTED),
    Case("half a status line", says(b"HTTP/1.1 20"), OutcomeUnknown, Reason.DISCONNECTED),
    Case("half a head", says(b"HTTP/1.1 200 OK\r\nContent-Le"), OutcomeUnknown, Reason.DISCONNECTED),
    Case("no answer in time", says(then="stall"), OutcomeUnknown, Reason.READ_TIMEOUT, patience=0.5),
    Case(
        "head, then silence",
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", then="stall"),
        OutcomeUnknown,
        Reason.READ_TIMEOUT,
        partial=200,
        patience=0.5,
    ),
    Case("cut body", says(answer()[:-3]), OutcomeUnknown, Reason.TRUNCATED, partial=200),
    Case("reset within the answer", says(answer()[:-3], then="reset"), OutcomeUnknown, Reason.TRUNCATED, partial=200),
    Case("cut chunk", says(CHUNKED + b'c\r\n{"ok"'), OutcomeUnknown, Reason.TRUNCATED, partial=200),
    Case("no last chunk", says(CHUNKED + b'c\r\n{"ok": true}\r\n'), OutcomeUnknown, Reason.TRUNCATED, partial=200),
    Case(
        "reset within a body of unknown length",
        says(UNTIL_CLOSE + b'{"ok": ', then="reset"),
        OutcomeUnknown,
        Reason.TRUNCATED,
        partial=200,
    ),
    Case("chunk size that is no number", says(CHUNKED + b"xyz\r\n"), OutcomeUnknown, Reason.MALFORMED, partial=...),
    Case("another protocol", says(b"220 mail.example ESMTP\r\n"), OutcomeUnknown, Reason.MALFORMED),
    Case(
        "protocol switched unasked", says(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), OutcomeUnknown, Reason.MALFORMED
    ),
    Case("endless header", says(b"HTTP/1.1 200 OK\r\nX: " + bytes([120]) * 200_000), OutcomeUnknown, Reason.MALFORMED),
    Case("10 MB body", says(answer(bytes(10 * MEGABYTE))), OutcomeUnknown, Reason.BODY_TOO_LARGE, partial=200),
    Case("gzip bomb", replying(answer(BOMB, headers=GZIP)), OutcomeUnknown, Reason.BODY_TOO_LARGE, partial=200),
    Case("cut gzip", replying(answer(GZIPPED[:-4], headers=GZIP)), OutcomeUnknown, Reason.BAD_CODING, partial=200),
    Case(
        "damaged gzip",
        replying(answer(b"\x1f\x8b not gzip", headers=GZIP)),
        OutcomeUnknown,
        Reason.BAD_CODING,
        partial=200,
    ),
    Case(
        "unknown compression",
        replying(answer(b"?", headers="Content-Encoding: br")),
        OutcomeUnknown,
        Reason.BAD_CODING,
        partial=200,
    ),
    # Whole answers, whatever they are worth.
    Case("answer", replying(answer()), 200),
    Case("answer over TLS", trusted, 200),
    Case("compressed answer", replying(answer(GZIPPED, headers=GZIP)), 200),
    Case("deflated answer", replying(answer(zlib.compress(b"1"), headers="Content-Encoding: deflate")), 200),
    Case("body of unknown length", says(UNTIL_CLOSE + b'{"ok": true}'), 200),
    Case("redirect", replying(answer(status="302 Found", headers="Location: /elsewhere")), 302),
    Case("permanent redirect", replying(answer(status="308 Permanent Redirect", headers="Location: /elsewhere")), 308),
    Case("interim answers", replying(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + answer()), 200),
    Case("two answers", replying(answer() + answer(status="500 Second")), 200),
    Case("wrong content type", replying(answer(headers="Content-Type: text/plain")), 200),
    Case("no content", replying(b"HTTP/1.1 204 No Content\r\n\r\n"), 204, bad_json="empty body"),
    Case(
        "HTML error page",
        replying(answer(b"<html>Bad gateway</html>", "502 Bad Gateway", "Content-Type: text/html")),
        502,
        bad_json="HTML or XML instead of JSON",
    ),
    Case("invalid UTF-8", replying(answer(b'{"a": "\xff"}')), 200, bad_json="not UTF-8 at byte 7"),
    Case("duplicate keys", replying(answer(b'{"id": 1, "id": 2}')), 200, bad_json="a key is given twice in one object"),
)
