"""The HTTP client of the workers: a whole answer, or the truth about whether the request may have been received.

One `HttpClient` per account, opened on the event loop that uses it:

    async with HttpClient(ConnectionSettings(max_connections=20)) as client:
        reply = await client.send(request)      # Reply, NotSent or OutcomeUnknown; nothing else but CancelledError

Nothing is ever repeated or redirected here. Cookies and proxies of the environment are not used. A cancelled task
learns from `providers.mark.watched` whether bytes may have left.
"""

import asyncio
from collections.abc import Mapping
from enum import StrEnum
from time import monotonic, perf_counter
from types import TracebackType
from typing import Protocol, Self

import aiohttp

from providers.bodies import BadCoding, TooLarge, expand
from providers.connection import (
    ConnectionSettings,
    Gate,
    Line,
    check_head,
    next_chunk,
    patience,
    plain_headers,
)
from providers.faults import Fault, Reason, fitting
from providers.mark import Mark, watched
from providers.transport import HttpxCarrier
from providers.wire import NotSent, OutcomeUnknown, Reply, Request, WireError, public_url

__all__ = ["Carrier", "ConnectionSettings", "HttpClient", "watched"]


class Carrier(StrEnum):
    """What carries the requests. The outcomes are the same, the costs are not.

    CPU per POST of 467 bytes at 50 connections under uvloop, measured by bench/http_micro.py: lean 100 us (aiohttp with
    nothing around it 64), httpx 165, native 1,020. One core carries 10,000, 6,000 or 1,000 requests a second.
    """

    LEAN = "lean"  # aiohttp, without httpx's objects around it
    HTTPX = "httpx"  # httpx over our transport
    NATIVE = "native"  # httpx with its own transport: a second opinion, should aiohttp ever be in doubt


