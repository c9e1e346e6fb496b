"""Messages a second without limits: rows in the database at the start, every outcome recorded at the end.

Run: python -m bench.throughput [--runs 3] [--large] [--only qikli,sqlite,2,60000[,10] [--profile FOLDER]] [--out FILE]

Sandbox, Redis, database and workers share the machine. Processor seconds are read from each process, so that every part
has its own figure. Of several runs the one in the middle counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from redis import Redis
from sqlalchemy import make_url, text

from bench.chart import put_into
from bench.limits_world import CLIQTEL_ACCOUNT, Plan, World, launch, left_by, plant, world
from bench.memory import children_cpu
from config import names
from config.celery_app import make_app
from config.nudges import Nudges, waiting
from config.settings import ROOT
from models.queries import counts
from models.states import MessageState
from producer.services.children import Child

_ONE = """\
[accounts.quicksms]
provider = "quicksms"
base_url = "{quicksms}"
credentials = {{ api_key = "BENCH_QUICKSMS_KEY" }}
max_connections = 400
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
options = {{ service = "T" }}
poll = {{ every = "600s" }}
"""
LATE = {"dlr_delay": [100_000, 100_001], "push": False, "keep_text": False, "limits": [], "suffix_rules": False}
SCENES: Mapping[str, tuple[str, str]] = {
    "one": ("quicksms", _ONE), "qikli": ("qikli", _QIKLI), "qikberry": ("qikberry", _QIKBERRY),
}  # fmt: skip
PATIENCE = 180.0
MILLION = 1_000_000
WARM_UP = 2_000  # messages


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: a scene on a database with so many worker processes and messages."""

    scene: str
    database: str
    workers: int
    messages: int
    profile: str | None = None
    beside: int = 0  # campaigns of a million messages each that run beside it on a slow account

    def __str__(self) -> str:
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        beside = f", {self.beside} x 1,000,000 beside" if self.beside else ""
        return f"{self.scene}, {self.database}, {workers}, {self.messages:,} messages{beside}"


async def measure(case: Case) -> dict[str, Any]:
    """One campaign through one account, as fast as it goes; checked against the sandbox's ledger."""
    account, accounts = SCENES[case.scene]
    speed = await asyncio.to_thread(loop_seconds)
    if case.beside:
        accounts += CLIQTEL_ACCOUNT
    plan = Plan(
        postgres=case.database == "postgresql", workers=case.workers, accounts=accounts,
        sandbox={account: LATE, "cliqtel": {"push": False}},
    )  # fmt: skip
    async with world(plan) as running:
        for _ in range(case.beside):
            plant(running, "cliqtel", MILLION)
        _tidy(running)
        first = _warm_up(case)
        await until_left(running, plant(running, account, first), first)
        _tidy(running)
        await running.reset()
        bare = await _bare(running, case) if case.scene == "one" else {}
        found = {"loop_s": speed, **await _run(running, account, case)}
        for script, rate in bare.items():
            found |= {f"{script}_messages_per_s": rate, f"ratio_to_{script}": round(found["messages_per_s"] / rate, 2)}
        return found


def loop_seconds() -> float:
    """Seconds for ten million turns of an empty loop: by it, runs of different hours can be compared."""
    begun = time.perf_counter()
    for _ in range(10_000_000):
        pass
    return round(time.perf_counter() - begun, 3)


def _warm_up(case: Case) -> int:
    """Messages that go before: all processes import and connect. With PostgreSQL as many as are measured then: its
    buffers are mapped, and its log writes to files that it has written to before, as in any server of some hours."""
    return min(case.messages, 200_000) if case.database == "postgresql" else WARM_UP


def _tidy(running: World) -> None:
    """What autovacuum does in the hour after so many rows came, and would otherwise do while we measure; and what the
    server does every five minutes."""
    if running.database.dialect == "postgresql":
        with running.database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            for step in ("VACUUM (ANALYZE) messages", "CHECKPOINT"):
                connection.execute(text(step))


async def _bare(running: World, case: Case) -> dict[str, int]:
    """Messages a second of scripts that keep nothing: with the workers' HTTP client, and with httpx's as usual."""
    address, rates = running.accounts["quicksms"].base_url, {}
    for name in ("bare", "usual"):
        script = [sys.executable, "-m", "bench.bare", address, str(case.messages), "50", name]
        done = await asyncio.to_thread(subprocess.run, script, stdout=subprocess.PIPE, check=True)
        rates[name] = round(case.messages / float(done.stdout))
        await running.reset()
    return rates


async def _run(running: World, account: str, case: Case) -> dict[str, Any]:
    campaign = plant(running, account, case.messages, run=False)
    size = _stored(running)
    before = processor(running)
    with _bell(running) as ring:
        begun = time.monotonic()
        launch(running, campaign)
        ring()  # as the API does
    spies = _spies(running, case.profile)
    took = await until_left(running, campaign, case.messages) - begun
    after = processor(running)
    for spy in spies:
        spy.wait(timeout=120)
    stats = (await running.stats())[account]
    if stats["accepted"] != case.messages or stats["duplicates"]:
        raise SystemExit(f"{case}: the sandbox took {stats['accepted']}, {stats['duplicates']} of them twice")
    spent = {name: round((after[name] - before[name]) / case.messages * 1e6, 1) for name in after}
    return {
        "messages": case.messages, "workers": case.workers, "seconds": round(took, 2),
        "messages_per_s": round(case.messages / took), "requests": stats["requests"],
        "cpu_s_per_1000": round(sum(spent.values()) / 1000, 3), "cpu_us_per_message": spent,
        "database_bytes_per_message": round((_stored(running) - size) / case.messages),
        "first_byte_ms": await _first_byte(running, account, begun),
        "worker_memory_mb": max(_resident(child) for child in running.workers),
        "redis_memory_mb": _redis_memory(running),
    }  # fmt: skip


