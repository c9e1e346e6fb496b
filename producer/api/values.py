"""Kinds of values in requests: what a database can store and an operator can read."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, StringConstraints

from producer.api.problems import Fault, Problem


def storable(text: str) -> str:
    """PostgreSQL stores no NUL, and no database half a surrogate pair."""
    if "\0" in text:
        raise ValueError("a NUL character cannot be stored")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair is no character") from None
    return text


Plain = Annotated[str, AfterValidator(storable)]
Short = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(storable)]
Sender = Annotated[str, StringConstraints(max_length=64), AfterValidator(storable)]
Reason = Annotated[str, StringConstraints(max_length=500), AfterValidator(storable)]
AccountName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
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
