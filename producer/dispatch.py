"""Topping up each account's queue on Redis with the next few seconds of work, fairly between campaigns.

Only batch ids travel. The database decides what is due; Redis may be wiped at any moment, the sweep puts back what was
dispatched and never taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from config import names
from config.accounts import Account
from models.database import Database
from models.queries import account_status, insert_new
from models.states import BatchState, CampaignState
from models.tables import AccountStatus, Batch, Campaign, Lane
from producer.fair import LaneView, next_turn

log = structlog.get_logger("drumline.dispatch")

SendTask = Callable[..., object]


@dataclass(frozen=True, slots=True)
class Job:
    batch_id: UUID
    account: str


def dispatch(database: Database, accounts: Mapping[str, Account], send_task: SendTask, now: datetime) -> int:
    """One round over all accounts; the number of batches put on Redis. Safe to run twice at once."""
    jobs: list[Job] = []
    for account in accounts.values():
        with database.write() as session:
            jobs += choose(session, account.name, depth(account), now)
    # Committed first, sent afterwards: a job never runs ahead of its batch; what gets lost here the sweep finds.
    for job in jobs:
        send_task(
            names.SUBMIT_BATCH, args=[str(job.batch_id)], queue=names.submit_queue(job.account), ignore_result=True
        )
    return len(jobs)


def depth(account: Account) -> int:
    """Batches on Redis or in work at once: a few seconds for a limited account, enough to fill every connection for an
    unlimited one."""
    return 2 if account.limits else 8


def choose(session: Session, account: str, most: int, now: datetime) -> list[Job]:
    """Mark the next batches of an account as dispatched, in fair order."""
    status = _lock_status(session, account)
    if status.parked_until is not None and status.parked_until > now:
        return []
    room = most - _busy(session, account)
    jobs: list[Job] = []
    while len(jobs) < room:
        lanes = _lanes(session, account, now)
        turn = next_turn(lanes, status.virtual_time)
        if turn is None:
            break
        batch = _take(session, account, turn.lane.campaign_id, now)
        if batch is None:
            break
        status.virtual_time = turn.start
        session.execute(
            update(Lane)
            .where(Lane.campaign_id == turn.lane.campaign_id, Lane.account == account)
            .values(finish=turn.finish(batch[1]))
        )
        jobs.append(Job(batch[0], account))
    return jobs


def _lock_status(session: Session, account: str) -> AccountStatus:
    """One dispatcher per account at a time."""
    account_status(session, account)
    query = select(AccountStatus).where(AccountStatus.account == account).with_for_update()
    # As it is under the lock: the session may hold it from before another dispatcher changed it.
    return session.execute(query, execution_options={"populate_existing": True}).scalar_one()


def _busy(session: Session, account: str) -> int:
    query = select(func.count()).where(
        Batch.account == account, Batch.state.in_((BatchState.DISPATCHED, BatchState.LEASED))
    )
    return session.execute(query).scalar_one()


def _lanes(session: Session, account: str, now: datetime) -> list[LaneView]:
    """Running campaigns with a batch due on this account."""
    due = (
        select(Batch.id)
        .where(
            Batch.account == account,
            Batch.campaign_id == Campaign.id,
            Batch.state == BatchState.PLANNED,
            Batch.not_before <= now,
        )
        .exists()
    )
    query = (
        select(Lane.campaign_id, Lane.finish, Campaign.weight, Campaign.priority)
        .join(Campaign, Campaign.id == Lane.campaign_id)
        .where(Lane.account == account, Campaign.state == CampaignState.RUNNING, due)
    )
    return [LaneView(*row) for row in session.execute(query).tuples()]


def _take(session: Session, account: str, campaign_id: UUID, now: datetime) -> tuple[UUID, int] | None:
    query = (
        select(Batch)
        .where(
            Batch.account == account,
            Batch.campaign_id == campaign_id,
            Batch.state == BatchState.PLANNED,
            Batch.not_before <= now,
        )
        .order_by(Batch.not_before, Batch.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    batch = session.execute(query).scalar_one_or_none()
    if batch is None:
        return None
    batch.state = BatchState.DISPATCHED
    batch.dispatched_at = now
    session.flush()
    return batch.id, batch.size


def open_lanes(session: Session, campaign_id: UUID, accounts: Mapping[str, int]) -> None:
    """A place in the queue of each account of a campaign's route."""
    insert_new(session, Lane, [{"campaign_id": campaign_id, "account": name, "finish": 0.0} for name in accounts])
