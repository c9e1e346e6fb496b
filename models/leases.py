"""Leases on batches: who may submit what is in them, until when.

A lease has an owner, an end and a token that grows with every lease. Everything its owner does later names the token,
so that a worker that slept past its lease finds itself locked out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from models.phase import in_state
from models.priority import more_urgent, share
from models.queries import account_status
from models.states import BatchState, CampaignState, MessageState
from models.tables import Batch, Campaign, Lane, Message

BUSY: Final = (Batch.state.in_((BatchState.DISPATCHED, BatchState.LEASED)),)
"""As in the index of batches that are on Redis or in work: SQLite does not see that one state is among two."""


@dataclass(frozen=True, slots=True)
class Lease:
    batch_id: UUID
    campaign_id: UUID
    account: str
    owner: str
    token: int


def claim(session: Session, batch_id: UUID, owner: str, now: datetime, seconds: float) -> Lease | None:
    """Take the lease, or None: someone else has it, or the batch is not to be submitted now."""
    row = session.execute(
        update(Batch)
        .where(Batch.id == batch_id, Batch.state == BatchState.DISPATCHED)
        .values(
            state=BatchState.LEASED,
            lease_owner=owner,
            lease_token=Batch.lease_token + 1,
            lease_until=now + timedelta(seconds=seconds),
        )
        .returning(Batch.campaign_id, Batch.account, Batch.lease_token)
    ).one_or_none()
    return Lease(batch_id, row.campaign_id, row.account, owner, row.lease_token) if row else None


def extend(session: Session, lease: Lease, now: datetime, seconds: float) -> bool:
    """Push the lease's end. False: it is lost, stop at once."""
    return _fenced(session, lease, lease_until=now + timedelta(seconds=seconds))


_HOLD: Final = (
    select(Batch.id, Batch.lease_token, Campaign.state)
    .join(Campaign, Campaign.id == Batch.campaign_id)
    .where(Batch.id.in_(bindparam("batches", expanding=True)), Batch.state == BatchState.LEASED)
    .order_by(Batch.id)
    .with_for_update(of=Batch)
)


def hold(session: Session, lease: Lease) -> CampaignState | None:
    """Lock the lease for this transaction and say the campaign's state. None: the lease is lost."""
    return hold_all(session, [lease]).get(lease)


def hold_all(session: Session, leases: Sequence[Lease]) -> dict[Lease, CampaignState]:
    """The same for several, locked in a fixed order; without those that are lost."""
    rows = session.execute(_HOLD, {"batches": [lease.batch_id for lease in leases]})
    found = {(batch, token): state for batch, token, state in rows}
    return {lease: state for lease in leases if (state := found.get((lease.batch_id, lease.token))) is not None}


def give_back(session: Session, lease: Lease, not_before: datetime) -> bool:
    """Return the batch to the plan: something in it is due later. Its campaign gets back its place in the fair queue
    for what did not leave."""
    kept = _fenced(session, lease, state=BatchState.PLANNED, not_before=not_before, lease_owner=None, lease_until=None)
    if kept:
        _credit(session, lease, queued_in(session, lease.batch_id))
    return kept


def queued_in(session: Session, batch_id: UUID) -> int:
    """How many messages of a batch have not left."""
    query = select(func.count()).where(Message.batch_id == batch_id, in_state(MessageState.QUEUED))
    return session.execute(query).scalar_one()


def _credit(session: Session, lease: Lease, messages: int) -> None:
    row = session.execute(select(Campaign.weight, Campaign.priority).where(Campaign.id == lease.campaign_id)).one()
    session.execute(
        update(Lane)
        .where(Lane.campaign_id == lease.campaign_id, Lane.account == lease.account)
        .values(finish=Lane.finish - messages / share(row.weight, row.priority))
    )


@dataclass(frozen=True, slots=True)
class Terms:
    """What a campaign asks of those who work on its batches."""

    priority: str
    max_rate: float | None


def terms(session: Session, lease: Lease) -> Terms:
    query = select(Campaign.priority, Campaign.max_rate).where(Campaign.id == lease.campaign_id)
    return Terms(*session.execute(query).one())


def outranked(session: Session, lease: Lease, priority: str) -> bool:
    """More urgent work is going on at the account, or about to."""
    busy = (
        select(Batch.id)
        .join(Campaign, Campaign.id == Batch.campaign_id)
        .where(
            Batch.account == lease.account,
            Batch.state.in_((BatchState.DISPATCHED, BatchState.LEASED)),
            Campaign.priority.in_(more_urgent(priority)),
            Campaign.state == CampaignState.RUNNING,
        )
    )
    return session.execute(busy.limit(1)).first() is not None


def park(session: Session, account: str, until: datetime) -> None:
    """Dispatch nothing to this account before `until`: no worker could send it. Then one batch goes first, alone.

    What the workers say every two seconds (their snapshot) replaces this.
    """
    status = account_status(session, account)
    if status.parked_until is None or status.parked_until < until:
        status.parked_until = until
        status.trial = True


def finish(session: Session, lease: Lease, now: datetime) -> BatchState | None:
    """End the lease: DONE when nothing is queued any more, else back to the plan for the earliest due time.

    The batch is locked before its messages are looked at: whoever queues one of them meanwhile (`reopen`) waits, and
    then finds the batch done.
    """
    if hold(session, lease) is None:
        return None
    due = next_due(session, lease.batch_id)
    if due is None:
        done = _fenced(session, lease, state=BatchState.DONE, lease_owner=None, lease_until=None)
        return BatchState.DONE if done else None
    return BatchState.PLANNED if give_back(session, lease, max(due, now)) else None


def next_due(session: Session, batch_id: UUID) -> datetime | None:
    """When the next queued message of a batch is due; None when nothing is queued. `not_before` NULL is due at once."""
    queued = (Message.batch_id == batch_id, in_state(MessageState.QUEUED))
    at_once = session.execute(select(Message.id).where(*queued, Message.not_before.is_(None)).limit(1)).first()
    if at_once:
        return session.execute(select(Batch.not_before).where(Batch.id == batch_id)).scalar_one()
    return session.execute(select(func.min(Message.not_before)).where(*queued)).scalar_one()


def reopen(session: Session, message_ids: Sequence[UUID], now: datetime) -> None:
    """Messages that are queued again after their batch was done need it back in the plan."""
    if not message_ids:
        return
    batches = select(Message.batch_id).where(Message.id.in_(message_ids))
    # The lock waits for whoever is just ending one of these batches.
    session.execute(select(Batch.id).where(Batch.id.in_(batches)).order_by(Batch.id).with_for_update())
    session.execute(
        update(Batch)
        .where(Batch.id.in_(batches), Batch.state == BatchState.DONE)
        .values(state=BatchState.PLANNED, not_before=now)
    )


def ended(session: Session, now: datetime, limit: int = 100) -> Sequence[Batch]:
    """Batches whose owner let the lease run out."""
    query = (
        select(Batch)
        .where(*BUSY, Batch.state == BatchState.LEASED, Batch.lease_until < now)
        .order_by(Batch.account, Batch.state, Batch.id)  # by id alone PostgreSQL would walk all batches there are
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return session.execute(query).scalars().all()


def _fenced(session: Session, lease: Lease, **values: object) -> bool:
    done = session.execute(
        update(Batch)
        .where(Batch.id == lease.batch_id, Batch.lease_token == lease.token, Batch.state == BatchState.LEASED)
        .values(**values)
        .returning(Batch.id)
    ).first()
    return done is not None
