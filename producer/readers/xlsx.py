"""XLSX by python-calamine, in a child process with a limit on memory and time.

One cell at the far corner of a sheet aborts calamine's process by a signal that Python cannot catch, and a compressed
bomb of a megabyte takes a gigabyte of memory: so the zip's declared sizes are looked at first, and what still goes
wrong kills the child only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, BinaryIO

import orjson

from producer.readers.columns import named, number_place
from producer.readers.compressed import open_zip
from producer.readers.table import FileError, FileFault, Format, Hint, Row, RowFault, RowFaultCode, Table

MAX_WORKBOOK = 300 * 1024**2
"""Bytes that the sheets may unpack to: about 3,000,000 rows of a recipient list."""
CHILD = Path(__file__).with_name("xlsx_child.py")


def open_xlsx(stream: BinaryIO, hint: Hint) -> Table:
    """Read the header row from the child; rows follow when they are asked for."""
    with open_zip(stream, min(hint.max_expanded, MAX_WORKBOOK)) as archive:
        _check(archive)
    stream.seek(0)
    rows = _rows(stream, hint.sheet)
    header = next((row for row in rows if any(row[1])), None)
    if header is None:
        raise FileError(FileFault.EMPTY, "the sheet is empty")
    names = [name.strip() for name in header[1]]
    while names and not names[-1]:
        names.pop()
    shown = named(names, hint)
    number = number_place(shown, hint)
    data = chain([header], rows) if hint.headless else rows
    return Table(Format.XLSX, shown, shown[number], _shaped(data, len(names), hint.max_field))


def _check(archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    if "xl/workbook.xml" not in names and "xl/workbook.bin" not in names:
        raise FileError(FileFault.WORKBOOK, "not an Excel workbook: save it as .xlsx or CSV")


def _shaped(rows: Iterator[tuple[int, list[str]]], width: int, max_field: int) -> Iterator[Row]:
    found = False
    for row_no, cells in rows:
        if not any(cells):
            continue
        found = True
        cells = (cells + [""] * (width - len(cells))) if len(cells) < width else cells
        yield _row(row_no, cells, width, max_field)
    if not found:
        raise FileError(FileFault.NO_ROWS, "there is a header but no row under it")


def _row(row_no: int, cells: list[str], width: int, max_field: int) -> Row:
    if any(cells[width:]):
        reason = f"{len(cells)} cells, the header has {width}"
        return Row(row_no, cells, RowFault(RowFaultCode.RAGGED, reason))
    if any(len(cell) > max_field for cell in cells):
        return Row(row_no, [], RowFault(RowFaultCode.FIELD_TOO_LONG, "a field that is too long"))
    return Row(row_no, cells[:width])


def _rows(stream: BinaryIO, sheet: str | None) -> Iterator[tuple[int, list[str]]]:
    """What the child reads, from the first row that is not empty on. It is ended with this generator."""
    with TemporaryDirectory(prefix="drumline-xlsx-") as folder:
        path = Path(folder) / "workbook.xlsx"
        with path.open("wb") as copy:
            while block := stream.read(1 << 20):
                copy.write(block)
        child = subprocess.Popen(  # noqa: S603 (see the arguments)
            [
                sys.executable,
                "-I",
                str(CHILD),
                str(path),
                sheet or "",
            ],  # -I: nothing of the caller's folder is imported
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath},  # no secret of ours where a foreign file is parsed
        )
        try:
            assert child.stdout is not None  # a pipe was asked for  # noqa: S101
            yield from _messages(child.stdout)
        finally:
            with suppress(ProcessLookupError):
                child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()


def _messages(pipe: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
    """Blocks of rows, one JSON line each; the last line says `end` or what went wrong. No last line: the child died."""
    for line in pipe:
        message = orjson.loads(line) if line.endswith(b"\n") else {}
        yield from message.get("rows", ())
        if "error" in message:
            raise FileError(FileFault.WORKBOOK, message["error"])
        if "end" in message:
            return
    text = "the workbook is damaged, or its sheet spans too many cells: copy the columns to a new file, or use CSV"
    raise FileError(FileFault.WORKBOOK, text)
