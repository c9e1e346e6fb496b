"""Messages from people."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from models.msisdn import Msisdn
from models.tables import InboundMessage
from producer.api.access import Caller, Reader, guarded_router
from producer.api.context import Here
from producer.api.values import AccountName, Cursor, Limit, Phone, decode_cursor, encode_cursor, number_of, read_serial
from producer.inbound import list_inbound

router = guarded_router("messages")


class InboundOut(BaseModel):
    """One message. `text` is null for keys of scope read, whose numbers are masked too."""

    id: int
    account: str
    phone: str
    to: str
    text: str | None
    received_at: datetime
    stop_word: Annotated[bool, Field(description="It began with a stop word: the number is suppressed")]


class InboundPage(BaseModel):
    """`next` is the cursor of the following page; null at the end."""

    items: list[InboundOut]
    next: str | None


@router.get("/inbound", response_model=InboundPage, summary="Incoming messages")
def listing(
    here: Here,
    caller: Reader,
    account: Annotated[AccountName | None, Query()] = None,
    phone: Annotated[Phone | None, Query(description="Only from this number")] = None,
    stops: Annotated[bool, Query(description="Only those with a stop word")] = False,
    cursor: Cursor = None,
    limit: Annotated[Limit, Query()] = 100,
) -> InboundPage:
    """The latest first."""
    before = decode_cursor(cursor, read_serial)
    number = None if phone is None else str(number_of(phone, here.settings.default_region or None))
    with here.database.read() as session:
        found = list_inbound(session, account=account, msisdn=number, stops=stops, before=before, limit=limit + 1)
    more = encode_cursor(str(found[limit - 1].id)) if len(found) > limit else None
    return InboundPage(items=[_out(row, caller) for row in found[:limit]], next=more)


def _out(row: InboundMessage, caller: Caller) -> InboundOut:
    return InboundOut(
        id=row.id,
        account=row.account,
        phone=row.msisdn if caller.sees_texts else _masked(row.msisdn),
        to=row.to,
        text=row.text if caller.sees_texts else None,
        received_at=row.received_at,
        stop_word=row.stop_word,
    )


def _masked(sender: str) -> str:
    """Whoever wrote need not be a number: providers hand on names and short codes too."""
    digits = sender.removeprefix("+")
    known = digits.isascii() and digits.isdigit() and len(digits) > 6
    return Msisdn(f"+{digits}").masked() if known else f"…{sender[-2:]}"
