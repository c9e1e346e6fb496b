"""The schema's way up and down on both databases, with rows in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select

import models.migrations
from models.database import Database
from models.states import CampaignState, MessageState
from models.tables import Base, Campaign, Message
from tests.support.postgres_server import EmbeddedPostgres
from tests.support.rows import add_batch, add_campaign, add_messages

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SCRIPTS = ScriptDirectory(str(Path(models.migrations.__file__).parent))


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any table."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'bare.db'}"
    else:
        server: EmbeddedPostgres = request.getfixturevalue("postgres_server")
        url = server.bare()
    opened = Database(url)
    yield opened
    opened.close()


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names()) - {"alembic_version"}


def test_up_down_with_rows_in_it_and_up_again(bare: Database) -> None:
    bare.migrate()
    assert tables(bare) == set(Base.metadata.tables)
    with bare.write() as session:
        campaign = add_campaign(session, NOW, state=CampaignState.RUNNING)
        batch = add_batch(session, campaign, NOW)
        add_messages(session, campaign, batch, 3)
    bare.migrate(f"-{len(revisions())}")
    assert tables(bare) == set()
    bare.migrate()
    assert tables(bare) == set(Base.metadata.tables)
    with bare.read() as session:
        assert session.execute(select(Campaign)).first() is None


def test_at_the_newest_already_it_does_nothing_and_keeps_the_rows(bare: Database) -> None:
    bare.migrate()
    with bare.write() as session:
        campaign = add_campaign(session, NOW)
        add_messages(session, campaign, add_batch(session, campaign, NOW), 2)
    bare.migrate()
    with bare.read() as session:
        assert [row.state for row in session.execute(select(Message)).scalars()] == [MessageState.QUEUED] * 2


def test_what_the_code_declares_is_what_the_migrations_make(bare: Database) -> None:
    bare.migrate()
    with bare.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_revisions_are_one_line_with_one_head() -> None:
    assert len(SCRIPTS.get_heads()) == 1
    assert len(SCRIPTS.get_bases()) == 1


def revisions() -> list[str]:
    return [script.revision for script in SCRIPTS.walk_revisions()]


def test_every_single_step_can_be_undone_and_done_again(bare: Database) -> None:
    bare.migrate()
    for _ in revisions():
        bare.migrate("-1")
    assert tables(bare) == set()
    for _ in revisions():
        bare.migrate("+1")
    assert tables(bare) == set(Base.metadata.tables)
