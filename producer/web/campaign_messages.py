"""The messages of a campaign, page by page, and everything that is known of one.

A page costs a short look, however many rows there are: where messages of a state are rare, it shows what it found in
its time, and the next page goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from models.msisdn import Msisdn, parse_msisdn
from models.states import MessageState
from models.tables import Campaign, Message
from producer.api.campaigns import known
from producer.api.context import Context, Here
from producer.api.message_models import MessageOut
from producer.api.message_reads import history, place, read_place, row
from producer.api.problems import Problem
from producer.api.values import decode_cursor, encode_cursor
from producer.keys import Scope
from producer.overview import Progress, progress
from producer.web.guard import Anyone, Viewer, page_router
from producer.web.render import render
from producer.web.words import MESSAGE_STATES

router = page_router()

PAGE = 50
SPAN = 10_000  # rows in one look
BUDGET = 0.15  # seconds in which a page may look on
MOST_OF_A_NUMBER = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages: of a state (empty: all), of a number or id, after a place."""

    campaign_id: UUID
    state: str = ""
    find: str = ""
    cursor: str | None = None

    def url(self, **changes: str | None) -> str:
        given = {"state": self.state, "find": self.find, "cursor": self.cursor, **changes}
        query = urlencode({name: value for name, value in given.items() if value})
        return f"/campaigns/{self.campaign_id}/messages{f'?{query}' if query else ''}"


@dataclass(frozen=True, slots=True)
class Found:
    """`more`: the cursor to go on with. `upto`: the row up to which was looked, where a page ended early."""

    messages: Sequence[Message]
    more: str | None = None
    upto: int | None = None
    fault: str = ""


def wanted_of(
    campaign_id: UUID,
    state: Annotated[str, Query(max_length=20)] = "",
    find: Annotated[str, Query(max_length=80)] = "",
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Wanted:
    """From the address; an unknown state shows all."""
    return Wanted(campaign_id, state if state in list(MessageState) else "", find.strip(), cursor)


@router.get("/campaigns/{campaign_id}/messages")
def listing(request: Request, here: Here, viewer: Anyone, wanted: Annotated[Wanted, Depends(wanted_of)]) -> Response:
    with here.database.read() as session:
        one = progress(session, wanted.campaign_id)
        if one is None:
            raise Problem(404, "not-found", f"there is no campaign {wanted.campaign_id}")
        found = _search(session, here, viewer, wanted) if wanted.find else _page(session, one, wanted)
    rows: list[MessageOut] = [row(message, viewer) for message in found.messages]
    return render(
        request, "messages.html",
        viewer=viewer, one=one, wanted=wanted, rows=rows, found=found, states=list(MessageState),
    )  # fmt: skip


def _search(session: Session, here: Context, viewer: Viewer, wanted: Wanted) -> Found:
    """By number or by id: both by an index. Whoever sees numbers masked may not ask for one either."""
    try:
        query = select(Message).where(Message.id == UUID(wanted.find))
    except ValueError:
        if not viewer.scope.covers(Scope.SUBMIT):
            return Found([], fault="Looking for a number needs a key of scope submit; a message id may be looked for.")
        number = parse_msisdn(wanted.find, here.settings.default_region or None)
        if not isinstance(number, Msisdn):
            return Found([], fault=f"This is neither a number nor a message id: {number.reason}.")
        query = select(Message).where(Message.msisdn == str(number)).limit(MOST_OF_A_NUMBER)
    # The campaign is compared here: asked for both, a database may walk the campaign instead of the number.
    found = [message for message in session.execute(query).scalars() if message.campaign_id == wanted.campaign_id]
    return Found(sorted(found, key=lambda message: message.row_no))


def _page(session: Session, one: Progress, wanted: Wanted) -> Found:
    after = decode_cursor(wanted.cursor, read_place)
    if wanted.state and not one.by_state.get(MessageState(wanted.state)):
        return Found([])
    found, last = _gather(session, wanted, after, time.monotonic)
    if len(found) > PAGE:
        return Found(found[:PAGE], encode_cursor(place(found[PAGE - 1])))
    if last is None:
        return Found(found)
    return Found(found, encode_cursor(f"{last} {UUID(int=2**128 - 1)}"), last)


def _gather(
    session: Session, wanted: Wanted, after: tuple[int, UUID] | None, clock: Callable[[], float]
) -> tuple[list[Message], int | None]:
    """A page and one more, and the row up to which was looked if time ran out before the end."""
    began, found = clock(), list[Message]()
    first, after_id = after or (0, None)
    last = _last_row(session, wanted.campaign_id)
    while first <= last:
        upto = first + SPAN - 1
        found += _slice(session, wanted, first, upto, after_id, PAGE + 1 - len(found))
        if len(found) > PAGE or upto >= last:
            return found, None
        if clock() - began > BUDGET:
            return found, upto
        first, after_id = upto + 1, None
    return found, None


def _last_row(session: Session, campaign_id: UUID) -> int:
    query = select(Message.row_no).where(Message.campaign_id == campaign_id).order_by(Message.row_no.desc()).limit(1)
    return session.execute(query).scalar_one_or_none() or 0


def _slice(
    session: Session, wanted: Wanted, first: int, upto: int, after_id: UUID | None, limit: int
) -> Sequence[Message]:
    query = select(Message).where(
        Message.campaign_id == wanted.campaign_id, Message.row_no >= first, Message.row_no <= upto
    )
    if wanted.state:
        query = query.where(Message.state == MessageState(wanted.state))
    if after_id is not None:
        query = query.where((Message.row_no > first) | (Message.id > after_id))
    return session.execute(query.order_by(Message.row_no, Message.id).limit(limit)).scalars().all()


@router.get("/messages/{message_id}")
def one_message(request: Request, message_id: UUID, here: Here, viewer: Anyone) -> Response:
    """Every transition, every request that carried it, every report about it."""
    with here.database.read() as session:
        message = session.get(Message, message_id)
        if message is None:
            raise Problem(404, "not-found", f"there is no message {message_id}")
        campaign: Campaign = known(session, message.campaign_id)
        told = history(session, message, viewer)
    return render(
        request, "message.html",
        viewer=viewer, message=told, campaign=campaign, meaning=MESSAGE_STATES[told.state],
    )  # fmt: skip
