"""One JSON object per line: `{"to": "+447700900123", "variables": {"name": "Ann"}, "reference": "A-17"}`, or flat."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import orjson

from models.plain import storable
from producer.readers.columns import find_number_column
from producer.readers.lines import Lines
from producer.readers.table import FileError, FileFault, Format, Hint, Row, RowFault, RowFaultCode, Table

NESTED = "variables"
"""The key whose object holds variables; they stand beside the other keys, which win where both have a name."""


_HALF_LETTER = re.compile("[\udc80-\udcff]")  # bytes that are no UTF-8, as `Lines` carries them
LOOK_AHEAD = 1_000
"""How many rows may go by before one must have a number."""


def open_ndjson(lines: Lines, hint: Hint) -> Table:
    """The name of the number is that of the first row that has one; `FileError` if none of the first rows has."""
    rows = _rows(lines) if hint.columns is None else _renamed(_rows(lines), dict(hint.columns))
    if hint.any_columns:
        return Table(Format.NDJSON, None, "", rows, lines.encoding)
    seen = []
    for row in islice(rows, LOOK_AHEAD):
        seen.append(row)
        if row.fault is None and (number := _number_name(row, hint)) is not None:
            return Table(Format.NDJSON, None, number, chain(seen, rows), lines.encoding)
    raise _no_number(seen, hint)


def _renamed(rows: Iterator[Row], names: dict[str | int, str]) -> Iterator[Row]:
    """Rows with the caller's names; what has none is left out."""
    for row in rows:
        if isinstance(row.cells, dict):
            row = row._replace(cells={names[name]: value for name, value in row.cells.items() if name in names})
        yield row


def _number_name(row: Row, hint: Hint) -> str | None:
    names = tuple(row.cells)
    try:
        return names[find_number_column(names, hint.column)]
    except FileError:
        return None  # this row has none; a later one may


def _no_number(seen: list[Row], hint: Hint) -> FileError:
    good = next((row for row in seen if row.fault is None), None)
    if good is not None:
        try:
            find_number_column(tuple(good.cells), hint.column)
        except FileError as error:
            return FileError(error.fault, error.text, row=good.row_no, column=error.column)
    if seen and seen[0].fault is not None:
        text = f"one JSON object per line is needed; {seen[0].fault.reason}"
        return FileError(FileFault.FORMAT, text, row=seen[0].row_no)
    return FileError(FileFault.EMPTY, "the file is empty")


def _rows(lines: Lines) -> Iterator[Row]:
    for line_no, line in enumerate(lines.after(0), 1):
        lines.mark = line_no - 1
        if lines.flaws and (code := lines.flaws.get(line_no)) is not None:
            row = Row(line_no, {}, RowFault(code, f"the line cannot be read ({code})"))
        elif line and not line.isspace():
            row = _row(line_no, line)
        else:
            continue
        if row.fault is not None and _is_cut_off(line):
            text = "the file ends in the middle of this line: nothing of it was imported; get it again, whole"
            raise FileError(FileFault.TRUNCATED, text, row=line_no)
        yield row


def _is_cut_off(line: str) -> bool:
    """A last line without its end whose object is not closed: it is not the row that is bad, there were more of them.

    A line that is wrong before its end was written so."""
    if line.endswith("\n") or not line.lstrip().startswith("{"):
        return False
    try:
        orjson.loads(_HALF_LETTER.sub("?", line))
    except orjson.JSONDecodeError as error:
        return error.pos >= len(line)
    return False


def _row(line_no: int, line: str) -> Row:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        reason = f"no valid JSON: {error.msg} at character {error.colno}"
        return Row(line_no, {}, RowFault(RowFaultCode.BAD_JSON, reason))
    if not isinstance(found, dict):
        return Row(line_no, {}, RowFault(RowFaultCode.BAD_JSON, "not a JSON object"))
    nested = found.pop(NESTED, None)
    cells: dict[str, str] = {}
    for values in (nested or {}, found):
        if not isinstance(values, dict):
            return Row(line_no, cells, RowFault(RowFaultCode.BAD_VALUE, "not an object", NESTED))
        for name, value in values.items():
            text = _text(value)
            if text is None:
                fault = RowFault(RowFaultCode.BAD_VALUE, "neither text nor number", name[:100])
                return Row(line_no, cells, fault)
            if "\0" in text:
                return Row(line_no, {}, RowFault(RowFaultCode.NUL, "a NUL character", storable(name)[:100]))
            if value is not None:
                cells[name] = text
    return Row(line_no, cells)


def _text(value: Any) -> str | None:
    """A value as text, None for lists and objects. A float keeps its point, so a number that became one is seen."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return str(value) if isinstance(value, int | float) else None
