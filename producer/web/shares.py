"""How a campaign's messages are parted, for bars and legends. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.states import OPEN_AT_PROVIDER, MessageState
from producer.guard import ERRORS

_M = MessageState


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a bar: its tone, its count and its name. Also a tuple for templates."""

    tone: str
    n: int
    name: str


_PARTS = (
    ("good", "delivered", frozenset({_M.DELIVERED})),
    ("bad", "failed", ERRORS),
    ("warn", "outcome unknown", frozenset({_M.UNKNOWN})),
    ("busy", "at the provider", OPEN_AT_PROVIDER | {_M.SUBMITTING}),
    ("quiet", "not sent (opted out or cancelled)", frozenset({_M.SUPPRESSED, _M.CANCELLED})),
    ("none", "waiting", frozenset({_M.QUEUED})),
)


def parts(states: Mapping[MessageState, int]) -> list[Part]:
    """In the order of a bar: what is done comes first."""
    return [Part(tone, _sum(states, which), name) for tone, name, which in _PARTS]


def triples(states: Mapping[MessageState, int]) -> list[tuple[str, int, str]]:
    """For the bar, without what only shows its ground."""
    return [(part.tone, part.n, part.name) for part in parts(states) if part.tone != "none"]


def _sum(states: Mapping[MessageState, int], which: frozenset[MessageState]) -> int:
    return sum(n for state, n in states.items() if state in which)