async def _first_byte(running: World, account: str, begun: float) -> int:
    """Milliseconds from the start to the first submit's arrival at the provider, which shares our monotonic clock."""
    arrived = (one.at for one in (await running.arrivals())[account] if one.method == "POST" and one.at >= begun)
    return round((min(arrived) - begun) * 1000)


@contextmanager
def _bell(running: World) -> Iterator[Callable[[], None]]:
    """Wakes the dispatcher, on a connection that stands."""
    settings = running.stack.settings.model_copy(update={"redis_url": running.stack.environment["DRUMLINE_REDIS_URL"]})
    app = make_app(settings)
    nudge = Nudges(app)
    with app.producer_or_acquire() as producer:
        waiting(producer, names.CONTROL_QUEUE)  # connects
    yield lambda: nudge(names.DISPATCH, queue=names.CONTROL_QUEUE)
    app.close()


def _stored(running: World) -> int:
    """Bytes of the database."""
    with running.database.read() as session:
        if running.database.dialect == "postgresql":
            return int(session.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    path = Path(str(make_url(running.database.url).database))
    return sum(part.stat().st_size for part in path.parent.glob(path.name + "*"))


def _resident(child: Child) -> int:
    pages = int(Path(f"/proc/{child.pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000


def _redis_memory(running: World) -> float:
    with Redis.from_url(running.stack.environment["DRUMLINE_REDIS_URL"]) as client:
        used = client.info("memory")
        return float(round(used["used_memory"] / 1e6, 1))


async def until_left(running: World, campaign: UUID, messages: int) -> float:
    """The monotonic second at which the last outcome was committed."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if await asyncio.to_thread(_settled, running, campaign) >= messages:
            return time.monotonic()
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{await asyncio.to_thread(left_by, running, campaign)} of {messages} after {PATIENCE:g} s")


def _settled(running: World, campaign: UUID) -> int:
    with running.database.read() as session:
        return sum(by_state.get(MessageState.SUBMITTED, 0) for by_state in counts(session, campaign).values())


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
    """What holds the interpreter of the first worker, for eight seconds."""
    if not folder:
        return []
    Path(folder).mkdir(parents=True, exist_ok=True)
    spy = f"{Path(sys.executable).parent / 'py-spy'} record --duration 8 --rate 100 --gil --format raw --output".split()
    first = running.workers[0]
    return [subprocess.Popen([*spy, f"{folder}/worker.txt", "--pid", str(first.pid)])]


CASES = (
    Case("one", "sqlite", 2, 20_000), Case("one", "postgresql", 2, 20_000),
    Case("qikli", "sqlite", 2, 200_000), Case("qikli", "postgresql", 2, 200_000),
    Case("qikberry", "sqlite", 2, 200_000), Case("qikberry", "postgresql", 2, 200_000),
    Case("qikli", "sqlite", 1, 100_000), Case("qikli", "sqlite", 4, 100_000),
    Case("qikli", "postgresql", 1, 100_000), Case("qikli", "postgresql", 4, 100_000),
)  # fmt: skip
# Once each: they take minutes to prepare. Memory over sizes, and a table that is full already.
LARGE = (
    Case("qikli", "sqlite", 2, 10_000), Case("qikli", "sqlite", 2, MILLION),
    Case("qikli", "postgresql", 2, 10_000), Case("qikli", "postgresql", 2, MILLION),
    Case("qikli", "sqlite", 2, 200_000, beside=10), Case("qikli", "postgresql", 2, 200_000, beside=10),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="one case: scene,database,workers,messages[,campaigns beside]")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="also a million messages, and ten millions in the table")
    parser.add_argument("--profile", default=None, help="folder for a profile of one worker")
    parser.add_argument("--out", type=Path, default=Path("bench/results.json"))
    asked = parser.parse_args()
    if asked.only:
        name, database, workers, messages, *beside = asked.only.split(",")
        case = Case(name, database, int(workers), int(messages), asked.profile, int(beside[0]) if beside else 0)
        print(json.dumps(asyncio.run(measure(case)), indent=2))
        return
    results: dict[str, Any] = {"cores": os.cpu_count(), "python": platform.python_version(), "runs": asked.runs}
    results |= {"load_before": round(os.getloadavg()[0], 2), "cases": {}}
    for case, times in [*((case, asked.runs) for case in CASES), *((case, 1) for case in LARGE if asked.large)]:
        runs = sorted((asyncio.run(measure(case)) for _ in range(times)), key=lambda run: int(run["messages_per_s"]))
        middle = {**runs[len(runs) // 2], "all_messages_per_s": [run["messages_per_s"] for run in runs]}
        results["cases"][str(case)] = middle
        ratio = f", {middle['ratio_to_bare']} of a bare script" if "ratio_to_bare" in middle else ""
        spent = f"{middle['cpu_s_per_1000']} CPU s per 1,000 (loop {middle['loop_s']} s)"
        print(f"{case}: {middle['messages_per_s']:,} messages/s{ratio}, {spent}")
        asked.out.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    put_into(ROOT / "docs" / "performance.md", ROOT / "docs" / "throughput.svg", results["cases"])
    print(f"written to {asked.out}, docs/performance.md and docs/throughput.svg")


if __name__ == "__main__":
    main()
