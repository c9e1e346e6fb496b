"""Many rows in one statement: what the hot paths read and write with.

All rows travel as one JSON document, one statement however many there are; a column that is the same in all of them
travels once. That passes by SQLAlchemy's handling of parameters, which costs more than the database does: measured with
2,000 rows on PostgreSQL, arrays (`unnest`) took three times as long to send as JSON, and a list of 2,000 parameters
longer than the look-up itself (`make bench-dlr`); on SQLite one statement of 500 rows takes two thirds of the time of
500 statements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import JSON, Column, Connection, Dialect, String, Table, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import dialect as postgresql_dialect
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.types import TypeDecorator

Row = Mapping[str, Any]
Columns = Mapping[str, Sequence[Any]]
"""The values of each column, row after row."""
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


class Update(NamedTuple):
    """A statement with its values, made before the transaction: who writes keeps others waiting."""

    statement: str
    values: tuple[Any, ...]
    ids: Sequence[UUID]


def update_by_id(session: Session, table: Table, names: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Set `names` of the rows with these `id`s. A row without one of the names is an error."""
    if rows:
        run_update(session, update_of(session.get_bind().dialect, table, names, rows))


def update_of(dialect: Dialect, table: Table, names: tuple[str, ...], rows: Sequence[Row]) -> Update:
    """The same for at least one row, to be carried out later."""
    given = {name: [row[name] for row in rows] for name in ("id", *names)}
    return Update(*_updating(dialect, table, names, (), given), given["id"])


def run_update(session: Session, update: Update) -> None:
    session.connection().exec_driver_sql(update.statement, update.values)


def expected_update(
    dialect: Dialect, table: Table, names: tuple[str, ...], expected: tuple[str, ...], given: Columns
) -> Update:
    """Sets `names`, but only where each column of `expected` still has the value given under `was_<column>`.

    `given`: the values by name, and `id`, each once.
    """
    return Update(*_updating(dialect, table, names, expected, given), given["id"])


def run_expected(session: Session, update: Update) -> set[UUID]:
    """The ids of the rows that were not as expected."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        return _run_on_sqlite(connection, update)
    # The driver's own rows: making a result of a thousand ids costs more than comparing them.
    told = connection.exec_driver_sql(update.statement, update.values).cursor.fetchall()
    return {row[0] for row in told}


def _run_on_sqlite(connection: Connection, update: Update) -> set[UUID]:
    """Mostly all were as expected, and their number tells. For each row that SQLite answers with, its driver lets go of
    the interpreter and takes it back, with everybody else waiting for the end of this transaction."""
    with connection.begin_nested() as whole:
        if connection.exec_driver_sql(update.statement, update.values).rowcount == len(update.ids):
            return set()
        whole.rollback()
    told = connection.exec_driver_sql(f"{update.statement} RETURNING id", update.values).cursor.fetchall()
    return {*update.ids} - {UUID(row[0]) for row in told}


def insert_missing(session: Session, table: Table, names: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Insert what is not there yet; what is there already stays as it is."""
    if not rows:
        return
    connection = session.connection()
    columns = {name: _written(connection.dialect, table.c[name], [row[name] for row in rows]) for name in names}
    statement = _insert(connection.dialect.name, table, names)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(statement, (_document("postgresql", names, list(columns.values())),))
    else:
        connection.exec_driver_sql(statement, list(zip(*columns.values(), strict=True)))


def _updating(
    dialect: Dialect, table: Table, names: tuple[str, ...], expected: tuple[str, ...], given: Columns
) -> tuple[str, tuple[Any, ...]]:
    """The statement and its values: what is the same for all, and the document of what is not."""
    before = tuple(f"was_{name}" for name in expected)
    source = {"id": "id", **{name: name for name in names}, **dict(zip(before, expected, strict=True))}
    columns = {key: _written(dialect, table.c[name], given[key]) for key, name in source.items()}
    several = tuple(key for key, values in columns.items() if key == "id" or not _all_same(values))
    document = _document(dialect.name, several, [columns[key] for key in several])
    new, old = (
        [_alone(dialect, table.c[source[key]], columns[key][0]) for key in keys if key not in several]
        for keys in (names, before)
    )
    ours = (*old, document, *new) if _answers_in_with(dialect.name, expected) else (*new, document, *old)
    return _update(dialect.name, table, names, expected, several), ours


