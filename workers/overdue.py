"""Reports that should have come: asked for by themselves where a lost report is never given out again.

A read-once page that was lost on the way (the connection broke, or the worker died with it in its hands) leaves its
messages `submitted` for ever. Where the provider can be asked what became of a message, it is asked, slower and slower,
until the report's deadline. What a provider hands out again and again needs none of this: the next poll brings it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from config.settings import Settings
from models.moves import Move, apply_moves
from models.states import OPEN_AT_PROVIDER, MessageState
from models.tables import Campaign, Message
from providers.base import Found, NotThere, Report, Sighting, Sought
from workers.charged import look_up
from workers.fold import report_move
from workers.outgoing import sought
from workers.runtime import Runtime
from workers.sweep import LAST_LOOK

log = structlog.get_logger("drumline.overdue")

AT_ONCE = 100  # messages in one run
SLOWEST = 6  # doublings of the wait between two questions


@dataclass(frozen=True, slots=True)
class Missing:
    """A message whose report is overdue."""

    id: UUID
    provider_id: str | None
    sought: Sought
    deadline: datetime | None


async def ask_overdue(runtime: Runtime, account_name: str) -> int:
    """Ask for the overdue reports of an account; the number of messages that moved."""
    account = await runtime.account(account_name)
    overdue = account.policy.overdue
    if overdue is None:
        return 0
    asked_at = runtime.now()
    missing = await runtime.write(claim, account_name, overdue, asked_at, under_way(runtime.settings))
    if not missing:
        return 0
    sightings = await look_up(runtime, account, [one.sought for one in missing])
    waits = Waits(asked_at, timedelta(seconds=overdue), again_after(overdue, runtime.settings))
    return await runtime.write(_apply, missing, sightings, waits, runtime.now())


@dataclass(frozen=True, slots=True)
class Waits:
    """From one question to the next, after the first answer and after none."""

    asked_at: datetime
    answered: timedelta
    unanswered: timedelta


def under_way(settings: Settings) -> timedelta:
    """How long a question is nobody else's. It has no answer yet: a message is given up only where the next question
    is further away than that (`sweep.close_unreported`)."""
    return timedelta(seconds=max(settings.look_up_claim_seconds, settings.look_up_retry_seconds))


def again_after(overdue: float, settings: Settings) -> timedelta:
    """From a question that nobody answered to the next one; shorter than any other wait."""
    return timedelta(seconds=min(settings.look_up_retry_seconds, overdue / 4))


def _apply(
    session: Session, missing: list[Missing], sightings: Mapping[str, Sighting], waits: Waits, now: datetime
) -> int:
    moves: list[Move] = []
    for one in sorted(missing, key=attrgetter("id")):  # in the order in which everybody locks messages
        sighting = sightings.get(one.sought.message.id)
        report = _end_of(one, sighting)
        if report is not None:
            moves.append(report_move(one.id, report))
        open_still = (Message.id == one.id) & Message.state.in_(tuple(OPEN_AT_PROVIDER))
        session.execute(update(Message).where(open_still).values(_next_question(one, sighting, waits, now)))
    return len(apply_moves(session, moves, now))


def _next_question(one: Missing, sighting: Sighting | None, waits: Waits, now: datetime) -> dict[str, Any]:
    """When to ask again. One without an answer counts as not asked; one after the deadline was the last. Pure."""
    if not isinstance(sighting, Found | NotThere):
        return {"not_before": now + waits.unanswered}
    looks = one.sought.looks
    again = now + waits.answered * 2 ** min(looks, SLOWEST)
    if one.deadline is not None:
        again = min(again, one.deadline) if waits.asked_at < one.deadline else now + LAST_LOOK
    return {"not_before": again, "looks": looks + 1}


def _end_of(one: Missing, sighting: Sighting | None) -> Report | None:
    """What the provider says of this very message, where it says more than that it took it. Pure."""
    if not isinstance(sighting, Found):
        return None
    fitting = (
        c for c in sighting.candidates if None in {c.provider_id, one.provider_id} or c.provider_id == one.provider_id
    )
    return next((c for c in fitting if c.state not in {None, MessageState.SUBMITTED}), None)


def _is_overdue(account: str, overdue: float, now: datetime) -> ColumnElement[bool]:
    return (
        (Message.account == account)
        & Message.phase.in_(tuple(OPEN_AT_PROVIDER))
        & (Message.submitted_at < now - timedelta(seconds=overdue))
        & (Message.not_before.is_(None) | (Message.not_before <= now))
    )


def overdue_accounts(session: Session, overdue: Mapping[str, float], now: datetime) -> set[str]:
    """Accounts that have something to ask for. `overdue`: seconds by account."""
    return {
        account
        for account, seconds in overdue.items()
        if session.execute(select(Message.id).where(_is_overdue(account, seconds, now)).limit(1)).first()
    }


def claim(session: Session, account: str, overdue: float, now: datetime, alone: timedelta) -> list[Missing]:
    """The oldest of them, each pushed ahead so that nobody else asks for it for so long."""
    query = (
        select(Message)
        .where(_is_overdue(account, overdue, now))
        .order_by(Message.submitted_at)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    rows = session.execute(query).scalars().all()
    missing = [
        Missing(row.id, row.provider_id, sought(row, session.get_one(Campaign, row.campaign_id), now), row.deadline)
        for row in rows
    ]
    if missing:
        ids = [one.id for one in missing]
        session.execute(update(Message).where(Message.id.in_(ids)).values(not_before=now + alone))
    return missing
