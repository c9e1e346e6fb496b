"""An upload on its way to a file: counted, hashed, and gone again whatever happens."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from producer.api.problems import Problem
from producer.readers import Format

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks  # exists for type checkers only

BUFFER = 1024 * 1024  # bytes collected before a thread writes them
MOST_HEADER = 8 * 1024  # bytes of a part's headers
MOST_FIELDS = 1024 * 1024  # bytes of all fields of a form beside its file

TYPES: dict[str, Format | None] = {
    "": None,
    "application/octet-stream": None,
    "application/gzip": None,
    "application/x-gzip": None,
    "application/zip": None,
    "text/csv": Format.CSV,
    "text/plain": None,
    "text/tab-separated-values": Format.CSV,
    "application/csv": Format.CSV,
    "application/x-ndjson": Format.NDJSON,
    "application/ndjson": Format.NDJSON,
    "application/jsonl": Format.NDJSON,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": Format.XLSX,
}
"""What may be uploaded; None: the file itself tells."""


@dataclass
class Spooled:
    """A file that is complete. `format` and `encoding` as its content type says, `digest` of its bytes, `fields` of
    the form that it came in."""

    file: BinaryIO
    size: int
    digest: bytes
    format: Format | None
    encoding: str | None
    name: str | None = None
    fields: dict[str, str] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def spooled_form(request: Request, folder: Path) -> AsyncIterator[Spooled]:
    """A form with its fields, and its file if there is one; else the file is empty."""
    kind, parameters = parse_options_header(request.headers.get("content-type", ""))
    if kind.lower() != b"multipart/form-data":
        raise Problem(415, "unsupported-media-type", "send a form as multipart/form-data")
    with _disk_faults(), await run_in_threadpool(_open, folder) as file:
        yield await _form(request, file, parameters.get(b"boundary", b""), needs_file=False)


@contextlib.asynccontextmanager
async def spooled(request: Request, folder: Path) -> AsyncIterator[Spooled]:
    """The uploaded file, raw or as a part of a form, in a file without a name: it cannot stay behind."""
    kind, parameters = parse_options_header(request.headers.get("content-type", ""))
    media = kind.decode("latin-1").lower()
    with _disk_faults(), await run_in_threadpool(_open, folder) as file:
        if media == "multipart/form-data":
            yield await _form(request, file, parameters.get(b"boundary", b""))
        else:
            yield await _raw(request, file, media, parameters.get(b"charset", b""))


def _open(folder: Path) -> BinaryIO:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # the file itself is ours alone, and has no name
    return cast(BinaryIO, tempfile.TemporaryFile(dir=folder, prefix="upload-"))


async def _raw(request: Request, file: BinaryIO, media: str, charset: bytes) -> Spooled:
    if media not in TYPES:
        raise Problem(415, "unsupported-media-type", f"send one of {', '.join(filter(None, TYPES))}, or a form")
    sink = _Sink(file)
    async for chunk in request.stream():
        if sink.take(chunk):
            await run_in_threadpool(sink.flush)
    return await run_in_threadpool(sink.finish, TYPES[media], charset)


async def _form(request: Request, file: BinaryIO, boundary: bytes, *, needs_file: bool = True) -> Spooled:
    sink = _Sink(file)
    form = _Form(sink)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        async for chunk in request.stream():
            parser.write(chunk)
            if sink.full:
                await run_in_threadpool(sink.flush)
        parser.finalize()
    except MultipartParseError as error:
        raise Problem(400, "invalid-request", "the form cannot be read as multipart/form-data") from error
    if needs_file and not (form.found and form.ended):
        raise Problem(422, "invalid-request", "the form holds no complete file; name the part `file`")
    media = form.media if form.media in TYPES else ""
    done = await run_in_threadpool(sink.finish, TYPES[media], form.charset)
    done.name, done.fields = form.name, form.fields()
    return done


@contextlib.contextmanager
def _disk_faults() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Problem(507, "unavailable", "there is no room for the file") from error


@dataclass
class _Sink:
    """Bytes on their way to the file."""

    file: BinaryIO
    size: int = 0
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)
    _held: bytearray = field(default_factory=bytearray)

    @property
    def full(self) -> bool:
        return len(self._held) >= BUFFER

    def take(self, data: bytes) -> bool:
        """Whether it is time to write."""
        self._held += data
        return self.full

    def flush(self) -> None:
        self._hash.update(self._held)
        self.file.write(self._held)
        self.size += len(self._held)
        self._held = bytearray()

    def finish(self, kind: Format | None, charset: bytes) -> Spooled:
        self.flush()
        self.file.seek(0)
        encoding = charset.decode("latin-1") or None
        return Spooled(self.file, self.size, self._hash.digest(), kind, encoding)


@dataclass
class _Form:
    """Listens to the parser; the first part with a file name goes to the sink, other fields are kept up to a limit."""

    sink: _Sink
    found: bool = False
    ended: bool = False
    media: str = ""
    charset: bytes = b""
    name: str | None = None
    _inside: bool = False
    _field: bytes = b""
    _value: bytes = b""
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _texts: dict[bytes, bytearray] = field(default_factory=dict)
    _text: bytearray | None = None  # of the field that is being read
    _held: int = 0

    def fields(self) -> dict[str, str]:
        """Name to text; of several of one name the last."""
        return {name.decode("utf-8", "replace"): text.decode("utf-8", "replace") for name, text in self._texts.items()}

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
        }

    def _begin(self) -> None:
        self._headers, self._field, self._value = {}, b"", b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field = self._bounded(self._field + data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value = self._bounded(self._value + data[start:end])

    def _bounded(self, text: bytes) -> bytes:
        if len(text) > MOST_HEADER:
            raise MultipartParseError("a header of a part is too long")
        return text

    def _header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field, self._value = b"", b""

    def _headers_finished(self) -> None:
        _, disposition = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"filename" not in disposition:
            self._text = self._texts[disposition.get(b"name", b"")] = bytearray()
            return
        if self.found:
            raise Problem(422, "invalid-request", "one file at a time")
        self.found = self._inside = True
        self.name = disposition[b"filename"].decode("utf-8", "replace")[:255]
        kind, parameters = parse_options_header(self._headers.get(b"content-type", b""))
        self.media, self.charset = kind.decode("latin-1").lower(), parameters.get(b"charset", b"")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self.sink.take(data[start:end])
        elif self._text is not None:
            self._held += end - start
            if self._held > MOST_FIELDS:
                raise Problem(413, "too-large", f"the fields of a form may have {MOST_FIELDS} bytes; upload a file")
            self._text += data[start:end]

    def _part_end(self) -> None:
        self.ended = self.ended or self._inside
        self._inside, self._text = False, None
