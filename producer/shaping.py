"""How messages become batches when a campaign has a window, a pace or a canary.

A batch leaves as a whole, so everything in it must be due together: the same time zones, the same slice, the canary
apart from the rest. Batches of such a campaign are written without a time (`UNPLANNED`); the planner gives them one
when the campaign runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from models.numberzones import zones_of
from models.plain import new_id
from models.steering import Slices, Spread, Steering
from models.windows import zones_key

UNPLANNED = datetime(9999, 1, 1, tzinfo=UTC)
"""When a batch leaves that has no time yet: never."""
SPREAD_LEAST = 20  # messages in a batch of a spread campaign, at least
SPREAD_STEPS = 200  # a batch is at most this part of what went before: the spread is even to half a per cent

Row = dict[str, Any]
ZonesOf = Callable[[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Shape:
    """The pure part: where batches end, and what is known of their zones."""

    steering: Steering = field(default_factory=Steering)

    def cut_before(self, position: int) -> bool:
        """Whether the message at `position` (from 0) may not share a batch with those before it."""
        rule, pacing = self.steering.canary, self.steering.pacing
        if rule is not None and position == rule.size:
            return True
        return isinstance(pacing, Slices) and position > 0 and position % pacing.size == 0

    def most(self, size: int, position: int) -> int:
        """The size of a batch that begins at `position`."""
        if not isinstance(self.steering.pacing, Spread):
            return size
        return min(size, max(SPREAD_LEAST, position // SPREAD_STEPS))

    def zones(self, msisdn: str, zone: str | None = None, zones_of: ZonesOf = zones_of) -> str | None:
        """The zones of a recipient as a batch keeps them; `zone`: what the row says. None where nobody asks."""
        window = self.steering.window
        if window is None:
            return None
        if window.zone is not None:
            return window.zone
        return zone or zones_key(zones_of(msisdn))

    def not_before(self, now: datetime) -> datetime:
        return UNPLANNED if self.steering.planned else now


@dataclass(slots=True)
class _Filling:
    """Messages on their way into a batch. `first` is the position of the first of them."""

    first: int
    most: int
    rows: list[Row] = field(default_factory=list)


class Batcher:
    """Fills batches, per account and zones. `sizes`: messages in a full batch of each account."""

    def __init__(self, campaign_id: UUID, sizes: Mapping[str, int], shape: Shape, now: Callable[[], datetime]) -> None:
        self.position = 0  # of the next message: how many were placed
        self._campaign_id = campaign_id
        self._sizes = sizes
        self._shape = shape
        self._now = now
        self._filling: dict[tuple[str, str | None], _Filling] = {}
        self._batches: list[Row] = []
        self._messages: list[Row] = []

    def place(self, row: Row, zones: str | None) -> None:
        """Put a message (its `account` decides) into a batch."""
        if self._shape.cut_before(self.position):
            self._cut_all()
        key = (str(row["account"]), zones)
        filling = self._filling.get(key)
        if filling is None:
            most = self._shape.most(self._sizes[key[0]], self.position)
            filling = self._filling[key] = _Filling(self.position, most)
        filling.rows.append(row)
        self.position += 1
        if len(filling.rows) >= filling.most:
            self._cut(key)

    def take(self, *, last: bool) -> tuple[list[Row], list[Row]]:
        """Batches and messages that are ready to be written; at the end also those that did not get full."""
        if last:
            self._cut_all()
        ready = self._batches, self._messages
        self._batches, self._messages = [], []
        return ready

    def _cut_all(self) -> None:
        for key in list(self._filling):
            self._cut(key)

    def _cut(self, key: tuple[str, str | None]) -> None:
        filling = self._filling.pop(key)
        batch_id = new_id()
        self._batches.append(
            {
                "id": batch_id,
                "campaign_id": self._campaign_id,
                "account": key[0],
                "size": len(filling.rows),
                "not_before": self._shape.not_before(self._now()),
                "position": filling.first,
                "zones": key[1],
            }
        )
        self._messages += [{**row, "batch_id": batch_id} for row in filling.rows]
