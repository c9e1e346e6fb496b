"""Working off one batch: lease, chunk, permit, intent, HTTP, record. The heart of the system.

The order is the guarantee. The intent is committed before a byte leaves, so a crash at any point leaves either
`queued` (nothing left) or `submitting` (may have left), and the sweep turns the latter into `unknown`, never back.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import copy_context
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from config import tracing
from config.own_keys import suppression_key
from models import leases
from models.moves import Home, Move
from models.queries import BEFORE_ALL
from models.states import CampaignState, MessageState
from models.tallies import Tally
from models.types import new_id
from providers.base import Outcome, Refused, Submission, Unclear
from providers.mark import watched
from providers.wire import NotSent, OutcomeUnknown, Reply
from workers.brief import defer
from workers.chunk import Chunk, Due
from workers.chunks import Cap, cut
from workers.crew import Flight
from workers.decide import decide_each
from workers.departure import depart
from workers.gate import Cost, Door, Pass, Wait
from workers.intents import Intended, Intent, Taken, attempt_row, close, look, prepare_intents, take
from workers.readings import Answer, failed, outcome_of, reason_of, status_of, word_of
from workers.record import Answered
from workers.runtime import AccountRuntime, Runtime
from workers.suppress import SuppressOn, suppression_of
from workers.way import Way, find_way

log = structlog.get_logger("drumline.submit")

SLICE = 2000  # messages loaded at a time: bounds the memory of a large batch
FIRST_SLICE = 200  # while the account has nothing to do: its first request shall not wait for two thousand intents
# Seconds after an intent in which its request may still leave: less than a limiter without memory allows for
# (LimiterSettings.seed_slack), for it takes a request's age from its intent.
BOARDING = 2.0
PARK_AT_LEAST = 1.0  # seconds: for less, dispatching goes on
GATHER = 0.12  # seconds: waits are at least that long, so that permits come several at a time; the horizon covers it
PATIENCE = 3.0  # seconds: a longer wait for a permit hands the batch back and frees its place
TURN = 10.0  # seconds: a batch that waits for its campaign's own limit makes room after so long
SEND_MARGIN = 2.0  # seconds before the lease's end in which nothing leaves any more


class Ended(StrEnum):
    """Why work on a batch stopped."""

    DONE = "done"
    WAITING = "waiting"  # the allowance or the breaker says later
    STOPPING = "stopping"  # the process shuts down
    LEASE_LOST = "lease_lost"
    NOT_RUNNING = "not_running"  # paused or cancelled
    CLOSED = "closed"  # the recipients' window closed
    NOT_OURS = "not_ours"  # someone else has the lease


async def submit_batch(runtime: Runtime, batch_id: UUID) -> Ended:
    """Submit whatever in this batch is due now. Delivered twice, the second call finds the lease taken."""
    started = time.monotonic()
    taken = await runtime.write(
        take, batch_id, runtime.owner, runtime.now(), runtime.lease_seconds, runtime.default_caps
    )
    if taken is None:
        return Ended.NOT_OURS
    lease = taken.lease
    account = await runtime.account(lease.account)
    ids: dict[str, Any] = {"campaign": str(lease.campaign_id), "batch": str(batch_id), "account": lease.account}
    with structlog.contextvars.bound_contextvars(**ids), tracing.span("batch", **ids) as span:
        work = BatchWork(runtime, account, taken, started)
        ended = await work.run()
        span.set_attribute("drumline.ended", str(ended))
        span.set_attribute("drumline.requests", work.requests)
        log.debug("batch_ended", ended=str(ended), requests=work.requests)
    return ended


class BatchWork:
    """One lease being worked off."""

    def __init__(self, runtime: Runtime, account: AccountRuntime, taken: Taken, leased_at: float) -> None:
        self.runtime = runtime
        self.account = account
        self.lease = taken.lease
        self.brief = taken.brief
        self.terms = taken.terms
        self.home = Home(taken.lease.campaign_id, taken.lease.account)
        self.aloft = 0  # requests from their intent to their record
        self.airborne: set[asyncio.Task[Any] | None] = set()  # those that wait for the provider
        self.handed_over: set[asyncio.Task[Any] | None] = set()  # those given up because the process ends
        self.waiting: deque[Due] = deque()
        self.requests = 0
        self._looked = BEFORE_ALL  # the last row that was looked at: those before it have left, or came back since
        self._safe_until = leased_at + runtime.lease_seconds - SEND_MARGIN
        self._ended: Ended | None = None
        self._resume_at: datetime | None = None
        self._opens_at: datetime | None = None
        self._began = leased_at
        self._key = partial(suppression_key, runtime.settings)
        self._way: Way | None = None
        self._shut: Wait | None = None
        self._waited = 0.0
        self._down = asyncio.Event()  # set when nothing is aloft any more
        self._context = copy_context()  # a runner serves many batches: its log lines and spans are this one's
        self._suppress_on = SuppressOn(runtime.settings.suppress_on)

    async def run(self) -> Ended:
        keeper = asyncio.create_task(self._keep_lease(), name="lease-keeper")
        try:
            while self._stopped() is None and await self._step():
                pass
        except self.runtime.database_errors as error:
            # Nothing is lost: what was written is found when the lease ends, what was not is still queued.
            log.warning("batch_left_to_the_sweep", error=type(error).__name__)
            self._stop(Ended.LEASE_LOST)
        finally:
            landed = await self._land_all()
            keeper.cancel()
        if not landed:
            self._ended = Ended.LEASE_LOST  # the database is away and the process ends: the sweep finds the rest
        return await self._close()

    # --- one step ----------------------------------------------------------------------------------------------------

    async def _step(self) -> bool:
        """Send one wave. False: nothing is due any more, or work has to stop."""
        if self._window_closed():
            return False
        if not self.waiting and not await self._load():
            return False
        if not self.account.roomy():
            await self.account.eased(0.5)
            return True
        way = self._way or self._find_way()
        stride = await way.stride()
        chunks = self._next_chunks(min(self.account.room(), stride.most), way.cap)
        answer = await self.account.gate.ask([chunk.cost for chunk in chunks], stride.horizon, way.tolls, stride.lead)
        if isinstance(answer, Wait):
            self._put_back(chunks)
            return await self._wait(answer)
        self._waited = 0.0
        way.went(chunks[0].cost)
        granted = chunks[: len(answer)]
        self._put_back(chunks[len(answer) :])
        return await self._launch(granted, answer)

    def _window_closed(self) -> bool:
        self._opens_at = self.brief.shut_until(self.runtime.now())
        if self._opens_at is not None:
            self._stop(Ended.CLOSED)
        return self._opens_at is not None

    async def _load(self) -> bool:
        await self._look()
        if not self.waiting and (self.aloft or self._looked != BEFORE_ALL):
            await self._land_all()  # what came back may be due again
            self._looked = BEFORE_ALL
            await self._look()
        return bool(self.waiting)

    async def _look(self) -> None:
        now = self.runtime.now()
        limit = SLICE if self.account.in_flight else FIRST_SLICE
        while not self.waiting:
            found = await self.runtime.read(look, self.lease, self.brief, now, limit, self._looked, self._key)
            self._looked = found.last
            self.waiting.extend(found.due)
            if not found.closing:
                return
            await self.runtime.write(close, found.closing, now)

    def _find_way(self) -> Way:
        self._way = find_way(self.runtime, self.account, self.lease, self.terms, self.waiting[0].message.sender)
        return self._way

    def _next_chunks(self, most: int, cap: Cap) -> list[Chunk]:
        chunks: list[Chunk] = []
        while self.waiting and len(chunks) < most:
            window = [self.waiting[i].message for i in range(min(len(self.waiting), cap.recipients))]
            chunks.append(self._chunk([self.waiting.popleft() for _ in next(iter(cut(window, cap)))]))
        return chunks

    def _chunk(self, due: Sequence[Due], attempt_id: UUID | None = None) -> Chunk:
        attempt_id = attempt_id or new_id()
        messages = tuple(one.message for one in due)
        return Chunk(attempt_id, tuple(due), self.account.provider.submit_request(messages, str(attempt_id)))

    def _put_back(self, chunks: Sequence[Chunk]) -> None:
        for chunk in reversed(chunks):
            self.waiting.extendleft(reversed(chunk.due))

    async def _wait(self, answer: Wait) -> bool:
        tallies = self.runtime.database.tallies
        tallies.add(Tally.WAITS, self.account.name, (answer.door,))
        tallies.add(Tally.WAIT_TIME, self.account.name, (answer.door,), answer.seconds)
        if self._too_long(answer):
            self._stop(Ended.WAITING)
            # What holds for the whole account is said of the account: it may be opened again sooner.
            self._shut = answer if answer.for_all else None
            later = 1.0 if answer.for_all else max(answer.seconds, 1.0)
            self._resume_at = self.runtime.now() + timedelta(seconds=later)
            return False
        self._waited += answer.seconds
        await self.runtime.pause(max(answer.seconds, GATHER))
        return True

    def _too_long(self, answer: Wait) -> bool:
        """Whether somebody else had better have this batch's place meanwhile."""
        if answer.seconds > PATIENCE:
            return True
        match answer.door:
            case Door.BREAKER | Door.BLOCKED | Door.REDIS:
                return self._waited > PATIENCE
            case Door.TOLL:
                return time.monotonic() - self._began > TURN
            case Door.PACE:
                return False

    async def _launch(self, chunks: Sequence[Chunk], permits: Sequence[Pass]) -> bool:
        """Commit the intents, then let the requests fly."""
        policy = self.account.policy
        rows = [(chunk, attempt_row(self.account.name, policy, self.lease, chunk)) for chunk in chunks]
        began = time.monotonic()
        try:
            state, stays = await self._intend(Intent(self.lease, rows, self.brief.caps))
        except self.runtime.database_errors:
            self._ground(chunks, permits)
            raise
        self.account.pace.took(time.monotonic() - began)
        if state is not CampaignState.RUNNING:
            self._stop(Ended.LEASE_LOST if state is None else Ended.NOT_RUNNING)
            for permit in permits:
                await self.account.gate.unused(permit)
            return False
        await self.account.gate.hear(permits[0])
        for chunk, permit in zip(chunks, permits, strict=True):
            await self._fly(self._only(chunk, stays), permit, began + BOARDING)
        return True

    async def _intend(self, intent: Intent) -> Intended:
        """Those of a campaign with caps by themselves: their lock goes to one transaction at a time, and whoever waited
        for it with other campaigns' counters in hand would cross those who record answers."""
        if intent.caps:
            return (await self.runtime.write_ready(prepare_intents, [intent], self.runtime.now()))[0]
        return await self.account.intents.write(intent)

    def _ground(self, chunks: Sequence[Chunk], permits: Sequence[Pass]) -> None:
        """The connection broke while the intents were committed: they may be there, but nothing left. Saying so spares
        the messages an outcome that some providers could never prove."""
        for chunk, permit in zip(chunks, permits, strict=True):
            self._take_off(partial(self._stay, chunk, permit))

    async def _stay(self, chunk: Chunk, permit: Pass) -> None:
        await self.account.gate.unused(permit)
        self._record_unsent(chunk)

    def _only(self, chunk: Chunk, stays: frozenset[UUID]) -> Chunk:
        """The part of a chunk whose intent was written; the rest was cancelled or taken meanwhile."""
        left = [one for one in chunk.due if one.id not in stays] if stays else chunk.due
        if len(left) == len(chunk.due):
            return chunk
        return self._chunk(left, chunk.attempt_id) if left else Chunk(chunk.attempt_id, (), chunk.request)

    async def _fly(self, chunk: Chunk, permit: Pass, latest: float) -> None:
        if not chunk.due:
            await self.account.gate.unused(permit)
            return
        self.requests += 1
        self._take_off(partial(self._deliver, chunk, permit, latest))

    def _take_off(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.aloft += 1
        self.account.departed()
        self.account.crew.take(Flight(partial(self._carry, work), self._context))

    async def _carry(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Work that ends with an answer in the recorder's hands, or with an error that is told here."""
        try:
            await work()
        except BaseException as error:
            self.account.off_the_line()
            self._landed(error)
            if not isinstance(error, Exception):
                raise

    # --- one request -------------------------------------------------------------------------------------------------

    async def _deliver(self, chunk: Chunk, first: Pass, latest: float) -> None:
        """One request: wait for its slot, send, learn from the answer, record."""

        async def send(passed: Pass) -> Answer:
            return await self._exchange(chunk, min(latest, self._safe_until), passed.permit.not_after)

        await self.account.client.prepare(chunk.request.url, first.permit.not_before)
        departed = await depart(first, send, partial(self._next_pass, chunk, latest), self._may_send)
        if departed is None:
            self._record_unsent(chunk)
            return
        answer, passed, elapsed = departed
        if isinstance(answer, Reply):
            submission = self.account.provider.read_submit(chunk.messages, answer)
            await self.account.gate.learn(submission.signal, submission.allowance, passed)
        else:
            submission = failed(chunk, answer)
            await self.account.gate.failed(answer, passed)
        self._record(chunk, submission, answer, elapsed)

    async def _next_pass(self, chunk: Chunk, latest: float, missed: Pass) -> Pass | None:
        """None: the request must not leave now, or not by `latest` (monotonic)."""
        await self.account.gate.unused(missed)
        left = latest - time.monotonic()
        if left <= 0 or not self._may_send():
            return None
        return await self._rebook(chunk.cost, left, latest)

    async def _rebook(self, cost: Cost, left: float, latest: float) -> Pass | None:
        if self._way is None or not self._way.tolls:
            return await self.account.desk.rebook(cost, latest)
        answer = await self.account.gate.one(cost, left, self._way.tolls)
        return None if isinstance(answer, Wait) else answer

    async def _exchange(self, chunk: Chunk, not_after: float, slot_ends: float) -> Answer:
        """The answer, or what is known without one. Nothing leaves after `not_after` or `slot_ends` (monotonic)."""
        flight = asyncio.current_task()
        with watched() as watch:
            try:
                self.airborne.add(flight)
                # Looked at right before the first byte.
                request = chunk.request.leaving(not_after, slot_ends)
                return await self.account.exchange(request, "submit", self.lease.batch_id, len(chunk.messages))
            except (NotSent, OutcomeUnknown) as error:
                return error
            except asyncio.CancelledError:
                if flight is None or flight not in self.handed_over:
                    raise
                flight.uncancel()
                detail = "the process ended before the answer came"
                return OutcomeUnknown("shutdown", detail) if watch.written else NotSent("shutdown", detail)
            finally:
                self.airborne.discard(flight)
                self.handed_over.discard(flight)

    def _may_send(self) -> bool:
        """Past the lease's end somebody else may have taken over: nothing leaves then. A pause by the operator and a
        shutdown also stop what is still on the ground."""
        return time.monotonic() < self._safe_until and self._stopped() is None

    def _record_unsent(self, chunk: Chunk) -> None:
        word = "permit not used"
        moves = [Move(one.id, MessageState.QUEUED, word, {"not_before": None}, chunk.attempt_id) for one in chunk.due]
        self._hand_in(Answered(chunk.attempt_id, 0, None, "not_sent", word, None, False, moves, home=self.home))

    def _hand_in(self, answered: Answered) -> None:
        """The request needs no connection any more; it has landed once its answer is committed."""
        self.account.off_the_line()
        self.runtime.recorder.take(answered, self._landed)

    def _record(self, chunk: Chunk, submission: Submission, answer: Answer, elapsed: float) -> None:
        now = self.runtime.now()
        outcomes = [outcome_of(submission, answer, one.message.id) for one in chunk.due]
        self._hand_in(
            Answered(
                chunk.attempt_id,
                round(elapsed * 1000),
                status_of(answer),
                word_of(outcomes),
                reason_of(outcomes),
                submission.request_id,
                any(isinstance(outcome, Unclear) for outcome in outcomes),
                self._moves(chunk, outcomes, now),
                self._opted_out(chunk, outcomes, now),
                self.home,
            )
        )

    def _moves(self, chunk: Chunk, outcomes: Sequence[Outcome | NotSent], now: datetime) -> list[Move]:
        decisions = decide_each(outcomes, [one.position for one in chunk.due], now, self.account.rules)
        return [
            Move(one.id, decision.state, decision.note, decision.values, chunk.attempt_id)
            for one, decision in zip(chunk.due, decisions, strict=True)
        ]

    def _opted_out(self, chunk: Chunk, outcomes: Sequence[Outcome | NotSent], now: datetime) -> list[dict[str, object]]:
        """Numbers whose refusal says that they want no messages."""
        return [
            suppression_of(one.message.msisdn, self.account.name, outcome.failure, now)
            for one, outcome in zip(chunk.due, outcomes, strict=True)
            if isinstance(outcome, Refused) and self._suppress_on.covers(outcome.failure)
        ]

    # --- flights and lease -------------------------------------------------------------------------------------------

    def _landed(self, error: BaseException | None) -> None:
        """Recorded, or never to be: then its messages stay `submitting` and become `unknown` when the lease ends; never
        lost, never sent twice."""
        self.account.returned()
        self.aloft -= 1
        if isinstance(error, Exception):
            self._context.copy().run(partial(log.error, "flight_failed", error=repr(error), exc_info=error))
            self._stop(Ended.LEASE_LOST)
        if not self.aloft:
            self._down.set()

    async def _land_all(self) -> bool:
        """Wait for every answer. False: the process has to end before all were written."""
        while self.aloft:
            self._down.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.25 if self.runtime.stopping else 1.0):
                    await self._down.wait()
            now = time.monotonic()
            if now >= self.runtime.hand_over_at:
                self._hand_over()
            if now >= self.runtime.leave_at and self.aloft:
                log.warning("answers_left_to_the_sweep", requests=self.aloft)
                return False
        return True

    def _hand_over(self) -> None:
        """Requests under way when the process has to end: their outcome is unknown, and somebody else will ask."""
        for flight in self.airborne - self.handed_over:
            if flight is not None:
                self.handed_over.add(flight)
                flight.cancel()

    async def _keep_lease(self) -> None:
        """Extend the lease at a third of its life. While the database is away the lease runs on to its end."""
        while True:
            await asyncio.sleep(self.runtime.lease_seconds / 3)
            asked = time.monotonic()
            try:
                kept = await self.runtime.write(
                    leases.extend, self.lease, self.runtime.now(), self.runtime.lease_seconds
                )
            except self.runtime.database_errors as error:
                log.warning("lease_not_extended", error=type(error).__name__)
                continue
            if not kept:
                self._stop(Ended.LEASE_LOST)
                return
            self._safe_until = asked + self.runtime.lease_seconds - SEND_MARGIN

    def _stop(self, why: Ended) -> None:
        self._ended = self._ended or why

    def _stopped(self) -> Ended | None:
        if self.runtime.stopping:
            self._stop(Ended.STOPPING)
        return self._ended

    async def _close(self) -> Ended:
        """End the lease: the batch is done, or goes back to the plan."""
        ended = self._ended or Ended.DONE
        if ended is Ended.LEASE_LOST:
            return ended
        try:
            await self._end_lease(ended)
        except self.runtime.database_errors as error:
            log.warning("lease_left_to_the_sweep", error=type(error).__name__)
            return Ended.LEASE_LOST
        self.runtime.wake_dispatcher()
        return ended

    async def _end_lease(self, ended: Ended) -> None:
        if ended is Ended.WAITING and self._resume_at is not None:
            if self._shut and self._shut.seconds > PARK_AT_LEAST:
                until = self.runtime.now() + timedelta(seconds=self._shut.seconds)
                await self.runtime.write(leases.park, self.lease.account, until)
            await self.runtime.write(leases.give_back, self.lease, self._resume_at)
        elif ended is Ended.CLOSED and self._opens_at is not None:
            await self.runtime.write(defer, self.lease, self._opens_at)
        else:
            await self.runtime.write(leases.finish, self.lease, self.runtime.now())
