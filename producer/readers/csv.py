"""CSV as people and programs write it: any delimiter, quoted line breaks, rows that are too short, quotes that never
close.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from typing import Any

from producer.readers.columns import named, number_place
from producer.readers.lines import Lines
from producer.readers.sniff import sniff_delimiter
from producer.readers.table import FileError, FileFault, Format, Hint, Row, RowFault, RowFaultCode, Table

MAX_RECORD_LINES = 50
"""More line breaks than this in one row are a quote that was never closed."""
NUMBER_DIGITS = 7
MAX_QUOTE_FAULTS = 1_000
"""Rows with broken quotes after which the file is given up: each costs another look at the lines behind it."""

_TEXTS = {
    RowFaultCode.NUL: "a NUL byte in the row",
    RowFaultCode.ENCODING: "bytes that are not UTF-8 in the row",
    RowFaultCode.FIELD_TOO_LONG: "a field that is too long",
    RowFaultCode.QUOTES: "a quote that is not closed, or text behind a closing quote",
}


def open_csv(lines: Lines, hint: Hint) -> Table:
    """Read the header; rows follow when they are asked for. `FileError` if there is no number column."""
    head = lines.head(16_384)
    skip = 1 if head[:4].lower() == "sep=" else 0  # Excel's way to name the delimiter
    delimiter = hint.delimiter or (head[4:5] if skip else sniff_delimiter(head))
    if len(delimiter) != 1:
        raise FileError(FileFault.FORMAT, f"the delimiter must be one character, found {delimiter!r}")
    csv.field_size_limit(hint.max_field)  # the csv module keeps one limit for the whole process
    reader = CsvRows(lines, delimiter, skip)
    header = named(reader.read_header(), hint)
    if hint.headless:
        reader.read_again(skip)
    number = reader.number = number_place(header, hint)
    return Table(Format.CSV, header, header[number], iter(reader), lines.encoding, delimiter)


class CsvRows:
    """Rows with their line numbers; after a broken row it goes on with the line behind the row's first line."""

    def __init__(self, lines: Lines, delimiter: str, skip: int) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._line = skip  # the last line that belongs to a row that was given out
        self._width = 0
        self._quote_faults = 0
        self.number = 0  # the place of the number column

    def read_header(self) -> tuple[str, ...]:
        """The first row that is not blank, its names stripped."""
        reader = self._reader()
        try:
            cells = next((row for row in reader if any(cell.strip() for cell in row)), None)
        except csv.Error as error:
            raise FileError(FileFault.QUOTES, f"the header cannot be read: {error}", row=1) from error
        if cells is None:
            raise FileError(FileFault.EMPTY, "the file is empty")
        self._line += reader.line_num
        while cells and not cells[-1].strip():  # spreadsheets leave empty columns behind
            cells.pop()
        self._width = len(cells)
        return tuple(cell.strip() for cell in cells)

    def read_again(self, skip: int) -> None:
        """The first row is one of data; only its width was wanted."""
        self._line = skip

    def __iter__(self) -> Iterator[Row]:
        found = False
        while True:
            try:
                for row in self._plain_rows():
                    found = True
                    yield row
                break
            except _Again as again:
                if again.row is not None:
                    found = True
                    yield again.row
        if not found:
            raise FileError(FileFault.NO_ROWS, "there is a header but no row under it")

    def _reader(self) -> Any:  # the csv module does not name the type of its readers
        self._lines.mark = self._line
        return csv.reader(self._lines.after(self._line), delimiter=self._delimiter, strict=True)

    def _plain_rows(self) -> Iterator[Row]:
        """Rows until something has to be read again. Kept short: this loop sees every row."""
        lines, width, base = self._lines, self._width, self._line
        flaws = lines.flaws
        reader = self._reader()
        line = base
        try:
            for cells in reader:
                first, line = line + 1, base + reader.line_num
                if len(cells) != width or flaws or line != first:
                    self._line = first - 1
                    row = self._look(cells, first, line)
                    if row is not None:
                        yield row
                else:
                    yield Row(first, cells)
                lines.mark = line
        except csv.Error as error:
            self._line = line
            raise _Again(self._broken(error)) from error

    def _look(self, cells: list[str], first: int, last: int) -> Row | None:
        """A row that is not plain: flawed, ragged, blank or over several lines."""
        for line_no in range(first, last + 1) if self._lines.flaws else ():
            if (code := self._lines.flaws.get(line_no)) is not None:
                return self._resume(Row(first, cells, RowFault(code, _TEXTS[code])), first, last)
        if last - first >= MAX_RECORD_LINES or (last > first and self._swallowed(first, last)):
            return self._resume(self._quotes(first), first, last)
        while len(cells) > self._width and not cells[-1].strip():
            cells.pop()
        if not cells or (len(cells) == 1 and not cells[0].strip() and self._width > 1):
            return None
        if len(cells) == self._width:
            return Row(first, cells)
        reason = f"{len(cells)} cells, the header has {self._width}"
        return self._resume(Row(first, cells, RowFault(RowFaultCode.RAGGED, reason)), first, last)

    def _swallowed(self, first: int, last: int) -> bool:
        """Whether a line inside the row is a row of its own, by its number of cells and its number: then the quote
        that joins them was never meant.
        """
        for line in islice(self._lines.after(first), last - first):
            cells = line.split(self._delimiter)
            if len(cells) == self._width and sum(map(str.isdigit, cells[self.number])) >= NUMBER_DIGITS:
                return True
        return False

    def _resume(self, row: Row, first: int, last: int) -> Row:
        """A bad row of one line is done; behind one of several lines there may be good rows that it swallowed."""
        if last > first:
            self._line = first
            raise _Again(row)
        return row

    def _broken(self, error: csv.Error) -> Row:
        first = self._line + 1
        self._line = first
        if "field limit" in str(error) and not self._is_open_quote(first):
            return Row(first, [], RowFault(RowFaultCode.FIELD_TOO_LONG, _TEXTS[RowFaultCode.FIELD_TOO_LONG]))
        return self._quotes(first)

    def _is_open_quote(self, first: int) -> bool:
        """Whether the field grew too long over several lines rather than in one."""
        line = next(self._lines.after(first - 1), "")
        return len(line) < csv.field_size_limit()

    def _quotes(self, first: int) -> Row:
        self._quote_faults += 1
        if self._quote_faults > MAX_QUOTE_FAULTS:
            text = f"over {MAX_QUOTE_FAULTS} rows with broken quotes: is the delimiter {self._delimiter!r} right?"
            raise FileError(FileFault.QUOTES, text, row=first)
        return Row(first, [], RowFault(RowFaultCode.QUOTES, _TEXTS[RowFaultCode.QUOTES]))


class _Again(Exception):
    """Read on from `CsvRows._line`, after giving out this row."""

    def __init__(self, row: Row | None) -> None:
        super().__init__()
        self.row = row
