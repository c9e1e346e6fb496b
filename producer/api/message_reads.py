"""How messages look to the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import String, cast, select
from sqlalchemy.orm import Session

from models.queries import may_have_carried
from models.states import CanaryState
from models.steering import planned_for, steering_of
from models.tables import Attempt, Batch, Campaign, DeliveryReport, Message
from producer.api.access import Caller
from producer.api.message_models import AttemptOut, FoundOut, MessageHistory, MessageOut, ReportOut, Step
from producer.message_pages import Place

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SAME_NAME = tuple(name for name in MessageOut.model_fields if name not in {"row", "phone"})
MOST_ATTEMPTS = 200


def write_place(place: Place) -> str:
    """Where a page ends, for a cursor."""
    return f"{place[0]} {place[1]}"


def read_place(text: str) -> Place:
    """Raises ValueError."""
    row, _, message_id = text.partition(" ")
    if not row.isascii() or not row.isdigit() or len(row) > 10:
        raise ValueError(text)
    return int(row), UUID(message_id)


def row(message: Message, caller: Caller) -> MessageOut:
    """A message in a list, as this caller may see it."""
    return MessageOut(**_facts(message, caller))


def found_row(message: Message, caller: Caller) -> FoundOut:
    """The same over all campaigns."""
    return FoundOut(**_facts(message, caller), campaign_id=message.campaign_id)


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
    """Requests that name it, under whatever account it was."""
    query = (
        select(Attempt)
        .where(
            may_have_carried([message.batch_id], [message.trail]),
            cast(Attempt.message_ids, String).contains(str(message.id)),
        )
        .order_by(Attempt.started_at, Attempt.id)
        .limit(MOST_ATTEMPTS)
    )
    found = session.execute(query).scalars()
    return [AttemptOut.model_validate(attempt, from_attributes=True) for attempt in found]


def _reports(session: Session, message_id: UUID) -> list[ReportOut]:
    query = select(DeliveryReport).where(DeliveryReport.message_id == message_id).order_by(DeliveryReport.id)
    found = session.execute(query).scalars()
    return [ReportOut.model_validate(report, from_attributes=True) for report in found]
