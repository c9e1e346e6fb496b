"""The steps of a purge. Each is one transaction over some hundred rows and says after which row the next one begins."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Table, bindparam, delete, exists, or_, select, tuple_, update
from sqlalchemy.orm import Session

from models.forgotten import inbound_digest
from models.personal import ERASED
from models.queries import note_event
from models.tables import (
    Attempt,
    Base,
    Batch,
    Campaign,
    CampaignEvent,
    DeliveryReport,
    InboundMessage,
    InboxPage,
    Message,
    OutboxEvent,
    Reject,
    Source,
)
from models.trails import without_notes
from producer import idempotency

MESSAGES = 500  # in one transaction: about 50 ms of SQLite's one writer
ROWS = 1000
PAGES = 100  # raw pages can be large
_MESSAGES: Table = Message.__table__  # type: ignore[assignment]  # declared as FromClause, is a Table


@dataclass(frozen=True, slots=True)
class Purged:
    """How many rows lost what they said. `left`: there is more, the time was up."""

    campaigns: int = 0
    messages: int = 0
    requests: int = 0
    rejects: int = 0
    reports: int = 0
    pages: int = 0
    inbound: int = 0
    events: int = 0
    left: bool = False

    def __add__(self, other: Purged) -> Purged:
        counts = (field.name for field in fields(self) if field.name != "left")
        sums = {name: getattr(self, name) + getattr(other, name) for name in counts}
        return Purged(**sums, left=self.left or other.left)


class Step(NamedTuple):
    """What one transaction did; `after`: the place of the last row; `more`: there may be rows behind it."""

    figures: Purged
    after: Any = None
    more: bool = False


# --- a campaign ------------------------------------------------------------------------------------------------------


def begin(session: Session, *, campaign_id: UUID, now: datetime, after: None) -> Step:
    """From here on nobody copies it any more; what it says itself goes first."""
    campaign = session.get_one(Campaign, campaign_id, with_for_update=True)
    campaign.purge_began_at = campaign.purge_began_at or now
    session.flush()
    _erase(session, Campaign, Campaign.id == campaign_id)
    _erase(session, Source, Source.campaign_id == campaign_id)
    _erase(session, CampaignEvent, CampaignEvent.campaign_id == campaign_id)
    return Step(Purged())


def messages(session: Session, *, campaign_id: UUID, after: tuple[int, UUID] | None) -> Step:
    query = (
        select(Message.row_no, Message.id)
        .where(Message.campaign_id == campaign_id, Message.msisdn != "")
        .order_by(Message.row_no, Message.id)
        .limit(MESSAGES)
    )
    if after is not None:
        query = query.where(Message.row_no >= after[0], tuple_(Message.row_no, Message.id) > tuple_(*after))
    found = [(row_no, message_id) for row_no, message_id in session.execute(query)]
    figures = erase_messages(session, [message_id for _, message_id in found])
    return Step(figures, found[-1] if found else after, len(found) == MESSAGES)


def requests(session: Session, *, campaign_id: UUID, after: UUID | None) -> Step:
    query = select(Batch.id).where(Batch.campaign_id == campaign_id).order_by(Batch.id).limit(PAGES)
    if after is not None:
        query = query.where(Batch.id > after)
    batches = session.execute(query).scalars().all()
    told = or_(Attempt.body.is_not(None), Attempt.reason.is_not(None))
    done = _erase(session, Attempt, Attempt.batch_id.in_(batches), told)
    return Step(Purged(requests=done), batches[-1] if batches else after, len(batches) == PAGES)


def rejects(session: Session, *, campaign_id: UUID, after: int | None) -> Step:
    query = select(Reject.id).where(Reject.campaign_id == campaign_id, Reject.id > (after or 0))
    found = session.execute(query.order_by(Reject.id).limit(ROWS)).scalars().all()
    done = _erase(session, Reject, Reject.id.in_(found))
    return Step(Purged(rejects=done), found[-1] if found else after, len(found) == ROWS)


def events(session: Session, *, campaign_id: UUID, after: None) -> Step:
    found = session.execute(select(OutboxEvent.id).where(OutboxEvent.campaign_id == campaign_id).limit(ROWS))
    done = _delete(session, OutboxEvent, found.scalars().all())
    return Step(Purged(events=done), None, done == ROWS)


def end(session: Session, *, campaign_id: UUID, now: datetime, after: None) -> Step:
    campaign = session.get_one(Campaign, campaign_id, with_for_update=True)
    if campaign.purged_at is not None:
        return Step(Purged())  # two purges at once
    campaign.purged_at = now
    note_event(session, campaign_id, "purged", "", now)
    return Step(Purged(campaigns=1))


OF_CAMPAIGN = (messages, requests, rejects, events)


# --- by age ----------------------------------------------------------------------------------------------------------


def old_pages(session: Session, *, before: datetime, after: int | None) -> Step:
    """Raw reports and pushes: whatever they said stands with the messages."""
    query = (
        select(InboxPage.id)
        .where(InboxPage.received_at < before, InboxPage.parsed_at.is_not(None), InboxPage.id > (after or 0))
        .order_by(InboxPage.id)
        .limit(PAGES)
    )
    found = session.execute(query).scalars().all()
    return Step(Purged(pages=_delete(session, InboxPage, found)), found[-1] if found else after, len(found) == PAGES)


def old_reports(session: Session, *, before: datetime, after: int | None) -> Step:
    """Reports of no message we know, or of one that is erased already: they came late."""
    erased = exists().where(Message.id == DeliveryReport.message_id, Message.msisdn == "")
    query = (
        select(DeliveryReport.id)
        .where(
            DeliveryReport.received_at < before, DeliveryReport.id > (after or 0),
            or_(DeliveryReport.message_id.is_(None), erased),
        )
        .order_by(DeliveryReport.id)
        .limit(ROWS)
    )  # fmt: skip
    found = session.execute(query).scalars().all()
    done = _delete(session, DeliveryReport, found)
    return Step(Purged(reports=done), found[-1] if found else after, len(found) == ROWS)


def old_requests(session: Session, *, before: datetime, after: UUID | None) -> Step:
    """Polls and look-ups, which belong to no batch."""
    query = select(Attempt.id).where(
        Attempt.started_at < before, Attempt.batch_id.is_(None),
        or_(Attempt.body.is_not(None), Attempt.reason.is_not(None)),
    )  # fmt: skip
    if after is not None:
        query = query.where(Attempt.id > after)
    found = session.execute(query.order_by(Attempt.id).limit(ROWS)).scalars().all()
    done = _erase(session, Attempt, Attempt.id.in_(found))
    return Step(Purged(requests=done), found[-1] if found else after, len(found) == ROWS)


def old_inbound(session: Session, *, before: datetime, after: int | None) -> Step:
    query = select(InboundMessage.id).where(
        InboundMessage.received_at < before, InboundMessage.msisdn != "", InboundMessage.id > (after or 0)
    )
    found = session.execute(query.order_by(InboundMessage.id).limit(ROWS)).scalars().all()
    done = erase_inbound(session, found)
    return Step(Purged(inbound=done), found[-1] if found else after, len(found) == ROWS)


def old_events(session: Session, *, before: datetime, after: None) -> Step:
    """Delivered or given up; what still waits for its receiver waits on."""
    over = or_(OutboxEvent.delivered_at < before, OutboxEvent.dead_at < before)
    found = session.execute(select(OutboxEvent.id).where(over).limit(ROWS)).scalars().all()
    return Step(Purged(events=_delete(session, OutboxEvent, found)), None, len(found) == ROWS)


def old_answers(session: Session, *, before: datetime, after: None) -> Step:
    """Answers under an idempotency key are older than a day anyway."""
    idempotency.forget_old(session, before + idempotency.KEPT)
    return Step(Purged())


BY_AGE = (old_pages, old_reports, old_requests, old_inbound, old_events, old_answers)


# --- shared with `drumline erase` ------------------------------------------------------------------------------------


def erase_messages(session: Session, ids: Collection[UUID]) -> Purged:
    """What final messages say of a person, their reports, and the raw pages these came in (if they were read whole)."""
    if not ids:
        return Purged()
    query = select(Message.id, Message.trail).where(Message.id.in_(ids)).order_by(Message.id)
    rows = [
        {"which": message_id, "bare": without_notes(trail)}
        for message_id, trail in session.execute(query.with_for_update())
    ]
    statement = update(_MESSAGES).where(_MESSAGES.c.id == bindparam("which"))
    session.connection().execute(statement.values(**ERASED["messages"], trail=bindparam("bare")), rows)
    gone = delete(DeliveryReport).where(DeliveryReport.message_id.in_(ids)).returning(DeliveryReport.inbox_id)
    came_in = session.execute(gone).scalars().all()
    pages = select(InboxPage.id).where(
        InboxPage.id.in_({page for page in came_in if page}),
        InboxPage.parsed_at.is_not(None),
        InboxPage.error.is_(None),
    )
    deleted = _delete(session, InboxPage, session.execute(pages.order_by(InboxPage.id)).scalars().all())
    return Purged(messages=len(rows), reports=len(came_in), pages=deleted)


def erase_inbound(session: Session, ids: Collection[int]) -> int:
    query = select(InboundMessage.id, InboundMessage.inbound_id).where(InboundMessage.id.in_(ids))
    for row_id, inbound_id in session.execute(query).all():
        values = {**ERASED["inbound"], "inbound_id": inbound_digest(inbound_id)}
        session.execute(update(InboundMessage).where(InboundMessage.id == row_id).values(values))
    return len(ids)


def _erase(session: Session, table: type[Base], *which: Any) -> int:
    """Write what `models.personal` says over the columns of these rows; how many."""
    values = ERASED[table.__tablename__]
    done = session.execute(update(table).where(*which).values(values).execution_options(synchronize_session=False))
    return int(done.rowcount)  # type: ignore[attr-defined]  # an update's result has it


def _delete(session: Session, table: Any, ids: Sequence[int]) -> int:
    if ids:
        session.execute(delete(table).where(table.id.in_(ids)).execution_options(synchronize_session=False))
    return len(ids)
