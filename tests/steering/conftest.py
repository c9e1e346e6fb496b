"""Both databases, a clock to set, and a world of two accounts."""

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


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        with opened(f"sqlite:///{tmp_path / 'test.db'}") as database:
            yield database
        return
    with request.getfixturevalue("postgres").url() as url, opened(url) as database:
        yield database


@pytest.fixture
def world(database: Database) -> World:
    return World(database)
