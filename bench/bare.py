"""A script that sends and keeps nothing: what the same HTTP client does against the same sandbox.

Run by bench.throughput: python -m bench.bare BASE_URL MESSAGES CONNECTIONS; prints the seconds it took.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator

import uvloop

from config.accounts import Account
from providers.accounts import open_provider
from providers.base import Outgoing
from providers.http import Carrier, ConnectionSettings, HttpClient
from providers.wire import Reply


async def send_all(base_url: str, messages: int, connections: int) -> float:
    """Seconds for so many messages, one in each request, on so many connections."""
    account = Account("quicksms", "quicksms", base_url, credentials={"api_key": "sk_live_sandbox"})
    provider = open_provider(account, "")
    left = iter(range(messages))
    async with HttpClient(ConnectionSettings(max_connections=connections), Carrier.HTTPX) as client:

        async def send_some(numbers: Iterator[int]) -> None:
            for number in numbers:
                ref = f"bare-{number}"
                message = Outgoing(ref, ref, f"+447700900{1 + number % 899:03d}", "Drumline", "Hello")
                reply = await client.send(provider.submit_request([message], ref))
                _check(reply)

        began = time.perf_counter()
        await asyncio.gather(*(send_some(left) for _ in range(connections)))
        return time.perf_counter() - began


def _check(reply: Reply) -> None:
    if reply.status >= 300:
        raise SystemExit(f"the sandbox answered {reply.status}: {reply.body[:200]!r}")


if __name__ == "__main__":
    print(uvloop.run(send_all(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
