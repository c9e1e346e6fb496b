"""The three priorities of campaigns, and what they are worth in the fair queue. Pure."""

from __future__ import annotations

from collections.abc import Mapping

PRIORITY: Mapping[str, int] = {"high": 64, "normal": 8, "low": 1}
"""Factor on a campaign's weight. Most urgent first."""

_RANK = {name: rank for rank, name in enumerate(PRIORITY)}


def share(weight: int, priority: str) -> float:
    """What a campaign's messages are divided by in the fair queue: twice the share, half the charge."""
    return float(max(1, weight) * PRIORITY.get(priority, PRIORITY["normal"]))


def more_urgent(than: str) -> tuple[str, ...]:
    """The priorities before this one; an unknown word counts as normal."""
    rank = _RANK.get(than, _RANK["normal"])
    return tuple(name for name, other in _RANK.items() if other < rank)
