"""Messages: of a campaign, and one with its whole history."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query

from models.states import MessageState
from models.tables import Message
from producer.api.access import Reader, guarded_router
from producer.api.campaigns import known
from producer.api.context import Here
from producer.api.message_models import MessageHistory, MessagePage
from producer.api.message_reads import Wanted, history, page, place, read_place, row
from producer.api.problems import Problem, responses
from producer.api.values import AccountName, Limit, decode_cursor, encode_cursor

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
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
    limit: Annotated[Limit, Query()] = 100,
) -> MessagePage:
    """In the order of the recipient file."""
    wanted = Wanted(campaign_id, state or (), account, decode_cursor(cursor, read_place))
    with here.database.read() as session:
        known(session, campaign_id)
        found = page(session, wanted, limit + 1)
    more = encode_cursor(place(found[limit - 1])) if len(found) > limit else None
    return MessagePage(items=[row(message, caller) for message in found[:limit]], next=more)


@router.get(
    "/messages/{message_id:uuid}", response_model=MessageHistory, responses=responses(404), summary="One message's history"
)
def one(message_id: UUID, here: Here, caller: Reader) -> MessageHistory:
    """Every transition, every request that carried it, every report about it."""
    with here.database.read() as session:
        message = session.get(Message, message_id)
        if message is None:
            raise Problem(404, "not-found", f"there is no message {message_id}")
        return history(session, message, caller)
