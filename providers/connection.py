"""HTTP on aiohttp, one request at a time in its hands: written once, marked before the first byte, never retried.

aiohttp repeats an idempotent request by itself when a kept-alive connection breaks. A read-once report page asked for
twice is lost once, so that is off, and `MarkedRequest` refuses a second write should a later version forget the switch.
"""

import asyncio
import select
import ssl
import sys
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from providers.faults import FAILURES, Fault, Reason, fault_of
from providers.mark import Mark
from providers.wire import SmallNames

# The client frames the message; a second framing by the adapter would cut the body or hide a request in it.
FRAMING_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te"})
_NO_ROUNDING = 1e9  # aiohttp rounds timeouts over this many seconds up to whole seconds


def _user_agent() -> str:
    try:
        return f"Drumline/{version('drumline')}"
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "Drumline"


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """How one account reaches its provider. Times in seconds.

    `keepalive` stays below the shortest idle time of common servers (5 s: Apache, Node, uvicorn), because a
    connection that the server closes while we write on it leaves an unknown outcome. `proxy`
    (http://[user:password@]host:port) is the only proxy: the environment is never asked. `ca_file` replaces the
    system's authorities, it does not add to them.
    """

    max_connections: int = 50
    connect_timeout: float = 5.0
    pool_timeout: float | None = 30.0
    keepalive: float = 4.0
    proxy: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    user_agent: str = field(default_factory=_user_agent)


class Gate:
    """At most `limit` requests at once, first come first served."""

    def __init__(self, limit: int) -> None:
        self._free = asyncio.Semaphore(limit)

    async def enter(self, patience: float | None) -> None:
        """Waits for a place; raises `Fault` after `patience` seconds (None: never)."""
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(patience):
                await self._free.acquire()
        except TimeoutError:
            raise Fault(Reason.POOL_TIMEOUT, f"no free connection within {patience} s") from None

    def leave(self) -> None:
        self._free.release()


_MARK: ContextVar[Mark] = ContextVar("drumline_http_mark")


class MarkedRequest(aiohttp.ClientRequest):
    """aiohttp's request, which marks the moment before its first byte is handed to the transport."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mark = _MARK.get()
        self.fresh = False

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        protocol = conn.protocol
        if protocol is None or protocol.should_close:
            # An answer lies here before the question was asked: it belongs to another request, or to none.
            raise Fault(Reason.STALE_CONNECTION, "the server spoke before the request")
        self._board(conn)
        self.mark.lost = protocol.exception
        if not self.body:
            self.mark.writing()  # aiohttp writes a request without a body inside the call below
        return await super().send(conn)

    def _board(self, conn: Connection) -> None:
        """Nothing was written yet: the connection stays good for the next request."""
        try:
            self.mark.board()
        except Fault:
            conn.release()
            raise

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Runs in a task of its own; head and body leave in one write. A closing transport takes no byte of them."""
        if self.mark.settled:  # nobody waits for the answer any more, and the caller was told "not sent"
            conn.close()
            return
        if self.mark.too_late:  # an exception of this task would reach nobody: it goes to whoever waits for the answer
            if conn.protocol is not None:
                conn.protocol.set_exception(aiohttp.ClientConnectionError("too late to be written"))
            conn.close()
            return
        transport = conn.transport
        if self.body and transport is not None and not transport.is_closing():
            self.mark.writing()
        await super().write_bytes(writer, conn, content_length)


class WaryConnector(aiohttp.TCPConnector):
    """Looks at a kept-alive connection once more before it is used.

    A server's goodbye may lie unread in the kernel while the event loop is busy, and a second answer nobody asked for
    would be taken for the next request's. Such a connection is dropped and another one taken, which is safe: nothing
    was written yet. What still slips through, a server that closes while our bytes travel, is an unknown outcome.
    """

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            if getattr(req, "fresh", True) or _is_quiet(connection.protocol):
                return connection
            connection.close()

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> ResponseHandler:
        if isinstance(req, MarkedRequest):
            req.fresh = True
        return await super()._create_connection(req, traces, timeout)


def _is_quiet(protocol: ResponseHandler | None) -> bool:
    """Open, and with nothing to read: neither an end nor bytes that belong to no request."""
    if protocol is None or protocol.transport is None or protocol.should_close:
        return False
    return not _readable(protocol.transport.get_extra_info("socket").fileno())


if sys.platform == "win32":

    def _readable(fileno: int) -> bool:
        return fileno < 0 or bool(select.select([fileno], [], [], 0)[0])
else:

    def _readable(fileno: int) -> bool:
        poller = select.poll()  # select() itself knows only the first 1,024 descriptors
        poller.register(fileno, select.POLLIN)
        return bool(poller.poll(0))


