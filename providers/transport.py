"""httpx, as far as we use it: its public API over our own connections. No other module imports httpx.

`LineTransport` keeps httpx's promise and one more: `ConnectError`, `ConnectTimeout`, `PoolTimeout` and
`UnsupportedProtocol` are raised only if nothing of the request was written, all else only if a byte may have left.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import lru_cache

import aiohttp
import httpx
from multidict import CIMultiDict

from providers.connection import (
    ConnectionSettings,
    Gate,
    Line,
    checked_url,
    next_chunk,
    patience,
    plain_headers,
    tls_context,
)
from providers.faults import Fault, Reason, fault_of, fitting
from providers.mark import Mark
from providers.wire import Request

_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection"})  # aiohttp writes its own
MARK = "drumline_mark"  # the request extension that carries our mark through httpx

_NOT_WRITTEN: dict[Reason, type[httpx.TransportError]] = {
    Reason.POOL_TIMEOUT: httpx.PoolTimeout,
    Reason.CONNECT_TIMEOUT: httpx.ConnectTimeout,
    Reason.INVALID_REQUEST: httpx.UnsupportedProtocol,
}
_WRITTEN: dict[Reason, type[httpx.TransportError]] = {
    Reason.READ_TIMEOUT: httpx.ReadTimeout,
    Reason.DISCONNECTED: httpx.RemoteProtocolError,
    Reason.TRUNCATED: httpx.RemoteProtocolError,
    Reason.MALFORMED: httpx.RemoteProtocolError,
}
# httpx's own transport: the first class that fits.
_NATIVE_REASONS: tuple[tuple[type[Exception], Reason], ...] = (
    (httpx.PoolTimeout, Reason.POOL_TIMEOUT),
    (httpx.ConnectTimeout, Reason.CONNECT_TIMEOUT),
    (httpx.ConnectError, Reason.CONNECT),
    (httpx.ProxyError, Reason.PROXY),
    (httpx.TimeoutException, Reason.READ_TIMEOUT),
    (httpx.RemoteProtocolError, Reason.MALFORMED),
    (httpx.NetworkError, Reason.RESET),
    (httpx.UnsupportedProtocol, Reason.INVALID_REQUEST),
    (httpx.LocalProtocolError, Reason.INVALID_REQUEST),
    (httpx.InvalidURL, Reason.INVALID_REQUEST),
    (ValueError, Reason.INVALID_REQUEST),
    (RuntimeError, Reason.CLOSED),
)
_FAILURES: tuple[type[Exception], ...] = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RuntimeError)


def httpx_error(fault: Fault, mark: Mark, request: httpx.Request) -> httpx.TransportError:
    """The httpx exception whose class tells the truth about the write."""
    fault = fitting(fault, mark.written)
    if mark.written:
        return _WRITTEN.get(fault.reason, httpx.ReadError)(str(fault), request=request)
    return _NOT_WRITTEN.get(fault.reason, httpx.ConnectError)(str(fault), request=request)


@dataclass(slots=True)
class _Body(httpx.AsyncByteStream):
    """The rest of an answer; its place in the pool is free again once this is closed."""

    answer: aiohttp.ClientResponse
    request: httpx.Request
    mark: Mark
    leave: Callable[[], None]
    closed: bool = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while chunk := await next_chunk(self.answer, self.mark):
                yield chunk
        except Fault as fault:
            raise httpx_error(fault, self.mark, self.request) from fault

    async def aclose(self) -> None:
        if not self.closed:
            self.closed = True
            self.answer.release()  # closes the connection where the body was not read to its end
            self.leave()


class LineTransport(httpx.AsyncBaseTransport):
    """An httpx transport on aiohttp: `httpx.AsyncClient(transport=LineTransport(settings))`.

    Honours httpx's four timeouts (the write timeout as part of the time allowed for the head of the answer). The mark
    of a request can be given in its extensions under `MARK`.
    """

    def __init__(self, settings: ConnectionSettings | None = None) -> None:
        self._line = Line(settings or ConnectionSettings())
        self._gate = Gate(self._line.settings.max_connections)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        mark = request.extensions.get(MARK) or Mark()
        times = request.extensions.get("timeout", {})
        try:
            await self._gate.enter(times.get("pool"))
            answer = await self._ask_or_leave(request, body, mark, times)
        except Fault as fault:
            mark.settled = True
            raise httpx_error(fault, mark, request) from fault
        stream = _Body(answer, request, mark, self._gate.leave)
        return httpx.Response(answer.status, headers=list(answer.raw_headers), stream=stream)

    async def _ask_or_leave(
        self, request: httpx.Request, body: bytes, mark: Mark, times: dict[str, float | None]
    ) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout(_sum(times.get("connect"), times.get("write"), times.get("read"))):
                return await self._ask(request, body, mark, times)
        except TimeoutError:
            self._gate.leave()
            raise Fault(Reason.READ_TIMEOUT, "no answer in time") from None
        except BaseException:  # a cancelled request gives its place back too
            self._gate.leave()
            raise

    async def _ask(
        self, request: httpx.Request, body: bytes, mark: Mark, times: dict[str, float | None]
    ) -> aiohttp.ClientResponse:
        encoding = request.headers.encoding
        headers = CIMultiDict(
            (name.decode("ascii"), value.decode(encoding))
            for name, value in request.headers.raw
            if name.lower() not in _FRAMING
        )
        timeout = patience(times.get("connect"), times.get("read"))
        return await self._line.ask(request.method, str(request.url), headers, body, mark, timeout)

    async def aclose(self) -> None:
        await self._line.close()


def _sum(*seconds: float | None) -> float | None:
    known = [second for second in seconds if second is not None]
    return sum(known) if len(known) == len(seconds) else None


class HttpxCarrier:
    """Carries our requests as httpx's `Request` and `Response` through an httpx transport: ours, or (`native`) httpx's
    own.

    Without `httpx.AsyncClient` around it: redirects, cookies, authentication flows and the environment's proxies are
    what must not happen here, and not doing them cost two thirds of a request's processor time.
    """

    def __init__(self, settings: ConnectionSettings, native: bool) -> None:
        self._settings = settings
        self._transport: httpx.AsyncBaseTransport = _native(settings) if native else LineTransport(settings)
        self._native = native
        self._own = {"User-Agent": settings.user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        self._times = httpx.Timeout(None, connect=settings.connect_timeout).as_dict()

    async def close(self) -> None:
        await self._transport.aclose()

    async def head(self, request: Request, mark: Mark) -> "HttpxAnswer":
        checked_url(request.url)
        try:
            response = await self._transport.handle_async_request(self._outgoing(request, mark))
        except _FAILURES as error:
            raise _fault_of_httpx(error) from None
        mark.status = response.status_code
        return HttpxAnswer(response)

    def _outgoing(self, request: Request, mark: Mark) -> httpx.Request:
        url, headers = _parsed(request.url), self._headers(request)
        extensions: dict[str, object] = {MARK: mark, "timeout": self._times}
        if not self._native:
            # Given as a stream, httpx adds no framing of its own, which ours would only take off again.
            body = httpx.ByteStream(request.body)
            return httpx.Request(request.method, url, headers=headers, stream=body, extensions=extensions)
        extensions["trace"] = _tracer(mark)
        return httpx.Request(request.method, url, headers=headers, content=request.body or None, extensions=extensions)

    def _headers(self, request: Request) -> list[tuple[str, str]]:
        given = {name.lower() for name in request.headers}
        own = [item for item in self._own.items() if item[0].lower() not in given]
        return [*own, *request.headers.items()]


@lru_cache(maxsize=512)
def _parsed(url: str) -> httpx.URL:
    """Submits go to one URL: parsing it costs more than all the rest of the request."""
    return httpx.URL(url)


class HttpxAnswer:
    """An answer whose body is still to be read."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        # Past httpx's own iterator, which counts and times what nobody here reads.
        self._chunks = aiter(response.stream)  # type: ignore[arg-type]  # both transports give an AsyncByteStream
        self.status = response.status_code
        self.headers = plain_headers(response.headers.raw)

    async def chunk(self) -> bytes:
        try:
            return await anext(self._chunks, b"")
        except _FAILURES as error:
            raise _fault_of_httpx(error) from None

    async def close(self) -> None:
        await self._response.aclose()


