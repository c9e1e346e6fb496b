"""Whose batch is next: fair queueing between the campaigns of one account. Pure.

Start-time fair queueing: every lane has a virtual finish time that grows by size / weight with each batch; the lane
that would start first goes first. A lane that was idle starts at the present virtual time, so it can neither save up a
claim nor be punished for coming late. Priority is a factor on the weight: urgent work overtakes, bulk keeps a share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from models.priority import share


@dataclass(frozen=True, slots=True)
class LaneView:
    """A campaign that has something to send on this account."""

    campaign_id: UUID
    finish: float
    weight: int
    priority: str
    throttled: bool = False  # limited by a rule of its own, well below what the account allows

    @property
    def share(self) -> float:
        return share(self.weight, self.priority)


@dataclass(frozen=True, slots=True)
class Turn:
    """The lane whose turn it is, and the clock of the queue when it starts."""

    lane: LaneView
    start: float

    def finish(self, size: int) -> float:
        return self.start + size / self.lane.share


def next_turn(lanes: Sequence[LaneView], virtual_time: float) -> Turn | None:
    """The lane with the earliest finish for one more unit; ties go to the heavier, then to the older campaign."""
    if not lanes:
        return None
    start: Callable[[LaneView], float] = lambda lane: max(lane.finish, virtual_time)  # noqa: E731 - used three times
    lane = min(lanes, key=lambda lane: (start(lane) + 1 / lane.share, -lane.share, lane.campaign_id.hex))
    return Turn(lane, start(lane))
