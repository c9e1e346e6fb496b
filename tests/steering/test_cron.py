"""Cron expressions of five fields."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.cron import CronError, parse_cron


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "now", "following"),
    [
        ("* * * * *", "2026-06-03T12:00", "2026-06-03T12:01"),
        ("*/15 * * * *", "2026-06-03T12:00", "2026-06-03T12:15"),
        ("5/20 * * * *", "2026-06-03T12:30", "2026-06-03T12:45"),
        ("0 9 * * *", "2026-06-03T09:00", "2026-06-04T09:00"),  # strictly after
        ("0 9 * * mon-fri", "2026-06-05T10:00", "2026-06-08T09:00"),
        ("0 9 * * 1-5", "2026-06-05T10:00", "2026-06-08T09:00"),
        ("0 9 * * 7", "2026-06-03T00:00", "2026-06-07T09:00"),
        ("0 9 * * 0", "2026-06-03T00:00", "2026-06-07T09:00"),
        ("30 6 1,15 * *", "2026-06-03T00:00", "2026-06-15T06:30"),
        ("0 0 31 * *", "2026-06-03T00:00", "2026-07-31T00:00"),
        ("0 0 29 feb *", "2026-06-03T00:00", "2028-02-29T00:00"),
        ("0 0 13 * fri", "2026-06-03T00:00", "2026-06-05T00:00"),  # both days restricted: either is enough
        ("0 0 */2 * mon", "2026-06-03T00:00", "2026-06-15T00:00"),  # a star with a step restricts nothing
        ("@daily", "2026-06-03T12:00", "2026-06-04T00:00"),
        ("0 8-18/5 * * *", "2026-06-03T12:00", "2026-06-03T13:00"),
        ("59 23 31 12 *", "2026-06-03T12:00", "2026-12-31T23:59"),
    ],
)
def test_the_next_time_is_as_in_vixie_cron(cron: str, now: str, following: str) -> None:
    assert parse_cron(cron).after(at(now), "UTC") == at(following)


def test_times_are_those_of_the_zone() -> None:
    assert parse_cron("0 9 * * *").after(at("2026-06-03T12:00"), "Europe/Berlin") == at("2026-06-04T07:00")
    assert parse_cron("0 9 * * *").after(at("2026-12-03T12:00"), "Europe/Berlin") == at("2026-12-04T08:00")


def test_a_time_that_the_clock_leaves_out_comes_at_the_end_of_the_gap() -> None:
    cron = parse_cron("30 2 * * *")
    first = cron.after(at("2026-03-28T12:00"), "Europe/Berlin")
    assert first == at("2026-03-29T01:00")  # 03:00 in Berlin
    assert cron.after(first, "Europe/Berlin") == at("2026-03-30T00:30")


def test_a_time_that_comes_twice_counts_once() -> None:
    cron = parse_cron("30 2 * * *")
    first = cron.after(at("2026-10-24T12:00"), "Europe/Berlin")
    assert first == at("2026-10-25T00:30")
    assert cron.after(first, "Europe/Berlin") == at("2026-10-26T01:30")


@pytest.mark.parametrize(
    ("cron", "names"),
    [
        ("0 9 * *", "five"),
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of the month"),
        ("* * * 13 *", "month"),
        ("* * * * someday", "sun to sat"),
        ("20-10 * * * *", "goes up"),
        ("*/0 * * * *", "step"),
        ("*/x * * * *", "step"),
        ("1,,2 * * * *", "minute"),
        ("0 0 30 feb *", "never"),
        ("٣ * * * *", "minute"),
    ],
)
def test_what_is_no_cron_expression_is_refused_by_the_name_of_its_field(cron: str, names: str) -> None:
    with pytest.raises(CronError, match=names):
        parse_cron(cron)


@settings(max_examples=60, deadline=None)
@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    days=st.sets(st.integers(1, 28), min_size=1, max_size=4),
    begin=st.integers(0, 3000),
)
def test_every_time_is_later_than_the_one_before_and_fits_its_fields(
    minute: int, hour: int, days: set[int], begin: int
) -> None:
    cron = parse_cron(f"{minute} {hour} {','.join(map(str, sorted(days)))} * *")
    moment = at("2026-01-01T00:00") + timedelta(hours=begin)
    for _ in range(5):
        following = cron.after(moment, "UTC")
        assert following > moment
        assert (following.minute, following.hour) == (minute, hour)
        assert following.day in days
        moment = following
