"""A small world to try the workers in: one database, one Redis, accounts with scripted providers, a clock to move.

Celery is left out: `step` dispatches by `producer.dispatch.choose` and submits by `workers.submit.submit_batch`.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast
from uuid import UUID

from sqlalchemy import select

from config.accounts import Account, Limit
from config.settings import Settings
from models.database import Database
from models.queries import account_status, counts, recount
from models.states import BatchState, MessageState
from models.tables import Attempt, Batch, DeliveryReport, InboxPage, Message
from producer.dispatch import choose
from providers.base import Parsed, Report
from providers.http import HttpClient
from tests.support.clock import Clock
from tests.support.rows import ACCOUNT, add_batch, add_campaign, add_messages
from tests.support.scripted import Line, Scripted
from workers import closing, sweep
from workers.breaker import BreakerUnavailable, Probe
from workers.reconcile import apply_inbox
from workers.runtime import AccountRuntime, Runtime
from workers.submit import Ended, submit_batch

T = TypeVar("T")
FIRST_LOOK = 10.0
PATIENCE = 10


class World:
    """`accounts` maps names to scripted providers; the first one is used where a test names none."""

    def __init__(
        self,
        database: Database,
        redis_url: str,
        accounts: Mapping[str, Scripted] | None = None,
        *,
        limits: tuple[Limit, ...] = (),
        max_connections: int = 50,
    ) -> None:
        self.database = database
        self.clock = Clock()
        self.providers = dict(accounts or {ACCOUNT: Scripted()})
        self.lines = {name: Line() for name in self.providers}
        self.tasks: list[tuple[str, tuple[str, ...]]] = []
        self.accounts = {
            name: Account(name, "scripted", "http://127.0.0.1:1", limits=limits, max_connections=max_connections)
            for name in self.providers
        }
        self.settings = Settings(redis_url=redis_url, lease_seconds=60.0)
        self.runtime = self.new_runtime()
        for name in self.accounts:
            self.runtime.run(self._prove(name))

    @property
    def provider(self) -> Scripted:
        return next(iter(self.providers.values()))

    @property
    def line(self) -> Line:
        return next(iter(self.lines.values()))

    def new_runtime(self) -> Runtime:
        """One more worker process, as far as the database and Redis can tell."""
        made = Runtime(self.settings, self.accounts, self.database, self._task, now=self.clock)
        for name in self.accounts:
            opened = made.run(made.account(name))
            opened.client = cast(HttpClient, self.lines[name])
        return made

    async def _prove(self, name: str) -> None:
        """One good answer: an account nobody has used yet gets one request at a time."""
        for _ in range(PATIENCE):
            with suppress(BreakerUnavailable):  # a machine at its limit: Redis is there, but slow
                decision = await self.runtime.breaker.allow(name)
                token = decision.token if isinstance(decision, Probe) else ""
                await self.runtime.breaker.record_success(name, token)
                return
        raise AssertionError("Redis did not answer")

    def _task(self, name: str, *, args: Sequence[str] = (), **_: object) -> None:
        self.tasks.append((name, tuple(args)))

    def close(self) -> None:
        self.runtime.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runtime.run(work)

    def account(self) -> AccountRuntime:
        return self.runtime.run(self.runtime.account(next(iter(self.accounts))))

    # --- what is there -----------------------------------------------------------------------------------------------

    def campaign(self, many: int = 1, *, batches: int = 1, account: str = "", **changes: Any) -> Sent:
        """A running campaign with its messages in batches that are already dispatched."""
        name = account or next(iter(self.accounts))
        with self.database.write() as session:
            campaign = add_campaign(session, self.clock(), route=dict.fromkeys(self.accounts, 1), **changes)
            made = [
                add_batch(session, campaign, self.clock(), state=BatchState.DISPATCHED, size=many, account=name)
                for _ in range(batches)
            ]
            ids = [
                message
                for place, batch in enumerate(made)
                for message in add_messages(session, campaign, batch, many, row_no=1 + place * many, account=name)
            ]
        return Sent(campaign, made, ids)

    def message(self, message_id: UUID) -> Message:
        with self.database.read() as session:
            return session.get_one(Message, message_id)

    def messages(self) -> list[Message]:
        with self.database.read() as session:
            return list(session.execute(select(Message).order_by(Message.row_no)).scalars())

    def states(self) -> list[MessageState]:
        return [row.state for row in self.messages()]

    def batch(self, batch_id: UUID) -> Batch:
        with self.database.read() as session:
            return session.get_one(Batch, batch_id)

    def parked_for(self, account: str) -> float:
        """Seconds that nothing is dispatched to an account."""
        with self.database.write() as session:
            until = account_status(session, account).parked_until
        return 0.0 if until is None else (until - self.clock()).total_seconds()

    def attempts(self) -> list[Attempt]:
        with self.database.read() as session:
            return list(session.execute(select(Attempt).order_by(Attempt.started_at, Attempt.id)).scalars())

    def reports(self) -> list[DeliveryReport]:
        with self.database.read() as session:
            return list(session.execute(select(DeliveryReport).order_by(DeliveryReport.id)).scalars())

    def check_counters(self, campaign_id: UUID) -> None:
        """The counters are what counting the messages gives."""
        with self.database.read() as session:
            assert counts(session, campaign_id) == recount(session, campaign_id)

    # --- what happens ------------------------------------------------------------------------------------------------

    def change(self, message_id: UUID, **values: Any) -> None:
        with self.database.write() as session:
            row = session.get_one(Message, message_id)
            for name, value in values.items():
                setattr(row, name, value)

    def dispatch(self, name: str = "") -> list[UUID]:
        account = self.accounts[name or next(iter(self.accounts))]
        with self.database.write() as session:
            return [job.batch_id for job in choose(session, account, self.clock())]

    def submit(self, batch_id: UUID, runtime: Runtime | None = None) -> Ended:
        chosen = runtime or self.runtime
        return chosen.run(submit_batch(chosen, batch_id))

    def step(self, name: str = "") -> list[Ended]:
        """Dispatch what is due and submit it."""
        return [self.submit(batch) for batch in self.dispatch(name)]

    def sweep(self) -> sweep.Swept:
        now = self.clock()
        write = self.database.write
        expired, cancelled = closing.expire_all(write, now), closing.cancel_all(write, now)
        with write() as session:
            return sweep.Swept(
                *sweep.end_leases(session, now, FIRST_LOOK),
                jobs_lost=sweep.requeue_lost_jobs(session, now),
                orphans=sweep.free_orphans(session, now, self.settings.lease_seconds, FIRST_LOOK),
                stranded=sweep.reopen_stranded(session, now),
                expired=expired + sweep.expire_queued(session, now),
                no_report=sweep.close_unreported(session, now, {}),
                cancelled=cancelled + sweep.cancel_queued(session, now),
                completed=sweep.complete_campaigns(session, now),
            )

    def report(self, *reports: Report, account: str = ACCOUNT, **more: Any) -> None:
        """One page with these reports in the inbox, applied."""
        self.page(Parsed(reports, **more), account=account)
        self.apply()

    def page(self, parsed: Parsed | Exception, *, account: str = ACCOUNT, body: bytes = b"") -> None:
        provider = self.providers[account]
        body = body or f"page {len(provider.parsed)}".encode()
        provider.parsed[body] = parsed
        with self.database.write() as session:
            session.add(InboxPage(account=account, kind="pull", received_at=self.clock(), body=body))

    def apply(self) -> int:
        """Rounds until the inbox is empty; how many messages moved."""
        moved = 0
        for _ in range(100):
            with self.database.write() as session:
                effect = apply_inbox(session, self.runtime.adapter, self.clock())
            moved += effect.moved
            if not effect:
                return moved
        raise AssertionError("the inbox never gets empty")


class Sent:
    """A campaign of the world: its ids."""

    def __init__(self, campaign: UUID, batches: list[UUID], messages: list[UUID]) -> None:
        self.id = campaign
        self.batches = batches
        self.messages = messages

    @property
    def batch(self) -> UUID:
        return self.batches[0]

    @property
    def message(self) -> UUID:
        return self.messages[0]
