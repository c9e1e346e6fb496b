"""A job from Redis: its batch when it is its turn, then what nobody else began."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.leases import BUSY
from models.states import BatchState
from models.tables import Batch
from workers.runtime import Runtime
from workers.submit import Ended, submit_batch

UNCLAIMED_FOR: Final = 0.3  # seconds from its dispatch, after which a batch is anybody's who has nothing to do


async def submit_in_turn(runtime: Runtime, batch_id: UUID) -> None:
    """Submit this batch when it is its turn, then those that wait at other workers while this one has nothing."""
    following: UUID | None = batch_id
    while following is not None and (name := await runtime.read(account_of, following)) is not None:
        account = await runtime.account(name)
        async with account.turns.turn():
            ended = await submit_batch(runtime, following)
        following = None
        if ended in {Ended.DONE, Ended.NOT_OURS} and account.turns.has_nothing and not runtime.stopping:
            following = await runtime.read(next_unclaimed, name, runtime.now())


def account_of(session: Session, batch_id: UUID) -> str | None:
    """None: the batch is gone."""
    return session.execute(select(Batch.account).where(Batch.id == batch_id)).scalar_one_or_none()


def next_unclaimed(session: Session, account: str, now: datetime) -> UUID | None:
    """The batch that has waited longest for a worker to begin it. Its job may still come: it will find the lease."""
    query = (
        select(Batch.id)
        .where(
            *BUSY,
            Batch.account == account,
            Batch.state == BatchState.DISPATCHED,
            Batch.dispatched_at < now - timedelta(seconds=UNCLAIMED_FOR),
        )
        .order_by(Batch.dispatched_at)
        .limit(1)
    )
    return session.execute(query).scalar_one_or_none()
