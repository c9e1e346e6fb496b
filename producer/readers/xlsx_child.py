"""The process that reads one workbook: `python xlsx_child.py FILE [SHEET]`, rows as JSON lines on its output.

It imports nothing of ours. It limits its own memory and time before it touches the file: what it dies of is the
file's fault.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Any

import orjson
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

MEMORY = 768 * 1024**2
SECONDS = 120
BLOCK = 500
EXACT = 2**53
"""Above this a float no longer holds every whole number, so the digits may be wrong."""


def main(path: str, sheet: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        found = _sheet(CalamineWorkbook.from_path(path), sheet)
        for block in _blocks(_rows(found)):
            _say(rows=block)
    except (CalamineError, OSError, ValueError) as error:
        _say(error=f"the workbook cannot be read: {str(error)[:200]}")
    else:
        _say(end=True)


def _sheet(workbook: CalamineWorkbook, wanted: str) -> CalamineSheet:
    """The sheet of that name, else the first that is visible."""
    if wanted:
        if wanted not in workbook.sheet_names:
            raise ValueError(f"there is no sheet {wanted!r}; found {', '.join(map(repr, workbook.sheet_names))}")
        return workbook.get_sheet_by_name(wanted)
    for meta in workbook.sheets_metadata:
        if meta.typ == SheetTypeEnum.WorkSheet and meta.visible == SheetVisibleEnum.Visible:
            return workbook.get_sheet_by_name(meta.name)
    raise ValueError("there is no visible sheet")


def _rows(sheet: CalamineSheet) -> Iterator[tuple[int, list[str]]]:
    for row_no, cells in enumerate(sheet.iter_rows(), 1):  # it gives the empty rows above the data too
        yield row_no, [cell if isinstance(cell, str) else _text(cell) for cell in cells]


def _text(cell: Any) -> str:
    """A cell as text: whole numbers as digits, other numbers with their point, dates as ISO."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < EXACT:
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    return cell.isoformat() if isinstance(cell, date) else str(cell)


def _blocks(rows: Iterable[tuple[int, list[str]]]) -> Iterator[list[tuple[int, list[str]]]]:
    block: list[tuple[int, list[str]]] = []
    for row in rows:
        block.append(row)
        if len(block) >= BLOCK:
            yield block
            block = []
    yield block


def _say(**message: object) -> None:
    sys.stdout.buffer.write(orjson.dumps(message) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
