"""The backup of the operations page brings everything back, on both databases."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, make_url, select, text

from models.database import Database
from models.tables import Base
from producer.audit import audit
from tests.retention.world import leave_traces, statistics
from tests.support.postgres_server import EmbeddedPostgres


def rows(database: Database) -> dict[str, int]:
    with database.read() as session:
        return {
            table.name: session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Base.metadata.sorted_tables
        }


def test_a_copy_made_while_everything_runs_is_whole(tmp_path: Path, migrated_sqlite: Path) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "drumline.db")
    database = Database(f"sqlite:///{tmp_path / 'drumline.db'}")
    with database.write() as session:
        left = leave_traces(session)
        session.flush()
    with sqlite3.connect(tmp_path / "drumline.db") as running, sqlite3.connect(tmp_path / "backup.db") as copy:
        running.backup(copy)
    restored = Database(f"sqlite:///{tmp_path / 'backup.db'}")
    assert rows(restored) == rows(database)
    assert statistics(restored, left.campaign) == statistics(database, left.campaign)
    for opened in (database, restored):
        opened.close()


def test_a_dump_of_postgresql_is_restored_whole(postgres_server: EmbeddedPostgres) -> None:
    source, target = Database(postgres_server.emptied()), Database(postgres_server.bare())
    with source.read() as session:  # a server's own programs: older ones refuse it
        programs = Path(session.execute(text("SELECT setting FROM pg_config WHERE name = 'BINDIR'")).scalar_one())
    with source.write() as session:
        left = leave_traces(session, at=datetime(2026, 1, 1, tzinfo=UTC))
    dump = subprocess.run([programs / "pg_dump", "-Fc", "-d", plain(source)], capture_output=True, check=True).stdout
    restore = [str(programs / "pg_restore"), "-d", plain(target), "--clean", "--if-exists", "--no-owner"]
    subprocess.run(restore, input=dump, check=True, capture_output=True)
    assert target.at_head()
    assert rows(target) == rows(source)
    with target.read() as session:
        found = audit(session, left.campaign)
    assert found is not None
    assert found.differences == ()
    for opened in (source, target):
        opened.close()


def plain(database: Database) -> str:
    """The address as PostgreSQL's own programs take it."""
    return make_url(database.url).set(drivername="postgresql").render_as_string(hide_password=False)
