"""What is sent to the database meanwhile, and how the database goes about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, text

from models.database import Database


@contextmanager
def statements(database: Database, *verbs: str) -> Iterator[list[tuple[str, Any]]]:
    """Every statement that begins with one of these words, with its parameters; without words, every SELECT."""
    seen: list[tuple[str, Any]] = []

    def listen(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith(verbs or "SELECT"):
            seen.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", listen)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", listen)


def analyze(database: Database) -> None:
    """The statistics are those of now."""
    with database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))


def plan(database: Database, statement: str, parameters: Any, large: bool = False) -> str:
    """The database's own words, a line for each step. `large`: as if the tables were too large to be read whole."""
    explain = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN"
    with database.engine.connect() as connection:
        if large and database.dialect == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {statement}", parameters))
