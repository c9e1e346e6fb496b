"""Steering as values: what may be said, what is refused, and the sums of paces."""

from datetime import timedelta
from typing import Any

import pytest

from models.steering import Caps, Slices, Spread, SteeringError, overdue, planned_for, seconds_of, steering_of
from tests.steering.world import START

FULL: dict[str, Any] = {
    "window": {"from": "09:00", "to": "20:00", "days": [1, 2, 3, 4, 5], "zone": None},
    "pacing": {"slice": 1000, "every": 600},
    "canary": {"size": 100, "share": 0.8, "wait": 900, "codes": ["DLT-*"]},
    "guard": {"share": 0.3, "last": 200},
    "caps": {"most": 3, "period": 86400, "repeat": 600},
}


def test_steering_survives_its_json() -> None:
    assert steering_of(FULL).as_json() == FULL
    assert steering_of({"pacing": {"spread": 3600}}).pacing == Spread(3600)
    assert steering_of({}).as_json() == {}
    assert steering_of(None).as_json() == {}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"windows": {}}, "steering"),
        ({"window": "09:00-20:00"}, "window"),
        ({"window": {"from": "9", "to": "20:00"}}, "window"),
        ({"window": {"to": "20:00"}}, "window"),
        ({"pacing": {}}, "pacing"),
        ({"pacing": {"spread": 0}}, "spread"),
        ({"pacing": {"slice": 10, "every": 0}}, "slices"),
        ({"canary": {"size": 0}}, "canary"),
        ({"canary": {"size": 10, "share": 1.5}}, "canary"),
        ({"canary": {"size": 10, "tea": 1}}, "canary"),
        ({"canary": {"size": True}}, "canary"),
        ({"guard": {"share": 0}}, "guard"),
        ({"guard": {"share": 0.3, "last": 1}}, "guard"),
        ({"caps": {"most": -1}}, "caps"),
        ({"caps": {"most": 1, "period": 0}}, "caps"),
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_its_place(given: dict[str, Any], field: str) -> None:
    with pytest.raises(SteeringError) as refused:
        steering_of(given)
    assert refused.value.field == field


def test_caps_say_what_they_say_and_leave_the_rest_to_the_settings() -> None:
    default = Caps(3, 86_400, 600)
    assert Caps(most=0).over(default) == Caps(0, 86_400, 600)
    assert Caps().over(default) == default
    assert not Caps(0, 86_400, 0)


@pytest.mark.parametrize("pacing", [Spread(3600), Slices(7, 60)])
def test_what_is_due_is_exactly_what_was_planned_before(pacing: Spread | Slices) -> None:
    total = 50
    for elapsed in (0.0, 1.0, 59.9, 60.0, 60.1, 71.9, 72.0, 1800.0, 3599.9, 10_000.0):
        before = sum(pacing.offset(position, total) < elapsed for position in range(total))
        assert pacing.due(elapsed, total) == before


def test_validity_begins_when_a_message_was_planned_to_leave() -> None:
    paced = steering_of({"pacing": {"slice": 10, "every": 600}})
    assert planned_for(paced, START, 25, 100) == START + timedelta(minutes=20)
    assert overdue(paced, START, 100, 300, START + timedelta(minutes=5)) == 0
    assert overdue(paced, START, 100, 300, START + timedelta(minutes=6)) == 10
    assert overdue(steering_of({}), START, 100, 300, START + timedelta(minutes=5)) == 0
    assert overdue(steering_of({}), START, 100, 300, START + timedelta(minutes=6)) is None


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("1.5h", 5400), ("2 d", 172_800)])
def test_spans_are_read_as_people_write_them(text: str, seconds: int) -> None:
    assert seconds_of("spread", text) == seconds


def test_a_span_that_is_none_is_refused() -> None:
    with pytest.raises(SteeringError, match="15m"):
        seconds_of("spread", "soon")
