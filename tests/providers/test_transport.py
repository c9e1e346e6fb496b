"""Our httpx transport through httpx's public API: a class that says "not sent" means that nothing was written."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from providers.connection import ConnectionSettings
from providers.faults import Reason
from providers.transport import LineTransport
from providers.wire import NotSent, OutcomeUnknown
from tests.support.http_faults import CASES, Case
from tests.support.loops import on_both_loops
from tests.support.raw_server import Peer, RawServer, answer, replies, until_end

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
UNKNOWN = (httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError)
EXACT = {
    Reason.CONNECT_TIMEOUT: httpx.ConnectTimeout,
    Reason.READ_TIMEOUT: httpx.ReadTimeout,
    Reason.RESET: httpx.ReadError,
    Reason.DISCONNECTED: httpx.RemoteProtocolError,
    Reason.TRUNCATED: httpx.RemoteProtocolError,
    Reason.MALFORMED: httpx.RemoteProtocolError,
}
# Compression and size are httpx's and its caller's business here, they are checked in HttpClient.
WIRE_CASES = [case for case in CASES if case.reason not in {Reason.BODY_TOO_LARGE, Reason.BAD_CODING}]


async def fate(client: httpx.AsyncClient, case: Case, url: str) -> int | httpx.HTTPError:
    try:
        response = await client.post(url, content=case.body, headers={"Authorization": "App s3cret"})
    except httpx.HTTPError as error:
        return error
    return response.status_code


@pytest.mark.parametrize("case", WIRE_CASES, ids=[case.name for case in WIRE_CASES])
@on_both_loops
async def test_the_exception_class_tells_whether_the_request_may_have_been_received(case: Case, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        scene = await stack.enter_async_context(case.stage(tmp_path))
        transport = LineTransport(ConnectionSettings(ca_file=scene.ca_file))
        patience = httpx.Timeout(case.patience, connect=case.connect_timeout)
        client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, timeout=patience))
        outcome = await fate(client, case, scene.url)
        if scene.server is not None:
            assert (b"POST /sms" in scene.server.seen) is case.seen
            assert scene.server.seen.count(b"POST /sms") <= 1
    check(case, outcome)


def check(case: Case, outcome: int | httpx.HTTPError) -> None:
    if isinstance(outcome, int):
        assert outcome == case.expect
        return
    assert case.expect is (NotSent if isinstance(outcome, NOT_SENT) else OutcomeUnknown)
    assert isinstance(outcome, NOT_SENT + UNKNOWN)
    if case.reason in EXACT:
        assert type(outcome) is EXACT[case.reason]
    assert "s3cret" not in str(outcome)


async def silent(peer: Peer) -> None:
    await peer.read_request()
    await until_end(peer)


@on_both_loops
async def test_a_full_pool_is_a_pool_timeout() -> None:
    transport = LineTransport(ConnectionSettings(max_connections=1))
    async with RawServer(silent) as server, httpx.AsyncClient(transport=transport, timeout=5) as client:
        first = asyncio.create_task(client.post(server.url))
        await server.arrived.wait()
        with pytest.raises(httpx.PoolTimeout):
            await client.post(server.url, timeout=httpx.Timeout(5, pool=0.05))
        assert len(server.requests) == 1
        first.cancel()
        await asyncio.wait([first])


@on_both_loops
async def test_a_server_that_never_reads_a_large_body_is_a_read_timeout() -> None:
    async def never_reads(peer: Peer) -> None:
        await asyncio.Event().wait()

    async with RawServer(never_reads) as server, httpx.AsyncClient(transport=LineTransport(), timeout=0.1) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(server.url, content=bytes(30_000_000))


@on_both_loops
async def test_streaming_in_both_directions_keeps_the_bytes() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async with RawServer(replies(answer(b"three"))) as server, httpx.AsyncClient(transport=LineTransport()) as client:
        async with client.stream("POST", server.url, content=parts()) as response:
            assert [chunk async for chunk in response.aiter_raw()] == [b"three"]
        assert server.requests[0].endswith(b"\r\n\r\nonetwo")
        assert server.requests[0].lower().count(b"content-length: 6") == 1


@on_both_loops
async def test_a_stream_that_is_left_early_gives_its_place_back_and_its_connection_up() -> None:
    transport = LineTransport(ConnectionSettings(max_connections=1))
    async with (
        RawServer(replies(answer(bytes(500_000))), replies(answer())) as server,
        httpx.AsyncClient(transport=transport) as client,
    ):
        async with client.stream("GET", server.url) as response:
            await anext(response.aiter_raw(1))
        assert (await client.get(server.url)).status_code == 200
        assert server.connections == 2


@on_both_loops
async def test_repeated_headers_arrive_one_by_one() -> None:
    doubled = answer(headers="Set-Cookie: a=1\r\nSet-Cookie: b=2")
    async with RawServer(replies(doubled)) as server, httpx.AsyncClient(transport=LineTransport()) as client:
        response = await client.get(server.url)
        assert response.headers.get_list("Set-Cookie") == ["a=1", "b=2"]


@on_both_loops
async def test_a_get_is_not_repeated_on_a_dropped_kept_alive_connection() -> None:
    async def answers_once_then_drops(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(answer())
        await peer.read_request()

    async with (
        RawServer(answers_once_then_drops) as server,
        httpx.AsyncClient(transport=LineTransport()) as client,
    ):
        await client.get(server.url)
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(server.url)
        assert len(server.requests) == 2
        assert server.connections == 1
