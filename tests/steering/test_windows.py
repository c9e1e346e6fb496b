"""Sending windows: a pure calculation over zones and clocks."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.windows import (
    Window,
    WindowError,
    closing,
    next_open,
    parse_quiet,
    parse_window,
    window_of,
    zones_from,
    zones_key,
)

DAY = parse_window("09:00-20:00")
BERLIN, LONDON, NEW_YORK, SYDNEY = "Europe/Berlin", "Europe/London", "America/New_York", "Australia/Sydney"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "zones", "opens"),
    [
        ("2026-06-03T12:00", (LONDON,), "2026-06-03T12:00"),  # open now
        ("2026-06-03T07:59", (LONDON,), "2026-06-03T08:00"),  # before: 09:00 BST
        ("2026-06-03T19:00", (LONDON,), "2026-06-04T08:00"),  # the closing minute is outside
        ("2026-06-03T18:59", (LONDON,), "2026-06-03T18:59"),
        ("2026-01-03T08:30", (LONDON,), "2026-01-03T09:00"),  # winter
        ("2026-06-03T07:00", (BERLIN, NEW_YORK), "2026-06-03T13:00"),  # New York opens, Berlin is open till 18:00 UTC
        ("2026-06-03T18:00", (BERLIN, NEW_YORK), "2026-06-04T13:00"),
        ("2026-06-03T12:00", (), "2026-06-03T12:00"),  # an unknown zone counts as UTC
    ],
)
def test_the_next_opening_is_when_every_zone_is_open(now: str, zones: tuple[str, ...], opens: str) -> None:
    assert next_open(DAY, zones, at(now)) == at(opens)


def test_a_window_that_never_opens_in_all_zones_says_so() -> None:
    assert next_open(parse_window("09:00-12:00"), (NEW_YORK, SYDNEY), at("2026-06-03T12:00")) is None


def test_it_closes_when_the_first_zone_closes() -> None:
    assert closing(DAY, (BERLIN, NEW_YORK), at("2026-06-03T14:00")) == at("2026-06-03T18:00")


def test_only_the_named_days_are_open() -> None:
    weekdays = parse_window("09:00-20:00 mon-fri")
    assert next_open(weekdays, ("UTC",), at("2026-06-05T20:00")) == at("2026-06-08T09:00")


def test_a_window_over_midnight_belongs_to_the_day_it_opens() -> None:
    night = parse_window("22:00-02:00 fri")
    assert next_open(night, ("UTC",), at("2026-06-06T01:59")) == at("2026-06-06T01:59")
    assert next_open(night, ("UTC",), at("2026-06-06T02:00")) == at("2026-06-12T22:00")


def test_a_fixed_zone_wins_over_the_recipients() -> None:
    assert next_open(parse_window("09:00-20:00", SYDNEY), (LONDON,), at("2026-06-03T12:00")) == at("2026-06-03T23:00")


def test_quiet_hours_are_the_rest_of_the_day() -> None:
    assert parse_quiet("21:00-08:00") == parse_window("08:00-21:00")
    assert parse_quiet("00:00-08:00") == parse_window("08:00-24:00")


def test_a_clock_change_moves_the_opening_with_the_wall_clock() -> None:
    early = parse_window("02:30-04:00")
    assert next_open(early, (BERLIN,), at("2026-03-29T00:00")) == at("2026-03-29T01:30")  # 02:30 does not exist: 03:30
    assert next_open(DAY, (BERLIN,), at("2026-03-28T20:00")) == at("2026-03-29T07:00")


@pytest.mark.parametrize("text", ["9-20", "09:00", "25:00-26:00", "09:00-09:00", "09:00-20:00 someday", ""])
def test_a_window_that_cannot_be_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(WindowError, match=r"window: .*(expected|two different)"):
        parse_window(text)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(WindowError, match="Mars/Base"):
        parse_window("09:00-20:00", "Mars/Base")


def test_a_window_survives_its_json() -> None:
    window = parse_window("22:00-24:00 sat-mon", BERLIN)
    assert window.days == (1, 6, 7)
    assert window_of(window.as_json()) == window
    assert str(window) == "22:00-24:00 mon,sat,sun Europe/Berlin"


def test_zones_survive_as_a_batch_keeps_them() -> None:
    assert zones_from(zones_key([NEW_YORK, BERLIN, BERLIN])) == (NEW_YORK, BERLIN)
    assert zones_from(None) == ()


_ZONES = st.lists(st.sampled_from([LONDON, BERLIN, NEW_YORK, "Asia/Kolkata", "UTC"]), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(
    opens=st.integers(0, 1439),
    length=st.integers(1, 1439),
    zones=_ZONES,
    minute=st.integers(0, 400 * 1440),
)
def test_an_opening_is_open_everywhere_and_nothing_before_it_was(
    opens: int, length: int, zones: list[str], minute: int
) -> None:
    window = Window(opens, (opens + length) % 1440 or 1440) if (opens + length) % 1440 != opens else DAY
    now = at("2026-01-01T00:00") + timedelta(minutes=minute)
    found = next_open(window, tuple(zones), now)
    if found is None:
        return
    assert found >= now
    assert all(_inside(window, zone, found) for zone in zones)
    if found > now:
        assert not all(_inside(window, zone, found - timedelta(minutes=1)) for zone in zones)
    assert closing(window, tuple(zones), found) > found


def _inside(window: Window, zone: str, moment: datetime) -> bool:
    """By the minute of the local day; good for every day without a clock change at the edge."""
    local = moment.astimezone(ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    if window.opens < window.closes:
        return window.opens <= minute < window.closes
    return minute >= window.opens or minute < window.closes
