"""What one worker process has: an event loop in a thread, the database, Redis, and its accounts.

Celery's threads hand coroutines to the loop and wait. One warm HTTP client per account lives on it.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import wait as wait_threads
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import structlog
import uvloop
from redis.asyncio import Redis
from sqlalchemy import Dialect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from config import names, tracing
from config.accounts import Account, AccountsError
from config.nudges import AWAY
from config.settings import Settings
from models.database import DEADLOCK_TRIES, PASSING_ERRORS, Database, is_deadlock
from models.steering import Caps
from models.tallies import Tallies
from providers.accounts import open_provider
from providers.base import LookUpBy, LookUpPolicy, Provider
from providers.http import Carrier, ConnectionSettings, HttpClient
from providers.wire import NotSent, OutcomeUnknown, Reply, Request
from workers.breaker import BreakerPolicy, CircuitBreaker
from workers.chunks import Cap, request_cap
from workers.crew import Crew
from workers.decide import Rules
from workers.desk import Desk
from workers.gate import Gate, make_gates, past_costs
from workers.intent_pace import IntentPace
from workers.intents import Intended, Intent, prepare_intents
from workers.rate_limit import RateLimiter
from workers.record import Answered, Recorder, prepare_answers
from workers.retry import DEFAULT, QIKBERRY, QUICKSMS, Backoff
from workers.together import Together
from workers.turns import AT_WORK, Turns

log = structlog.get_logger("drumline.runtime")

P = ParamSpec("P")
T = TypeVar("T")
BACKOFFS = {"quicksms": QUICKSMS, "qikberry": QIKBERRY}
SHOW_SPACING = 0.1  # seconds
M_ARENA_MAX = -8  # as in glibc's malloc.h
AHEAD = 32  # requests of an account that wait for their slots, beside those that have a connection
AHEAD_UNLIMITED = 256  # messages whose requests wait for a connection, where no limit sets the pace: a wave
BOARD_SOON = 0.5  # seconds in which these have left, for intents get old (submit.BOARDING)
USUAL_WEIGHT = 0.05
QUICKEST = 0.001  # seconds that a request takes at least
PROVABLE = frozenset({LookUpBy.REPLAY, LookUpBy.QUERY})  # what became of a request can always be learnt
INTENTS_AT_ONCE = 2000  # messages of an account's batches whose intents share a transaction
WAKE_SPACING = 0.2  # seconds: many batches may end at once, one dispatch serves them all
PROBE_MARGIN = 10.0  # seconds beyond the longest request until a dead prober's turn is another's
HAND_OVER = 0.6  # share of the shutdown time after which requests under way are given up
LANDING = 0.8  # share of it after which what cannot be written any more is left to the sweep
LAST_WRITES = 2.0  # seconds for the last answers once every task has ended


class ShuttingDown(Exception):
    """The process has to end before this work did. What it held is found by its lease or its claim."""


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
    policy: LookUpPolicy  # of the adapter, where the account does not say otherwise
    desk: Desk
    pace: IntentPace
    tallies: Tallies
    intents: Together[Intent, Intended]
    crew: Crew
    turns: Turns
    in_flight: int = 0  # from the intent to the record
    answered: int = 0  # of these, what has its answer
    usual: float = 1.0  # seconds from a request to its answer, as this process has seen them
    _eased: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        return self.account.name

    def room(self) -> int:
        """Requests that may still be made ready. Some wait: for their slots, or for a connection. What waits to be
        recorded needs none, but there is an end to it, too: it is unknown if the worker dies."""
        connections = self.account.max_connections
        if self.account.limits:
            return connections + AHEAD - self.in_flight
        at_once = connections + self.ahead()
        return min(at_once + self.answered, 2 * at_once) - self.in_flight

    def ahead(self) -> int:
        """Requests whose intents may stand before there is a connection for them, where no limit sets the pace: a
        wave, as far as all of them leave soon. None where a crash would leave them unknown for good."""
        if self.policy.by not in PROVABLE:
            return 0
        soon = self.account.max_connections * BOARD_SOON / max(self.usual, QUICKEST)
        return min(AHEAD_UNLIMITED // self.cap.recipients, int(soon))

    def departed(self) -> None:
        self.in_flight += 1

    def off_the_line(self) -> None:
        """A request has its answer, and still has to be recorded."""
        self.answered += 1
        self._ease()

    def returned(self) -> None:
        self.in_flight -= 1
        self.answered -= 1
        self._ease()

    def _ease(self) -> None:
        if not self._eased.is_set() and self.roomy():
            self._eased.set()

    def roomy(self) -> bool:
        """Whether there is room for as much as is worth a transaction."""
        return self.room() > (0 if self.account.limits else self.ahead() // 2)

    async def eased(self, seconds: float) -> None:
        """Wait until there is room again, for so long at most."""
        self._eased.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._eased.wait()

    async def exchange(self, request: Request, kind: str, batch_id: UUID | None = None, messages: int = 0) -> Reply:
        """Send one request and count its answer. `kind` as in Attempt. Raises NotSent or OutcomeUnknown."""
        if not tracing.on:
            return await self._counted(request, kind)
        with tracing.span(f"{kind} request", account=self.name, batch=str(batch_id or ""), messages=messages) as span:
            reply = await self._counted(request, kind)
            span.set_attribute("http.response.status_code", reply.status)
            return reply

    async def _counted(self, request: Request, kind: str) -> Reply:
        began, status = time.monotonic(), "given_up"
        try:
            reply = await self.client.send(request)
            status = str(reply.status)
            self.usual += USUAL_WEIGHT * (reply.elapsed - self.usual)
            return reply
        except NotSent:
            status = "not_sent"
            raise
        except OutcomeUnknown:
            status = "no_answer"
            raise
        finally:
            self.tallies.request(self.name, kind, status, time.monotonic() - began)


class Runtime:
    """Made once per worker process; `run` is how Celery's threads get onto the loop."""

    database_errors = (SQLAlchemyError,)

    def __init__(
        self,
        settings: Settings,
        accounts: Mapping[str, Account],
        database: Database,
        nudge: Callable[..., Any],
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
        self.hand_over_at = float("inf")  # monotonic: requests under way are given up
        self.leave_at = float("inf")  # monotonic: what is not written by then is left to the sweep
        self._over: ThreadFuture[None] = ThreadFuture()  # set when no task may wait any longer
        self._nudge = nudge
        self._opened: dict[str, asyncio.Task[AccountRuntime]] = {}
        self._adapters: dict[str, Provider] = {}
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="database")
        # Of its own: while Redis is away a send may hang, and must not take the database's threads with it.
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="tasks")
        self._to_send: set[tuple[str, ...]] = set()
        self._wake_planned = False
        self._shown: set[str] = set()
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="loop", daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        self._ready.wait()

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _run_loop(self) -> None:
        share_free_memory()
        spare_the_collector()
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self._start)
        self.loop.run_forever()

    def _start(self) -> None:
        self.redis = Redis.from_url(self.settings.redis_url, socket_timeout=5, socket_connect_timeout=5)
        self.limiter = RateLimiter(self.redis, partial(past_costs, self))
        longest = max((account.timeout for account in self.accounts.values()), default=30.0)
        self.breaker = CircuitBreaker(self.redis, policy=BreakerPolicy(probe_lease=longest + PROBE_MARGIN))
        self.recorder = Recorder(self._write_answers)
        self.recorder.start()
        self._stop_event = asyncio.Event()
        self._ready.set()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop from another thread, and wait for it. Raises ShuttingDown when the process has to
        end first."""
        result = asyncio.run_coroutine_threadsafe(work, self.loop)
        either: set[ThreadFuture[Any]] = {result, self._over}
        wait_threads(either, return_when=FIRST_COMPLETED)
        if not result.done():
            result.cancel()
            raise ShuttingDown
        return result.result()

    def stop(self) -> None:
        """Take nothing new: work hands back what it holds, within the shutdown time. Safe from any thread and from a
        signal handler."""
        if self.stopping:
            return
        seconds, now = self.settings.shutdown_seconds, time.monotonic()
        self.hand_over_at, self.leave_at = now + seconds * HAND_OVER, now + seconds * LANDING
        self.stopping = True
        self.loop.call_soon_threadsafe(self._begin_stop)

    def _begin_stop(self) -> None:
        self._stop_event.set()
        self.loop.call_later(max(0.0, self.leave_at + 0.5 - time.monotonic()), self._end_waits)

    def _end_waits(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def close(self) -> None:
        """End the loop after the last answers are written, or cannot be."""
        self.stop()
        closing = asyncio.run_coroutine_threadsafe(self._close(), self.loop)
        wait_threads({closing}, timeout=LAST_WRITES + 2.0)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=2)
        self._end_waits()  # nothing that is still waited for will ever end on a loop that has stopped
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._sender.shutdown(wait=False, cancel_futures=True)
        self.database.close()

    async def _close(self) -> None:
        if lost := await self.recorder.close(LAST_WRITES):
            log.error("answers_left_behind", answers=lost)
        for opened in self._opened.values():
            if opened.done() and opened.exception() is None:
                await opened.result().client.close()
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
        return await self.loop.run_in_executor(self._threads, partial(self.in_write, step, *args, **kwargs))

    async def write_ready(
        self, ready: Callable[Concatenate[Dialect, P], Callable[[Session], T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for a step that is made ready first, while others write: on SQLite one does at a time."""
        return await self.loop.run_in_executor(self._threads, partial(self._in_turn, ready, *args, **kwargs))

    async def read(self, step: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.loop.run_in_executor(self._threads, partial(self._in_read, step, *args, **kwargs))

    async def insist(self, step: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A transaction that must happen, for what exists nowhere else: a database that is away is waited for."""
        while True:
            try:
                return await self.write(step, *args, **kwargs)
            except PASSING_ERRORS as error:
                log.warning("waiting_for_database", error=type(error).__name__)
                await asyncio.sleep(1.0)

    def in_write(self, step: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Again where another transaction got in the way: to leave a batch to the sweep for that would cost a lease."""
        for _ in range(DEADLOCK_TRIES - 1):
            try:
                return self._write_once(step, *args, **kwargs)
            except DBAPIError as error:
                if not is_deadlock(error):
                    raise
        return self._write_once(step, *args, **kwargs)

    def _in_turn(self, ready: Callable[..., Callable[[Session], T]], *args: Any, **kwargs: Any) -> T:
        return self.in_write(ready(self.database.engine.dialect, *args, **kwargs))

    def _write_once(self, step: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        with self.database.write() as session:
            return step(session, *args, **kwargs)

    def _in_read(self, step: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        with self.database.read() as session:
            return step(session, *args, **kwargs)

    def _write_intents(self, intents: Sequence[Intent]) -> Awaitable[Sequence[Intended]]:
        return self.write_ready(prepare_intents, intents, self.now())

    def _write_answers(self, answers: Sequence[Answered]) -> Awaitable[None]:
        return self.write_ready(prepare_answers, answers, self.now())

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
        policy = look_up_policy(account, provider)
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
            tallies=self.database.tallies,
            intents=Together(self._write_intents, lambda intent: intent.messages, INTENTS_AT_ONCE),
            crew=Crew(None if account.limits else account.max_connections),
            turns=Turns(None if account.limits else AT_WORK),
            poll_gate=gates.poll,
            policy=policy,
            cap=request_cap(provider.max_recipients, (*account.limits, *account.sender_limits)),
            rules=Rules(
                max_tries=backoff.max_tries,
                backoff=partial(_delay, backoff),
                first_look=policy.after[0] if policy.after else 60.0,
                report_deadline=provider.report_deadline + self.settings.no_report_grace,
                report_wait=account.report_wait,
                look_again=self.settings.look_up_retry_seconds,
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
        """Send a task from a thread. It may get lost; every task is also sent by beat or the sweep."""
        wanted = (task, queue, *args)
        if wanted not in self._to_send:  # the one that waits serves this call too
            self._to_send.add(wanted)
            self._sender.submit(self._send_quietly, wanted)

    def _send_quietly(self, wanted: tuple[str, ...]) -> None:
        task, queue, *args = wanted
        self._to_send.discard(wanted)  # before: what comes from now on deserves a task of its own
        try:
            self._nudge(task, args=args, queue=queue)
        except AWAY as error:
            log.warning("task_not_sent", task=task, error=type(error).__name__)


def look_up_policy(account: Account, provider: Provider) -> LookUpPolicy:
    """The adapter's, where the account does not say otherwise. Raises AccountsError for a proof that comes too soon."""
    policy, own = provider.look_up_policy, account.look_up
    changed = replace(
        policy,
        after=policy.after if own.after is None else own.after,
        give_up_after=policy.give_up_after if own.give_up_after is None else own.give_up_after,
        overdue=policy.overdue if own.overdue is None else own.overdue,
    )
    if own.after is not None and changed.proves_absence and changed.after[-1] < account.timeout * 2:
        raise AccountsError(
            f"accounts.{account.name}.look_up.after: the last look after {changed.after[-1]:g} s, expected at least "
            f"twice the timeout ({account.timeout * 2:g} s): absence would be taken for proven with a request on its "
            "way"
        )
    return changed


def _delay(backoff: Backoff, tries: int) -> float:
    """Seconds after the `tries`-th refusal; the caller has checked that a try is left."""
    return backoff.delay(tries, random.random()) or backoff.cap


def share_free_memory() -> None:
    """glibc gives each thread an arena of its own, and what one thread freed there no other one gets: with two for all
    of the database's threads a worker stays 25 MB smaller."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(M_ARENA_MAX, 2)


def spare_the_collector() -> None:
    """What is loaded by now stays: the collector need not walk it for every few hundred new messages (measured: a
    tenth of a worker's processor time). The young ones are looked at often enough: what a transaction leaves behind
    does form cycles, and waits in memory until then."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 5, 10)
    # Slots are a few milliseconds wide, and the database's threads would keep the loop waiting for five at a time.
    sys.setswitchinterval(0.0005)
