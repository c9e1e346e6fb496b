"""A first look at a recipient file: how it is read, its columns, its first rows. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, BinaryIO

from models.msisdn import Msisdn, parse_msisdn
from models.plain import storable
from producer.readers import FileError, FileFault, Format, Hint, Row, Table, open_table
from producer.readers.columns import NUMBER_NAMES, plain

MOST_ROWS = 50
MOST_COLUMNS = 100  # that can be given a use
MOST_CHARACTERS = 200_000  # of all the rows that are kept
MOST_NAME = 100
LEAST_DIGITS = 7  # from which a column name looks like a phone number


@dataclass(frozen=True, slots=True)
class SampleRow:
    """`fault`: why it cannot be read; then its cells may be any number."""

    number: int
    cells: Sequence[str]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """`names`: of the columns as the file has them (as keys where each row has its own), the first hundred of
    `columns` there are. `headless`: the first row holds data."""

    format: str
    names: Sequence[str]
    rows: Sequence[SampleRow]
    columns: int
    encoding: str | None = None
    delimiter: str | None = None
    headless: bool = False
    positional: bool = True

    @property
    def good(self) -> list[SampleRow]:
        return [row for row in self.rows if not row.fault]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def sample_of(found: Mapping[str, Any]) -> Sample | None:
    """From the draft's column."""
    if not found:
        return None
    return Sample(**{**found, "rows": [SampleRow(**row) for row in found["rows"]]})


def look(file: BinaryIO, hint: Hint, *, headless: bool | None = None) -> Sample:
    """Read the beginning. `headless`: None: find out. Raises FileError."""
    file.seek(0)
    found = _look(file, replace(hint, any_columns=True, headless=bool(headless)))
    if headless is None and found.positional and _is_data(found.names):
        file.seek(0)
        found = _look(file, replace(hint, any_columns=True, headless=True))
    file.seek(0)
    return found


def _look(file: BinaryIO, hint: Hint) -> Sample:
    table = open_table(file, hint)
    rows = list(islice(table.rows, MOST_ROWS))
    if not rows:
        raise FileError(FileFault.EMPTY, "the file is empty")
    names = list(table.header) if table.header is not None else _keys(rows)
    if not names:
        fault = next((row.fault.reason for row in rows if row.fault), "no row has a value")
        raise FileError(FileFault.FORMAT, f"no row can be read; {fault}", row=rows[0].row_no)
    kept = names[:MOST_COLUMNS]
    return Sample(
        format=str(table.format), names=[storable(name)[:MOST_NAME] for name in kept],
        rows=list(_bounded(_shown(row, kept, table) for row in rows)), columns=len(names),
        encoding=table.encoding if table.format is not Format.XLSX else None, delimiter=table.delimiter,
        headless=hint.headless, positional=table.header is not None,
    )  # fmt: skip


def _keys(rows: Sequence[Row]) -> list[str]:
    """The names that rows of their own names use, in order of appearance."""
    names = (name for row in rows if isinstance(row.cells, dict) for name in row.cells)
    return list(dict.fromkeys(names))


def _shown(row: Row, names: Sequence[str], table: Table) -> SampleRow:
    cells = [row.cells.get(name, "") for name in names] if isinstance(row.cells, dict) else row.cells[: len(names)]
    fault = row.fault.reason if row.fault is not None else ""
    return SampleRow(row.row_no, [storable(cell) for cell in cells], fault)


def _bounded(rows: Iterator[SampleRow]) -> Iterator[SampleRow]:
    """Rows until they hold too much to be carried along; at least one."""
    room = MOST_CHARACTERS
    for row in rows:
        held = sum(map(len, row.cells))
        if held > MOST_CHARACTERS:
            row = SampleRow(row.number, [cell[:1000] for cell in row.cells], row.fault)
        elif room < held:
            return
        room -= held
        yield row


def _is_data(names: Sequence[str]) -> bool:
    """Whether the first row looks like a recipient: a number in it, and no name that a number column would have."""
    if any(plain(name) in NUMBER_NAMES for name in names):
        return False
    return any(isinstance(parse_msisdn(name), Msisdn) or _is_digits(plain(name)) for name in names)


def _is_digits(name: str) -> bool:
    return name.isdigit() and len(name) >= LEAST_DIGITS
