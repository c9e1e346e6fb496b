"""Working off one batch: lease, chunk, permit, intent, HTTP, record. The heart of the system.

The order is the guarantee. The intent is committed before a byte leaves, so a crash at any point leaves either
`queued` (nothing left) or `submitting` (may have left), and the sweep turns the latter into `unknown`, never back.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import structlog
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from models import leases
from models.leases import Lease
from models.moves import Move, apply_moves
from models.queries import due_messages
from models.states import CampaignState, MessageState
from models.tables import Attempt, Campaign, Message, Suppression
from models.types import new_id
from providers.base import Accepted, LookUpBy, Outcome, Outgoing, Refused, Submission, Unclear
from providers.wire import NotSent, OutcomeUnknown, Reply, Request
from workers.chunks import cut
from workers.decide import Position, decide
from workers.gate import Cost, Pass, Wait
from workers.outgoing import outgoing
from workers.record import Answered
from workers.runtime import AccountRuntime, Runtime
from workers.suppress import SuppressOn, suppression_of

log = structlog.get_logger("drumline.submit")

SLICE = 500  # messages loaded at a time: bounds the memory of a large batch
WAVE = 64  # requests whose intents share a transaction
HORIZON = 0.5  # seconds: intents are not written for permits further ahead, so that a pause takes hold at once
PATIENCE = 3.0  # seconds: a longer wait for a permit hands the batch back and frees the thread
SEND_MARGIN = 2.0  # seconds before the lease's end in which nothing leaves any more


class Ended(StrEnum):
    """Why work on a batch stopped."""

    DONE = "done"
    WAITING = "waiting"  # the allowance or the breaker says later
    STOPPING = "stopping"  # the process shuts down
    LEASE_LOST = "lease_lost"
    NOT_RUNNING = "not_running"  # paused or cancelled
    NOT_OURS = "not_ours"  # someone else has the lease


@dataclass(frozen=True, slots=True)
class Chunk:
    """One request to be: its attempt, its messages, and where each of them stands."""

    attempt_id: UUID
    messages: tuple[Outgoing, ...]
    positions: dict[str, Position]
    request: Request

    @property
    def cost(self) -> Cost:
        return Cost(1, len(self.messages), sum(message.segments for message in self.messages))


async def submit_batch(runtime: Runtime, batch_id: UUID) -> Ended:
    """Submit whatever in this batch is due now. Delivered twice, the second call finds the lease taken."""
    started = time.monotonic()
    lease = await runtime.write(leases.claim, batch_id, runtime.owner, runtime.now(), runtime.lease_seconds)
    if lease is None:
        return Ended.NOT_OURS
    account = await runtime.account(lease.account)
    work = BatchWork(runtime, account, lease, started)
    with structlog.contextvars.bound_contextvars(batch=str(batch_id), account=lease.account):
        ended = await work.run()
        log.debug("batch_ended", ended=str(ended), requests=work.requests)
    return ended


class BatchWork:
    """One lease being worked off."""

    def __init__(self, runtime: Runtime, account: AccountRuntime, lease: Lease, leased_at: float) -> None:
        self.runtime = runtime
        self.account = account
        self.lease = lease
        self.flights: set[asyncio.Task[None]] = set()
        self.waiting: deque[tuple[Outgoing, Position]] = deque()
        self.requests = 0
        self._safe_until = leased_at + runtime.lease_seconds - SEND_MARGIN
        self._ended: Ended | None = None
        self._resume_at: datetime | None = None

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
            await self._land_all()
            keeper.cancel()
        return await self._close()

    # --- one step ----------------------------------------------------------------------------------------------------

    async def _step(self) -> bool:
        """Send one wave. False: nothing is due any more, or work has to stop."""
        if not self.waiting and not await self._load():
            return False
        if self.account.room() <= 0:
            await self._land_one()
            return True
        chunks = self._next_chunks(min(self.account.room(), WAVE))
        answer = await self.account.gate.ask([chunk.cost for chunk in chunks], HORIZON)
        if isinstance(answer, Wait):
            self._put_back(chunks)
            return await self._wait(answer)
        granted = chunks[: len(answer)]
        self._put_back(chunks[len(answer) :])
        return await self._launch(granted, answer)

    async def _load(self) -> bool:
        now = self.runtime.now()
        loaded = await self.runtime.write(_load, self.lease, now, SLICE)
        self.waiting.extend(loaded)
        if not loaded and self.flights:
            await self._land_all()  # what came back may be due again
            self.waiting.extend(await self.runtime.write(_load, self.lease, self.runtime.now(), SLICE))
        return bool(self.waiting)

    def _next_chunks(self, most: int) -> list[Chunk]:
        chunks: list[Chunk] = []
        while self.waiting and len(chunks) < most:
            window = [self.waiting[i] for i in range(min(len(self.waiting), self.account.cap.recipients))]
            messages = next(iter(cut([message for message, _ in window], self.account.cap)))
            taken = [self.waiting.popleft() for _ in messages]
            chunks.append(self._chunk(messages, {message.id: position for message, position in taken}))
        return chunks

    def _chunk(self, messages: tuple[Outgoing, ...], positions: dict[str, Position]) -> Chunk:
        attempt_id = new_id()
        request = self.account.provider.submit_request(messages, str(attempt_id))
        return Chunk(attempt_id, messages, positions, request)

    def _put_back(self, chunks: Sequence[Chunk]) -> None:
        for chunk in reversed(chunks):
            self.waiting.extendleft((message, chunk.positions[message.id]) for message in reversed(chunk.messages))

    async def _wait(self, answer: Wait) -> bool:
        if answer.seconds > PATIENCE:
            self._stop(Ended.WAITING)
            self._resume_at = self.runtime.now() + timedelta(seconds=answer.seconds)
            return False
        await self.runtime.pause(answer.seconds)
        return True

    async def _launch(self, chunks: Sequence[Chunk], permits: Sequence[Pass]) -> bool:
        """Commit the intents, then let the requests fly."""
        rows = [_attempt_row(self.account, self.lease, chunk) for chunk in chunks]
        state, moved = await self.runtime.write(_write_intents, self.lease, rows, self.runtime.now())
        if state is not CampaignState.RUNNING:
            self._stop(Ended.LEASE_LOST if state is None else Ended.NOT_RUNNING)
            for permit in permits:
                await self.account.gate.unused(permit)
            return False
        for chunk, permit in zip(chunks, permits, strict=True):
            await self._fly(self._only(chunk, moved), permit)
        return True

    def _only(self, chunk: Chunk, moved: frozenset[UUID]) -> Chunk:
        """The part of a chunk whose intent was written; the rest was cancelled or taken meanwhile."""
        if all(UUID(message.id) in moved for message in chunk.messages):
            return chunk
        left = tuple(message for message in chunk.messages if UUID(message.id) in moved)
        if not left:
            return Chunk(chunk.attempt_id, (), {}, chunk.request)
        request = self.account.provider.submit_request(left, str(chunk.attempt_id))
        return Chunk(chunk.attempt_id, left, chunk.positions, request)

    async def _fly(self, chunk: Chunk, permit: Pass) -> None:
        if not chunk.messages:
            await self.account.gate.unused(permit)
            return
        self.requests += 1
        flight = asyncio.create_task(self._deliver(chunk, permit))
        self.account.departed()
        self.flights.add(flight)
        flight.add_done_callback(self._landed)

    # --- one request -------------------------------------------------------------------------------------------------

    async def _deliver(self, chunk: Chunk, permit: Pass) -> None:
        """One request: wait for its slot, send, learn from the answer, record."""
        passed = await self._clear_to_send(chunk, permit)
        if passed is None:
            await self._record_unsent(chunk)
            return
        started = time.monotonic()
        answer = await self._exchange(chunk.request)
        elapsed = time.monotonic() - started
        if isinstance(answer, Reply):
            submission = self.account.provider.read_submit(chunk.messages, answer)
            await self.account.gate.learn(submission.signal, submission.allowance, passed)
        else:
            submission = _failed(chunk, answer)
            await self.account.gate.failed(answer, passed)
        await self._record(chunk, submission, answer, elapsed)

    async def _clear_to_send(self, chunk: Chunk, permit: Pass) -> Pass | None:
        """Wait for the slot. A missed one is replaced while the intent stands: writing it back and forth would cost
        more time than the next slots have. None: the request must not leave now."""
        passed: Pass | Wait = permit
        while self._may_send():
            if isinstance(passed, Wait):
                if passed.seconds > PATIENCE:
                    return None
                await self.runtime.pause(passed.seconds)
            elif await passed.wait() and self._may_send():
                return passed
            else:
                await self.account.gate.unused(passed)
            if self._may_send():
                passed = await self.account.gate.one(chunk.cost, HORIZON)
        if isinstance(passed, Pass):
            await self.account.gate.unused(passed)
        return None

    async def _exchange(self, request: Request) -> Reply | NotSent | OutcomeUnknown:
        try:
            return await self.account.send(request, not_after=self._safe_until)
        except (NotSent, OutcomeUnknown) as error:
            return error

    def _may_send(self) -> bool:
        """Past the lease's end somebody else may have taken over: nothing leaves then. A pause by the operator and a
        shutdown also stop what is still on the ground."""
        return time.monotonic() < self._safe_until and self._stopped() is None

    async def _record_unsent(self, chunk: Chunk) -> None:
        moves = [
            Move(UUID(message.id), MessageState.QUEUED, "permit not used", {"not_before": None}, chunk.attempt_id)
            for message in chunk.messages
        ]
        await self.runtime.recorder.record(
            Answered(chunk.attempt_id, 0, None, "not_sent", "permit not used", None, False, moves)
        )

    async def _record(
        self, chunk: Chunk, submission: Submission, answer: Reply | NotSent | OutcomeUnknown, elapsed: float
    ) -> None:
        now = self.runtime.now()
        outcomes = {m.id: _outcome(submission, answer, m.id) for m in chunk.messages}
        moves = [self._move(chunk, message_id, outcome, now) for message_id, outcome in outcomes.items()]
        await self.runtime.recorder.record(
            Answered(
                chunk.attempt_id,
                round(elapsed * 1000),
                _status(answer),
                _word(outcomes.values()),
                _reason(outcomes.values()),
                submission.request_id,
                any(isinstance(outcome, Unclear) for outcome in outcomes.values()),
                moves,
                self._opted_out(chunk, outcomes, now),
            )
        )

    def _opted_out(
        self, chunk: Chunk, outcomes: Mapping[str, Outcome | NotSent], now: datetime
    ) -> list[dict[str, object]]:
        """Numbers whose refusal says that they want no messages."""
        policy = SuppressOn(self.runtime.settings.suppress_on)
        return [
            suppression_of(message.msisdn, self.account.name, outcome.failure, now)
            for message in chunk.messages
            if isinstance(outcome := outcomes[message.id], Refused) and policy.covers(outcome.failure)
        ]

    def _move(self, chunk: Chunk, message_id: str, outcome: Outcome | NotSent, now: datetime) -> Move:
        decision = decide(outcome, chunk.positions[message_id], now, self.account.rules)
        return Move(UUID(message_id), decision.state, decision.note, decision.values, chunk.attempt_id)

    # --- flights and lease -------------------------------------------------------------------------------------------

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self.account.returned()
        self.flights.discard(flight)
        if not flight.cancelled() and (error := flight.exception()):
            # The messages stay `submitting` and become `unknown` when the lease ends: never lost, never sent twice.
            log.error("flight_failed", error=repr(error), exc_info=error)
            self._stop(Ended.LEASE_LOST)

    async def _land_one(self) -> None:
        if self.flights:
            await asyncio.wait(self.flights, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(0.01)  # the connections are busy with other batches of this account

    async def _land_all(self) -> None:
        while self.flights:
            await asyncio.wait(self.flights)

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
        if ended is Ended.WAITING and self._resume_at is not None:
            await self.runtime.write(leases.give_back, self.lease, self._resume_at)
        else:
            await self.runtime.write(leases.finish, self.lease, self.runtime.now())
        self.runtime.wake_dispatcher()
        return ended


# --- database steps, each one transaction ----------------------------------------------------------------------------


def _load(session: Session, lease: Lease, now: datetime, limit: int) -> list[tuple[Outgoing, Position]]:
    """Due messages as the adapter sees them; what opted out or ran out of time meanwhile is closed instead."""
    rows = due_messages(session, lease.batch_id, now, limit)
    campaign = session.get_one(Campaign, lease.campaign_id)
    opted_out = _opted_out(session, rows)
    closing = [move for row in rows if (move := _closing(row, opted_out, now))]
    apply_moves(session, closing, now)
    closed = {move.message_id for move in closing}
    return [_outgoing(row, campaign) for row in rows if row.id not in closed]


def _opted_out(session: Session, rows: Sequence[Message]) -> set[tuple[str, str]]:
    query = select(Suppression.msisdn, Suppression.sender).where(Suppression.msisdn.in_([row.msisdn for row in rows]))
    return set(session.execute(query).tuples()) if rows else set()


def _closing(row: Message, opted_out: set[tuple[str, str]], now: datetime) -> Move | None:
    if (row.msisdn, "") in opted_out or (row.msisdn, row.sender) in opted_out:
        return Move(row.id, MessageState.SUPPRESSED, "opted out after import")
    if row.expires_at is not None and row.expires_at <= now:
        return Move(row.id, MessageState.EXPIRED, "could not leave in time", {"reason": "could not leave in time"})
    return None


def _outgoing(row: Message, campaign: Campaign) -> tuple[Outgoing, Position]:
    return outgoing(row, campaign), Position(row.tries, row.looks, row.ref_round, campaign.validity)


def _attempt_row(account: AccountRuntime, lease: Lease, chunk: Chunk) -> tuple[Chunk, dict[str, object]]:
    keep = account.provider.look_up_policy.by is LookUpBy.REPLAY
    cost = chunk.cost
    return chunk, {
        "id": chunk.attempt_id,
        "account": account.name,
        "kind": "submit",
        "batch_id": lease.batch_id,
        "messages": cost.messages,
        "segments": cost.segments,
        "message_ids": [message.id for message in chunk.messages],
        "body": chunk.request.body if keep else None,
    }


def _write_intents(
    session: Session, lease: Lease, rows: Sequence[tuple[Chunk, dict[str, object]]], now: datetime
) -> tuple[CampaignState | None, frozenset[UUID]]:
    """`queued` to `submitting` with the Attempt rows, if the lease holds and the campaign runs."""
    state = leases.hold(session, lease)
    if state is not CampaignState.RUNNING:
        return state, frozenset()
    session.connection().execute(insert(Attempt), [{**row, "started_at": now} for _, row in rows])
    moves = [
        Move(
            UUID(message.id),
            MessageState.SUBMITTING,
            str(chunk.attempt_id),
            {"attempt_id": chunk.attempt_id, "attempted_at": now, "not_before": None},
        )
        for chunk, _ in rows
        for message in chunk.messages
    ]
    return state, frozenset(item.message_id for item in apply_moves(session, moves, now))


# --- reading outcomes ------------------------------------------------------------------------------------------------


def _status(answer: Reply | NotSent | OutcomeUnknown) -> int | None:
    match answer:
        case Reply(status=status):
            return status
        case OutcomeUnknown(partial=partial):
            return partial
        case _:
            return None


def _failed(chunk: Chunk, error: NotSent | OutcomeUnknown) -> Submission:
    return Submission({message.id: Unclear(error.reason) for message in chunk.messages})


def _outcome(submission: Submission, answer: Reply | NotSent | OutcomeUnknown, message_id: str) -> Outcome | NotSent:
    if isinstance(answer, NotSent):
        return answer
    return submission.outcomes.get(message_id, Unclear("missing in the adapter's reading"))


def _word(outcomes: Iterable[Outcome | NotSent]) -> str:
    """The worst of a request's outcomes, for the attempt's row."""
    kinds = {type(outcome) for outcome in outcomes}
    for kind, word in ((Unclear, "unknown"), (NotSent, "not_sent"), (Refused, "refused"), (Accepted, "accepted")):
        if kind in kinds:
            return word
    return "accepted"


def _reason(outcomes: Iterable[Outcome | NotSent]) -> str | None:
    for outcome in outcomes:
        if isinstance(outcome, Unclear):
            return outcome.reason
        if isinstance(outcome, Refused):
            return f"{outcome.failure.code}: {outcome.failure.reason}"
        if isinstance(outcome, NotSent):
            return outcome.reason
    return None
