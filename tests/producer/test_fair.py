"""Fair queueing between the campaigns of one account."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.priority import PRIORITY
from producer.fair import LaneView, next_turn

SIZE = 100


@dataclass
class Queue:
    """Lanes that always have something to send, unless told to be idle."""

    lanes: dict[UUID, LaneView]
    time: float = 0.0

    def turn(self, idle: frozenset[UUID] = frozenset()) -> UUID:
        found = next_turn([lane for lane in self.lanes.values() if lane.campaign_id not in idle], self.time)
        assert found is not None
        lane = found.lane
        self.time = max(self.time, found.virtual_time)
        finish = found.finish(SIZE)
        self.lanes[lane.campaign_id] = LaneView(lane.campaign_id, finish, lane.weight, lane.priority)
        return lane.campaign_id


def queue(*lanes: tuple[int, str]) -> Queue:
    views = [LaneView(UUID(int=place), 0.0, weight, priority) for place, (weight, priority) in enumerate(lanes, 1)]
    return Queue({view.campaign_id: view for view in views})


LANES = st.lists(st.tuples(st.integers(1, 20), st.just("normal")), min_size=1, max_size=6)


@given(LANES, st.integers(1, 200))
def test_every_campaign_gets_its_share_within_one_batch_of_each_rival(lanes: list[tuple[int, str]], turns: int) -> None:
    fair = queue(*lanes)
    had = [fair.turn() for _ in range(turns)]
    whole = sum(weight for weight, _ in lanes)
    for place, (weight, _) in enumerate(lanes, 1):
        # One batch of its own and one for each heavier rival's step is the most anybody can be behind.
        assert abs(had.count(UUID(int=place)) - turns * weight / whole) <= len(lanes)


def test_equal_campaigns_take_turns() -> None:
    fair = queue((1, "normal"), (1, "normal"))
    had = [fair.turn().int for _ in range(10)]
    assert had in ([1, 2] * 5, [2, 1] * 5)


def test_an_urgent_campaign_overtakes_a_large_one_at_once_and_bulk_keeps_a_share() -> None:
    fair = queue((1, "low"), (1, "high"))
    urgent = UUID(int=2)
    for _ in range(50):
        fair.turn(idle=frozenset({urgent}))
    had = [fair.turn() for _ in range(260)]
    assert had[0] == urgent
    assert had[:20].count(urgent) >= 19
    assert had.count(UUID(int=1)) >= 260 // (PRIORITY["high"] + 1) - 1


def test_an_idle_campaign_neither_saves_up_nor_pays_for_its_absence() -> None:
    fair = queue((1, "normal"), (1, "normal"))
    second = UUID(int=2)
    for _ in range(100):
        fair.turn(idle=frozenset({second}))
    had = [fair.turn() for _ in range(40)]
    assert abs(had.count(second) - 20) <= 1


def test_with_nothing_to_send_nobody_has_a_turn() -> None:
    assert next_turn([], 5.0) is None


@pytest.mark.parametrize(("weight", "priority"), [(0, "normal"), (-3, "normal"), (1, "unheard of")])
def test_an_odd_weight_or_priority_still_has_a_share(weight: int, priority: str) -> None:
    assert LaneView(UUID(int=1), 0.0, weight, priority).share == PRIORITY["normal"]
