"""The messages of a campaign, page by page, and everything that is known of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from sqlalchemy.orm import Session

from models.msisdn import Msisdn, parse_msisdn
from models.states import MessageState
from models.tables import Campaign, Message
from producer import message_pages
from producer.api.campaigns import known
from producer.api.context import Context, Here
from producer.api.message_models import MessageOut
from producer.api.message_reads import history, read_place, row, write_place
from producer.api.problems import Problem
from producer.api.values import decode_cursor, encode_cursor
from producer.keys import Scope
from producer.overview import progress
from producer.web.guard import Anyone, Viewer, page_router
from producer.web.render import render
from producer.web.words import MESSAGE_STATES

router = page_router()

PAGE = 50


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
    """`more`: the cursor to go on with. `fault`: why nothing was looked for."""

    messages: Sequence[Message]
    more: str | None = None
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
        found = _search(session, here, viewer, wanted) if wanted.find else _page(session, wanted)
    rows: list[MessageOut] = [row(message, viewer) for message in found.messages]
    return render(
        request, "messages.html",
        viewer=viewer, one=one, wanted=wanted, rows=rows, found=found, states=list(MessageState),
    )  # fmt: skip


def _search(session: Session, here: Context, viewer: Viewer, wanted: Wanted) -> Found:
    """By number or by id: both by an index. Whoever sees numbers masked may not ask for one either."""
    try:
        message = session.get(Message, UUID(wanted.find))
    except ValueError:
        return _of_number(session, here, viewer, wanted)
    return Found([message] if message is not None and message.campaign_id == wanted.campaign_id else [])


def _of_number(session: Session, here: Context, viewer: Viewer, wanted: Wanted) -> Found:
    if not viewer.scope.covers(Scope.SUBMIT):
        return Found([], fault="Looking for a number needs a key of scope submit; a message id may be looked for.")
    number = parse_msisdn(wanted.find, here.settings.default_region or None)
    if not isinstance(number, Msisdn):
        return Found([], fault=f"This is neither a number nor a message id: {number.reason}.")
    asked = message_pages.Wanted(wanted.campaign_id, msisdn=str(number))
    return Found(message_pages.page(session, asked, message_pages.MOST_OF_NUMBER).messages)


def _page(session: Session, wanted: Wanted) -> Found:
    states = [MessageState(wanted.state)] if wanted.state else []
    after = decode_cursor(wanted.cursor, read_place)
    page = message_pages.page(session, message_pages.Wanted(wanted.campaign_id, states, after=after), PAGE)
    return Found(page.messages, encode_cursor(write_place(page.next)) if page.next else None)


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
