"""The way of a simple request past aiohttp's server, and where it must not be taken."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from sandbox.front import LONGEST_BODY, Unfinished, plain_request
from tests.sandbox.lab import Lab

BODY = b'{"MSISDN":"447700900001","msg":"Hi","sender":"MyStore"}'
HEAD = (
    b"POST /quicksms/v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_live_sandbox\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
)
SEND = HEAD + BODY
HEALTH = b"GET /quicksms/v1/health HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_simple_request_is_read_to_its_end() -> None:
    plain = plain_request(SEND + HEALTH)
    assert plain is not None
    assert (plain.method, plain.target, plain.body, plain.size) == (
        "POST", "/quicksms/v1/messages", BODY, len(SEND)
    )  # fmt: skip
    assert plain.headers["authorization"] == "Bearer sk_live_sandbox"


def test_a_query_is_decoded() -> None:
    plain = plain_request(b"GET /a?to=%2B44+1&x= HTTP/1.1\r\nConnection: keep-alive\r\n\r\n")
    assert plain is not None
    assert plain.query() == {"to": "+44 1", "x": ""}


@pytest.mark.parametrize("cut", [len(HEAD), len(HEAD) + 1, len(SEND) - 1])
def test_a_body_that_goes_on_is_waited_for(cut: int) -> None:
    with pytest.raises(Unfinished):
        plain_request(SEND[:cut])


@pytest.mark.parametrize(
    "data",
    [
        SEND[:20],
        b"HEAD / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET http://x/ HTTP/1.1\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (LONGEST_BODY + 1),
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nName : value\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: value\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: \xff\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_not_simple_is_left_to_the_server(data: bytes) -> None:
    assert plain_request(data) is None


async def _talk(lab: Lab, *pieces: bytes, answers: int = 1) -> list[int]:
    """The statuses of the answers on one connection; each piece is sent by itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.running.port)
    with closing(writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await lab.control("/healthz", method="GET")  # the sandbox has read what came before
        found = []
        for _ in range(answers):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            found.append(int(head.split()[1]))
            fields = dict(line.split(b": ", 1) for line in head.strip().split(b"\r\n")[1:])
            await reader.readexactly(int(fields[b"Content-Length"]))
        return found


async def test_requests_behind_each_other_are_answered_in_order(lab: Lab) -> None:
    assert await _talk(lab, SEND + HEALTH + SEND, answers=3) == [202, 200, 202]
    assert (await lab.counts("quicksms"))["accepted"] == 2


async def test_a_request_in_pieces_is_answered_once(lab: Lab) -> None:
    assert await _talk(lab, HEAD, BODY[:10], BODY[10:]) == [202]
    assert (await lab.counts("quicksms"))["accepted"] == 1


async def test_a_connection_goes_on_with_the_server_after_a_request_that_is_not_simple(lab: Lab) -> None:
    chunked = HEAD.replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked")
    chunked += b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    assert await _talk(lab, SEND, chunked, SEND, answers=3) == [202, 202, 202]
    assert (await lab.counts("quicksms"))["accepted"] == 3


async def test_a_fault_reaches_a_connection_that_stands(lab: Lab) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.running.port)
    with closing(writer):
        writer.write(SEND)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 202 ")
        await lab.faults("quicksms", {"kind": "outage", "rate": 1.0})
        writer.write(SEND)
        assert b"HTTP/1.1 503 " in await reader.readuntil(b"HTTP/1.1 503 ")
    assert (await lab.counts("quicksms"))["accepted"] == 1


async def test_a_request_that_is_garbage_is_refused_by_the_server(lab: Lab) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.running.port)
    with closing(writer):
        writer.write(b"NONSENSE\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.0 400 ")