def _native(settings: ConnectionSettings) -> httpx.AsyncHTTPTransport:
    """A fresh connection for each request: on a kept-alive one, httpx takes an answer left over from the request before
    (a doubled one, a 408 said to an idle connection) for the answer to the next, and a message gets another one's fate.
    """
    limits = httpx.Limits(max_connections=settings.max_connections, max_keepalive_connections=0)
    return httpx.AsyncHTTPTransport(
        verify=tls_context(settings.ca_file), trust_env=False, limits=limits, proxy=settings.proxy, retries=0
    )


def _tracer(mark: Mark) -> Callable[[str, dict[str, object]], object]:
    """Tells the mark what httpx's own transport is about to do; a tunnel's CONNECT is not the request."""

    async def trace(event: str, info: dict[str, object]) -> None:
        if event == "http11.send_request_headers.started" and not _is_tunnel(info):
            mark.writing()

    return trace


def _is_tunnel(info: dict[str, object]) -> bool:
    return getattr(info.get("request"), "method", None) == b"CONNECT"


def _fault_of_httpx(error: Exception) -> Fault:
    if isinstance(error.__cause__, Fault):  # our own transport says it better
        return error.__cause__
    reason = next((reason for kind, reason in _NATIVE_REASONS if isinstance(error, kind)), None)
    return Fault(reason, type(error).__name__) if reason else fault_of(error)
