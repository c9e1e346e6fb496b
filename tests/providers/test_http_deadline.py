"""The right to send ends: what had not begun to leave by then never leaves, wherever the request stands."""

import asyncio
import itertools
import time
from dataclasses import replace

import pytest

from providers.faults import Reason
from providers.http import Carrier, HttpClient
from providers.wire import NotSent
from tests.support.http_requests import CARRIERS, OURS, request_to
from tests.support.loops import on_both_loops
from tests.support.raw_server import Peer, RawServer, answer, replies

METHODS = pytest.mark.parametrize("method", ["POST", "GET"])


async def answers(peer: Peer) -> None:
    await peer.read_request()
    await peer.send(answer())


@CARRIERS
@METHODS
async def test_a_request_whose_time_is_over_is_known_not_sent(carrier: Carrier, method: str) -> None:
    async with RawServer(answers) as server, HttpClient(carrier=carrier) as client:
        with pytest.raises(NotSent) as told:
            await client.send(replace(request_to(server, method), not_after=time.monotonic() - 0.001))
        assert told.value.reason == Reason.TOO_LATE
        assert server.seen == b""


@OURS
@METHODS
@on_both_loops
async def test_a_process_that_sleeps_right_before_the_first_byte_sends_nothing(
    carrier: Carrier, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is early when the request is let through, and late when its writer gets its turn."""
    early, deadline = time.monotonic(), time.monotonic() + 1000.0
    looks = 1 if method == "POST" else 0  # a request without a body is written where it is let through
    clock = itertools.chain([early] * looks, itertools.repeat(deadline + 1.0))
    monkeypatch.setattr("providers.mark.time", _Clock(clock))
    async with RawServer(answers) as server, HttpClient(carrier=carrier) as client:
        with pytest.raises(NotSent) as told:
            await client.send(replace(request_to(server, method), not_after=deadline))
        assert told.value.reason == Reason.TOO_LATE
        assert server.seen == b""


@CARRIERS
async def test_a_request_in_good_time_leaves(carrier: Carrier) -> None:
    async with RawServer(answers) as server, HttpClient(carrier=carrier) as client:
        reply = await client.send(replace(request_to(server), not_after=time.monotonic() + 30.0))
        assert reply.status == 200


@OURS
@METHODS
async def test_a_slot_that_ended_while_the_connection_was_opened_leaves_a_connection_for_the_next_try(
    carrier: Carrier, method: str
) -> None:
    async with RawServer(replies(answer(), answer())) as server, HttpClient(carrier=carrier) as client:
        with pytest.raises(NotSent) as told:
            await client.send(replace(request_to(server, method), slot_ends=time.monotonic()))
        assert told.value.reason == Reason.TOO_LATE
        assert server.seen == b""
        reply = await client.send(replace(request_to(server, method), slot_ends=time.monotonic() + 30.0))
        assert (reply.status, server.connections) == (200, 1)


@OURS
async def test_a_prepared_connection_is_the_one_that_the_request_takes(carrier: Carrier) -> None:
    async with RawServer(replies(answer(), answer())) as server, HttpClient(carrier=carrier) as client:
        soon = time.monotonic() + 30.0
        await asyncio.gather(*(client.prepare(request_to(server).url, soon) for _ in range(5)))
        assert (server.connections, server.seen) == (1, b"")
        await client.send(request_to(server))
        await client.prepare(request_to(server).url, soon)
        await client.send(request_to(server))
        assert (server.connections, len(server.requests)) == (1, 2)


@OURS
async def test_preparing_waits_no_longer_than_it_is_told_and_leaves_failures_to_the_request(carrier: Carrier) -> None:
    async with RawServer(answers) as server:
        gone = request_to(server)
    async with HttpClient(carrier=carrier) as client:
        await client.prepare(gone.url, time.monotonic())
        await client.prepare(gone.url, time.monotonic() + 30.0)
        with pytest.raises(NotSent) as told:
            await client.send(replace(gone, slot_ends=0.0, not_after=time.monotonic() + 30.0))
        assert told.value.reason == Reason.REFUSED


@OURS
async def test_why_no_connection_came_about_is_told_however_late_it_became(carrier: Carrier) -> None:
    """An account that cannot be reached has to reach the breaker, also when the right to send ended meanwhile."""
    async with RawServer(answers) as server:
        gone = request_to(server)
    async with HttpClient(carrier=carrier) as client:
        with pytest.raises(NotSent) as told:
            await client.send(replace(gone, not_after=0.0))
        assert told.value.reason == Reason.REFUSED


class _Clock:
    """Stands in for the module `time`, so that the event loop keeps its own."""

    def __init__(self, readings: "itertools.chain[float]") -> None:
        self._readings = readings

    def monotonic(self) -> float:
        return next(self._readings)
