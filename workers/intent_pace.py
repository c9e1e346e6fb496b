"""How far ahead slots must be reserved, so that intents are committed before their slots come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LEAST: Final = 0.5  # seconds: no further than needed, so that a pause takes hold at once
MOST: Final = 1.2  # under submit.BOARDING: a slot that comes later than that is of no use
SHORTEST_LEAD: Final = 0.01
LONGEST_LEAD: Final = 0.4
WEIGHT: Final = 0.2
FACTOR: Final = 3.0  # of the usual time to write intents


@dataclass(slots=True)
class IntentPace:
    """The time that writing intents usually takes (seconds), as this process has seen it."""

    usual: float = 0.05

    def took(self, seconds: float) -> None:
        self.usual += WEIGHT * (seconds - self.usual)

    @property
    def lead(self) -> float:
        """No slot sooner than that: an idle account would otherwise grant moments that are over when the intent
        stands."""
        return min(LONGEST_LEAD, SHORTEST_LEAD + 2 * self.usual)

    @property
    def horizon(self) -> float:
        return min(MOST, max(LEAST, FACTOR * self.usual))
