"""Requests, servers that stay silent and the carriers, for the tests of the HTTP client."""

import asyncio

import pytest

from providers.http import Carrier
from providers.wire import Request
from tests.support.raw_server import Peer, RawServer, until_end

CARRIERS = pytest.mark.parametrize("carrier", Carrier)
# httpx's own transport takes a fresh connection for each request (see providers.transport).
OURS = pytest.mark.parametrize("carrier", [Carrier.LEAN, Carrier.HTTPX])


def request_to(server: RawServer, method: str = "POST", timeout: float = 5.0, max_body: int = 100_000) -> Request:
    body = b"" if method == "GET" else b"{}"
    return Request(method, server.url, {"Content-Type": "application/json"}, body, timeout, max_body)


async def silent(peer: Peer) -> None:
    await peer.read_request()
    await until_end(peer)


async def arrival(server: RawServer) -> None:
    async with asyncio.timeout(5):
        await server.arrived.wait()
