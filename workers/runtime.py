"""What one worker process has: an event loop in a thread, the database, Redis, and its accounts.

Celery's threads hand coroutines to the loop and wait. One warm HTTP client per account lives on it.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog
import uvloop
from kombu.exceptions import OperationalError
from redis.asyncio import Redis
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from config import names
from config.accounts import Account
from config.settings import Settings
from models.database import PASSING_ERRORS, Database
from models.steering import Caps
from providers.accounts import open_provider
from providers.base import Provider
from providers.http import Carrier, ConnectionSettings, HttpClient
from providers.wire import NotSent, Reply, Request
from workers.breaker import CircuitBreaker
from workers.chunks import Cap, request_cap
from workers.decide import Rules
from workers.desk import Desk
from workers.gate import Gate, make_gates, past_costs
from workers.intent_pace import IntentPace
from workers.rate_limit import RateLimiter
from workers.record import Answered, Recorder, write_answers
from workers.retry import DEFAULT, QIKBERRY, QUICKSMS, Backoff

log = structlog.get_logger("drumline.runtime")

P = ParamSpec("P")
T = TypeVar("T")
BACKOFFS = {"quicksms": QUICKSMS, "qikberry": QIKBERRY}
SHOW_SPACING = 0.1  # seconds
WAKE_SPACING = 0.2  # seconds: many batches may end at once, one dispatch serves them all


@dataclass
class AccountRuntime:
    """One account at work in this process."""

    account: Account
    provider: Provider
    client: HttpClient
    gate: Gate  # submits
    poll_gate: Gate  # polls and look-ups; the same budget where the provider shares it
    cap: Cap
    rules: Rules
    desk: Desk
    pace: IntentPace
    in_flight: int = 0

    @property
    def name(self) -> str:
        return self.account.name

    def room(self) -> int:
        return self.account.max_connections - self.in_flight

    def departed(self) -> None:
        self.in_flight += 1

    def returned(self) -> None:
        self.in_flight -= 1

    async def send(self, request: Request, not_after: float) -> Reply:
        """Send, unless the caller's right to do so ended (monotonic seconds). Raises NotSent or OutcomeUnknown."""
        if time.monotonic() >= not_after:
            raise NotSent("lease_over", "the lease ended before the request could leave")
        return await self.client.send(request)


