"""Kinds of values in requests: what a database can store and an operator can read."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, TypeVar

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, Strict, StringConstraints

from models.msisdn import Msisdn, parse_msisdn
from producer.api.problems import Fault, Problem
from producer.schedule import FIRST_YEAR, LAST_YEAR, in_calendar


def storable(text: str) -> str:
    """PostgreSQL stores no NUL, and no database half a surrogate pair."""
    if "\0" in text:
        raise ValueError("a NUL character cannot be stored")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair is no character") from None
    return text


def written_moment(value: object) -> object:
    """A text: numbers would be taken for seconds since 1970, which no document of ours says."""
    if isinstance(value, str) and not re.match(r"\d{4}-", value):
        raise ValueError("expected a date and time like 2030-06-01T09:00:00+02:00")
    if not isinstance(value, str | date):
        raise ValueError("expected a text like 2030-06-01T09:00:00+02:00")
    return value


def storable_moment(moment: datetime) -> datetime:
    """In UTC."""
    if not in_calendar(moment):
        raise ValueError(f"expected a time between the years {FIRST_YEAR} and {LAST_YEAR}")
    return moment.astimezone(UTC)


Plain = Annotated[str, AfterValidator(storable)]
Short = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(storable)]
Sender = Annotated[str, StringConstraints(max_length=64), AfterValidator(storable)]
Reason = Annotated[str, StringConstraints(max_length=500), AfterValidator(storable)]
AccountName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
Moment = Annotated[AwareDatetime, BeforeValidator(written_moment), AfterValidator(storable_moment)]
Day = Annotated[date, BeforeValidator(written_moment), Field(examples=["2030-06-01"])]
# What the document calls a number or a boolean is one in the JSON too: no "1", no true for 1, no "yes".
Whole = Annotated[int, Strict()]
Real = Annotated[float, Strict()]
YesNo = Annotated[bool, Strict()]
Cursor = Annotated[str | None, Query(description="`next` of the page before")]
Phone = Annotated[str, Field(max_length=64, description="Any usual human form; international with + is safest")]
Limit = Annotated[int, Field(ge=1, le=500, description="Rows in one page")]

T = TypeVar("T")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}").fullmatch


def encode_cursor(place: str) -> str:
    """An opaque cursor: where the next page begins."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, read: Callable[[str], T]) -> T | None:
    """The place in a cursor of ours. Raises Problem for any other text."""
    if cursor is None:
        return None
    try:
        if not _TOKEN(cursor):
            raise ValueError(cursor)
        return read(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except (ValueError, binascii.Error):
        fault = Fault(detail="not a cursor of an earlier answer", parameter="cursor")
        raise Problem(422, "invalid-request", "cursor: take `next` of the page before", errors=[fault]) from None


def number_of(text: str, region: str | None, parameter: str = "phone") -> Msisdn:
    """The number in a query or path. Raises Problem."""
    number = parse_msisdn(text, region)
    if not isinstance(number, Msisdn):
        raise Problem(422, "invalid-request", number.reason, errors=[Fault(detail=number.reason, parameter=parameter)])
    return number


def read_serial(text: str) -> int:
    """The id in a cursor. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError(text)
    return int(text)
