"""Whose batch is next: fair queueing between the campaigns of one account. Pure.

Start-time fair queueing: every lane has a virtual finish time that grows by size / weight with each batch; the lane
that would start first goes first. A lane that was idle starts at the present virtual time, so it can neither save up a
claim nor be punished for coming late. Priority is a factor on the weight: urgent work overtakes, bulk keeps a share.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    @property
    def share(self) -> float:
        return share(self.weight, self.priority)


@dataclass(frozen=True, slots=True)
class Turn:
    """The lane whose turn it is, from where it is charged, and the queue's clock."""

    lane: LaneView
    start: float
    virtual_time: float

    def finish(self, size: int) -> float:
        return self.start + size / self.lane.share


def next_turn(lanes: Sequence[LaneView], virtual_time: float) -> Turn | None:
    """The lane with the earliest finish for one more unit; ties go to the heavier, then to the older campaign.

    `lanes` are all that have something to send. The queue's clock never passes one of them, so whoever is behind the
    clock was idle, and whoever waits keeps its place: no lane starves, however light.
    """
    if not lanes:
        return None
    starts = {lane.campaign_id: max(lane.finish, virtual_time) for lane in lanes}
    key = lambda lane: (starts[lane.campaign_id] + 1 / lane.share, -lane.share, lane.campaign_id.hex)  # noqa: E731
    lane = min(lanes, key=key)
    return Turn(lane, starts[lane.campaign_id], min(starts.values()))
