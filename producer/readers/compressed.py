"""Gzip and zip, unpacked while streaming: never more than the cap, and a broken end is an error, not an end.

A truncated archive delivers its first half in perfect order. So every reader of it ends in a `FileError`, and nothing
that was read before may take effect.
"""

from __future__ import annotations

import gzip
import io
import shutil
import tempfile
import zipfile
import zlib
from typing import IO, BinaryIO, cast

from producer.readers.table import FileError, FileFault

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK\x03\x04"
EMPTY_ZIP_MAGIC = b"PK\x05\x06"
MAX_RATIO = 200
"""Text of real people packs 3 to 20 times; only a bomb packs 200 times, once it is over `FREE` bytes."""
FREE = 10 * 1024**2
MAX_MEMBERS = 1_000
SPOOL = 8 * 1024**2

_BROKEN = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile)


class Expanded(io.RawIOBase):
    """A decompressed stream that counts, and turns a broken archive into a `FileError`."""

    def __init__(self, stream: IO[bytes], packed: _Counted | int, limit: int) -> None:
        self._stream = stream
        self._packed = packed
        self._limit = limit
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer))
        data = self._next(len(view))
        view[: len(data)] = data
        return len(data)

    def _next(self, size: int) -> bytes:
        try:
            data = self._stream.read(size)
        except _BROKEN as error:
            text = "the archive ends too early or is damaged: nothing of it was imported"
            raise FileError(FileFault.TRUNCATED, text) from error
        self._read += len(data)
        packed = self._packed if isinstance(self._packed, int) else self._packed.count
        if self._read > self._limit or self._read > max(FREE, MAX_RATIO * packed):
            raise FileError(FileFault.TOO_LARGE, f"the archive unpacks to more than {self._read // 2**20} MB")
        return data


class _Counted(io.RawIOBase):
    """The packed side of a gzip stream, counted, so that the ratio can be known while it flows."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer))
        data = self._stream.read(len(view))
        view[: len(data)] = data
        self.count += len(data)
        return len(data)


def expand_gzip(stream: BinaryIO, limit: int) -> BinaryIO:
    """The unpacked stream; gzip checks length and checksum at its end."""
    counted = _Counted(stream)
    unpacked = gzip.GzipFile(fileobj=cast(BinaryIO, counted), mode="rb")
    return io.BufferedReader(Expanded(cast(IO[bytes], unpacked), counted, limit), 1 << 18)


def open_zip(stream: BinaryIO, limit: int) -> zipfile.ZipFile:
    """The archive, after a look at what it declares. A stream that cannot seek is kept in a temporary file first."""
    try:
        archive = zipfile.ZipFile(seekable(stream, limit))
    except _BROKEN as error:
        text = "the archive ends too early or is damaged: nothing of it was imported"
        raise FileError(FileFault.TRUNCATED, text) from error
    members = archive.infolist()
    declared = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if len(members) > MAX_MEMBERS or declared > limit or declared > max(FREE, MAX_RATIO * packed):
        raise FileError(FileFault.TOO_LARGE, f"the archive unpacks to {declared // 2**20} MB in {len(members)} files")
    return archive


def is_workbook(archive: zipfile.ZipFile) -> bool:
    """Whether the zip is an XLSX file."""
    return "[Content_Types].xml" in archive.namelist()


def expand_zip(archive: zipfile.ZipFile, limit: int) -> BinaryIO:
    """The one file in the archive; `FileError` if there are none or several."""
    members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith(("__MACOSX/", "."))]
    if len(members) != 1:
        raise FileError(FileFault.FORMAT, f"the zip holds {len(members)} files: put exactly one into it")
    if members[0].flag_bits & 1:
        raise FileError(FileFault.FORMAT, "the zip is encrypted: send it without a password")
    try:
        unpacked = archive.open(members[0])
    except (NotImplementedError, *_BROKEN) as error:  # the former is zipfile's word for a compression it does not know
        raise FileError(FileFault.FORMAT, "the zip is damaged or uses an unknown compression") from error
    return io.BufferedReader(Expanded(unpacked, members[0].compress_size, limit), 1 << 18)


def seekable(stream: BinaryIO, limit: int) -> BinaryIO:
    """The stream itself if it can seek, else a temporary copy."""
    if stream.seekable():
        return stream
    copy = tempfile.SpooledTemporaryFile(max_size=SPOOL)  # noqa: SIM115 (closed with the archive that reads it)
    shutil.copyfileobj(stream, copy, 1 << 20)
    if copy.tell() > limit:
        raise FileError(FileFault.TOO_LARGE, f"the file is larger than {limit // 2**20} MB")
    copy.seek(0)
    return cast(BinaryIO, copy)
