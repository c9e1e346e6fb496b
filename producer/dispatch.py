"""Topping up each account's queue on Redis with the next few seconds of work, fairly between campaigns.

Only batch ids travel. The database decides what is due; Redis may be wiped at any moment, the sweep puts back what was
dispatched and never taken.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from config import names, tracing
from config.accounts import Account
from config.pace import MOST_IN_BATCH, message_rate
from models.database import Database
from models.leases import queued_in
from models.queries import account_status, insert_new
from models.states import BatchState, CampaignState
from models.tables import AccountStatus, Batch, Campaign, Lane
from producer.fair import LaneView, Turn, next_turn

log = structlog.get_logger("drumline.dispatch")

SendTask = Callable[..., object]


@dataclass(frozen=True, slots=True)
class Job:
    batch_id: UUID
    account: str


def dispatch(database: Database, accounts: Mapping[str, Account], send_task: SendTask, now: datetime) -> int:
    """One round over all accounts; the number of batches put on Redis. Safe to run twice at once."""
    began, jobs = time.time_ns(), list[Job]()
    for account in accounts.values():
        with database.write() as session:
            jobs += choose(session, account, now)
    # Committed first, sent afterwards: a job never runs ahead of its batch; what gets lost here the sweep finds.
    if jobs:
        with tracing.span("dispatch", begin_ns=began, batches=len(jobs)):
            _send(jobs, send_task)
    return len(jobs)


def _send(jobs: Sequence[Job], send_task: SendTask) -> None:
    for job in jobs:
        send_task(
            names.SUBMIT_BATCH, args=[str(job.batch_id)], queue=names.submit_queue(job.account), ignore_result=True
        )


LEAST_DEPTH, MOST_DEPTH = 2, 8
DEPTH_SECONDS = 10.0
NEWCOMERS = 1  # batches beyond the depth, for campaigns that have nothing in work
MOST_THROTTLED = 4  # batches of campaigns that are slow by a limit of their own; they stand beside the depth


def depth(account: Account) -> int:
    """Batches on Redis or in work at once: about ten seconds of work for a limited account (two batches, so that one
    is at work while the other changes), enough to fill every connection for an unlimited one."""
    seconds_in_batch = MOST_IN_BATCH / message_rate(account, account.request_cap or 1)
    if not seconds_in_batch:
        return MOST_DEPTH
    return min(MOST_DEPTH, max(LEAST_DEPTH, math.ceil(DEPTH_SECONDS / seconds_in_batch)))


def most_in_work(account: Account) -> int:
    return depth(account) + NEWCOMERS + MOST_THROTTLED


def choose(session: Session, account: Account, now: datetime) -> list[Job]:
    """Mark the next batches of an account as dispatched, in fair order."""
    status = _lock_status(session, account.name)
    if status.parked_until is not None and status.parked_until > now:
        return []
    places = _places(session, account, alone=status.trial)
    jobs: list[Job] = []
    while turn := _next(session, account.name, places, status.virtual_time, now):
        campaign_id = turn.lane.campaign_id
        batch = _take(session, account.name, campaign_id, now)
        if batch is None:
            break
        status.virtual_time = max(status.virtual_time, turn.virtual_time)
        session.execute(
            update(Lane)
            .where(Lane.campaign_id == campaign_id, Lane.account == account.name)
            .values(finish=turn.finish(batch[1]))
        )
        places.busy[campaign_id] += 1
        jobs.append(Job(batch[0], account.name))
    return jobs


@dataclass
class Places:
    """What is on Redis or in work for one account (`busy`, by campaign), and what may be added.

    Throttled campaigns have one batch each and stand beside the depth: they cannot use the account, so they must not
    hold its places.
    """

    depth: int
    newcomers: int
    busy: Counter[UUID]
    throttled: frozenset[UUID]

    def beside(self, lane: LaneView) -> bool:
        """Whether a throttled campaign may have a batch now."""
        in_work = sum(1 for campaign in self.throttled if self.busy[campaign])
        return in_work < MOST_THROTTLED and not self.busy[lane.campaign_id]

    def admit(self, lane: LaneView) -> bool:
        """A campaign whose turn it is and that has nothing in work need not wait until another one's batch ends."""
        in_work = sum(count for campaign, count in self.busy.items() if campaign not in self.throttled)
        return in_work < self.depth + (0 if self.busy[lane.campaign_id] else self.newcomers)


