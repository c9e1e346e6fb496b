"""Closing what will not leave any more: the rest of a cancelled campaign, and what outlived its validity.

Batch by batch, a few thousand messages per transaction: a campaign of a million is closed in one sweep, and nobody
waits long for the database meanwhile. A batch in a worker's hands is left to the worker, and closed when it comes back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, select, update
from sqlalchemy.orm import Session

from models.moves import Move, move_all
from models.states import BatchState, CampaignState, CanaryState, MessageState
from models.steering import overdue, steering_of
from models.tables import Batch, Campaign, CampaignCount, Message

MESSAGES = 2000  # per transaction, about: batches are closed as a whole
BATCHES = 500  # per transaction
BUDGET = 4.0  # seconds for one sweep: the next goes on
BREATH = 0.005  # seconds between transactions: SQLite lets others in only when nobody else is first

Write = Callable[[], AbstractContextManager[Session]]
_NOBODYS = (BatchState.PLANNED, BatchState.DISPATCHED)
_ANY = UUID(int=0)

CANCELLED = Move(_ANY, MessageState.CANCELLED, "campaign cancelled")
TOO_LATE = Move(
    _ANY,
    MessageState.EXPIRED,
    "too late to leave",
    {"code": "too_late", "reason": "could not leave within its validity"},
)


def cancel_all(write: Write, now: datetime, budget: float = BUDGET) -> int:
    """What had not left when its campaign was cancelled; the number of messages closed."""
    with write() as session:
        campaigns = session.execute(_with_queued(CampaignState.CANCELLED)).scalars().all()
        which = [Batch.campaign_id == campaign.id for campaign in campaigns]
    return _close_all(write, which, CANCELLED, now, budget)


def expire_all(write: Write, now: datetime, budget: float = BUDGET) -> int:
    """What could not leave within its campaign's validity is never sent late; the number of messages closed."""
    with write() as session:
        campaigns = session.execute(
            _with_queued(CampaignState.RUNNING, CampaignState.PAUSED).where(Campaign.validity.is_not(None))
        ).scalars()
        which = [late for campaign in campaigns if (late := _late(campaign, now)) is not None]
    return _close_all(write, which, TOO_LATE, now, budget)


def _with_queued(*states: CampaignState) -> Select[Campaign]:
    queued = exists().where(
        CampaignCount.campaign_id == Campaign.id, CampaignCount.state == MessageState.QUEUED, CampaignCount.n > 0
    )
    return select(Campaign).where(Campaign.state.in_(states), Campaign.finished_at.is_(None), queued)


def _late(campaign: Campaign, now: datetime) -> ColumnElement[bool] | None:
    """The batches of a campaign whose time is over; None: none. While the canary flies, the rest has no time yet."""
    if campaign.anchor_at is None or campaign.validity is None:
        return None
    steering = steering_of(campaign.steering)
    until = overdue(steering, campaign.anchor_at, campaign.rows_accepted, campaign.validity, now)
    if until == 0:
        return None
    flying = steering.canary if campaign.canary in {CanaryState.WAITING, CanaryState.HALTED} else None
    bounds = [bound for bound in (until, flying.size if flying else None) if bound is not None]
    mine = Batch.campaign_id == campaign.id
    return mine & (Batch.position < min(bounds)) if bounds else mine


def _close_all(write: Write, which: Sequence[ColumnElement[bool]], move: Move, now: datetime, budget: float) -> int:
    until = time.monotonic() + budget
    closed = 0
    for batches in which:
        while time.monotonic() < until:
            with write() as session:
                found, moved = close_some(session, batches, move, now)
            closed += moved
            if not found:
                break
            time.sleep(BREATH)
    return closed


def close_some(session: Session, batches: ColumnElement[bool], move: Move, now: datetime) -> tuple[int, int]:
    """Close the next batches that nobody holds: (batches, messages)."""
    found = session.execute(
        select(Batch.id, Batch.size)
        .where(batches, Batch.state.in_(_NOBODYS))
        .limit(BATCHES)
        .with_for_update(skip_locked=True)
    )
    ids: list[UUID] = []
    messages = 0
    for batch_id, size in found:
        ids.append(batch_id)
        messages += size
        if messages >= MESSAGES:
            break
    if not ids:
        return 0, 0
    session.execute(update(Batch).where(Batch.id.in_(ids)).values(state=BatchState.DONE))
    return len(ids), move_all(session, Message.batch_id.in_(ids), MessageState.QUEUED, move, now)
