"""The short form of `make chaos`: a few seeds with fewer recipients, each a whole campaign through real processes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.chaos.databases import PostgresServer
from bench.chaos.plan import Database, Kind, draw
from bench.chaos.run import run
from bench.chaos.verdict import Acceptance, Fate, judge
from models.states import MessageState
from producer.demo.compare import Entry, Row

pytestmark = [pytest.mark.timeout(240)]

SEEDS = (5, 12)  # Redis empty, control killed, jobs delivered twice; workers killed and frozen, the database locked


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's: the path of Redis's socket must be short, and a failed run stays to be looked at."""
    with tempfile.TemporaryDirectory(prefix="dl-chaos-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_and_nothing_sent_twice_on_sqlite(seed: int, folder: Path) -> None:
    outcome = run(draw(seed, Database.SQLITE, gentle=True), folder, None, print)
    assert outcome.passed, f"{outcome.wrong}\n{outcome.told}"


def test_nothing_is_lost_and_nothing_sent_twice_on_postgresql(postgres: PostgresServer, folder: Path) -> None:
    """The server crashes, and the control worker is killed."""
    outcome = run(draw(9, Database.POSTGRESQL, gentle=True), folder, postgres, print)
    assert outcome.passed, f"{outcome.wrong}\n{outcome.told}"


@pytest.mark.parametrize("database", Database)
def test_a_seed_always_draws_the_same_plan(database: Database) -> None:
    assert draw(7, database) == draw(7, database)
    assert draw(7, database) != draw(8, database)


@pytest.mark.parametrize("database", Database)
def test_every_blow_is_drawn_sooner_or_later(database: Database) -> None:
    drawn = {blow.kind for seed in range(300) for blow in draw(seed, database).blows}
    only_sqlite = {Kind.DATABASE_LOCK, Kind.DISK_FULL}
    only_postgresql = {Kind.DATABASE_RESTART, Kind.DATABASE_CRASH}
    assert drawn == set(Kind) - (only_postgresql if database is Database.SQLITE else only_sqlite)


def _fate(sent_again: int = 0) -> Fate:
    row = Row("6f1c", "quicksms", "quicksms", MessageState.DELIVERED, "a", "447700900001", "Hello")
    return Fate(row, None, sent_again)


def _accepted(provider_id: str, truth: str = "delivered") -> Acceptance:
    return Acceptance(Entry("quicksms", provider_id, "6f1c", "447700900001", "Hello", truth), True)


@pytest.mark.parametrize(
    ("fate", "accepted", "wrong", "doubled"),
    [
        (_fate(), [_accepted("a")], 0, 0),
        (_fate(), [], 1, 0),
        (_fate(), [_accepted("a", "undelivered")], 1, 0),
        (_fate(), [_accepted("a"), _accepted("b")], 1, 0),
        (_fate(sent_again=1), [_accepted("a"), _accepted("b", "undelivered")], 0, 1),
        (_fate(sent_again=1), [_accepted("a"), _accepted("b"), _accepted("c")], 1, 0),
    ],
)
def test_only_what_the_campaign_wants_sent_again_may_be_accepted_twice(
    fate: Fate, accepted: list[Acceptance], wrong: int, doubled: int
) -> None:
    verdict = judge([fate], accepted)
    assert (len(verdict.wrong), verdict.doubled) == (wrong, doubled)
