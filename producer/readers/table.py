"""What every reader gives: a table of rows, each with its number in the file, and the two kinds of error.

A `RowFault` spoils one row; all others go on. A `FileError` spoils the file, also when it comes at its very end (a
truncated archive): whoever imports must have nothing of it in effect before the last row was read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class RowFaultCode(StrEnum):
    """What can be wrong with a row before anybody looks at its number."""

    RAGGED = "ragged"
    QUOTES = "quotes"
    FIELD_TOO_LONG = "field_too_long"
    NUL = "nul"
    ENCODING = "encoding"
    BAD_JSON = "bad_json"
    BAD_VALUE = "bad_value"


@dataclass(frozen=True, slots=True)
class RowFault:
    """Why a row cannot be used, in plain language, and where."""

    code: RowFaultCode
    reason: str
    column: str | None = None


class Row(NamedTuple):
    """`row_no`: line of a text file (the first one of a row with line breaks in quotes) or row of a sheet, from 1.

    `cells`: in the order of the table's header, or by name where every row brings its own names (NDJSON).
    """

    row_no: int
    cells: list[str] | dict[str, str]
    fault: RowFault | None = None


class FileFault(StrEnum):
    """What can be wrong with a whole file."""

    EMPTY = "empty"
    NO_ROWS = "no_rows"
    NO_HEADER = "no_header"
    NO_NUMBER_COLUMN = "no_number_column"
    UNKNOWN_COLUMN = "unknown_column"
    DUPLICATE_COLUMN = "duplicate_column"
    ENCODING = "encoding"
    FORMAT = "format"
    QUOTES = "quotes"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    WORKBOOK = "workbook"


class FileError(ValueError):
    """The file cannot be imported. `row` and `column` say where, if it is one place; the text says what to do."""

    def __init__(self, fault: FileFault, text: str, *, row: int | None = None, column: str | None = None) -> None:
        where = ", ".join(f"{k} {v}" for k, v in (("row", row), ("column", column)) if v is not None)
        super().__init__(f"{where}: {text}" if where else text)
        self.fault = fault
        self.text = text
        self.row = row
        self.column = column


class Format(StrEnum):
    """What a recipient file may be, each also inside gzip or zip."""

    CSV = "csv"
    NDJSON = "ndjson"
    XLSX = "xlsx"


MAX_FIELD = 100_000
MAX_EXPANDED = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Hint:
    """What the caller knows of the file; None: find out. What is named here wins over what the file looks like.

    `columns`: what the columns are called here, as (name or, in a table, place from 0; new name); others have none.
    `headless`: the first row holds data. `any_columns`: no number column is looked for, for a first look at a file.
    """

    format: Format | None = None
    encoding: str | None = None
    delimiter: str | None = None
    column: str | None = None
    sheet: str | None = None
    columns: tuple[tuple[str | int, str], ...] | None = None
    headless: bool = False
    any_columns: bool = False
    max_field: int = MAX_FIELD  # characters
    max_expanded: int = MAX_EXPANDED  # bytes after decompression


@dataclass(frozen=True, slots=True)
class Table:
    """An opened file. `rows` may be read once; `header` is None where each row has its own names.

    `number` is the name of the number column (with NDJSON: that of the first row). `encoding` and `delimiter` are
    what was found or told, to be shown to the operator.
    """

    format: Format
    header: tuple[str, ...] | None
    number: str
    rows: Iterator[Row]
    encoding: str | None = None
    delimiter: str | None = None
