"""Messages and rejects as files, streamed: memory does not grow with the campaign, and no transaction stays open
between pages.

CSV: a cell that a spreadsheet would run as a formula is made harmless. An E.164 number is left as it is: `+` and
digits are a number to every spreadsheet, and the file stays fit to be imported again. Parquet has types and runs
nothing: there every value is what it is.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select

from models.database import Database
from models.personal import ERASED_NUMBER
from models.tables import Message, Reject
from producer.message_pages import Wanted, page
from producer.rejects import COLUMNS, harmless

if TYPE_CHECKING:
    import pyarrow

PAGE = 1000  # rows in one look at the database
ROW_GROUP = 10_000  # rows of Parquet that are held at a time

Rows = Iterator[list[list[object]]]
"""Pages of rows."""


class Kind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    NUMBER = "number"
    TIME = "time"
    MONEY = "money"


class FileFormat(StrEnum):
    """What an export may be."""

    CSV = "csv"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class Column:
    """`name` in the file, `attribute` of the row in the database."""

    name: str
    kind: Kind = Kind.TEXT
    attribute: str = ""

    def of(self, row: object) -> object:
        return getattr(row, self.attribute or self.name)


MESSAGE_COLUMNS = (
    Column("id"), Column("row", Kind.NUMBER, "row_no"), Column("phone", attribute="msisdn"), Column("country"),
    Column("reference"), Column("account"), Column("sender"), Column("encoding"), Column("segments", Kind.NUMBER),
    Column("state"), Column("code"), Column("klass"), Column("reason"), Column("provider_id"),
    Column("submitted_at", Kind.TIME), Column("final_at", Kind.TIME), Column("provider_at", Kind.TIME),
    Column("parts", Kind.NUMBER), Column("price", Kind.MONEY), Column("currency"), Column("network"),
    Column("channel"), Column("read_at", Kind.TIME),
)  # fmt: skip
REJECT_COLUMNS = tuple(Column(name, Kind.NUMBER if name == "row" else Kind.TEXT) for name in COLUMNS)


def message_rows(database: Database, wanted: Wanted, number: Callable[[str], str]) -> Rows:
    """Pages of what `MESSAGE_COLUMNS` names; `number` says how a number is shown."""
    following: Wanted | None = wanted
    while following is not None:
        with database.read() as session:
            found = page(session, following, PAGE)
        if found.messages:
            yield [_message(message, number) for message in found.messages]
        following = None if found.next is None else replace(following, after=found.next)


def _message(message: Message, number: Callable[[str], str]) -> list[object]:
    phone = number(message.msisdn) if message.msisdn else ERASED_NUMBER
    return [phone if column.name == "phone" else column.of(message) for column in MESSAGE_COLUMNS]


def reject_rows(database: Database, campaign_id: UUID) -> Rows:
    """Pages of what `REJECT_COLUMNS` names. Numbers in it are masked already."""
    last = 0
    while True:
        query = (
            select(Reject).where(Reject.campaign_id == campaign_id, Reject.id > last).order_by(Reject.id).limit(PAGE)
        )
        with database.read() as session:
            found = session.execute(query).scalars().all()
        if not found:
            return
        last = found[-1].id
        yield [[row.row_no, row.column, row.value, row.code, row.reason] for row in found]


def as_file(kind: FileFormat, columns: Sequence[Column], rows: Rows) -> Iterator[bytes]:
    """The file, piece by piece."""
    return (as_csv if kind is FileFormat.CSV else as_parquet)(columns, rows)


# --- CSV -------------------------------------------------------------------------------------------------------------


def as_csv(columns: Sequence[Column], rows: Rows) -> Iterator[bytes]:
    """UTF-8 with a header."""
    yield _lines([[column.name for column in columns]])
    for some in rows:
        yield _lines(some)


def _lines(rows: Iterable[Sequence[object]]) -> bytes:
    target = io.StringIO()
    csv.writer(target).writerows([_cell(value) for value in cells] for cells in rows)
    return target.getvalue().encode()


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.isoformat()
        case str() if value[:1] == "+" and value[1:].isascii() and value[1:].isdigit():
            return value
        case _:
            return harmless(str(value))


# --- Parquet ---------------------------------------------------------------------------------------------------------


class _Sink(io.RawIOBase):
    """Takes what the writer writes, to be handed on."""

    def __init__(self) -> None:
        super().__init__()
        self._held: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]  # whatever holds bytes: Arrow hands over its own buffers
        self._held.append(piece)
        self._written += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._written

    def take(self) -> bytes:
        held, self._held = self._held, []
        return b"".join(held)


def as_parquet(columns: Sequence[Column], rows: Rows) -> Iterator[bytes]:
    """Row groups of `ROW_GROUP` rows, each handed on before the next is read."""
    import pyarrow  # 60 MB: only for whoever asks for it, and in no worker
    from pyarrow import parquet

    sink, schema = _Sink(), _schema(columns)
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for group in _groups(rows):
            values = [
                pyarrow.array([_plain(row[place], field.type) for row in group], field.type)
                for place, field in enumerate(schema)
            ]
            writer.write_table(pyarrow.table(values, schema=schema), row_group_size=ROW_GROUP)
            yield sink.take()
    yield sink.take()


def _groups(rows: Rows) -> Iterator[list[list[object]]]:
    group: list[list[object]] = []
    for some in rows:
        group += some
        while len(group) >= ROW_GROUP:
            yield group[:ROW_GROUP]
            group = group[ROW_GROUP:]
    if group:
        yield group


def _schema(columns: Sequence[Column]) -> pyarrow.Schema:
    import pyarrow

    kinds = {
        Kind.TEXT: pyarrow.string(),
        Kind.NUMBER: pyarrow.int32(),
        Kind.TIME: pyarrow.timestamp("us", "UTC"),
        Kind.MONEY: pyarrow.decimal128(28, 9),
    }
    return pyarrow.schema([(column.name, kinds[column.kind]) for column in columns])


def _plain(value: object, kind: pyarrow.DataType) -> object:
    import pyarrow

    return str(value) if value is not None and kind == pyarrow.string() else value
