"""When each batch of a steered campaign leaves: its place in the pace, then the next opening of its window.

Batches of such a campaign are imported without a time. The planner gives them one, a thousand per transaction, as soon
as the campaign runs; while the canary flies it plans no more than the canary. It runs every second, and whatever
stops it in the middle, it goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, select, update
from sqlalchemy.orm import Session

from config import tracing
from models.database import Database
from models.moves import Move, apply_moves
from models.phase import in_state
from models.queries import note_event
from models.states import BatchState, CampaignState, CanaryState, MessageState
from models.steering import Steering, planned_for, steering_of
from models.tables import Batch, Campaign, Lane, Message
from models.windows import next_open, zones_from
from producer.shaping import UNPLANNED

AT_ONCE = 1000  # batches per transaction
BUDGET = 2.0  # seconds for one run: the rest is done by the next
NEVER_OPEN = "the sending window is never open in all the time zones of this number at once"


def begin_plan(campaign: Campaign, now: datetime) -> None:
    """The campaign begins: its pace and its validity count from now, and the canary flies first."""
    steering = steering_of(campaign.steering)
    campaign.anchor_at = now
    campaign.guard_marks = [[0, 0]] if steering.guard is not None else None
    if steering.canary is not None:
        campaign.canary = CanaryState.WAITING


def resume_plan(session: Session, campaign: Campaign, now: datetime) -> None:
    """After a pause. The plan of a paced campaign moves on by its length, so that nothing has to be caught up in one
    burst; resuming a campaign that its canary halted overrules the canary."""
    campaign.guard_marks = None
    if campaign.canary is CanaryState.HALTED:
        campaign.canary = CanaryState.PASSED
        campaign.anchor_at = now
        note_event(session, campaign.id, "canary_overruled", "resumed although the canary had halted it", now)
    elif steering_of(campaign.steering).pacing is not None and campaign.paused_at and campaign.anchor_at:
        campaign.anchor_at += now - campaign.paused_at
        _forget(session, campaign)


def _forget(session: Session, campaign: Campaign) -> None:
    session.execute(
        update(Batch)
        .where(Batch.campaign_id == campaign.id, Batch.state == BatchState.PLANNED)
        .values(not_before=UNPLANNED)
    )


def plan_all(database: Database, now: datetime, budget: float = BUDGET) -> int:
    """Give every batch its time that may have one; the number of batches planned."""
    until = time.monotonic() + budget
    planned = 0
    with database.read() as session:
        waiting = _waiting(session)
    for campaign_id, account in waiting:
        done = AT_ONCE
        while done == AT_ONCE and time.monotonic() < until:
            with tracing.span("plan", campaign=str(campaign_id), account=account) as span:
                with database.write() as session:
                    done = plan_some(session, campaign_id, account, now)
                span.set_attribute("drumline.batches", done)
            planned += done
    return planned


def _waiting(session: Session) -> list[tuple[UUID, str]]:
    """Running campaigns and their accounts with batches that have no time yet."""
    campaigns = select(Campaign).where(Campaign.state == CampaignState.RUNNING)
    steered = [c for c in session.execute(campaigns).scalars() if steering_of(c.steering).planned]
    lanes = [
        (campaign, account)
        for campaign in steered
        for account in session.execute(select(Lane.account).where(Lane.campaign_id == campaign.id)).scalars()
    ]
    return [
        (campaign.id, account)
        for campaign, account in lanes
        if session.execute(select(Batch.id).where(*_unplanned(campaign, account)).limit(1)).first()
    ]


def _unplanned(campaign: Campaign, account: str) -> tuple[ColumnElement[bool], ...]:
    rule = steering_of(campaign.steering).canary
    flying = rule is not None and campaign.canary is not CanaryState.PASSED
    return (
        Batch.account == account,
        Batch.campaign_id == campaign.id,
        Batch.state == BatchState.PLANNED,
        Batch.not_before == UNPLANNED,
        *((Batch.position < rule.size,) if rule is not None and flying else ()),
    )


def plan_some(session: Session, campaign_id: UUID, account: str, now: datetime) -> int:
    """Plan the next batches of a campaign at an account; fewer than `AT_ONCE`: these were the last."""
    campaign = session.get(Campaign, campaign_id, populate_existing=True)
    if campaign is None or campaign.state is not CampaignState.RUNNING or campaign.anchor_at is None:
        return 0
    query = select(Batch).where(*_unplanned(campaign, account)).order_by(Batch.id).limit(AT_ONCE)
    batches = session.execute(query.with_for_update(skip_locked=True)).scalars().all()
    times = times_of(campaign, batches, now)
    rows = [{"b_id": batch.id, "b_time": when} for batch in batches if (when := times[batch.id])]
    if rows:
        session.connection().execute(_SET_TIME, rows)
    _refuse(session, campaign, [batch.id for batch in batches if times[batch.id] is None], now)
    return len(batches)


_SET_TIME = (
    update(Batch.__table__)  # type: ignore[arg-type]  # declared as FromClause, is a Table
    .where(Batch.__table__.c.id == bindparam("b_id"))
    .values(not_before=bindparam("b_time", type_=Batch.__table__.c.not_before.type))
)


def times_of(campaign: Campaign, batches: Sequence[Batch], now: datetime) -> dict[UUID, datetime | None]:
    """When each batch leaves; None: its window is never open."""
    steering = steering_of(campaign.steering)
    anchor = campaign.anchor_at or now
    opened: dict[tuple[str | None, datetime], datetime | None] = {}
    times: dict[UUID, datetime | None] = {}
    for batch in batches:
        when = max(planned_for(steering, anchor, batch.position, campaign.rows_accepted), now)
        key = (batch.zones, when)
        if key not in opened:
            opened[key] = _opening(steering, batch.zones, when)
        times[batch.id] = opened[key]
    return times


def _opening(steering: Steering, zones: str | None, moment: datetime) -> datetime | None:
    return moment if steering.window is None else next_open(steering.window, zones_from(zones), moment)


def _refuse(session: Session, campaign: Campaign, batch_ids: Sequence[UUID], now: datetime) -> None:
    if not batch_ids:
        return
    query = select(Message.id).where(Message.batch_id.in_(batch_ids), in_state(MessageState.QUEUED))
    values = {"code": "window_never_open", "reason": NEVER_OPEN}
    moves = [
        Move(found, MessageState.REJECTED, "window_never_open", values) for found in session.execute(query).scalars()
    ]
    refused = len(apply_moves(session, moves, now))
    session.execute(update(Batch).where(Batch.id.in_(batch_ids)).values(state=BatchState.DONE))
    if refused:
        note_event(session, campaign.id, "window_never_open", f"{refused} messages refused: {NEVER_OPEN}", now)
