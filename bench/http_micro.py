"""What one POST costs the HTTP client: python -m bench.http_micro [--seconds 3] [--connections 50] [--carrier lean ...]

A server in a process of its own answers each POST (467 bytes of JSON, as one message to one number has) with 201.
Printed per carrier and event loop: requests per second, and CPU microseconds of the client process per request. The
second is the one that counts, because the first is also bounded by the server; a core carries 1,000,000 / CPU us.
"""

import argparse
import asyncio
import multiprocessing
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from multiprocessing.connection import Connection
from typing import cast

import aiohttp
import uvloop

from providers.http import Carrier, ConnectionSettings, HttpClient
from providers.wire import Request

BODY = b'{"to": "+447700900123", "text": "' + b"x" * 432 + b'"}'
ANSWER = b'{"id": "0190c8c2-8e0c-7b6e-9d0e-0f6f4d1f2a3b", "status": "ACCEPTED", "segments": 3, "cost": 1}'
HEAD = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nX-RateLimit-Remaining: 99\r\nContent-Length: %d\r\n\r\n"
)
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class AnswerAll(asyncio.Protocol):
    """Counts bodies by their known length: no parsing, so that the server is not what is measured."""

    transport: asyncio.Transport
    seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it

    def data_received(self, data: bytes) -> None:
        self.seen += data
        while (end := self.seen.find(b"\r\n\r\n")) >= 0 and len(self.seen) >= end + 4 + len(BODY):
            self.seen = self.seen[end + 4 + len(BODY) :]
            self.transport.write(HEAD % len(ANSWER) + ANSWER)


def serve(ready: Connection) -> None:
    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(AnswerAll, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(forever())


async def crowd(post: Callable[[], Awaitable[object]], connections: int, seconds: float) -> int:
    """How many requests so many workers got answered."""
    end = time.perf_counter() + seconds

    async def worker() -> int:
        count = 0
        while time.perf_counter() < end:
            await post()
            count += 1
        return count

    return sum(await asyncio.gather(*(worker() for _ in range(connections))))


async def ours(url: str, carrier: Carrier, connections: int, seconds: float) -> int:
    headers = {"Authorization": "Bearer k", "Content-Type": "application/json", "Idempotency-Key": "0190c8c2-8e0c"}
    request = Request("POST", url, headers, BODY)
    async with HttpClient(ConnectionSettings(max_connections=connections), carrier) as client:
        return await crowd(partial(client.send, request), connections, seconds)


async def bare(url: str, connections: int, seconds: float) -> int:
    """aiohttp alone, with nothing of ours around it: the floor."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:

        async def post() -> None:
            async with session.post(url, data=BODY) as response:
                await response.read()

        return await crowd(post, connections, seconds)


def measure(name: str, loop: str, work: Coroutine[object, object, int]) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        wall, cpu = time.perf_counter(), time.process_time()
        count = runner.run(work)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:8} {loop:8} {count / wall:8,.0f} requests/s {cpu / count * 1e6:8.1f} CPU us/request")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--carrier", choices=list(Carrier), nargs="*", default=list(Carrier))
    options = parser.parse_args()
    port, sender = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.Process(target=serve, args=(sender,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{port.recv()}/v2/messages"
    try:
        for loop in LOOPS:
            measure("aiohttp", loop, bare(url, options.connections, options.seconds))
            for carrier in options.carrier:
                measure(carrier, loop, ours(url, Carrier(carrier), options.connections, options.seconds))
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
