"""Requests that are no submits: look-ups, polls, probes, replays. They count against the account's limits too."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from models.tables import Attempt
from models.types import new_id
from providers.base import Sighting, Signal, Sought
from providers.wire import NotSent, OutcomeUnknown, Reply, Request
from workers.departure import Departed, depart
from workers.gate import LEAVE_WITHIN, Boarding, Cost, Door, Gate, Pass, Wait
from workers.readings import Answer
from workers.record import Answered
from workers.runtime import AccountRuntime, Runtime

HORIZON: Final = 10.0  # seconds: longer than a submit waits for its permit, so that these never starve
POLL: Final = Cost(1, 0, 0)


async def charged_send(
    runtime: Runtime,
    account: AccountRuntime,
    request: Request,
    kind: str,
    *,
    gate: Gate | None = None,
    lessons: tuple[type[Signal], ...] | None = None,
    keep: Callable[[Reply], Awaitable[None]] | None = None,
) -> Reply:
    """One request that is no submit: counted against the account's limits (of `gate`, by default those of polls) and
    kept as an Attempt. `lessons`: the only signals that may be learnt from the answer, where not all. `keep` gets the
    answer before anything else is done with it.

    Raises NotSent or OutcomeUnknown; NotSent also when no permit is to be had in good time.
    """
    gate = gate or account.poll_gate
    attempt_id, boarding = await _permit_for(runtime, account, gate, kind)
    departed = await send_at_slot(account, gate, request, kind, boarding)
    if departed is None:
        await runtime.recorder.record(Answered(attempt_id, 0, None, "not_sent", "permit not used", None, False))
        raise NotSent("permit_missed", "the moment of the permit passed")
    reply, passed, elapsed = departed
    if not isinstance(reply, Reply):
        await gate.failed(reply, passed)
        await runtime.recorder.record(
            _ended(attempt_id, elapsed, getattr(reply, "partial", None), "failed", reply.reason)
        )
        raise reply
    if keep is not None:
        await keep(reply)
    signal, allowance = account.provider.read_signal(reply)
    learnt = signal if lessons is None or isinstance(signal, lessons) else None
    await gate.learn(learnt, allowance, passed)
    await runtime.recorder.record(_ended(attempt_id, elapsed, reply.status, "answered", None))
    return reply


async def look_up(runtime: Runtime, account: AccountRuntime, sought: Sequence[Sought]) -> Mapping[str, Sighting]:
    """What the provider shows of these messages, by `Outgoing.id`."""

    async def send(request: Request) -> Reply:
        return await charged_send(runtime, account, request, "look_up")

    return await account.provider.look_up(sought, send)


async def send_at_slot(
    account: AccountRuntime, gate: Gate, request: Request, kind: str, boarding: Boarding
) -> Departed | None:
    """One request, at a slot of this gate; None: it did not leave."""

    async def send(passed: Pass) -> Answer:
        try:
            return await account.exchange(
                replace(request, slot_ends=passed.permit.not_after), kind, messages=boarding.cost.messages
            )
        except (NotSent, OutcomeUnknown) as error:
            return error

    await account.client.prepare(request.url, boarding.passed.permit.not_before)
    return await depart(boarding.passed, send, partial(gate.another, boarding))


async def _permit_for(runtime: Runtime, account: AccountRuntime, gate: Gate, kind: str) -> tuple[UUID, Boarding]:
    """A begun attempt, and what its request leaves with."""
    attempt_id = new_id()
    passed = await gate.one(POLL, HORIZON, reads=True)
    if isinstance(passed, Wait):
        shut = "breaker: " if passed.door is Door.BREAKER else ""
        raise NotSent("no_permit", f"{shut}{passed.reason}: {passed.seconds:.0f} s")
    await passed.come_near()
    leave_by = time.monotonic() + LEAVE_WITHIN
    try:
        await runtime.write(_begin, attempt_id, account.name, kind, runtime.now())
    except runtime.database_errors:
        await gate.unused(passed)
        raise
    return attempt_id, Boarding(passed, POLL, leave_by, reads=True)


def _ended(attempt_id: UUID, elapsed: float, status: int | None, outcome: str, reason: str | None) -> Answered:
    return Answered(attempt_id, round(elapsed * 1000), status, outcome, reason, None, False)


def _begin(session: Session, attempt_id: UUID, account: str, kind: str, now: datetime) -> None:
    session.add(Attempt(id=attempt_id, account=account, kind=kind, started_at=now))
