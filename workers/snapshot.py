"""What the producer may know of limiter and breaker: a snapshot in SQL, written by the workers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from models.queries import account_status
from workers.breaker import BreakerSnapshot, BreakerState
from workers.gate import Gate
from workers.rate_permits import LimitSnapshot
from workers.redis_scripts import CoordinationLost
from workers.runtime import Runtime

PARK_AT_LEAST = 1.0  # seconds: shorter blocks are not worth parking for


async def take_snapshot(runtime: Runtime, account_name: str) -> None:
    """Write the account's present state; where Redis is away, say that."""
    account = await runtime.account(account_name)
    try:
        breaker = await runtime.breaker.snapshot(account_name)
        facts: dict[str, Any] = {"breaker": _breaker(breaker), "submit": await _limits(account.gate)}
        if account.poll_gate is not account.gate:
            facts["poll"] = await _limits(account.poll_gate)
        parked = _parked_seconds(breaker, facts["submit"]["blocked_for"])
    except CoordinationLost as error:
        facts, parked = {"error": f"Redis does not answer: {type(error).__name__}"}, 0.0
    await runtime.write(_store, account_name, facts, parked, runtime.now())


def _parked_seconds(breaker: BreakerSnapshot, blocked_for: float) -> float:
    """How long dispatching to this account makes no sense. An open breaker is asked again by one batch at a time."""
    waiting = breaker.probe_in if breaker.state is BreakerState.OPEN else 0.0
    return max(waiting, blocked_for)


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


def _store(session: Session, account: str, facts: dict[str, Any], parked: float, now: datetime) -> None:
    status = account_status(session, account)
    status.snapshot = facts
    status.updated_at = now
    status.parked_until = now + timedelta(seconds=parked) if parked > PARK_AT_LEAST else None
