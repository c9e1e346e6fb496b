"""Recording answers: many messages per transaction, whatever batch they came from.

An answer in hand is the truth and the only copy of it. So a database that is away is waited for; only when the process
ends first is the answer lost, and then the ended lease turns its messages `unknown`, to be looked up.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import Dialect, Table, bindparam, func, update
from sqlalchemy.orm import Session

from models import leases
from models.bulk import Update, run_update, update_of
from models.database import PASSING_ERRORS
from models.moves import Home, Move, apply_expected, apply_moves, expect
from models.queries import insert_new
from models.states import MessageState
from models.tables import Attempt, Message, Suppression

log = structlog.get_logger("drumline.record")

_MESSAGES: Table = Message.__table__  # type: ignore[assignment]  # declared as FromClause, is a Table
_ATTEMPTS: Table = Attempt.__table__  # type: ignore[assignment]  # as above
_ENDED = ("elapsed_ms", "status", "outcome", "reason", "request_id")
_LINK = ("provider_id", "group_id", "submitted_at", "deadline", "parts", "price", "currency")


class Answered(NamedTuple):
    """One attempt that ended, and the moves that follow from it."""

    attempt_id: UUID
    elapsed_ms: int
    status: int | None
    outcome: str
    reason: str | None
    request_id: str | None
    keep_body: bool
    moves: Sequence[Move] = ()
    opted_out: Sequence[Mapping[str, Any]] = ()  # rows for the suppressions: who is known not to want our messages
    home: Home | None = None  # of messages that were `submitting` when they left; None: they are looked at first


def prepare_answers(dialect: Dialect, answers: Sequence[Answered], now: datetime) -> Callable[[Session], None]:
    """What ends the attempts and moves their messages, in a transaction of the caller's."""
    ended = _attempts_ended(dialect, answers)
    submitted: dict[Home, list[Move]] = defaultdict(list)
    for answer in answers:
        if answer.home is not None:
            submitted[answer.home] += answer.moves
    expected = expect(dialect, MessageState.SUBMITTING, submitted, now)

    def write(session: Session) -> None:
        for one in ended:
            run_update(session, one)
        # Whose report or sweep was faster is looked at like the others.
        others = [move for answer in answers if answer.home is None for move in answer.moves]
        others += apply_expected(session, expected)
        if others:
            _write_others(session, others, now)
        insert_new(session, Suppression, [row for answer in answers for row in answer.opted_out])

    return write


def _write_others(session: Session, moves: Sequence[Move], now: datetime) -> None:
    moved = apply_moves(session, moves, now)
    reached = {item.message_id for item in moved}
    _link_overtaken(session, [move for move in moves if move.message_id not in reached])
    # An answer later than its lease: the sweep has closed the batch already, and now something in it is due again.
    back = (MessageState.UNKNOWN, MessageState.QUEUED)
    leases.reopen(session, [item.message_id for item in moved if (item.old, item.new) == back], now)


def _attempts_ended(dialect: Dialect, answers: Sequence[Answered]) -> list[Update]:
    kept = [_ended(answer) for answer in answers if answer.keep_body]
    others = [_ended(answer) for answer in answers if not answer.keep_body]
    each = ((_ENDED, kept), ((*_ENDED, "body"), others))
    return [update_of(dialect, _ATTEMPTS, names, rows) for names, rows in each if rows]


def _ended(answer: Answered) -> dict[str, Any]:
    return {
        "id": answer.attempt_id,
        "elapsed_ms": answer.elapsed_ms,
        "status": answer.status,
        "outcome": answer.outcome,
        "reason": answer.reason,
        "request_id": answer.request_id,
        "body": None,
    }


def _link_overtaken(session: Session, moves: Sequence[Move]) -> None:
    """A report can beat our own commit: the message has moved on, but still lacks the provider's id."""
    rows = [_link_row(move) for move in moves if move.attempt is not None and move.values.get("provider_id")]
    if rows:
        session.connection().execute(_LINK_MESSAGE, rows)


