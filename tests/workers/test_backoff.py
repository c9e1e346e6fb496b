"""Backoff and Retry-After: pure, for every number there is."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.retry_after import CAP, parse_http_date, parse_reset, parse_retry_after
from workers.retry import QUICKSMS, Backoff

NOW = datetime(1994, 11, 6, 8, 49, 7, tzinfo=UTC)
shares = st.floats(0, 1, exclude_max=True)


def test_quicksms_waits_1_2_4_8_16_and_stops_after_five() -> None:
    assert [QUICKSMS.delay(tries, rnd=0.5) for tries in range(1, 7)] == [1, 2, 4, 8, 16, None]


@given(st.integers(1, 5), shares)
def test_quicksms_jitter_stays_within_a_fifth(tries: int, rnd: float) -> None:
    delay = QUICKSMS.delay(tries, rnd)
    assert delay is not None
    assert 0.8 * 2 ** (tries - 1) <= delay <= 1.2 * 2 ** (tries - 1)


@given(st.floats(0.01, 1e3), st.floats(1, 1e6), st.floats(1e3, 1e6), st.floats(0, 0.99), st.integers(1, 10**6), shares)
def test_a_delay_is_positive_bounded_and_never_overflows(
    base: float, factor: float, cap: float, jitter: float, tries: int, rnd: float
) -> None:
    delay = Backoff(base, factor, cap, jitter, max_tries=10**6).delay(tries, rnd)
    assert delay is not None
    assert 0 < delay <= cap * (1 + jitter)


@given(st.integers(1, 60))
def test_without_jitter_a_later_try_never_waits_less(tries: int) -> None:
    backoff = Backoff(jitter=0.0, max_tries=100)
    assert (backoff.delay(tries, 0.3) or 0) <= (backoff.delay(tries + 1, 0.9) or 0)


@given(st.floats(0, 900), shares)
def test_what_the_provider_asks_for_wins_and_nobody_comes_early(asked: float, rnd: float) -> None:
    delay = QUICKSMS.delay(1, rnd, retry_after=asked)
    assert delay is not None
    assert asked <= delay <= asked * 1.2
    assert QUICKSMS.delay(6, rnd, retry_after=asked) is None


@pytest.mark.parametrize(
    "wrong", [{"base": 0.0}, {"factor": 0.5}, {"cap": 0.1}, {"jitter": 1.0}, {"base": float("nan")}, {"max_tries": -1}]
)
def test_a_backoff_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not a"):
        Backoff(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_a_try_that_has_not_failed_has_no_delay() -> None:
    with pytest.raises(ValueError, match="nothing has failed"):
        QUICKSMS.delay(0, 0.5)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30.0),
        (" 30 ", 30.0),
        ("+7", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("2.", 2.0),
        (".25", 0.25),
        ("-5", 0.0),
        ("-0.5", 0.0),
        ("86400", CAP),
        ("9" * 400, CAP),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 30.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 30.0),
        ("Sun Nov  6 08:49:37 1994", 30.0),
        ("sun, 06 nov 1994 08:49:37 gmt", 30.0),
        ("Sun, 06 Nov 1994 08:49:00 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:60 GMT", 52.0),
        ("Fri, 06 Nov 2094 08:49:37 GMT", CAP),
        ("Sunday, 06-Nov-44 08:49:37 GMT", CAP),
        ("Sunday, 06-Nov-45 08:49:37 GMT", 0.0),
    ],
)
def test_retry_after_is_read_in_every_form(value: str, seconds: float) -> None:
    assert parse_retry_after(value, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "garbage",
    [
        None, "", " ", "soon", "nan", "NaN", "inf", "-inf", "1e9", "0x10", "1_000", "1,5", "1 2", "--3", "٣", ".",
        "9" * 5000, "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Xyz 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 PST", "Sun, 06 Nov 0000 08:49:37 GMT", "2026-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_garbage_is_no_retry_after(garbage: str | None) -> None:
    assert parse_retry_after(garbage, NOW) is None


def test_a_two_digit_year_may_lie_beyond_the_turn_of_the_century() -> None:
    eve = datetime(1999, 12, 31, 23, 59, 30, tzinfo=UTC)
    assert parse_retry_after("Saturday, 01-Jan-00 00:00:00 GMT", eve) == 30.0


def test_the_cap_is_the_callers_to_set() -> None:
    assert parse_retry_after("600", NOW, cap=60.0) == 60.0
    assert parse_retry_after("600", NOW) == 600.0


@given(st.text() | st.text("0123456789.+-eE "))
def test_no_text_makes_it_raise_or_leave_its_bounds(value: str) -> None:
    for seconds in (parse_retry_after(value, NOW), parse_reset(value, NOW)):
        assert seconds is None or 0.0 <= seconds <= CAP


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(microsecond=0)))
def test_every_date_written_is_read_back(moment: datetime) -> None:
    exact = moment.replace(tzinfo=UTC)
    assert parse_http_date(format_datetime(exact, usegmt=True), NOW) == exact
    assert parse_http_date(moment.ctime(), NOW) == exact


def test_the_answers_own_date_makes_a_wrong_worker_clock_harmless() -> None:
    date = parse_http_date("Sun, 06 Nov 1994 08:49:07 GMT", NOW + timedelta(hours=1))
    assert date is not None
    assert parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", date) == 30.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("12", 12.0), ("1700000030", 30.0), ("1699999999", 0.0), ("1700099999", CAP), ("x", None), (None, None)],
)
def test_a_reset_is_a_unix_time_or_a_number_of_seconds(value: str | None, seconds: float | None) -> None:
    assert parse_reset(value, datetime.fromtimestamp(1_700_000_000, UTC)) == seconds