@cache
def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Certificates and names are always verified; there is no switch to leave that out.

    Read once per process: the system's authorities take 20 ms. A renewed `ca_file` counts from the next start.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def checked_url(url: str) -> URL:
    """The URL as its bytes will be written; raises `Fault` for what could not be written as it stands."""
    if not _is_plain(url) or " " in url:
        raise Fault(Reason.INVALID_REQUEST, "the URL is not encoded")
    try:
        parsed = URL(url, encoded=True)
        usable = parsed.scheme in ("http", "https") and bool(parsed.raw_host) and parsed.port != 0
    except ValueError:
        raise Fault(Reason.INVALID_REQUEST, "the URL cannot be parsed") from None
    if not usable:
        raise Fault(Reason.INVALID_REQUEST, "not an absolute http or https URL")
    if parsed.raw_user is not None or parsed.raw_password is not None:
        raise Fault(Reason.INVALID_REQUEST, "user information in the URL: use a header")
    return parsed


def check_head(method: str, headers: Mapping[str, str]) -> None:
    """Refuses what would break the message's head or its framing, before a connection is touched."""
    if not (method.isascii() and method.isalpha()):
        raise Fault(Reason.INVALID_REQUEST, "not a method")
    for name, value in headers.items():
        if name.lower() in FRAMING_HEADERS:
            raise Fault(Reason.INVALID_REQUEST, f"the client sets {name} itself")
        if not (_is_plain(name) and _is_plain(value)):
            raise Fault(Reason.INVALID_REQUEST, "a header that is not printable ASCII")


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


class Line:
    """One account's connections to its provider. Open it on the event loop that uses it."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self.settings = settings
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = _new_session(self.settings)
        return self._session

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, mark: Mark, times: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """The head of the answer, its body unread. Raises `Fault`; `mark` knows whether anything was written."""
        target = checked_url(url)
        token = _MARK.set(mark)
        try:
            response = await self.session.request(
                method, target, headers=headers, data=body or None, allow_redirects=False, timeout=times
            )
        except FAILURES as error:
            raise fault_of(error) from None
        finally:
            _MARK.reset(token)
        if response.status == HTTPStatus.SWITCHING_PROTOCOLS:
            response.close()
            raise Fault(Reason.MALFORMED, "switched protocols unasked")
        mark.status = response.status
        return response

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


async def next_chunk(response: aiohttp.ClientResponse, mark: Mark) -> bytes:
    """Some bytes of the body as they were sent, b"" at its end; raises `Fault`."""
    try:
        chunk = await response.content.readany()
    except FAILURES as error:
        raise fault_of(error) from None
    if not chunk and _ends_with_connection(response) and isinstance(mark.lost(), OSError):
        # aiohttp takes any end of the connection for the end of such a body; a reset is not one.
        raise Fault(Reason.TRUNCATED, "reset within a body of unknown length")
    return chunk


def plain_headers(raw: Iterable[tuple[bytes, bytes]]) -> SmallNames:
    """An answer's headers by their names in small letters: of each the first value, of codings all."""
    found = SmallNames()
    for name, value in raw:
        key = _decoded(name).lower()
        if key not in found:
            found[key] = _decoded(value)
        elif key == "content-encoding":
            found[key] += f", {_decoded(value)}"
    return found


def _decoded(raw: bytes) -> str:
    """UTF-8 where it is that, else Latin-1, which every byte has a letter in."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _ends_with_connection(response: aiohttp.ClientResponse) -> bool:
    return "Content-Length" not in response.headers and "Transfer-Encoding" not in response.headers


def patience(connect: float | None, read: float | None = None) -> aiohttp.ClientTimeout:
    """aiohttp's timeouts: `connect` covers name look-up, TCP, TLS, a proxy's tunnel; `read` is the longest silence."""
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_read=read, ceil_threshold=_NO_ROUNDING)


def _new_session(settings: ConnectionSettings) -> aiohttp.ClientSession:
    connector = WaryConnector(
        limit=0,  # the gate counts, so that waiting for a place is told apart from connecting
        keepalive_timeout=settings.keepalive,
        ssl=tls_context(settings.ca_file),
        timeout_ceil_threshold=_NO_ROUNDING,
    )
    session = aiohttp.ClientSession(
        connector=connector,
        request_class=MarkedRequest,
        headers={"User-Agent": settings.user_agent, "Accept": "*/*", "Accept-Encoding": "identity"},
        skip_auto_headers=("Content-Type",),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=settings.proxy,
        auto_decompress=False,
        trust_env=False,
    )
    session._retry_connection = False  # the only switch aiohttp has; see the top of this module
    return session