class Runtime:
    """Made once per worker process; `run` is how Celery's threads get onto the loop."""

    database_errors = (DBAPIError,)

    def __init__(
        self,
        settings: Settings,
        accounts: Mapping[str, Account],
        database: Database,
        send_task: Callable[..., Any],
        *,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.settings = settings
        self.accounts = accounts
        self.database = database
        self.now = now or database.now
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(3).hex()}"[-64:]
        self.lease_seconds = settings.lease_seconds
        self.default_caps = Caps(
            settings.cap_messages, round(settings.cap_hours * 3600), round(settings.repeat_minutes * 60)
        )
        self.stopping = False
        self._send_task = send_task
        self._opened: dict[str, asyncio.Task[AccountRuntime]] = {}
        self._adapters: dict[str, Provider] = {}
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="database")
        self._wake_planned = False
        self._shown: set[str] = set()
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="loop", daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        self._ready.wait()

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self._start)
        self.loop.run_forever()

    def _start(self) -> None:
        self.redis = Redis.from_url(self.settings.redis_url, socket_timeout=5, socket_connect_timeout=5)
        self.limiter = RateLimiter(self.redis, partial(past_costs, self))
        self.breaker = CircuitBreaker(self.redis)
        self.recorder = Recorder(self._write_answers)
        self.recorder.start()
        self._stop_event = asyncio.Event()
        self._ready.set()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop from another thread, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def stop(self) -> None:
        """Take nothing new: work hands back what it holds. Safe from any thread and from a signal handler."""
        self.stopping = True
        self.loop.call_soon_threadsafe(self._stop_event.set)

    def close(self) -> None:
        """End the loop after the last answers are written."""
        self.stop()
        self.run(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5)
        self._threads.shutdown(wait=False)
        self.database.close()

    async def _close(self) -> None:
        await self.recorder.close()
        for opened in self._opened.values():
            await (await opened).client.close()
        await self.redis.aclose()

    async def pause(self, seconds: float) -> None:
        """Sleep, but wake up when the process shuts down."""
        try:
            await asyncio.wait_for(self._stop_event.wait(), max(0.0, seconds))
        except TimeoutError:
            return

    # --- the database ------------------------------------------------------------------------------------------------

    async def write(self, step: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One transaction, on a thread of the pool."""
        return await self.loop.run_in_executor(self._threads, partial(self._in_write, step, *args, **kwargs))

    async def read(self, step: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.loop.run_in_executor(self._threads, partial(self._in_read, step, *args, **kwargs))

    async def insist(self, step: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A transaction that must happen, for what exists nowhere else: a database that is away is waited for."""
        while True:
            try:
                return await self.write(step, *args, **kwargs)
            except PASSING_ERRORS as error:
                log.warning("waiting_for_database", error=type(error.orig).__name__)
                await asyncio.sleep(1.0)

    def _in_write(self, step: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        with self.database.write() as session:
            return step(session, *args, **kwargs)

    def _in_read(self, step: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        with self.database.read() as session:
            return step(session, *args, **kwargs)

    def _write_answers(self, answers: Sequence[Answered]) -> Awaitable[None]:
        return self.write(write_answers, answers, self.now())

    # --- accounts ----------------------------------------------------------------------------------------------------

    async def account(self, name: str) -> AccountRuntime:
        """The account, opened on first use. Raises KeyError for one that the accounts file does not have."""
        if name not in self._opened:
            account = self.accounts[name]
            self._opened[name] = self.loop.create_task(self._open(account))
        return await asyncio.shield(self._opened[name])

    def adapter(self, name: str) -> Provider | None:
        """An account's adapter alone, for reading reports; None for an account that is not configured (any more)."""
        if name not in self._adapters and name in self.accounts:
            self._adapters[name] = open_provider(self.accounts[name], self.settings.public_url)
        return self._adapters.get(name)

    async def _open(self, account: Account) -> AccountRuntime:
        provider = open_provider(account, self.settings.public_url)
        gates = make_gates(self, account, provider)
        pace = IntentPace()
        backoff = BACKOFFS.get(account.provider, DEFAULT)
        return AccountRuntime(
            account=account,
            provider=provider,
            client=HttpClient(
                ConnectionSettings(max_connections=account.max_connections + 2, ca_file=account.ca_file),
                Carrier.HTTPX,
            ),
            gate=gates.submit,
            desk=Desk(gates.submit, lambda: pace.horizon),
            pace=pace,
            poll_gate=gates.poll,
            cap=request_cap(provider.max_recipients, (*account.limits, *account.sender_limits)),
            rules=Rules(
                max_tries=backoff.max_tries,
                backoff=partial(_delay, backoff),
                first_look=provider.look_up_policy.after[0] if provider.look_up_policy.after else 60.0,
                report_deadline=provider.report_deadline + self.settings.no_report_grace,
            ),
        )

    # --- the other rooms ---------------------------------------------------------------------------------------------

    def wake_dispatcher(self) -> None:
        """A batch ended: there is room for another. Losing this call costs a second, beat dispatches too."""
        if not self._wake_planned:
            self._wake_planned = True
            self.loop.call_later(WAKE_SPACING, self._wake)

    def _wake(self) -> None:
        self._wake_planned = False
        self.send_later(names.DISPATCH, names.CONTROL_QUEUE)

    def show_account(self, account: str) -> None:
        """Something changed for the whole account: tell the dispatcher's side now, not only at the next tick."""
        if account not in self._shown:
            self._shown.add(account)
            self.loop.call_later(SHOW_SPACING, self._show, account)

    def _show(self, account: str) -> None:
        self._shown.discard(account)
        self.send_later(names.SNAPSHOT, names.account_queue(account), account)

    def send_later(self, task: str, queue: str, *args: str) -> None:
        """Send a task from a thread of the pool. It may get lost; every task is also sent by beat or the sweep."""
        self._sending = self.loop.run_in_executor(self._threads, self._send_quietly, task, queue, *args)

    def _send_quietly(self, task: str, queue: str, *args: str) -> None:
        try:
            self._send_task(task, args=args, queue=queue, expires=5, ignore_result=True)
        except (OSError, OperationalError) as error:
            log.warning("task_not_sent", task=task, error=type(error).__name__)


def _delay(backoff: Backoff, tries: int) -> float:
    """Seconds after the `tries`-th refusal; the caller has checked that a try is left."""
    return backoff.delay(tries, random.random()) or backoff.cap
