"""Numbers that must not be written to: listed, added, lifted."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from config.own_keys import suppression_key
from models.msisdn import Msisdn, parse_msisdn
from models.tables import Suppression
from producer.api.access import Admin, Submitter, guarded_router
from producer.api.context import Context, Here
from producer.api.posting import Once
from producer.api.problems import Fault, Problem, pointer, responses
from producer.api.values import Limit, Sender, Short, decode_cursor, encode_cursor, number_of
from producer.suppressions import add_suppressions, remove_suppressions

router = guarded_router("suppressions")


class SuppressionsIn(BaseModel):
    """Numbers to be left in peace, by one sender or (empty) by all."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"phones": ["+447700900123"], "source": "call centre"}]}
    )

    phones: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=10_000)]
    sender: Sender = ""
    source: Annotated[Short, Field(max_length=64, description="Where the wish came from")] = "api"


class SuppressionOut(BaseModel):
    phone: str
    sender: str
    source: str
    created_at: datetime


class SuppressionPage(BaseModel):
    """`next` is the cursor of the following page; null at the end."""

    items: list[SuppressionOut]
    next: str | None


class Suppressed(BaseModel):
    """How many numbers are suppressed now of those that were given."""

    suppressed: int


@router.get("/suppressions", response_model=SuppressionPage, summary="List suppressions")
def listing(
    here: Here,
    caller: Submitter,
    phone: Annotated[str | None, Query(max_length=64, description="Only this number")] = None,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
    limit: Annotated[Limit, Query()] = 100,
) -> SuppressionPage:
    """In the order of the numbers. Needs scope submit: a list of numbers is all there is to see."""
    after = decode_cursor(cursor, _read_place)
    query = select(Suppression).order_by(Suppression.msisdn, Suppression.sender).limit(limit + 1)
    if phone is not None:
        query = query.where(Suppression.msisdn == str(number_of(phone, here.settings.default_region or None)))
    if after is not None:
        query = query.where(tuple_(Suppression.msisdn, Suppression.sender) > tuple_(*after))
    with here.database.read() as session:
        rows = session.execute(query).scalars().all()
    last = rows[limit - 1] if len(rows) > limit else None
    more = encode_cursor(f"{last.msisdn} {last.sender}") if last else None
    return SuppressionPage(items=[_out(row) for row in rows[:limit]], next=more)


def _out(row: Suppression) -> SuppressionOut:
    return SuppressionOut(phone=row.msisdn, sender=row.sender, source=row.source, created_at=row.created_at)


def _read_place(text: str) -> tuple[str, str]:
    msisdn, space, sender = text.partition(" ")
    if not space or "\0" in text:
        raise ValueError(text)
    return msisdn, sender


@router.post(
    "/suppressions", response_model=Suppressed, responses=responses(400, 409, 413, 415), summary="Suppress numbers"
)
def add(body: SuppressionsIn, caller: Submitter, once: Once) -> Response:
    """All of them or, if one cannot be read, none. Numbers that are suppressed already stay as they are."""
    here = once.here
    numbers = _numbers(here, body.phones)

    def work(session: Session) -> Suppressed:
        add_suppressions(session, numbers, body.sender, body.source, here.now())
        return Suppressed(suppressed=len(numbers))

    return once.run(200, work)


def _numbers(here: Context, phones: list[str]) -> set[str]:
    region = here.settings.default_region or None
    found: set[str] = set()
    faults = []
    for at, phone in enumerate(phones):
        number = parse_msisdn(phone, region)
        if isinstance(number, Msisdn):
            found.add(str(number))
        else:
            faults.append(Fault(detail=number.reason, pointer=pointer(["phones", at])))
    if faults:
        raise Problem(
            422, "invalid-request", f"{len(faults)} numbers cannot be read; nothing was stored", errors=faults
        )
    return found


@router.delete("/suppressions/{phone}", status_code=204, responses=responses(404), summary="Lift a suppression")
def lift(
    phone: Annotated[str, Field(max_length=64)],
    here: Here,
    caller: Admin,
    sender: Annotated[Sender, Query(description="Empty: the suppression for all senders")] = "",
) -> Response:
    """Only if the person asked to be written to again. Needs scope admin."""
    number = number_of(phone, here.settings.default_region or None)
    with here.database.write() as session:
        gone = remove_suppressions(session, [str(number)], partial(suppression_key, here.settings), sender)
    if not gone:
        raise Problem(404, "not-found", "this number is not suppressed so")
    return Response(status_code=204)
