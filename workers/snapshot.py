"""What the producer may know of limiter and breaker: a snapshot in SQL, written by the workers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from models.queries import account_status
from workers.breaker import BreakerSnapshot, BreakerState, OpenKind
from workers.gate import Gate
from workers.orders import obey_order
from workers.rate_permits import LimitSnapshot
from workers.redis_scripts import CoordinationLost
from workers.runtime import Runtime

OPERATOR_PARK = 60.0  # seconds: until an operator closes it; every snapshot says so anew
PARK_AT_LEAST = 1.0  # seconds: shorter blocks are not worth parking for


async def take_snapshot(runtime: Runtime, account_name: str) -> None:
    """Write the account's present state; where Redis is away, say that."""
    account = await runtime.account(account_name)
    try:
        await obey_order(runtime, account)
        breaker = await runtime.breaker.snapshot(account_name)
        facts: dict[str, Any] = {"breaker": _breaker(breaker), "submit": await _limits(account.gate)}
        if account.poll_gate is not account.gate:
            facts["poll"] = await _limits(account.poll_gate)
        parking = parking_of(breaker, facts["submit"]["blocked_for"])
    except CoordinationLost as error:
        facts, parking = {"error": f"Redis does not answer: {type(error).__name__}"}, Parking(0.0, trial=False)
    if await runtime.write(_store, account_name, facts, parking, runtime.now()):
        runtime.wake_dispatcher()


@dataclass(frozen=True, slots=True)
class Parking:
    """For how long (seconds) dispatching makes no sense, and whether one batch should then go first, alone."""

    seconds: float
    trial: bool


def parking_of(breaker: BreakerSnapshot, blocked_for: float) -> Parking:
    """An open breaker is asked again by one batch at a time, when its cool-down is over. Pure."""
    if breaker.state is BreakerState.CLOSED:
        return Parking(blocked_for, trial=False)
    closed_by_hand = breaker.kind is OpenKind.OPERATOR
    waiting = OPERATOR_PARK if closed_by_hand else breaker.probe_in
    return Parking(max(waiting, blocked_for), trial=True)


async def _limits(gate: Gate) -> dict[str, Any]:
    snapshot: LimitSnapshot = await gate.limiter.snapshot(gate.budget)
    return {
        "windows": [
            {
                "limit": use.window.limit,
                "per": use.window.per,
                "counts": str(use.window.counts),
                "used": use.used,
                "ahead": use.ahead,
                "foreign": use.foreign,
                "remaining": use.remaining,
            }
            for use in snapshot.windows
        ],
        "blocked_for": round(snapshot.blocked_for, 3),
        "reason": snapshot.reason,
        "ramp": snapshot.ramp,
        "requests_per_second": round(snapshot.requests_per_second, 2),
        "messages_per_second": round(snapshot.messages_per_second, 2),
    }


def _breaker(snapshot: BreakerSnapshot) -> dict[str, Any]:
    return {
        "state": str(snapshot.state),
        "kind": str(snapshot.kind) if snapshot.kind else None,
        "reason": snapshot.reason,
        "by": snapshot.by,
        "for": round(snapshot.since, 1),
        "probe_in": round(snapshot.probe_in, 1),
        "needs_operator": snapshot.needs_operator,
    }


def _store(session: Session, account: str, facts: dict[str, Any], parking: Parking, now: datetime) -> bool:
    """True: the account may be dispatched to again, or more freely than before."""
    status = account_status(session, account)
    held_back = status.trial or (status.parked_until is not None and status.parked_until > now)
    status.snapshot = facts
    status.updated_at = now
    status.parked_until = now + timedelta(seconds=parking.seconds) if parking.seconds > PARK_AT_LEAST else None
    status.trial = parking.trial
    return held_back and status.parked_until is None
