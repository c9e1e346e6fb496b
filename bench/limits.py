"""Are the limits kept, and is the allowance used? Real processes against a sandbox with strict sliding windows.

Run: python -m bench.limits [--seconds 180] [--only both,fast,...] [--postgres] [--json FILE]

Every figure about requests is counted from the sandbox's own arrival log, by its own clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from bench import limits_micro
from bench.limits_figures import CLIQTEL, Rule, figures
from bench.limits_world import Plan, World, attempts_by_outcome, launch, left_by, plant, world

WARM_UP = 10.0  # seconds that the steady share leaves out
PATIENCE = 60.0  # seconds until the first request
QUICKSMS = (Rule(1000, 60.0),)
FAST = (Rule(500, 1.0),)
BIG, SMALL = 1_000_000, 100

Scenario = Callable[[argparse.Namespace], Awaitable[dict[str, Any]]]


async def both(asked: argparse.Namespace) -> dict[str, Any]:
    """Cliqtel (60 a minute and 10 a second) and QuickSMS (1000 a minute) at once, four worker processes."""
    async with world(Plan(postgres=asked.postgres)) as running:
        return await _both(running, asked.seconds)


async def _both(running: World, seconds: float) -> dict[str, Any]:
    plant(running, "cliqtel", int(seconds * 1.2) + 60)
    plant(running, "quicksms", int(seconds * 17) + 400)
    await _until_first(running, {"cliqtel", "quicksms"})
    await asyncio.sleep(seconds)
    log = await running.arrivals()
    rules = {"cliqtel": CLIQTEL, "quicksms": QUICKSMS}
    return {name: figures(log[name], rules[name], seconds, WARM_UP) for name in rules}


async def fast(asked: argparse.Namespace) -> dict[str, Any]:
    """500 requests a second, one message each."""
    seconds = asked.seconds
    async with world(Plan(quicksms=(500, 1.0), postgres=asked.postgres)) as running:
        plant(running, "quicksms", int(seconds * 500) + 10_000)
        await _until_first(running, {"quicksms"})
        await asyncio.sleep(seconds)
        log = await running.arrivals()
        shares = figures(log["quicksms"], FAST, seconds, min(WARM_UP, seconds / 4))
        return {"quicksms": shares, "attempts": attempts_by_outcome(running)}


async def fair(asked: argparse.Namespace) -> dict[str, Any]:
    """A campaign of a million rows and one of a hundred on one account; and an urgent one."""
    async with world(Plan(postgres=asked.postgres)) as running:
        began = time.monotonic()
        plant(running, "quicksms", asked.rows)
        planted = time.monotonic() - began
        await _until_first(running, {"quicksms"})
        await asyncio.sleep(15)  # the big one has the account to itself, and all its places
        small = await _last_leaves(running, "normal")
        urgent = await _last_leaves(running, "high")
        fair_share = SMALL / (1000 / 60 / 2)
        log = await running.arrivals()
        return {
            "rows": [asked.rows, SMALL],
            "planting_seconds": round(planted, 1),
            "small_last_leaves_after_s": small,
            "twice_its_fair_share_s": round(2 * fair_share, 1),
            "in_time": small is not None and small <= 2 * fair_share,
            "urgent_last_leaves_after_s": urgent,
            "alone_it_would_take_s": round(SMALL / (1000 / 60), 1),
            "quicksms": figures(log["quicksms"], QUICKSMS, 15.0, 5.0),
        }


async def _last_leaves(running: World, priority: str) -> float | None:
    """Seconds from the start of a small campaign until its last message was accepted."""
    campaign = plant(running, "quicksms", SMALL, priority=priority, run=False)
    started = launch(running, campaign)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        left, last = await asyncio.to_thread(left_by, running, campaign)
        if left >= SMALL and last is not None:
            return round((last - started).total_seconds(), 1)
        await asyncio.sleep(0.5)
    return None


async def trouble(asked: argparse.Namespace) -> dict[str, Any]:
    """A worker killed while it holds permits, Redis killed, and one worker's clock an hour ahead: never above."""
    seconds = max(40.0, min(asked.seconds, 150.0))
    async with world(Plan(postgres=asked.postgres, skewed=1.0)) as running:
        plant(running, "cliqtel", int(seconds * 1.2) + 60)
        plant(running, "quicksms", int(seconds * 17) + 400)
        await _until_first(running, {"cliqtel", "quicksms"})
        events: list[tuple[float, Callable[[], object]]] = [
            (0.2, lambda: running.kill_worker(0)),
            (0.4, running.kill_redis),
            (0.6, lambda: running.kill_worker(1)),
            (0.7, running.kill_redis),
        ]
        began = time.monotonic()
        for share, happens in events:
            await asyncio.sleep(max(0.0, share * seconds - (time.monotonic() - began)))
            happens()
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began)))
        log, stats = await running.arrivals(), await running.stats()
        return {
            "cliqtel": figures(log["cliqtel"], CLIQTEL, seconds, WARM_UP),
            "quicksms": figures(log["quicksms"], QUICKSMS, seconds, WARM_UP),
            "duplicates": {name: stats[name]["duplicates"] for name in ("cliqtel", "quicksms")},
            "clock_ahead_h": 1.0,
        }


async def cost(asked: argparse.Namespace) -> dict[str, Any]:
    """What the limiter itself costs on one Redis."""
    return await asyncio.to_thread(limits_micro.measure_all)


SCENARIOS: Mapping[str, Scenario] = {"cost": cost, "both": both, "fast": fast, "fair": fair, "trouble": trouble}


async def _until_first(running: World, providers: set[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        log = await running.arrivals()
        if all(log[name] for name in providers):
            return
        await asyncio.sleep(0.2)
    raise TimeoutError(f"nothing arrived within {PATIENCE:g} s; logs in {running.stack.logs}")


async def run(asked: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"machine": _machine(), "database": "postgresql" if asked.postgres else "sqlite"}
    for name in asked.only:
        before = os.getloadavg()[0]
        found[name] = await SCENARIOS[name](asked)
        found[name]["load_before"] = round(before, 2)
        print(json.dumps({name: found[name]}, indent=2), flush=True)
    return found


def _machine() -> dict[str, Any]:
    return {"cores": os.cpu_count(), "python": platform.python_version(), "workers": Plan().workers}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.limits", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0, help="how long each scenario sends")
    parser.add_argument("--rows", type=int, default=BIG, help="rows of the big campaign")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SCENARIOS), help=",".join(SCENARIOS))
    parser.add_argument("--postgres", action="store_true", help="an embedded PostgreSQL instead of SQLite")
    parser.add_argument("--json", type=Path, default=Path("var/bench-limits.json"), help="where the figures go")
    asked = parser.parse_args()
    if unknown := set(asked.only) - set(SCENARIOS):
        sys.exit(f"unknown scenario {', '.join(sorted(unknown))}; known: {', '.join(SCENARIOS)}")
    found = asyncio.run(run(asked))
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print(f"written to {asked.json}")


if __name__ == "__main__":
    main()
