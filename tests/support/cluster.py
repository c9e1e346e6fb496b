"""Several workers, a dispatcher and a strict sandbox in one process: the whole path without Celery."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
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
from config.settings import ROOT, Settings
from models.database import Database
from models.moves import add_counts
from models.plain import trail_line
from models.states import BatchState, CampaignState, MessageState
from models.tables import Batch, Campaign, Lane, Message
from models.types import new_id
from producer.dispatch import dispatch
from workers.in_turn import submit_in_turn
from workers.runtime import Runtime
from workers.snapshot import take_snapshot

TICK = 0.1


class SandboxProcess:
    """A sandbox in a process of its own, and its truth by plain function calls.

    Its own process, because it judges by its clock when a request arrives: next to the workers on one interpreter it
    would note arrivals late whenever they compute, and find fault with a limiter that kept its word.
    """

    def __init__(self, config: Mapping[str, Mapping[str, Any]]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        ready = Path(self._folder.name) / "ready.json"
        self._process = subprocess.Popen([sys.executable, "-m", "sandbox", "--ready-file", str(ready)], cwd=ROOT)
        deadline = time.monotonic() + 30
        while not ready.exists():
            assert self._process.poll() is None, "the sandbox did not start"
            assert time.monotonic() < deadline, "the sandbox did not start in time"
            time.sleep(0.02)
        announced = json.loads(ready.read_text("utf-8"))
        self._control = str(announced["control"])
        self.base_urls: dict[str, str] = announced["base_urls"]
        self.configure(config)

    def configure(self, config: Mapping[str, Mapping[str, Any]]) -> None:
        self._ask("config", json.dumps(config).encode())

    def arrivals(self, provider: str) -> list[tuple[float, int, bool]]:
        """(when by the sandbox's clock, messages, admitted) of every request that reached the limits."""
        log = json.loads(self._ask(f"arrivals?provider={provider}"))["arrivals"][provider]
        return [(at, messages, admitted) for at, _, _, messages, admitted in log]

    def senders(self, provider: str) -> list[tuple[float, str]]:
        """(when accepted, sender) of every accepted message."""
        entries = map(json.loads, self._ask(f"ledger?provider={provider}").splitlines())
        return [(entry["accepted_at"], entry["sender"]) for entry in entries]

    def throttled(self, provider: str) -> int:
        return self.count(provider, "throttled")

    def count(self, provider: str, what: str) -> int:
        return int(json.loads(self._ask(f"stats?provider={provider}"))["providers"][provider][what])

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
        self._folder.cleanup()

    def _ask(self, what: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{self._control}/{what}", data=body)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return bytes(answer.read())


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
            names.SUBMIT_BATCH: lambda here: submit_in_turn(here, UUID(args[0])),
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
