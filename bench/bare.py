"""A script that sends and keeps nothing: what the same HTTP client does against the same sandbox.

Run by bench.throughput: python -m bench.bare BASE_URL MESSAGES CONNECTIONS bare|usual; prints the seconds it took.
`bare`: with the client that the workers have, which leaves out httpx's redirects, cookies and hooks; `usual`: with
`httpx.AsyncClient` over the same transport, as such scripts are written.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import uvloop

from config.accounts import Account
from providers.accounts import open_provider
from providers.base import Outgoing
from providers.http import Carrier, ConnectionSettings, HttpClient
from providers.transport import LineTransport
from providers.wire import Reply, Request, Send


@asynccontextmanager
async def sender(connections: int, usual: bool) -> AsyncIterator[Send]:
    """What sends a request and reads its answer."""
    settings = ConnectionSettings(max_connections=connections)
    if not usual:
        async with HttpClient(settings, Carrier.HTTPX) as client:
            yield client.send
        return
    async with httpx.AsyncClient(transport=LineTransport(settings), trust_env=False) as common:

        async def send(request: Request) -> Reply:
            answer = await common.request(
                request.method, request.url, headers=request.headers, content=request.body, timeout=request.timeout
            )
            return Reply(answer.status_code, answer.headers, answer.content)

        yield send


async def send_all(base_url: str, messages: int, connections: int, usual: bool) -> float:
    """Seconds for so many messages, one in each request, on so many connections."""
    account = Account("quicksms", "quicksms", base_url, credentials={"api_key": "sk_live_sandbox"})
    provider = open_provider(account, "")
    left = iter(range(messages))
    async with sender(connections, usual) as send:

        async def send_some(numbers: Iterator[int]) -> None:
            for number in numbers:
                ref = f"bare-{number}"
                message = Outgoing(ref, ref, f"+447700900{1 + number % 899:03d}", "Drumline", "Hello")
                reply = await send(provider.submit_request([message], ref))
                _check(reply)

        began = time.perf_counter()
        await asyncio.gather(*(send_some(left) for _ in range(connections)))
        return time.perf_counter() - began


def _check(reply: Reply) -> None:
    if reply.status >= 300:
        raise SystemExit(f"the sandbox answered {reply.status}: {reply.body[:200]!r}")


if __name__ == "__main__":
    print(uvloop.run(send_all(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "usual")))
