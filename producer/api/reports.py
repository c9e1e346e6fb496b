"""Delivery reports that belong to no message we know, and what all others did: for the operator."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from models.states import MessageState
from producer import figures
from producer.api.access import Reader, guarded_router
from producer.api.context import Here
from producer.api.values import AccountName, Cursor, Limit, decode_cursor, encode_cursor, read_serial

router = guarded_router("reports", prefix="/v1/reports")


class UnmatchedOut(BaseModel):
    """One report. `next_try_at` null: it is not tried again by itself."""

    id: int
    account: str
    received_at: datetime
    provider_id: str | None
    ref: Annotated[str | None, Field(description="The client reference it names")]
    state: MessageState | None
    raw_status: str
    tries: int
    next_try_at: datetime | None


class UnmatchedPage(BaseModel):
    """`next` is the cursor of the following page; null at the end."""

    items: list[UnmatchedOut]
    next: str | None


class EffectOut(BaseModel):
    """How many reports did this: moved, facts, repeated, late … Null: they wait for their message."""

    account: str
    effect: str | None
    reports: int


class WaitingOut(BaseModel):
    """Reports without a message; `given_up` are not tried again by themselves."""

    account: str
    reports: int
    given_up: int
    oldest: datetime
    newest: datetime


class ReportsOut(BaseModel):
    effects: list[EffectOut]
    unmatched: list[WaitingOut]


@router.get("", response_model=ReportsOut, summary="What delivery reports did")
def counted(here: Here, caller: Reader) -> ReportsOut:
    """By account. Counted from the reports: about a second for a million."""
    with here.database.read() as session:
        return ReportsOut.model_validate(
            {"effects": figures.effects(session), "unmatched": figures.unmatched_counts(session)}
        )


@router.get("/unmatched", response_model=UnmatchedPage, summary="Reports without a message")
def unmatched(
    here: Here,
    caller: Reader,
    account: Annotated[AccountName | None, Query()] = None,
    cursor: Cursor = None,
    limit: Annotated[Limit, Query()] = 100,
) -> UnmatchedPage:
    """The latest first."""
    before = decode_cursor(cursor, read_serial)
    with here.database.read() as session:
        found = figures.unmatched(session, account, limit + 1, before)
        items = [UnmatchedOut.model_validate(row, from_attributes=True) for row in found[:limit]]
    return UnmatchedPage(items=items, next=encode_cursor(str(items[-1].id)) if len(found) > limit else None)
