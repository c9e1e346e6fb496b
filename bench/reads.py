"""`GET /v1/campaigns/{id}` while the campaign's messages leave.

Run: python -m bench.reads [--messages 1000000] [--json FILE]

Real processes on SQLite: sandbox without limits, Redis, two workers, and the API that is asked, one question after the
other on one connection. Prints milliseconds and how many messages a second left meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from bench.limits_world import Plan, World, left_by, plant, world
from bench.throughput import LATE, SCENES, until_left
from producer.keys import create_key

ASKED = 300


async def measure(messages: int) -> dict[str, Any]:
    """Milliseconds of `ASKED` questions, begun when the first thousand messages have left."""
    account, accounts = SCENES["one"]
    async with world(Plan(workers=2, accounts=accounts, sandbox={account: LATE})) as running:
        with running.database.write() as session:
            secret, _ = create_key(session, "bench", "read", running.database.now())
        url = await running.stack.api()
        await running.stack.answering("api", url)
        campaign = plant(running, account, messages)
        await until_left(running, campaign, 1_000)
        before, began = await _left(running, campaign), time.monotonic()
        times = await _ask(f"{url}/v1/campaigns/{campaign}", secret)
        rate = (await _left(running, campaign) - before) / (time.monotonic() - began)
    return {
        "messages": messages, "asked": ASKED, "left_per_s": round(rate),
        "median_ms": round(statistics.median(times), 1), "p95_ms": round(sorted(times)[int(0.95 * ASKED)], 1),
    }  # fmt: skip


async def _left(running: World, campaign: UUID) -> int:
    return (await asyncio.to_thread(left_by, running, campaign))[0]


async def _ask(url: str, secret: str) -> list[float]:
    times = []
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {secret}"}, timeout=30) as client:
        for _ in range(ASKED):
            began = time.perf_counter()
            (await client.get(url)).raise_for_status()
            times.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.02)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, default=Path("var/bench-reads.json"))
    asked = parser.parse_args()
    found = asyncio.run(measure(asked.messages))
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
