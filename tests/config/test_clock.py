"""Beat: what it plans by, and what it leaves to nobody."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from redis import Redis

from config import names
from config.celery_app import make_app
from config.clock import Clock
from config.nudges import AWAY, MOST_WAITING, Nudges
from config.settings import ROOT, Settings
from config.steady import steady, steady_now
from tests.support.redis_server import EmbeddedRedis


@contextmanager
def clock_over(server: EmbeddedRedis) -> Iterator[Clock]:
    app: Celery = make_app(Settings(redis_url=server.url, accounts_file=ROOT / "config" / "accounts.sandbox.toml"))
    clock = Clock(app)
    yield clock
    app.close()


def test_a_wall_clock_that_is_set_back_or_ahead_moves_no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    every = steady(5.0)
    began = steady_now()
    for wrong in (-3600.0, 3600.0):
        monkeypatch.setattr(time, "time", lambda wrong=wrong: wrong)
        assert abs((every.now() - began).total_seconds()) < 1.0
        due, again = every.is_due(began)
        assert (due, 4.0 < again <= 5.0) == (False, True)
        assert every.is_due(began - timedelta(seconds=5)).is_due


def test_it_begins_at_the_time_of_day() -> None:
    assert abs((steady_now() - datetime.now(UTC)).total_seconds()) < 60.0


def test_no_tick_carries_a_date_that_a_worker_with_another_clock_would_take_for_past(
    redis_server: EmbeddedRedis,
) -> None:
    with clock_over(redis_server) as clock:
        for entry in clock.schedule.values():
            assert set(entry.options) == {"queue"}
            assert entry.schedule.nowfun is steady_now


def test_ticks_that_nobody_takes_pile_up_no_further(redis_server: EmbeddedRedis) -> None:
    redis_server.wipe()
    with clock_over(redis_server) as clock, Redis.from_url(redis_server.url) as redis:
        entry = clock.schedule["dispatch"]
        for _ in range(MOST_WAITING * 2):
            clock.apply_entry(entry)
        key = f"drumline:{names.CONTROL_QUEUE}"
        assert redis.llen(key) == MOST_WAITING
        redis.lpop(key, 5)
        clock.apply_entry(entry)
        assert redis.llen(key) == MOST_WAITING - 4


def test_a_nudge_carries_no_date_and_stops_where_nobody_takes_them(redis_server: EmbeddedRedis) -> None:
    redis_server.wipe()
    with clock_over(redis_server) as clock, Redis.from_url(redis_server.url) as redis:
        nudge = Nudges(clock.app)
        for _ in range(MOST_WAITING * 2):
            nudge(names.DISPATCH, queue=names.CONTROL_QUEUE)
        key = f"drumline:{names.CONTROL_QUEUE}"
        assert redis.llen(key) == MOST_WAITING
        (job,) = redis.lrange(key, 0, 0)
        assert json.loads(job)["headers"]["expires"] is None
        assert json.loads(job)["headers"]["eta"] is None


def test_a_nudge_without_redis_says_so(redis_server: EmbeddedRedis) -> None:
    app = make_app(Settings(redis_url="redis://127.0.0.1:1", accounts_file=ROOT / "config" / "accounts.sandbox.toml"))
    with pytest.raises(AWAY):
        Nudges(app)(names.DISPATCH, queue=names.CONTROL_QUEUE)
    app.close()


def test_once_it_was_closed_it_ends_even_if_the_signals_own_end_was_swallowed(redis_server: EmbeddedRedis) -> None:
    with clock_over(redis_server) as clock:
        clock.tick()
        clock.close()
        with pytest.raises(SystemExit):
            clock.tick()


def _make_all_due(clock: Clock) -> None:
    for entry in clock.schedule.values():
        entry.last_run_at -= timedelta(days=2)


def test_an_error_by_which_the_signals_own_end_was_hidden_is_no_failure(
    redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes while a queue is asked how full it is; what comes out is whatever tidying up ran into."""
    with clock_over(redis_server) as clock:

        def interrupted(*_: object) -> int:
            clock.close()
            raise RuntimeError("release unlocked lock")

        monkeypatch.setattr("config.clock.waiting", interrupted)
        _make_all_due(clock)
        with pytest.raises(SystemExit):
            clock.tick()


def test_any_other_error_of_a_tick_is_told(redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise RuntimeError("no such queue")

    with clock_over(redis_server) as clock:
        monkeypatch.setattr("config.clock.waiting", broken)
        _make_all_due(clock)
        with pytest.raises(RuntimeError, match="no such queue"):
            clock.tick()
