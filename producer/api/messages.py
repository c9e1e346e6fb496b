"""Messages: of a campaign, to a number, and one with its whole history."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query

from models.states import MessageState
from models.tables import Message
from producer.api.access import Reader, guarded_router
from producer.api.campaigns import known
from producer.api.context import Context, Here
from producer.api.message_models import FoundOut, FoundPage, MessageHistory, MessagePage
from producer.api.message_reads import found_row, history, read_place, row, write_place
from producer.api.problems import Problem, responses
from producer.api.values import AccountName, Cursor, Limit, Phone, decode_cursor, encode_cursor, number_of
from producer.message_pages import Wanted, of_number, page

router = guarded_router("messages")


@router.get(
    "/campaigns/{campaign_id:uuid}/messages",
    response_model=MessagePage,
    responses=responses(404),
    summary="Messages of a campaign",
)
def listing(
    campaign_id: UUID,
    here: Here,
    caller: Reader,
    state: Annotated[list[MessageState] | None, Query(description="Only these states")] = None,
    account: Annotated[AccountName | None, Query()] = None,
    phone: Annotated[Phone | None, Query(description="Only this number")] = None,
    cursor: Cursor = None,
    limit: Annotated[Limit, Query()] = 100,
) -> MessagePage:
    """In the order of the recipient file. With `account` a page may hold fewer than asked for, even none, and still
    have a `next`: no page looks through more than some ten thousand rows."""
    wanted = Wanted(campaign_id, state or (), account, decode_cursor(cursor, read_place), _number(here, phone))
    with here.database.read() as session:
        known(session, campaign_id)
        found = page(session, wanted, limit)
    more = encode_cursor(write_place(found.next)) if found.next else None
    return MessagePage(items=[row(message, caller) for message in found.messages], next=more)


@router.get("/messages", response_model=FoundPage, summary="Messages to a number")
def search(
    here: Here,
    caller: Reader,
    phone: Annotated[Phone, Query(description="The number")],
    cursor: Cursor = None,
    limit: Annotated[Limit, Query()] = 100,
) -> FoundPage:
    """Over all campaigns, the newest first."""
    number = str(number_of(phone, here.settings.default_region or None))
    before = decode_cursor(cursor, UUID)
    with here.database.read() as session:
        found = of_number(session, number, before, limit + 1)
    items: list[FoundOut] = [found_row(message, caller) for message in found[:limit]]
    return FoundPage(items=items, next=encode_cursor(str(items[-1].id)) if len(found) > limit else None)


def _number(here: Context, phone: str | None) -> str | None:
    return None if phone is None else str(number_of(phone, here.settings.default_region or None))


@router.get(
    "/messages/{message_id:uuid}",
    response_model=MessageHistory,
    responses=responses(404),
    summary="One message's history",
)
def one(message_id: UUID, here: Here, caller: Reader) -> MessageHistory:
    """Every transition, every request that carried it, every report about it."""
    with here.database.read() as session:
        message = session.get(Message, message_id)
        if message is None:
            raise Problem(404, "not-found", f"there is no message {message_id}")
        return history(session, message, caller)
