"""Waiting for a free connection, and being cancelled: what is told, and that no place is ever lost."""

import asyncio
from contextlib import suppress

import pytest

from providers.connection import ConnectionSettings
from providers.faults import Reason
from providers.http import Carrier, HttpClient
from providers.mark import watched
from providers.wire import NotSent, OutcomeUnknown, Reply
from tests.support.http_requests import CARRIERS, OURS, arrival, request_to, silent
from tests.support.loops import on_both_loops
from tests.support.raw_server import Peer, RawServer, answer, replies


@CARRIERS
@on_both_loops
async def test_waiting_for_a_free_connection_is_bounded_and_known_not_sent(carrier: Carrier) -> None:
    settings = ConnectionSettings(max_connections=1, pool_timeout=0.05)
    async with RawServer(silent) as server, HttpClient(settings, carrier) as client:
        first = asyncio.create_task(client.send(request_to(server)))
        await arrival(server)
        with pytest.raises(NotSent) as refused:
            await client.send(request_to(server))
        assert refused.value.reason == Reason.POOL_TIMEOUT
        assert len(server.requests) == 1
        await cancelled(first)


@CARRIERS
@on_both_loops
async def test_the_wait_for_a_free_connection_does_not_use_up_the_requests_time(carrier: Carrier) -> None:
    release = asyncio.Event()

    async def slow_first(peer: Peer) -> None:
        await peer.read_request()
        await release.wait()
        await peer.send(answer())
        await replies(answer())(peer)

    async with RawServer(slow_first) as server, HttpClient(ConnectionSettings(max_connections=1), carrier) as client:
        first = asyncio.create_task(client.send(request_to(server)))
        await arrival(server)
        second = asyncio.create_task(client.send(request_to(server, timeout=0.25)))
        await asyncio.sleep(0.3)  # the real time a request waits here is the subject
        release.set()
        assert (await first).status == (await second).status == 200


@OURS
@on_both_loops
async def test_no_more_connections_than_allowed(carrier: Carrier) -> None:
    async with (
        RawServer(replies(*[answer()] * 40)) as server,
        HttpClient(ConnectionSettings(max_connections=3), carrier) as client,
    ):
        await asyncio.gather(*(client.send(request_to(server)) for _ in range(40)))
        assert len(server.requests) == 40
        assert server.connections <= 3


async def cancelled(task: "asyncio.Task[Reply]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@CARRIERS
@on_both_loops
async def test_a_task_cancelled_in_the_queue_learns_that_nothing_was_written(carrier: Carrier) -> None:
    async with RawServer(silent) as server, HttpClient(ConnectionSettings(max_connections=1), carrier) as client:
        first = asyncio.create_task(client.send(request_to(server)))
        await arrival(server)
        with watched() as watch:
            second = asyncio.create_task(client.send(request_to(server)))
            await asyncio.sleep(0)
            await cancelled(second)
        assert watch.written == 0
        await cancelled(first)
        assert len(server.requests) == 1


@CARRIERS
@on_both_loops
async def test_a_task_cancelled_while_it_waits_for_the_answer_learns_that_bytes_have_left(carrier: Carrier) -> None:
    async with RawServer(silent) as server, HttpClient(carrier=carrier) as client:
        with watched() as watch:
            task = asyncio.create_task(client.send(request_to(server)))
            await arrival(server)
            await cancelled(task)
        assert watch.written == 1


@OURS
@pytest.mark.parametrize("turns", range(12))
@on_both_loops
async def test_a_task_cancelled_at_any_moment_never_claims_too_little(turns: int, carrier: Carrier) -> None:
    """Cancelled after this many turns of the loop: what the server saw was admitted, and its place is free again."""
    async with RawServer(silent, replies(answer())) as server, HttpClient(one_at_a_time(), carrier) as client:
        with watched() as watch:
            task = asyncio.create_task(client.send(request_to(server)))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        server.scripts = (replies(answer()),)
        assert (await client.send(request_to(server))).status == 200
        assert server.seen.count(b"POST") - 1 <= watch.written


def one_at_a_time() -> ConnectionSettings:
    return ConnectionSettings(max_connections=1, pool_timeout=1.0)


@CARRIERS
@on_both_loops
async def test_the_callers_own_timeout_stays_the_callers(carrier: Carrier) -> None:
    async with RawServer(silent) as server, HttpClient(carrier=carrier) as client:
        with pytest.raises(TimeoutError), watched() as watch:
            async with asyncio.timeout(0.05):
                await client.send(request_to(server))
        assert watch.written == 1


@CARRIERS
@on_both_loops
async def test_a_place_is_free_again_after_every_kind_of_end(carrier: Carrier) -> None:
    async def drops(peer: Peer) -> None:
        await peer.read_request()

    async with RawServer(drops, drops, replies(answer())) as server, HttpClient(one_at_a_time(), carrier) as client:
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                await client.send(request_to(server))
        assert (await client.send(request_to(server))).status == 200
