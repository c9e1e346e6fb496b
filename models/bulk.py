"""Many rows in one statement: what the hot paths read and write with.

PostgreSQL takes all rows as one JSON document, one statement however many there are; SQLite takes the rows one by one
inside the driver. Both pass by SQLAlchemy's handling of parameters, which costs more than the database does: measured
with 2,000 rows, arrays (`unnest`) took three times as long to send as JSON, and a list of 2,000 parameters longer than
the look-up itself (`make bench-dlr`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import JSON, Column, Dialect, String, Table, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import dialect as postgresql_dialect
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.types import TypeDecorator

Row = Mapping[str, Any]
_POSTGRESQL: Dialect = postgresql_dialect()  # type: ignore[no-untyped-call]  # the dialect's module has no types
APPENDED = "trail"
"""The one column that is not replaced but added to."""


def among(session: Session, column: InstrumentedAttribute[Any], values: Iterable[UUID | str]) -> TextClause:
    """A condition: the column (of UUIDs or texts) has one of these values, any number of them."""
    name, table = column.key, column.class_.__tablename__
    if session.get_bind().dialect.name == "postgresql":
        kind = _json_type(column.property.columns[0])
        given = f"SELECT value::{kind} FROM json_array_elements_text(CAST(:{name}_among AS json)) AS value"  # nosec B608  # noqa: S608  # names are ours
        wanted = list(values)
    else:
        given = f"SELECT value FROM json_each(:{name}_among)"  # nosec B608  # noqa: S608  # as above
        wanted = [value.hex if isinstance(value, UUID) else value for value in values]
    condition = text(f"{table}.{name} IN ({given})")
    return condition.bindparams(bindparam(f"{name}_among", orjson.dumps(wanted).decode(), String()))


def update_by_id(session: Session, table: Table, names: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Set `names` of the rows with these `id`s. A row without one of the names is an error."""
    _execute(session, _update, table, ("id", *names), rows)


def insert_missing(session: Session, table: Table, names: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Insert what is not there yet; what is there already stays as it is."""
    _execute(session, _insert, table, names, rows)


def _execute(
    session: Session,
    make: Callable[[str, Table, tuple[str, ...]], str],
    table: Table,
    names: tuple[str, ...],
    rows: Sequence[Row],
) -> None:
    if not rows:
        return
    connection = session.connection()
    dialect = connection.dialect
    columns = [_written(_writer(table.c[name], dialect), [row[name] for row in rows]) for name in names]
    statement = make(dialect.name, table, names)
    if dialect.name == "postgresql":
        document = orjson.dumps([dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])
        connection.exec_driver_sql(statement, (document.decode(),))
    else:
        connection.exec_driver_sql(statement, list(zip(*columns, strict=True)))


def _written(write: Callable[[Any], Any] | None, values: list[Any]) -> list[Any]:
    return values if write is None else [None if value is None else write(value) for value in values]


def _writer(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """From our value to the driver's; JSON stays as it is where the whole row travels as JSON."""
    if isinstance(column.type, JSON):
        return None if dialect.name == "postgresql" else lambda value: orjson.dumps(value).decode()
    return column.type.dialect_impl(dialect).bind_processor(dialect)


@lru_cache(maxsize=256)
def _update(dialect: str, table: Table, names: tuple[str, ...]) -> str:
    changed = names[1:]
    given = {name: f"v.{name}" if dialect == "postgresql" else f"?{place}" for place, name in enumerate(names, 1)}
    sets = ", ".join(f"{name} = {_new(name, given[name])}" for name in changed)
    source = f" FROM {_records(table, names)}" if dialect == "postgresql" else ""
    return f"UPDATE {table.name} AS t SET {sets}{source} WHERE t.id = {given['id']}"  # nosec B608  # noqa: S608  # as above


def _new(name: str, value: str) -> str:
    return f"t.{name} || {value}" if name == APPENDED else value


@lru_cache(maxsize=256)
def _insert(dialect: str, table: Table, names: tuple[str, ...]) -> str:
    listed = ", ".join(names)
    if dialect == "postgresql":
        source = f"SELECT {listed} FROM {_records(table, names)}"  # nosec B608  # noqa: S608  # as above
    else:
        source = f"VALUES ({', '.join('?' for _ in names)})"
    return f"INSERT INTO {table.name} ({listed}) {source} ON CONFLICT DO NOTHING"


def _records(table: Table, names: tuple[str, ...]) -> str:
    columns = ", ".join(f"{name} {_json_type(table.c[name])}" for name in names)
    return f"json_to_recordset(%s::json) AS v({columns})"


def _json_type(column: Column[Any]) -> str:
    """Text without its length: a cast to varchar(n) would cut in silence what the column itself refuses."""
    kind = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    return "text" if isinstance(kind, String) else str(kind.compile(dialect=_POSTGRESQL))
