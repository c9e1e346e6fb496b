"""Reports that should have come: asked for by themselves where a lost report is never given out again.

A read-once page that was lost on the way (the connection broke, or the worker died with it in its hands) leaves its
messages `submitted` for ever. Where the provider can be asked what became of a message, it is asked, slower and slower,
until the report's deadline. What a provider hands out again and again needs none of this: the next poll brings it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from config.settings import Settings
from models.moves import apply_moves
from models.states import OPEN_AT_PROVIDER, MessageState
from models.tables import Campaign, Message
from providers.base import Found, NotThere, Report, Sighting, Sought
from workers.charged import look_up
from workers.fold import report_move
from workers.outgoing import sought
from workers.runtime import Runtime

log = structlog.get_logger("drumline.overdue")

AT_ONCE = 100  # messages in one run
SLOWEST = 6  # doublings of the wait between two questions


@dataclass(frozen=True, slots=True)
class Missing:
    """A message whose report is overdue."""

    id: UUID
    provider_id: str | None
    sought: Sought


async def ask_overdue(runtime: Runtime, account_name: str) -> int:
    """Ask for the overdue reports of an account; the number of messages that moved."""
    account = await runtime.account(account_name)
    overdue = account.policy.overdue
    if overdue is None:
        return 0
    missing = await runtime.write(claim, account_name, overdue, runtime.now())
    if not missing:
        return 0
    sightings = await look_up(runtime, account, [one.sought for one in missing])
    unanswered = [one for one in missing if not isinstance(sightings.get(one.sought.message.id), Found | NotThere)]
    if unanswered:
        await runtime.write(ask_again, unanswered, runtime.now() + again_after(overdue, runtime.settings))
    return await runtime.write(_apply, missing, sightings, runtime.now())


def again_after(overdue: float, settings: Settings) -> timedelta:
    """From a question that nobody answered to the next one; shorter than any other wait."""
    return timedelta(seconds=min(settings.look_up_retry_seconds, overdue / 4))


def ask_again(session: Session, unanswered: Sequence[Missing], when: datetime) -> None:
    """A question without an answer counts as not asked."""
    for one in unanswered:
        values = {"not_before": when, "looks": one.sought.looks}
        open_still = (Message.id == one.id) & Message.state.in_(tuple(OPEN_AT_PROVIDER))
        session.execute(update(Message).where(open_still).values(values))


def _apply(session: Session, missing: list[Missing], sightings: Mapping[str, Sighting], now: datetime) -> int:
    moves = [
        report_move(one.id, report)
        for one in missing
        if (report := _end_of(one, sightings.get(one.sought.message.id))) is not None
    ]
    return len(apply_moves(session, moves, now))


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


def claim(session: Session, account: str, overdue: float, now: datetime) -> list[Missing]:
    """The oldest of them, each pushed ahead so that it is asked for again later, and by nobody else meanwhile; for the
    last time when it would be given up."""
    query = (
        select(Message)
        .where(_is_overdue(account, overdue, now))
        .order_by(Message.submitted_at)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    rows = session.execute(query).scalars().all()
    missing = [
        Missing(row.id, row.provider_id, sought(row, session.get_one(Campaign, row.campaign_id), now)) for row in rows
    ]
    for row in rows:
        again = now + timedelta(seconds=overdue * 2 ** min(row.looks, SLOWEST))
        if row.deadline is not None and now < row.deadline:
            again = min(again, row.deadline)
        session.execute(update(Message).where(Message.id == row.id).values(not_before=again, looks=row.looks + 1))
    return missing