def _places(session: Session, account: Account, *, alone: bool) -> Places:
    """`alone`: the breaker is not closed. One batch goes first, and its first request is the probe."""
    busy = _busy(session, account.name)
    if alone:
        return Places(1, 0, busy, frozenset())
    return Places(depth(account), NEWCOMERS, busy, _throttled(session, account))


def _next(session: Session, account: str, places: Places, virtual_time: float, now: datetime) -> Turn | None:
    """Whose turn it is, if there is a place. Throttled campaigns take no turns: their own rule is what binds them."""
    lanes = _lanes(session, account, now)
    slow = [lane for lane in lanes if lane.campaign_id in places.throttled and places.beside(lane)]
    if slow:
        lane = min(slow, key=lambda lane: (lane.finish, lane.campaign_id.hex))
        return Turn(lane, lane.finish, virtual_time)
    turn = next_turn([lane for lane in lanes if lane.campaign_id not in places.throttled], virtual_time)
    return turn if turn and places.admit(turn.lane) else None


def _lock_status(session: Session, account: str) -> AccountStatus:
    """One dispatcher per account at a time."""
    account_status(session, account)
    query = select(AccountStatus).where(AccountStatus.account == account).with_for_update()
    # As it is under the lock: the session may hold it from before another dispatcher changed it.
    return session.execute(query, execution_options={"populate_existing": True}).scalar_one()


def _busy(session: Session, account: str) -> Counter[UUID]:
    """How many batches of each campaign are on Redis or in work."""
    query = (
        select(Batch.campaign_id, func.count())
        .where(Batch.account == account, Batch.state.in_((BatchState.DISPATCHED, BatchState.LEASED)))
        .group_by(Batch.campaign_id)
    )
    return Counter(dict(session.execute(query).all()))


def _throttled(session: Session, account: Account) -> frozenset[UUID]:
    """Running campaigns that are limited to less than half of what the account allows. Where the provider counts by
    sender ID, any campaign may be."""
    rate = message_rate(account, account.request_cap or 1)
    query = (
        select(Lane.campaign_id)
        .join(Campaign, Campaign.id == Lane.campaign_id)
        .where(Lane.account == account.name, Campaign.state == CampaignState.RUNNING)
    )
    if not account.sender_limits:
        query = query.where(Campaign.max_rate < min(rate / 2, sys.float_info.max))
    return frozenset(session.execute(query).scalars())


def _lanes(session: Session, account: str, now: datetime) -> list[LaneView]:
    """Running campaigns with a batch due on this account."""
    # The first one of each, by its index: an EXISTS is also answered by reading all of a million batches that wait.
    first = (
        select(func.min(Batch.not_before))
        .where(Batch.account == account, Batch.campaign_id == Campaign.id, Batch.state == BatchState.PLANNED)
        .scalar_subquery()
    )
    query = (
        select(Lane.campaign_id, Lane.finish, Campaign.weight, Campaign.priority)
        .join(Campaign, Campaign.id == Lane.campaign_id)
        .where(Lane.account == account, Campaign.state == CampaignState.RUNNING, first <= now)
    )
    return [LaneView(*row) for row in session.execute(query)]


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
    # Charged for what is left in it: a batch that was handed back comes by again.
    return batch.id, max(1, queued_in(session, batch.id))


def open_lanes(session: Session, campaign_id: UUID, accounts: Mapping[str, int]) -> None:
    """A place in the queue of each account of a campaign's route."""
    insert_new(session, Lane, [{"campaign_id": campaign_id, "account": name, "finish": 0.0} for name in accounts])
