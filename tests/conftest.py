"""Real servers for every test: an embedded Redis, an embedded PostgreSQL, and SQLite files.

`database` runs a test on both databases.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from models.database import Database
from tests.support.postgres_server import EmbeddedPostgres
from tests.support.redis_server import EmbeddedRedis

if TYPE_CHECKING:
    from tests.support.terminal import Terminal

# A busy machine is no reason to fail: properties are about values, never about time.
settings.register_profile("drumline", deadline=None)
settings.load_profile("drumline")


# Where many tests share one costly stage (a whole production, a browser): they go to the same worker.
TOGETHER = (
    "tests/production/", "tests/chaos/", "tests/steering/test_quick.py", "tests/web/test_browser.py",
    "tests/web/test_live.py", "tests/web/test_wizard_browser.py",
)  # fmt: skip
GROUPS = {path: "web" if path.startswith("tests/web/") else path for path in TOGETHER}


class _ByStage(LoadScopeScheduling):  # type: ignore[misc]  # xdist carries no types
    """Every other test goes wherever a worker is free. (The marks of pytest-xdist 3.8 say nothing under pytest 9.)"""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for path, group in GROUPS.items() if nodeid.startswith(path)), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return _ByStage(config, log)


@pytest.fixture(autouse=True, scope="session")
def quiet_logs() -> None:
    """Our own lines are not what tests are read for; those about logging set it up themselves."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """Commands make their files private for the rest of their process, which here is the tests'."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(appendonly=False) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty migrated file to copy. No WAL beside it: a copy of one file is the whole database."""
    path = tmp_path_factory.mktemp("template") / "empty.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    with database.engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA journal_mode=DELETE")
    database.close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, migrated, empty database of each kind."""
    if request.param == "sqlite":
        path = tmp_path / "drumline.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    server: EmbeddedPostgres = request.getfixturevalue("postgres_server")
    yield server.emptied()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def unknown_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A fresh database of each kind whose statistics know nothing but what the test has it analyze: for tests of plans.
    Those of `database` may be any test's."""
    if request.param == "sqlite":
        path = shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "unknown.db")
        opened = Database(f"sqlite:///{path}")
    else:
        server: EmbeddedPostgres = request.getfixturevalue("postgres_server")
        opened = Database(server.unknown())
    yield opened
    opened.close()


@pytest.fixture
def terminal(
    migrated_sqlite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Terminal]:
    """`drumline` commands with a database and one account."""
    from tests.support.terminal import opened  # other tests shall not pay for importing every command

    yield from opened(migrated_sqlite, tmp_path, capsys, monkeypatch)
