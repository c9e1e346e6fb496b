"""How messages look to the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import String, cast, select, tuple_
from sqlalchemy.orm import Session

from models.states import CanaryState, MessageState
from models.steering import planned_for, steering_of
from models.tables import Attempt, Batch, Campaign, DeliveryReport, Message
from producer.api.access import Caller
from producer.api.message_models import AttemptOut, MessageHistory, MessageOut, ReportOut, Step

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SAME_NAME = tuple(name for name in MessageOut.model_fields if name not in {"row", "phone"})
MOST_ATTEMPTS = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages of a campaign. `after` is the last (row, id) of the page before."""

    campaign_id: UUID
    states: Sequence[MessageState] = ()
    account: str | None = None
    after: tuple[int, UUID] | None = None


def page(session: Session, wanted: Wanted, limit: int) -> Sequence[Message]:
    """The next messages in row order."""
    query = select(Message).where(Message.campaign_id == wanted.campaign_id)
    if wanted.states:
        query = query.where(Message.state.in_(wanted.states))
    if wanted.account is not None:
        query = query.where(Message.account == wanted.account)
    if wanted.after is not None:
        # The first condition is for the index, the second for rows that share a number.
        query = query.where(
            Message.row_no >= wanted.after[0], tuple_(Message.row_no, Message.id) > tuple_(*wanted.after)
        )
    query = query.order_by(Message.row_no, Message.id).limit(limit)
    return session.execute(query).scalars().all()


def place(message: Message) -> str:
    """Where a page ends, for a cursor."""
    return f"{message.row_no} {message.id}"


def read_place(text: str) -> tuple[int, UUID]:
    """Raises ValueError."""
    row, _, message_id = text.partition(" ")
    if not row.isascii() or not row.isdigit() or len(row) > 10:
        raise ValueError(text)
    return int(row), UUID(message_id)


def row(message: Message, caller: Caller) -> MessageOut:
    """A message in a list, as this caller may see it."""
    return MessageOut(**_facts(message, caller))


def _facts(message: Message, caller: Caller) -> dict[str, Any]:
    same = {name: getattr(message, name) for name in _SAME_NAME}
    return {**same, "row": message.row_no, "phone": caller.number(message.msisdn)}


def history(session: Session, message: Message, caller: Caller) -> MessageHistory:
    """Everything about one message."""
    text = message.text
    if text is None and message.msisdn:  # of an erased number nobody shall see what it was told
        text = session.execute(select(Campaign.common_text).where(Campaign.id == message.campaign_id)).scalar_one()
    return MessageHistory(
        **_facts(message, caller),
        campaign_id=message.campaign_id,
        batch_id=message.batch_id,
        text=text if caller.sees_texts else None,
        tries=message.tries,
        looks=message.looks,
        not_before=message.not_before,
        deadline=message.deadline,
        expires_at=_expires(session, message),
        history=steps(message.trail),
        attempts=_attempts(session, message),
        reports=_reports(session, message.id),
    )


def _expires(session: Session, message: Message) -> datetime | None:
    """Until when it may leave: the campaign's validity from the time it was planned to leave; None before that."""
    campaign = session.get_one(Campaign, message.campaign_id)
    batch = session.get(Batch, message.batch_id)
    if message.expires_at is not None or campaign.validity is None or campaign.anchor_at is None or batch is None:
        return message.expires_at
    steering = steering_of(campaign.steering)
    if steering.canary and campaign.canary is not CanaryState.PASSED and batch.position >= steering.canary.size:
        return None
    planned = planned_for(steering, campaign.anchor_at, batch.position, campaign.rows_accepted)
    return planned + timedelta(seconds=campaign.validity)


def steps(trail: str) -> list[Step]:
    """A message's trail, line by line. A line that is none of ours is left out."""
    found = []
    for line in trail.splitlines():
        at, _, rest = line.partition(" ")
        state, _, note = rest.partition(" ")
        if at.isascii() and at.isdigit() and state:
            found.append(Step(at=_EPOCH + timedelta(milliseconds=int(at)), state=state, note=note))
    return found


def _attempts(session: Session, message: Message) -> list[AttemptOut]:
    """Requests of its batch that name it."""
    query = (
        select(Attempt)
        .where(Attempt.batch_id == message.batch_id, cast(Attempt.message_ids, String).contains(str(message.id)))
        .order_by(Attempt.started_at, Attempt.id)
        .limit(MOST_ATTEMPTS)
    )
    found = session.execute(query).scalars()
    return [AttemptOut.model_validate(attempt, from_attributes=True) for attempt in found]


def _reports(session: Session, message_id: UUID) -> list[ReportOut]:
    query = select(DeliveryReport).where(DeliveryReport.message_id == message_id).order_by(DeliveryReport.id)
    found = session.execute(query).scalars()
    return [ReportOut.model_validate(report, from_attributes=True) for report in found]
