"""Many new rows at once: COPY on PostgreSQL, one prepared statement on SQLite.

Values are as the database keeps them (ids as hex, moments as `models.plain` writes them): converting a million rows
through column types costs more than storing them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models.tables import Base


def insert_rows(session: Session, table: type[Base], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """In the session's transaction. Raises DBAPIError."""
    if not rows:
        return
    names = ", ".join(f'"{column}"' for column in columns)
    if session.get_bind().dialect.name == "postgresql":
        _copy(session, f"COPY {table.__tablename__} ({names}) FROM STDIN", rows)
        return
    marks = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table.__tablename__} ({names}) VALUES ({marks})"  # nosec B608  # noqa: S608 - names are ours
    session.connection().exec_driver_sql(statement, list(map(tuple, rows)))


def _copy(session: Session, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    connection: Any = session.connection().connection.driver_connection
    try:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except psycopg.Error as error:
        raise DBAPIError.instance(statement, None, error, psycopg.Error) from error
