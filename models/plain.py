"""Values and texts as the database keeps them, for code that must not load a database library: the import's child
process starts in a third of the time without one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import UUID

import uuid_utils

from models.states import MessageState

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def new_id() -> UUID:
    """A UUIDv7: sorts by time, so that new rows go to the end of every index."""
    return UUID(int=uuid_utils.uuid7().int)


def storable(text: str) -> str:
    """The text with every NUL and every lone surrogate replaced by U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def is_storable(text: str) -> bool:
    """Whether both databases take this text as it is."""
    # Most texts are ASCII, and for these the pattern costs eight times as much.
    return ("\0" not in text) if text.isascii() else _UNSTORABLE.search(text) is None


def trail_line(state: MessageState, note: str, now: datetime) -> str:
    """One line of a message's history: epoch milliseconds, state, note."""
    return f"{int(now.timestamp() * 1000)} {state} {note}".rstrip().replace("\n", " ") + "\n"


def moment(at: datetime, dialect: str) -> str:
    """An aware datetime as the database reads it: with its zone on PostgreSQL, without on SQLite (always UTC)."""
    text = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return text if dialect == "sqlite" else f"{text}+00"