class _Answer(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...  # as `plain_headers` writes them
    async def chunk(self) -> bytes: ...
    async def close(self) -> None: ...


class _Carrier(Protocol):
    async def head(self, request: Request, mark: Mark) -> _Answer: ...
    async def close(self) -> None: ...


class HttpClient:
    """Sends requests of one account, at most `settings.max_connections` at once.

    The wait for a free connection has its own limit (`pool_timeout`) and does not use up the request's `timeout`: a
    crowd on our side must not turn into answers that come too late, for those are unknown outcomes.
    """

    def __init__(self, settings: ConnectionSettings | None = None, carrier: Carrier = Carrier.LEAN) -> None:
        self._settings = settings = settings or ConnectionSettings()
        self._gate = Gate(settings.max_connections)
        self._carrier = _carrier(settings, carrier)
        self._closed = False
        self._keeps = settings.keepalive if carrier is not Carrier.NATIVE else None
        self._stood_at = float("-inf")  # when a connection was last seen to stand (monotonic seconds)
        self._preparing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends every connection; requests still under way end as `OutcomeUnknown`."""
        self._closed = True
        await self._carrier.close()

    async def prepare(self, url: str, until: float) -> None:
        """Have a connection to this address stand, so that a request with a short slot (`Request.slot_ends`) need not
        spend it on opening one. Waits `until` then at most (monotonic seconds). Nothing is written; what goes wrong,
        the request will meet and tell.

        Goes by when the last answer came: that one's connection stands still, and whoever finds it taken opens another
        and leaves it behind.
        """
        now = monotonic()
        if self._keeps is None or now - self._stood_at < self._keeps / 2 or now >= until:
            return
        if self._preparing is None or self._preparing.done():
            self._preparing = asyncio.create_task(self._open(url), name="prepare-connection")
        await asyncio.wait([self._preparing], timeout=until - now)

    async def _open(self, url: str) -> None:
        """A request whose slot is long over gets as far as its connection, and leaves that behind."""
        outcome = await self._outcome(Request("GET", url, {}), Mark(slot_ends=0.0))
        if isinstance(outcome, NotSent) and outcome.reason == Reason.TOO_LATE:
            self._stood_at = monotonic()

    async def send(self, request: Request) -> Reply:
        """The whole answer, whatever its status; raises `NotSent` or `OutcomeUnknown`."""
        outcome = await self._outcome(request, Mark(not_after=request.not_after, slot_ends=request.slot_ends))
        if isinstance(outcome, WireError):
            # Raised here, not where it was caught: no library's exception, with URL and token, shall hang on it.
            raise outcome
        self._stood_at = monotonic()
        return outcome

    async def _outcome(self, request: Request, mark: Mark) -> Reply | WireError:
        try:
            check_head(request.method, request.headers)
            await self._gate.enter(self._settings.pool_timeout)
            try:
                return await self._exchange(request, mark)
            finally:
                self._gate.leave()
        except Fault as fault:
            return _verdict(fitting(fault, mark.written), mark, request)
        finally:
            mark.settled = True

    async def _exchange(self, request: Request, mark: Mark) -> Reply:
        if self._closed:
            raise Fault(Reason.CLOSED, "the client is closed")
        started = perf_counter()
        try:
            async with asyncio.timeout(request.timeout):
                answer = await self._carrier.head(request, mark)
                body = await _whole_body(answer, request.max_body, mark)
        except TimeoutError:
            raise Fault(Reason.READ_TIMEOUT, f"no whole answer within {request.timeout} s") from None
        return Reply(answer.status, answer.headers, body, perf_counter() - started)


def _verdict(fault: Fault, mark: Mark, request: Request) -> WireError:
    detail = f"{fault.detail} ({request.method} {public_url(request.url)})"
    if mark.written:
        return OutcomeUnknown(fault.reason, detail, mark.status, mark.received)
    # What kept the request from its connection is told as it is, however late it became: the breaker wants to know.
    late = mark.too_late and fault.reason is Reason.STALE_CONNECTION
    return NotSent(Reason.TOO_LATE if late else fault.reason, detail)


async def _whole_body(answer: _Answer, limit: int, mark: Mark) -> bytes:
    try:
        body = await _capped(answer, limit, mark)
        return expand(body, answer.headers.get("content-encoding", ""), limit)
    except TooLarge as error:
        raise Fault(Reason.BODY_TOO_LARGE, str(error)) from None
    except BadCoding as error:
        raise Fault(Reason.BAD_CODING, str(error)) from None
    finally:
        await answer.close()


async def _capped(answer: _Answer, limit: int, mark: Mark) -> bytes:
    """The body as sent, never more than one chunk over `limit` in memory."""
    mark.received = await answer.chunk()
    while len(mark.received) <= limit:
        chunk = await answer.chunk()
        if not chunk:
            return mark.received
        mark.received += chunk
    raise TooLarge(f"more than {limit} bytes")


class _LeanAnswer:
    __slots__ = ("_mark", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, mark: Mark) -> None:
        self._response = response
        self._mark = mark
        self.status: int = response.status
        self.headers: Mapping[str, str] = plain_headers(response.raw_headers)

    async def chunk(self) -> bytes:
        return await next_chunk(self._response, self._mark)

    async def close(self) -> None:
        self._response.release()  # closes the connection where the body was not read to its end


class _LeanCarrier:
    """Straight to aiohttp: no httpx Request, Response and stream objects per message."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self._line = Line(settings)
        self._patience = patience(settings.connect_timeout)

    async def head(self, request: Request, mark: Mark) -> _LeanAnswer:
        response = await self._line.ask(
            request.method, request.url, request.headers, request.body, mark, self._patience
        )
        return _LeanAnswer(response, mark)

    async def close(self) -> None:
        await self._line.close()


def _carrier(settings: ConnectionSettings, carrier: Carrier) -> _Carrier:
    if carrier is Carrier.LEAN:
        return _LeanCarrier(settings)
    return HttpxCarrier(settings, native=carrier is Carrier.NATIVE)
