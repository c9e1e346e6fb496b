"""Recipient files: CSV, NDJSON and XLSX, plain or in gzip or zip, as a stream of rows.

    table = open_table("people.csv.gz", Hint(column="phone"))
    for row in table.rows:
        row.row_no, row.cells, row.fault

Memory does not grow with the file (a workbook is read by a child process, which holds one sheet). `FileError` may come
from `open_table` or from any row on, also from behind the last one: nothing of a file counts before its end was seen.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from producer.readers.compressed import (
    EMPTY_ZIP_MAGIC,
    GZIP_MAGIC,
    ZIP_MAGIC,
    expand_gzip,
    expand_zip,
    is_workbook,
    open_zip,
    seekable,
)
from producer.readers.csv import open_csv
from producer.readers.lines import MAX_LINE, Lines
from producer.readers.ndjson import open_ndjson
from producer.readers.sniff import HEAD, refuse_foreign, sniff_encoding, sniff_format
from producer.readers.table import (
    FileError,
    FileFault,
    Format,
    Hint,
    Row,
    RowFault,
    RowFaultCode,
    Table,
)
from producer.readers.xlsx import open_xlsx

__all__ = [
    "FileError",
    "FileFault",
    "Format",
    "Hint",
    "Row",
    "RowFault",
    "RowFaultCode",
    "Table",
    "open_table",
    "read_rows",
]

_NO_HINT = Hint()


def open_table(source: BinaryIO | str | Path, hint: Hint = _NO_HINT) -> Table:
    """Open a recipient file and read its header. `FileError` says what is wrong with it and what would do.

    A stream is read from where it stands and need not be seekable; it is not closed. `OSError` for a path that cannot
    be opened.
    """
    stream = Path(source).open("rb") if isinstance(source, str | Path) else source  # noqa: SIM115 (rows read on)
    return _open(_peekable(stream), hint, unpacked=False)


def read_rows(source: BinaryIO | str | Path, hint: Hint = _NO_HINT) -> Iterator[Row]:
    """The rows alone, for whoever does not want to know the rest."""
    yield from open_table(source, hint).rows


def _peekable(stream: BinaryIO) -> io.BufferedReader:
    if isinstance(stream, io.BufferedReader):
        return stream
    return io.BufferedReader(cast(io.RawIOBase, _Raw(stream)), HEAD)


def _open(stream: io.BufferedReader, hint: Hint, *, unpacked: bool) -> Table:
    head = stream.peek(HEAD)[:HEAD]
    if not head:
        raise FileError(FileFault.EMPTY, "the file is empty")
    if head.startswith(GZIP_MAGIC) and not unpacked:
        return _open(cast(io.BufferedReader, expand_gzip(stream, hint.max_expanded)), hint, unpacked=True)
    if head.startswith((ZIP_MAGIC, EMPTY_ZIP_MAGIC)):
        return _open_zip(stream, hint, unpacked=unpacked)
    if hint.format is Format.XLSX:
        raise FileError(FileFault.WORKBOOK, "not an Excel workbook: save it as .xlsx or CSV")
    refuse_foreign(head)
    return _open_text(stream, hint, head)


def _open_zip(stream: BinaryIO, hint: Hint, *, unpacked: bool) -> Table:
    whole = seekable(stream, hint.max_expanded)
    archive = open_zip(whole, hint.max_expanded)
    if is_workbook(archive):
        whole.seek(0)
        return open_xlsx(whole, hint)
    if unpacked:
        raise FileError(FileFault.FORMAT, "an archive in an archive: pack the list once")
    return _open(cast(io.BufferedReader, expand_zip(archive, hint.max_expanded)), hint, unpacked=True)


def _open_text(stream: BinaryIO, hint: Hint, head: bytes) -> Table:
    lines = Lines(stream, sniff_encoding(head, hint.encoding))
    text = lines.head(1_024)
    if not text.strip() and RowFaultCode.FIELD_TOO_LONG in lines.flaws.values():
        raise FileError(FileFault.FORMAT, f"a line has over {MAX_LINE:,} characters: is this a list with line ends?")
    if not text.strip():
        raise FileError(FileFault.EMPTY, "the file is empty")
    if sum(char < " " and char not in "\t\n\f\0" for char in text) > max(10, len(text) // 20):
        raise FileError(FileFault.FORMAT, "not a text file")
    found = hint.format or sniff_format(text)
    return open_ndjson(lines, hint) if found is Format.NDJSON else open_csv(lines, hint)


class _Raw(io.RawIOBase):
    """Any object with `read(n)` as a raw stream, so that its beginning can be looked at."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._stream.seekable()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer))
        data = self._stream.read(len(view))
        view[: len(data)] = data
        return len(data)