def _link_row(move: Move) -> dict[str, Any]:
    values: Mapping[str, Any] = move.values
    return {"b_id": move.message_id, "b_attempt": move.attempt, **{f"v_{name}": values.get(name) for name in _LINK}}


_LINK_MESSAGE = (
    update(_MESSAGES)
    .where(_MESSAGES.c.id == bindparam("b_id"), _MESSAGES.c.attempt_id == bindparam("b_attempt"))
    .values(
        {name: func.coalesce(_MESSAGES.c[name], bindparam(f"v_{name}", type_=_MESSAGES.c[name].type)) for name in _LINK}
    )
)


LONGEST_GATHERING = 0.1
"""Seconds. A process that dies takes what it gathered with it: to be looked up, for up to so much of its answers."""

Told = Callable[[BaseException | None], None]
"""Called once: with None when the answer is committed, with what the database said where it can never be."""
_Waiting = tuple[Answered, Told]


class Recorder:
    """Collects the answers of all batches of this process and writes them together."""

    def __init__(
        self,
        write: Callable[[Sequence[Answered]], Awaitable[None]],
        *,
        gather_seconds: float = 0.01,
        most: int = 500,
        retry_seconds: float = 1.0,
    ) -> None:
        self._write = write  # commits
        self._gather = gather_seconds
        self._most = most
        self._retry = retry_seconds
        self._waiting: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._untold = 0
        self._all_told = asyncio.Event()

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="recorder")

    async def record(self, answer: Answered) -> None:
        """Returns when the answer is committed. Raises what the database says where it can never be."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.take(answer, partial(_settle, done))
        await done

    def take(self, answer: Answered, told: Told) -> None:
        """The same for whoever does not wait: `told` is called on the loop, and must not raise."""
        self._untold += 1
        self._waiting.append((answer, told))
        self._wake.set()

    async def close(self, patience: float = 60.0) -> int:
        """Write what waits, for so many seconds at most; the number of answers that could not be written. Their
        messages stay `submitting` and become `unknown`."""
        if self._untold:
            self._all_told.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._all_told.wait()
        if self._task:
            self._task.cancel()
        return self._untold

    async def _run(self) -> None:
        took = 0.0
        while True:
            await self._wake.wait()
            # Others join the transaction meanwhile: as long as the last one took, or a busy database would be asked
            # again and again for little.
            await asyncio.sleep(max(self._gather, min(took, LONGEST_GATHERING)))
            group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            if not self._waiting:
                self._wake.clear()
            began = time.monotonic()
            await self._commit(group)
            took = time.monotonic() - began

    async def _commit(self, group: Sequence[_Waiting]) -> None:
        """One answer that cannot be written must not hold up the others: then each is written by itself."""
        error = await self._insist([answer for answer, _ in group])
        if error is not None and len(group) > 1:
            for one in group:
                await self._commit([one])
            return
        for answer, told in group:
            self._tell(answer, told, error)

    def _tell(self, answer: Answered, told: Told, error: BaseException | None) -> None:
        if error is not None:
            log.error("answer_not_recorded", attempt=str(answer.attempt_id), error=type(error).__name__)
        self._untold -= 1
        if not self._untold:
            self._all_told.set()
        told(error)

    async def _insist(self, answers: Sequence[Answered]) -> BaseException | None:
        """Until it is committed, or will never be. The task of its own keeps any error away from this loop, which has
        to go on whatever happens."""
        while True:
            attempt = asyncio.ensure_future(self._write(answers))
            await asyncio.wait({attempt})
            error = attempt.exception()
            if error is None or not isinstance(error, PASSING_ERRORS):
                return error
            log.warning("answers_wait_for_database", answers=len(answers), error=type(error).__name__)
            await asyncio.sleep(self._retry)


def _settle(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.done():  # whoever waited was cancelled
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
