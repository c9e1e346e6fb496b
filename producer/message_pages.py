"""Messages page by page, each page at a bounded cost however many messages there are and however few are wanted.

A state is walked on its own index, several states side by side; an account is looked for within so many rows, and a
page that found less than it could hold says where to go on. A number has an index of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Select, select, tuple_
from sqlalchemy.orm import Session

from models.states import MessageState
from models.tables import Message

LOOK = 10_000
"""Rows of a state (or of the campaign) that one page looks through for an account."""
MOST_OF_NUMBER = 500
"""Messages to one number in one campaign: one, unless files were merged by hand."""

Place = tuple[int, UUID]
"""Row number and id: where a page ended."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages of a campaign. `after` is the place the page before ended at; `msisdn` is E.164."""

    campaign_id: UUID
    states: Sequence[MessageState] = ()
    account: str | None = None
    after: Place | None = None
    msisdn: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Messages in row order. `next`: where the following page begins; None: there is none."""

    messages: Sequence[Message]
    next: Place | None


def page(session: Session, wanted: Wanted, limit: int) -> Page:
    """The next messages, `limit` at most."""
    if wanted.msisdn is not None:
        return Page(_of_number(session, wanted, wanted.msisdn)[:limit], None)
    states = list(dict.fromkeys(wanted.states))
    if wanted.account is None and len(states) <= 1:
        query = _walk(select(Message), wanted, states[0] if states else None).limit(limit + 1)
        found = session.execute(query).scalars().all()
        return Page(found[:limit], _place(found[limit - 1]) if len(found) > limit else None)
    places, horizon = _places(session, wanted, states, limit)
    if not places:
        return Page((), horizon)
    rows = select(Message).where(Message.id.in_([message_id for _, message_id in places[:limit]]))
    found = sorted(session.execute(rows).scalars(), key=_place)
    return Page(found, places[limit - 1] if len(places) > limit else horizon)


def _places(
    session: Session, wanted: Wanted, states: Sequence[MessageState], limit: int
) -> tuple[list[Place], Place | None]:
    """Places of what is wanted, in order, as far as all walks have come; and how far that is (None: to the end)."""
    most = limit + 1 if wanted.account is None else max(LOOK, limit + 1)
    walks: list[MessageState | None] = [*states] or [None]
    found: list[Place] = []
    horizon: Place | None = None
    for state in walks:
        walked = session.execute(
            _walk(select(Message.row_no, Message.id, Message.account), wanted, state).limit(most)
        ).all()
        found += [(row.row_no, row.id) for row in walked if wanted.account in (None, row.account)]
        if len(walked) == most:
            end = (walked[-1].row_no, walked[-1].id)
            horizon = end if horizon is None else min(horizon, end)
    return sorted(place for place in found if horizon is None or place <= horizon), horizon


S = TypeVar("S", bound=Select[*tuple[Any, ...]])


def _walk(query: S, wanted: Wanted, state: MessageState | None) -> S:
    query = query.where(Message.campaign_id == wanted.campaign_id)
    if state is not None:
        query = query.where(Message.state == state)
    if wanted.after is not None:
        # The first condition is for the index, the second for rows that share a number.
        query = query.where(
            Message.row_no >= wanted.after[0], tuple_(Message.row_no, Message.id) > tuple_(*wanted.after)
        )
    return query.order_by(Message.row_no, Message.id)


def _place(message: Message) -> Place:
    return message.row_no, message.id


def _of_number(session: Session, wanted: Wanted, msisdn: str) -> list[Message]:
    """By the index of numbers: SQLite would rather walk the campaign, which holds a million others."""
    query = (
        select(Message)
        .with_hint(Message, "INDEXED BY ix_messages_msisdn", "sqlite")
        .where(Message.msisdn == msisdn, Message.campaign_id == wanted.campaign_id)
        .limit(MOST_OF_NUMBER)
    )
    return [
        message
        for message in sorted(session.execute(query).scalars(), key=_place)
        if wanted.account in (None, message.account)
        and (not wanted.states or message.state in wanted.states)
        and (wanted.after is None or _place(message) > wanted.after)
    ]


def of_number(session: Session, msisdn: str, before: UUID | None, limit: int) -> Sequence[Message]:
    """Messages to a number over all campaigns, the newest first; `before`: an id, to go on from."""
    query = (
        select(Message)
        .with_hint(Message, "INDEXED BY ix_messages_msisdn", "sqlite")
        .where(Message.msisdn == msisdn)
        .order_by(Message.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(Message.id < before)
    return session.execute(query).scalars().all()
