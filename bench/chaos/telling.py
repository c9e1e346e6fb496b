"""What happened to single messages, for whoever has to find out why."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.states import FINAL
from models.tables import Batch, Message
from producer.audit import History, history


def tell_messages(session: Session, wanted: Sequence[UUID]) -> str:
    """Those messages, or where none is named the first that are not final."""
    if not wanted:
        query = select(Message.id).where(Message.state.not_in(tuple(FINAL))).limit(5)
        wanted = session.execute(query).scalars().all()
    told = (history(session, one) for one in wanted)
    return "\n".join(_tell(session, one) for one in told if one is not None)


def _tell(session: Session, found: History) -> str:
    message = found.message
    batch = session.get(Batch, message.batch_id)
    head = (
        f"{message.account} {message.id} is {message.state}, code {message.code}, provider id {message.provider_id}, "
        f"tries {message.tries}, looks {message.looks}, not before {message.not_before}, deadline {message.deadline}"
    )
    lines = [head]
    if batch is not None:
        lines.append(f"  batch {batch.id} {batch.state} not before {batch.not_before} lease {batch.lease_until}")
    lines += [f"  {step.at:%H:%M:%S.%f} {step.state} {step.note}" for step in found.trail]
    lines += [
        f"  {a.started_at:%H:%M:%S.%f} attempt {a.id} {a.kind}: {a.outcome} {a.status} {a.reason} {a.elapsed_ms} ms"
        for a in found.attempts
    ]
    lines += [f"  {r.received_at:%H:%M:%S.%f} report {r.raw_status} {r.state}: {r.effect}" for r in found.reports]
    return "\n".join(lines)
