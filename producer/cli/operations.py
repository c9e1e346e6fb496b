"""Commands about the system: doctor, limits, migrate."""

from __future__ import annotations

from typing import Annotated

import typer

from producer.cli.doctor import doctor
from producer.cli.output import say


def register(app: typer.Typer) -> None:
    app.command()(doctor)
    app.command()(migrate)


def migrate(
    to: Annotated[str, typer.Option("--to", help="A revision, e.g. 0070; an earlier one goes back.")] = "head",
) -> None:
    """Bring the database to the newest schema, or back to that of an older version."""
    from config.settings import settings
    from models.database import Database

    database = Database(settings().database_url)
    try:
        database.check()
        database.migrate(to)
        found, newest = database.schema()
    finally:
        database.close()
    say(f"the schema is at {found}" + ("" if found == newest else f"; this version's own is {newest}"))
