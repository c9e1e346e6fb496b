"""The schema's way up and down on both databases, with rows in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    CHAR,
    JSON,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Uuid,
    inspect,
    select,
    text,
)

import models.migrations
from models.database import Database, DatabaseError
from models.phase import phase_of
from models.states import CampaignState, MessageState
from models.tables import Base, Campaign, Message, MessageNumber
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


def test_a_revision_that_does_not_exist_is_named(bare: Database) -> None:
    bare.migrate()
    with pytest.raises(DatabaseError, match="0042"):
        bare.migrate("0042")


# --- rows that live through every version ----------------------------------------------------------------------------


def oldest_first() -> list[str]:
    return list(reversed(revisions()))


@pytest.mark.parametrize("since", oldest_first())
def test_rows_written_under_any_version_survive_every_step_up_and_down_again(bare: Database, since: str) -> None:
    bare.migrate(since)
    written = write_rows(bare)
    later = oldest_first()[oldest_first().index(since) + 1 :]
    for revision in later:
        bare.migrate(revision)
        assert rows(bare, written) == written, f"lost on the way up to {revision}"
    for revision in [*reversed(later[:-1]), since] if later else []:
        bare.migrate(revision)
        assert rows(bare, written) == written, f"lost on the way down to {revision}"


def test_numbers_of_messages_that_were_there_before_their_index_are_found(bare: Database) -> None:
    bare.migrate("0140")
    write_rows(bare)
    bare.migrate()
    with bare.read() as session:
        assert session.execute(select(MessageNumber.msisdn, MessageNumber.message_id)).all() == [("words", ID)]


@pytest.mark.parametrize("state", MessageState)
def test_the_phase_of_messages_that_were_there_before_it_was_a_column_is_kept(
    bare: Database, state: MessageState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WORDS, ("messages", "state"), state.value)
    bare.migrate("0160")
    write_rows(bare)
    phases = []
    for revision in ("0160", "0170", "0160", "0170"):
        bare.migrate(revision)
        with bare.engine.connect() as connection:
            phases.append(connection.execute(text("SELECT phase FROM messages")).scalar_one())
    assert phases == [phase_of(state)] * 4


Rows = dict[str, dict[str, Any]]
"""By table: the one row in it, with the columns that were written."""


def write_rows(database: Database) -> Rows:
    """One row in every table of this version, with a value in every column."""
    metadata = MetaData()
    metadata.reflect(database.engine)
    written: Rows = {}
    with database.engine.begin() as connection:
        for table in metadata.sorted_tables:
            if table.name != "alembic_version":
                written[table.name] = row = {
                    column.name: value_of(table.name, column) for column in table.columns if not column.computed
                }
                connection.execute(table.insert(), [row])
    return rows(database, written)


def value_of(table: str, column: Column[Any]) -> Any:
    """A value of the column's type; the same id everywhere, so that every foreign key finds its row."""
    if column.name in {"id", "campaign_id", "endpoint_id"} and not isinstance(column.type, Integer):
        return uuid_like(column)
    match column.type:
        case Uuid() | CHAR():
            return uuid_like(column)
        case Boolean():
            return True
        case Integer():
            return 1
        case Numeric() | Float():
            return 0.5
        case Date():
            return NOW.date()
        case DateTime():
            return NOW if column.type.timezone else NOW.replace(tzinfo=None)
        case LargeBinary():
            return b"bytes"
        case JSON():
            return {"a": 1}
        case _:
            return WORDS.get((table, column.name), "words"[: getattr(column.type, "length", None)])


WORDS = {
    ("campaigns", "state"): "completed", ("messages", "state"): "delivered", ("messages", "phase"): "delivered",
    ("batches", "state"): "done",
}  # fmt: skip


def uuid_like(column: Column[Any]) -> Any:
    return ID if isinstance(column.type, Uuid) else ID.hex


ID = UUID(int=7)


def rows(database: Database, like: Rows) -> Rows:
    """The rows of these tables, with these columns alone: what a later version adds is not asked for."""
    metadata = MetaData()
    metadata.reflect(database.engine)
    found: Rows = {}
    with database.engine.connect() as connection:
        for name, columns in like.items():
            table = metadata.tables[name]
            row = connection.execute(table.select()).one()
            found[name] = {column: row._mapping[column] for column in columns if column in row._mapping}
    return found
