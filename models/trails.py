"""What a message's history says in words of our own: which request carried it, and that another account took it over.

Whoever reads it (the audit, the message's page, an erasure) understands it by this file alone.
"""

from __future__ import annotations

import re
from uuid import UUID

from models.states import MessageState

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ATTEMPT = re.compile(rf"^\d+ {MessageState.SUBMITTING} ({_ID})$", re.MULTILINE)
_MOVED = re.compile(r"moved from [a-z][a-z0-9_-]*:")


def moved_note(account: str, why: str) -> str:
    """The note of a queued message that another account takes over. It stays `queued`: there is no transition."""
    return f"moved from {account}: {why}"


def is_moved_note(note: str) -> bool:
    return _MOVED.match(note) is not None


def attempts_named(trail: str) -> frozenset[UUID]:
    """The requests that carried the message, whatever batch it was in when each left."""
    return frozenset(UUID(found[1]) for found in _ATTEMPT.finditer(trail))


def without_notes(trail: str) -> str:
    """Times, states and what `moved_note` and the requests' ids say: any other note may tell what a provider wrote."""
    return "".join(_bare(line) + "\n" for line in trail.splitlines())


def _bare(line: str) -> str:
    if _ATTEMPT.match(line):
        return line
    words = line.split(" ", 2)
    moved = _MOVED.match(words[2]) if len(words) == 3 and words[1] == MessageState.QUEUED else None
    return " ".join([*words[:2], moved[0]] if moved else words[:2])
