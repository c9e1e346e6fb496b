"""Many new rows at once: COPY on PostgreSQL, statements of many rows on SQLite.

Values are as the database keeps them (ids as hex, moments as `models.plain` writes them): converting a million rows
through column types costs more than storing them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import Any, Final

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models.tables import Base

# SQLite opens every index anew for each statement: a row of a million costs 18 us one by one, 11 us in five hundreds.
ROWS: Final = 500
MOST_VALUES: Final = 32_000  # SQLite takes 32,766 in a statement
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def insert_rows(session: Session, table: type[Base], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """In the session's transaction. Raises DBAPIError."""
    insert_flat(session, table, columns, list(chain.from_iterable(rows)))


def insert_flat(
    session: Session, table: type[Base], columns: Sequence[str], values: list[Any], same: Mapping[str, Any] = _NOTHING
) -> None:
    """The same for rows that stand one after the other in one list, which is cheaper to make, to carry and to bind than
    a tuple for each; `same`: further columns, with the value that every row has."""
    if not values:
        return
    names = ", ".join(f'"{column}"' for column in (*columns, *same))
    if session.get_bind().dialect.name == "postgresql":
        _copy(session, f"COPY {table.__tablename__} ({names}) FROM STDIN", len(columns), values, tuple(same.values()))
        return
    connection, most = session.connection(), _most(len(columns) + len(same)) * len(columns)
    for start in range(0, len(values), most):
        part = values[start : start + most]
        statement = _insert(table.__tablename__, names, len(same), len(columns), len(part) // len(columns))
        connection.exec_driver_sql(statement, (*same.values(), *part))


def _most(columns: int) -> int:
    """Rows in one statement."""
    return min(ROWS, MOST_VALUES // columns)


@lru_cache(maxsize=64)
def _insert(table: str, names: str, same: int, columns: int, rows: int) -> str:
    """The values that all rows have come first and travel once."""
    common = [f"?{place}" for place in range(1, same + 1)]
    starts = range(same + 1, same + 1 + rows * columns, columns)
    marks = [", ".join([*(f"?{place}" for place in range(start, start + columns)), *common]) for start in starts]
    return f"INSERT INTO {table} ({names}) VALUES ({'), ('.join(marks)})"  # nosec B608  # noqa: S608 - names are ours


def _copy(session: Session, statement: str, columns: int, values: list[Any], same: tuple[Any, ...]) -> None:
    connection: Any = session.connection().connection.driver_connection
    try:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for start in range(0, len(values), columns):
                copy.write_row((*values[start : start + columns], *same))
    except psycopg.Error as error:
        raise DBAPIError.instance(statement, None, error, psycopg.Error) from error
