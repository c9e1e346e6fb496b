"""Several workers, a dispatcher and a strict sandbox in one process: the whole path without Celery."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from config import names
from config.accounts import Account
from config.settings import Settings
from models.database import Database
from models.moves import add_counts
from models.plain import trail_line
from models.states import BatchState, CampaignState, MessageState
from models.tables import Batch, Campaign, Lane, Message
from models.types import new_id
from producer.dispatch import dispatch
from sandbox.server import Options, Running, serve
from workers.runtime import Runtime
from workers.snapshot import take_snapshot
from workers.submit import submit_batch

TICK = 0.1


class SandboxThread:
    """A sandbox on a loop of its own, and its truth by plain function calls."""

    def __init__(self, config: Mapping[str, Mapping[str, Any]]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.running: Running = self._run(serve(Options(config=config)))
        bases: Any = self.running.announcement()["base_urls"]
        self.base_urls: dict[str, str] = bases

    def configure(self, config: Mapping[str, Mapping[str, Any]]) -> None:
        async def change() -> None:
            self.running.sandbox.control.configure(config)

        self._run(change())

    def arrivals(self, provider: str) -> list[tuple[float, int, bool]]:
        """(when by the sandbox's clock, messages, admitted) of every request that reached the limits."""
        log = list(self.running.sandbox.providers[provider].ledger.arrivals)
        return [(at, messages, admitted) for at, _, _, messages, admitted in log]

    def senders(self, provider: str) -> list[tuple[float, str]]:
        """(when accepted, sender) of every accepted message."""
        return [(e.accepted_at, e.sender) for e in list(self.running.sandbox.providers[provider].ledger.entries)]

    def throttled(self, provider: str) -> int:
        return self.running.sandbox.providers[provider].ledger.counts.throttled

    def close(self) -> None:
        self._run(self.running.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=20)


@dataclass(frozen=True, slots=True)
class Ask:
    """A campaign to plant."""

    account: str
    rows: int
    size: int = 20
    priority: str = "normal"
    max_rate: float | None = None
    sender: str = "Drumline"
    route: tuple[str, ...] = ()
    failover: bool = True
    state: CampaignState = CampaignState.RUNNING


class Cluster:
    """`workers` runtimes over one database and one Redis. `step` is what beat does; `run` repeats it."""

    def __init__(self, folder: Path, redis_url: str, accounts: Sequence[Account], workers: int = 3) -> None:
        self.settings = Settings(database_url=f"sqlite:///{folder / 'cluster.db'}", redis_url=redis_url)
        self.accounts = {account.name: account for account in accounts}
        self.database = Database(self.settings.database_url)
        self.database.migrate()
        self.threads = ThreadPoolExecutor(32)
        self.jobs: list[Future[Any]] = []
        self._turn = 0
        self.runtimes = [
            Runtime(self.settings, self.accounts, Database(self.settings.database_url), self.send_task)
            for _ in range(workers)
        ]

    def send_task(self, task: str, args: Sequence[str] = (), **_: object) -> None:
        """What Celery would do, at once and in a thread; the dispatcher's own tick comes soon anyway."""
        use: dict[str, Callable[[Runtime], Any]] = {
            names.SUBMIT_BATCH: lambda here: submit_batch(here, UUID(args[0])),
            names.SNAPSHOT: lambda here: take_snapshot(here, args[0]),
        }
        if task in use:
            self._turn += 1
            here = self.runtimes[self._turn % len(self.runtimes)]
            self.jobs.append(self.threads.submit(lambda: here.run(use[task](here))))

    def step(self) -> int:
        return dispatch(self.database, self.accounts, self.send_task, self.database.now())

    def snapshot(self, account: str, worker: int = 0) -> None:
        here = self.runtimes[worker]
        here.run(take_snapshot(here, account))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Dispatch ten times a second. Errors of jobs come up here."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            self.step()
            self._raise_errors()
            time.sleep(TICK)

    def settle(self) -> None:
        """Wait for what is in work."""
        while self.jobs:
            self.jobs.pop().result(timeout=60)

    def _raise_errors(self) -> None:
        ended = [job for job in self.jobs if job.done()]
        self.jobs = [job for job in self.jobs if not job.done()]
        for job in ended:
            job.result()

    def close(self) -> None:
        for here in self.runtimes:
            here.stop()
        self.settle()
        for here in self.runtimes:
            here.close()
        self.threads.shutdown()
        self.database.close()

    # --- what is in the database -------------------------------------------------------------------------------------

    def plant(self, ask: Ask) -> UUID:
        return plant(self.database, self.accounts, ask)

    def messages(self, campaign: UUID | None = None) -> list[Message]:
        query = select(Message).order_by(Message.row_no)
        with self.database.read() as session:
            rows = list(session.execute(query).scalars())
        return [row for row in rows if campaign in (None, row.campaign_id)]

    def left(self, campaign: UUID) -> int:
        return sum(row.submitted_at is not None for row in self.messages(campaign))

    def set_state(self, campaign: UUID, state: CampaignState) -> None:
        with self.database.write() as session:
            session.execute(update(Campaign).where(Campaign.id == campaign).values(state=state))


def plant(database: Database, accounts: Mapping[str, Account], ask: Ask) -> UUID:
    """A campaign of `rows` messages in batches of `size`, as if imported."""
    now, campaign_id = database.now(), new_id()
    route = ask.route or (ask.account,)
    with database.write() as session:
        session.add(
            Campaign(
                id=campaign_id, name="planted", state=ask.state, sender=ask.sender, template="Hello",
                common_text="Hello", route=dict.fromkeys(route, 1), options={}, priority=ask.priority,
                max_rate=ask.max_rate, failover=ask.failover, created_at=now, started_at=now,
            )
        )  # fmt: skip
        session.flush()
        session.add_all(Lane(campaign_id=campaign_id, account=name, finish=0.0) for name in route)
        for start in range(0, ask.rows, ask.size):
            part = range(start, min(start + ask.size, ask.rows))
            session.add_all(_batch(campaign_id, accounts[ask.account], ask, part, now))
        add_counts(session, {(campaign_id, ask.account, str(MessageState.QUEUED)): ask.rows})
    return campaign_id


def _batch(campaign_id: UUID, account: Account, ask: Ask, part: range, now: datetime) -> list[Batch | Message]:
    batch_id = new_id()
    rows: list[Batch | Message] = [
        Batch(
            id=batch_id, campaign_id=campaign_id, account=account.name, size=len(part), not_before=now,
            state=BatchState.PLANNED,
        )
    ]  # fmt: skip
    rows += [
        Message(
            id=new_id(), campaign_id=campaign_id, batch_id=batch_id, row_no=number + 1, account=account.name,
            msisdn=f"+447700900{1 + number % 899:03d}", country="GB", sender=account.sender_for(ask.sender),
            encoding="GSM7", segments=1, state=MessageState.QUEUED,
            trail=trail_line(MessageState.QUEUED, "imported", now),
        )
        for number in part
    ]  # fmt: skip
    return rows