def _answers_in_with(dialect: str, expected: tuple[str, ...]) -> bool:
    """Whether the statement reads its document first, and answers with what of it was not reached."""
    return bool(expected) and dialect == "postgresql"


def _alone(dialect: Dialect, column: Column[Any], value: Any) -> Any:
    """A value outside the document. Within it, PostgreSQL's JSON columns need no text of their own."""
    if value is not None and isinstance(column.type, JSON) and dialect.name == "postgresql":
        return orjson.dumps(value).decode()
    return value


def _written(dialect: Dialect, column: Column[Any], values: Sequence[Any]) -> Sequence[Any]:
    """A column's values as the driver takes them."""
    write = _writer(column, dialect)
    if write is None:
        return values
    found: list[Any] = []
    last = written = None
    for value in values:
        # Neighbours mostly share their moments, attempts and groups: what is the same is converted once.
        if value is not last and (column.primary_key or value != last):
            last, written = value, write(value)
        found.append(written)
    return found


def _all_same(values: Sequence[Any]) -> bool:
    first = values[0]
    return all(value is first or value == first for value in values)


def _document(dialect: str, names: Sequence[str], columns: Sequence[Sequence[Any]]) -> str:
    """PostgreSQL reads records by their names, SQLite by their places."""
    rows = zip(*columns, strict=True)
    if dialect == "postgresql":
        return orjson.dumps([dict(zip(names, row, strict=True)) for row in rows]).decode()
    return orjson.dumps(columns[0] if len(columns) == 1 else list(rows)).decode()


def _writer(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """From our value to the driver's; JSON stays as it is where the whole row travels as JSON."""
    if isinstance(column.type, JSON):
        return None if dialect.name == "postgresql" else lambda value: orjson.dumps(value).decode()
    return column.type.dialect_impl(dialect).bind_processor(dialect)


@lru_cache(maxsize=1024)
def _update(
    dialect: str, table: Table, names: tuple[str, ...], expected: tuple[str, ...], several: tuple[str, ...]
) -> str:
    """`several`: the keys whose values differ from row to row. The others stand once, around the document."""
    columns = {"id": table.c.id, **{name: table.c[name] for name in names}}
    columns |= {f"was_{name}": table.c[name] for name in expected}
    given = {key: f"v.{key}" for key in several}
    new = [key for key in names if key not in several]
    old = [key for key in columns if key.startswith("was_") and key not in several]
    if dialect == "postgresql":
        alone = {key: f"%s::{_json_type(columns[key])}" for key in (*new, *old)}
        listed = ", ".join(f"{key} {_json_type(columns[key])}" for key in several)
        rows = source = f"json_to_recordset(%s::json) AS v({listed})"
        if _answers_in_with(dialect, expected):
            source = "v"
            # What is expected of all stands in every row: of a constant the planner would know from its statistics that
            # hardly a message is in that state, and would compare each that is with all rows.
            rows = "SELECT " + "".join(f"{alone.pop(key)} AS {key}, " for key in old) + f"* FROM {rows}"  # noqa: S608
            given |= {key: f"v.{key}" for key in old}
        given |= alone
    else:
        given |= {key: f"?{place}" for place, key in enumerate((*new, "", *old), 1)}
        places = ["value"] if len(several) == 1 else [f"json_extract(value, '$[{n}]')" for n in range(len(several))]
        picked = ", ".join(f"{place} AS {key}" for place, key in zip(places, several, strict=True))
        source = f"(SELECT {picked} FROM json_each(?{len(new) + 1})) AS v"  # nosec B608  # noqa: S608  # as above
    sets = ", ".join(f"{name} = {_new(name, given[name])}" for name in names)
    still = "".join(f" AND t.{name} = {given[f'was_{name}']}" for name in expected)
    update = f"UPDATE {table.name} AS t SET {sets} FROM {source} WHERE t.id = {given['id']}{still}"  # nosec B608  # noqa: S608  # as above
    if not _answers_in_with(dialect, expected):
        return update
    # What was reached is mostly everything, and a thousand ids cost more to carry than to compare.
    given_rows = f"v AS MATERIALIZED ({rows})"
    missing = "SELECT id FROM v WHERE NOT EXISTS (SELECT 1 FROM done WHERE done.id = v.id)"
    return f"WITH {given_rows}, done AS ({update} RETURNING t.id) {missing}"


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
