"""The dashboard over SQLite, spoken to without a network; and for the browser one server and one Chromium for all."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from bench.screenshots import CHROMIUM, SWITCHES
from bench.showcase import ACCOUNTS, SCENES, fill, scaled
from bench.web_server import WebServer, serve
from models.database import Database
from tests.producer.api.desk import Desk, open_desk


@pytest.fixture
def database(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Database]:
    path = tmp_path / "drumline.db"
    shutil.copy(migrated_sqlite, path)
    opened = Database(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture
async def desk(database: Database, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(database, tmp_path) as opened:
        yield opened


@dataclass(frozen=True, slots=True)
class Stage:
    """A running server with campaigns in every state, by name, and a key of every scope."""

    server: WebServer
    ids: dict[str, UUID]
    keys: dict[str, str]

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def database(self) -> Database:
        return self.server.database


@pytest.fixture(scope="session")
def stage(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("web")
    shutil.copy(migrated_sqlite, folder / "web.db")
    database = Database(f"sqlite:///{folder / 'web.db'}")
    ids = fill(database, database.now(), scaled(SCENES, 20))
    with serve(database, folder, ACCOUNTS) as server:
        yield Stage(server, ids, {scope: server.key(scope) for scope in ("read", "submit", "admin")})
    database.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    if shutil.which(CHROMIUM) is None:
        pytest.fail("the browser tests need Chromium (Debian: apt-get install chromium)", pytrace=False)
    async with async_playwright() as play:
        opened = await play.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield opened
        await opened.close()
