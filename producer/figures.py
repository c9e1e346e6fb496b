"""What campaigns cost and why messages failed: counted from the messages, by one query each.

Nothing is kept beside the messages, so nothing can differ from them. A campaign of a million messages takes about a
second; whoever shows these figures live keeps them for a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from models.states import MessageState
from models.tables import DeliveryReport, Message

BY: dict[str, InstrumentedAttribute[Any]] = {
    "account": Message.account,
    "country": Message.country,
    "network": Message.network,
    "channel": Message.channel,
    "klass": Message.klass,
}
"""What figures can be parted by."""

FAILED = (MessageState.UNDELIVERED, MessageState.EXPIRED, MessageState.REJECTED, MessageState.FAILED)


def costs(session: Session, campaign_id: UUID, *by: str) -> list[dict[str, Any]]:
    """Price and parts billed of a campaign by currency, and by what else is named (see `BY`).

    `messages`: those the provider named a price for. `parts` falls back to our own count where none was reported.
    Currencies are never added up. Raises KeyError for a name that is not in `BY`.
    """
    groups = [BY[name].label(name) for name in by]
    parts = func.sum(func.coalesce(Message.parts, Message.segments))
    query = (
        select(
            *groups, Message.currency, func.count().label("messages"), parts.label("parts"),
            func.sum(Message.price).label("price"),
        )
        .where(Message.campaign_id == campaign_id, Message.price.is_not(None))
        .group_by(*groups, Message.currency)
        .order_by(Message.currency, *groups)
    )  # fmt: skip
    return [dict(row._mapping) for row in session.execute(query)]


def errors(session: Session, campaign_id: UUID | None = None, *by: str, limit: int = 50) -> list[dict[str, Any]]:
    """Failure codes with class, a readable reason and how many messages ended so, the most frequent first."""
    groups = [BY[name].label(name) for name in by if name != "klass"]
    query = (
        select(
            *groups, Message.code, Message.klass, func.max(Message.reason).label("reason"), Message.state,
            func.count().label("messages"),
        )
        .where(*_of(campaign_id), Message.phase.in_(FAILED))
        .group_by(*groups, Message.code, Message.klass, Message.state)
        .order_by(func.count().desc(), Message.code, *groups)
        .limit(limit)
    )  # fmt: skip
    return [dict(row._mapping) for row in session.execute(query)]


@dataclass(frozen=True, slots=True)
class Cell:
    """Messages that are alike in everything but number and text. `price` is what the providers named for them."""

    account: str
    country: str | None
    state: MessageState
    code: str | None
    klass: str | None
    currency: str | None
    messages: int
    segments: int
    price: Decimal | None
    reason: str | None


def cells(session: Session, campaign_id: UUID) -> list[Cell]:
    """All that the figures of a campaign are added up from, in one pass over its messages."""
    groups = (Message.account, Message.country, Message.state, Message.code, Message.klass, Message.currency)
    query = (
        select(
            *groups, func.count().label("messages"), func.sum(Message.segments).label("segments"),
            func.sum(Message.price).label("price"), func.max(Message.reason).label("reason"),
        )
        .where(Message.campaign_id == campaign_id)
        .group_by(*groups)
    )  # fmt: skip
    return [Cell(**row._mapping) for row in session.execute(query)]


def outcomes(session: Session, campaign_id: UUID, by: str) -> list[dict[str, Any]]:
    """How many messages are in which state, by country, network, channel or account."""
    column = BY[by].label(by)
    query = (
        select(column, Message.state, func.count().label("messages"))
        .where(Message.campaign_id == campaign_id)
        .group_by(column, Message.state)
        .order_by(column, Message.state)
    )
    return [dict(row._mapping) for row in session.execute(query)]


def _of(campaign_id: UUID | None) -> Sequence[ColumnElement[bool]]:
    return () if campaign_id is None else (Message.campaign_id == campaign_id,)


# --- reports ---------------------------------------------------------------------------------------------------------


def unmatched_counts(session: Session) -> list[dict[str, Any]]:
    """Reports that belong to no message we know, by account; `given_up` are not tried again by themselves."""
    waiting = DeliveryReport.applied_at.is_(None)
    query = (
        select(
            DeliveryReport.account,
            func.count().label("reports"),
            (func.count() - func.count(DeliveryReport.next_try_at)).label("given_up"),
            func.min(DeliveryReport.received_at).label("oldest"),
            func.max(DeliveryReport.received_at).label("newest"),
        )
        .where(waiting)
        .group_by(DeliveryReport.account)
        .order_by(DeliveryReport.account)
    )
    return [dict(row._mapping) for row in session.execute(query)]


def unmatched(
    session: Session, account: str | None = None, limit: int = 50, before: int | None = None
) -> Sequence[DeliveryReport]:
    """The reports themselves, the latest first; `before`: an id, to go on from."""
    query = select(DeliveryReport).where(DeliveryReport.applied_at.is_(None))
    if account is not None:
        query = query.where(DeliveryReport.account == account)
    if before is not None:
        query = query.where(DeliveryReport.id + 0 < before)
    # "+ 0": else the primary key would be walked, past all the reports that were applied, for a few that were not.
    return session.execute(query.order_by((DeliveryReport.id + 0).desc()).limit(limit)).scalars().all()


def effects(session: Session) -> list[dict[str, Any]]:
    """How many reports did what, by account: moved, facts, repeated, late, ..."""
    query = (
        select(DeliveryReport.account, DeliveryReport.effect, func.count().label("reports"))
        .group_by(DeliveryReport.account, DeliveryReport.effect)
        .order_by(DeliveryReport.account, DeliveryReport.effect)
    )
    return [dict(row._mapping) for row in session.execute(query)]
