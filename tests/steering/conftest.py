"""Both databases, a clock to set, and a world of two accounts."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.database import Database
from tests.steering.world import World
from tests.support.sql import EmbeddedPostgres, opened


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres()
    yield server
    server.close()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file at the newest schema, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    with opened(f"sqlite:///{path}"):
        return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        copy = tmp_path / "test.db"
        shutil.copy(request.getfixturevalue("migrated"), copy)
        yield from _used(f"sqlite:///{copy}")
        return
    with request.getfixturevalue("postgres").url() as url:
        yield from _used(url)


def _used(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def world(database: Database) -> World:
    return World(database)
