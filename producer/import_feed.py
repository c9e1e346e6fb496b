"""Where the slices of an import come from: this process, or a child that reads and decides while this one writes.

A child pays from some ten thousand rows on (it needs half a second to start). It gets the file, the plan and the
numbers that are taken or opted out, and never the database. Frames between the two are a length and marshalled plain
values; a child that dies without its last word is an error, not an end.
"""

from __future__ import annotations

import io
import marshal
import os
import pickle
import struct
import subprocess
import sys
import threading
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any, BinaryIO, Protocol

from producer.import_work import Plan, Slice, Work
from producer.numberset import NumberSet
from producer.readers import FileError, FileFault, Hint, Table, open_table
from providers.base import Provider

CHILD_FROM = 1_500_000
"""Bytes of a file from which a child pays: about 25,000 rows of CSV."""
ROOT = Path(__file__).resolve().parents[1]
AHEAD = 1  # slices that wait to be written
PACKET = 50_000  # numbers in one frame
_LENGTH = struct.Struct("<Q")


class ImportDied(RuntimeError):
    """The process that read the file ended without saying why."""


class Feed(Protocol):
    """An opened file. `encoding` and `number`: as found in it."""

    encoding: str | None
    number: str

    def slices(self, taken: Iterable[int], opted_out: Iterable[int]) -> Iterator[Slice]:
        """What becomes of the rows. `taken`: numbers that the campaign has already. Raises FileError, ImportDied."""
        ...

    def close(self) -> None: ...


def open_feed(
    plan: Plan, providers: Mapping[str, Provider], source: BinaryIO | Path, hint: Hint, child_from: int
) -> Feed:
    """Raises FileError."""
    if size_of(source) >= child_from:
        return ChildFeed(plan, source, hint)
    return OwnFeed(plan, providers, open_table(source, hint))


def size_of(source: BinaryIO | Path) -> int:
    """0 for what only this process can read."""
    if isinstance(source, Path):
        return source.stat().st_size
    try:
        return os.fstat(source.fileno()).st_size
    except (OSError, AttributeError, io.UnsupportedOperation):
        return 0


class OwnFeed:
    """Reads and decides here."""

    def __init__(self, plan: Plan, providers: Mapping[str, Provider], table: Table) -> None:
        self._plan, self._providers, self._table = plan, providers, table
        self.encoding, self.number = table.encoding, table.number

    def slices(self, taken: Iterable[int], opted_out: Iterable[int]) -> Iterator[Slice]:
        return Work(self._plan, self._providers, NumberSet(taken), NumberSet(opted_out)).slices(self._table)

    def close(self) -> None:
        """Nothing is held."""


class ChildFeed:
    """Lets a child process read and decide."""

    def __init__(self, plan: Plan, source: BinaryIO | Path, hint: Hint) -> None:
        where = str(source.absolute()) if isinstance(source, Path) else (source.fileno(), source.tell())
        self._child = _spawn(() if isinstance(source, Path) else (source.fileno(),))
        assert self._child.stdin is not None  # pipes were asked for  # noqa: S101
        assert self._child.stdout is not None  # noqa: S101
        self._in: IO[bytes] = self._child.stdin
        self._out: IO[bytes] = self._child.stdout
        self._frames: Queue[bytes] = Queue(AHEAD)
        self._reader: threading.Thread | None = None
        try:
            _put(self._in, pickle.dumps((plan, where, hint)))
            self.encoding, self.number = self._read(read_frame(self._out), "table")
        except BaseException:
            self.close()
            raise

    def slices(self, taken: Iterable[int], opted_out: Iterable[int]) -> Iterator[Slice]:
        self._reader = threading.Thread(target=self._listen, name="import-reader", daemon=True)
        self._reader.start()
        for numbers in (taken, opted_out):
            for packet in _packets(numbers):
                _put(self._in, packet)
            _put(self._in, b"")
        while (found := self._read(self._frames.get(), "slice", "end")) is not None:
            yield Slice(*found)

    def _listen(self) -> None:
        while frame := read_frame(self._out):
            self._frames.put(frame)
        self._frames.put(b"")

    def _read(self, frame: bytes, *wanted: str) -> Any:
        """What a frame holds; FileError and a silent death are raised."""
        if not frame:
            raise ImportDied(f"the process that read the file ended with code {self._child.wait()}")
        kind, value = marshal.loads(frame)  # nosec B302  # noqa: S302 - from our own child
        if kind == "file error":
            fault, text, row, column = value
            raise FileError(FileFault(fault), text, row=row, column=column)
        if kind not in wanted:
            raise ImportDied(f"the process that read the file said {kind!r}")
        return value

    def close(self) -> None:
        """End the child, whatever it is doing."""
        self._child.kill()
        while self._reader is not None and self._reader.is_alive():
            try:
                self._frames.get(timeout=0.05)  # the reader may wait for room
            except Empty:
                continue
        self._child.wait()
        self._out.close()
        with closing(self._in.raw if isinstance(self._in, io.BufferedWriter) else self._in):
            pass  # what is still buffered is for nobody


def _spawn(files: tuple[int, ...]) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "producer.import_child"],  # -P: nothing of the caller's folder is imported
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
        pass_fds=files,
        process_group=0,  # an interrupt from the keyboard is for us; we end the child
    )


def _put(pipe: IO[bytes], data: bytes) -> None:
    try:
        write_frame(pipe, data)
    except BrokenPipeError:
        return  # the child's last word, or its silence, says why


def write_frame(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(_LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> bytes:
    """The next frame; empty for an empty one and at the end."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return b""
    (length,) = _LENGTH.unpack(head)
    data = pipe.read(length)
    return data if len(data) == length else b""


def _packets(numbers: Iterable[int]) -> Iterator[bytes]:
    packet: array[int] = array("Q")
    for number in numbers:
        packet.append(number)
        if len(packet) >= PACKET:
            yield packet.tobytes()
            packet = array("Q")
    if packet:
        yield packet.tobytes()


def read_numbers(pipe: IO[bytes]) -> NumberSet:
    """What `_packets` wrote, up to the empty frame."""
    found = NumberSet()
    while packet := read_frame(pipe):
        numbers = array("Q")
        numbers.frombytes(packet)
        for number in numbers:
            found.add(number)
    return found
