"""Commands about the system: doctor, limits, migrate."""

from __future__ import annotations

import typer

from producer.cli.doctor import doctor


def register(app: typer.Typer) -> None:
    app.command()(doctor)
    app.command()(migrate)


def migrate() -> None:
    """Bring the database to the newest schema."""
    from producer.cli.context import open_context

    with open_context() as context:
        context.database.check()
