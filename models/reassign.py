"""Giving queued messages to another account of their campaign's route."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from models.moves import add_counts
from models.phase import in_state
from models.plain import trail_line
from models.states import BatchState, MessageState
from models.tables import Batch, Message
from models.trails import moved_note
from models.types import new_id


@dataclass(frozen=True, slots=True)
class Target:
    """The account that takes over: its name, the sender ID it uses, and how many messages it has in a batch."""

    account: str
    sender: str
    batch_size: int


def stealable(session: Session, campaign_id: UUID, account: str) -> Batch | None:
    """The campaign's next batch at an account that no worker and no job has; locked for this transaction."""
    query = (
        select(Batch)
        .where(Batch.campaign_id == campaign_id, Batch.account == account, Batch.state == BatchState.PLANNED)
        .order_by(Batch.not_before, Batch.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return session.execute(query).scalar_one_or_none()


def movable(session: Session, batch_id: UUID) -> list[Message]:
    """Messages of a batch that nobody can have accepted: queued, and never of unknown outcome.

    A message proven absent would be as safe, but proofs are the provider's word about its own memory: there it may be
    tried again under the same reference, elsewhere it might arrive twice.
    """
    query = select(Message).where(
        Message.batch_id == batch_id,
        in_state(MessageState.QUEUED),
        Message.trail.not_like(f"% {MessageState.UNKNOWN}%"),
    )
    return list(session.execute(query.order_by(Message.row_no).with_for_update()).scalars())


def reassign(session: Session, batch: Batch, rows: Sequence[Message], target: Target, why: str, now: datetime) -> None:
    """Move `rows`, all of them queued in `batch`, into new batches of the target, due when theirs was. An emptied
    batch is done."""
    new = [rows[start : start + target.batch_size] for start in range(0, len(rows), target.batch_size)]
    ids = [new_id() for _ in new]
    planned = [
        {"id": id_, "campaign_id": batch.campaign_id, "account": target.account, "size": len(part),
         "not_before": max(batch.not_before, now), "position": batch.position, "zones": batch.zones,
         "state": BatchState.PLANNED}
        for id_, part in zip(ids, new, strict=True)
    ]  # fmt: skip
    session.connection().execute(insert(Batch), planned)
    line = trail_line(MessageState.QUEUED, moved_note(batch.account, why), now)
    for batch_id, part in zip(ids, new, strict=True):
        session.execute(
            update(Message)
            .where(Message.id.in_([row.id for row in part]))
            .values(batch_id=batch_id, account=target.account, sender=target.sender, not_before=None,
                    trail=Message.trail + line)
            .execution_options(synchronize_session=False)
        )  # fmt: skip
    queued = MessageState.QUEUED
    add_counts(
        session,
        {
            (batch.campaign_id, batch.account, queued): -len(rows),
            (batch.campaign_id, target.account, queued): len(rows),
        },
    )
    batch.size -= len(rows)
    if not _anything_queued(session, batch.id):
        batch.state = BatchState.DONE


def _anything_queued(session: Session, batch_id: UUID) -> bool:
    query = select(Message.id).where(Message.batch_id == batch_id, in_state(MessageState.QUEUED)).limit(1)
    return session.execute(query).first() is not None
