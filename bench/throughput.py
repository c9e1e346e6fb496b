"""Messages a second without limits: rows in the database at the start, every outcome recorded at the end.

Run: python -m bench.throughput [--only one,qikli,qikberry] [--messages 50000] [--workers 2] [--postgres] [--profile D]

Sandbox, Redis, database and workers share the machine. Processor seconds are read from each process, so that every part
has its own figure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from bench.limits_world import Plan, World, left_by, plant, world
from bench.memory import children_cpu
from producer.services.children import Child

_ONE = """\
[accounts.quicksms]
provider = "quicksms"
base_url = "{quicksms}"
credentials = {{ api_key = "BENCH_QUICKSMS_KEY" }}
webhook = {{ push = true, secret = "BENCH_SECRET", token = "BENCH_SECRET" }}
"""
_QIKLI = """\
[accounts.qikli]
provider = "qikli"
base_url = "{qikli}"
credentials = {{ username = "BENCH_QIKLI_KEY", password = "BENCH_QIKLI_KEY" }}
poll = {{ every = "600s" }}
"""
_QIKBERRY = """\
[accounts.qikberry]
provider = "qikberry"
base_url = "{qikberry}"
credentials = {{ access_token = "BENCH_QIKBERRY_TOKEN" }}
poll = {{ every = "600s" }}
"""
_LATE = {"dlr_delay": [100_000, 100_001], "push": False, "keep_text": False, "limits": [], "suffix_rules": False}
SCENES: Mapping[str, tuple[str, str]] = {
    "one": ("quicksms", _ONE), "qikli": ("qikli", _QIKLI), "qikberry": ("qikberry", _QIKBERRY),
}  # fmt: skip
PATIENCE = 600.0


async def scene(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """One campaign through one account, as fast as it goes."""
    account, accounts = SCENES[name]
    plan = Plan(postgres=asked.postgres, workers=asked.workers, accounts=accounts, sandbox={account: _LATE})
    async with world(plan) as running:
        await _warm(running, account)
        return await _run(running, account, asked)


async def _warm(running: World, account: str) -> None:
    """Processes import and connect on their first batch: that is not what is measured."""
    campaign = plant(running, account, 2_000)
    await _until_left(running, campaign, 2_000)
    await running.reset()


async def _run(running: World, account: str, asked: argparse.Namespace) -> dict[str, Any]:
    campaign = plant(running, account, asked.messages, run=False)
    before, begun = processor(running), time.monotonic()
    from bench.limits_world import launch

    launch(running, campaign)
    spies = _spies(running, asked.profile)
    took = await _until_left(running, campaign, asked.messages) - begun
    after = processor(running)
    for spy in spies:
        spy.wait(timeout=120)
    spent = {name: round((after[name] - before[name]) / asked.messages * 1e6, 1) for name in after}
    stats = (await running.stats())[account]
    return {
        "messages": asked.messages, "workers": asked.workers, "seconds": round(took, 2),
        "messages_per_s": round(asked.messages / took), "cpu_us_per_message": spent,
        "cpu_us_per_message_all": round(sum(spent.values()), 1), "sandbox": stats,
    }  # fmt: skip


async def _until_left(running: World, campaign: UUID, messages: int) -> float:
    """The monotonic second at which the last outcome was committed."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if await asyncio.to_thread(_settled, running, campaign) >= messages:
            return time.monotonic()
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{await asyncio.to_thread(left_by, running, campaign)} of {messages} after {PATIENCE:g} s")


def _settled(running: World, campaign: UUID) -> int:
    with running.database.read() as session:
        query = text("SELECT coalesce(sum(n), 0) FROM campaign_counts WHERE campaign_id = :id AND state = 'submitted'")
        return int(
            session.execute(
                query, {"id": campaign.hex if running.database.dialect == "sqlite" else campaign}
            ).scalar_one()
        )


def processor(running: World) -> dict[str, float]:
    """Processor seconds so far by part."""
    found: dict[str, float] = {}
    for child in running.stack.children:
        part = child.program.name.split("-")[0] if child not in running.workers else "workers"
        found[part] = found.get(part, 0.0) + _own(child)
    if running.database.dialect == "postgresql":
        found["database"] = children_cpu(_postmaster(running))
    return found


def _own(child: Child) -> float:
    fields = Path(f"/proc/{child.pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _postmaster(running: World) -> int:
    with running.database.read() as session:
        return int(
            Path(session.execute(text("SHOW data_directory")).scalar_one(), "postmaster.pid").read_text().split()[0]
        )


def _spies(running: World, folder: str | None) -> list[subprocess.Popen[bytes]]:
    if not folder:
        return []
    Path(folder).mkdir(parents=True, exist_ok=True)
    spy = [
        str(Path(sys.executable).parent / "py-spy"),
        "record",
        "--duration",
        "8",
        "--rate",
        "100",
        "--gil",
        "--format",
        "raw",
    ]
    return [
        subprocess.Popen([*spy, "--output", f"{folder}/{n}.txt", "--pid", str(child.pid)])
        for n, child in enumerate(running.workers[:1])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SCENES))
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--profile", default=None)
    asked = parser.parse_args()
    for name in asked.only.split(","):
        print(name, json.dumps(asyncio.run(scene(name, asked)), indent=2))


if __name__ == "__main__":
    main()
