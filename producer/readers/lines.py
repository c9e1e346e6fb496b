"""Lines of text from a stream of bytes: every kind of line end, no line longer than the cap in memory, bad lines
marked.

Lines can be read again from any point after `mark`: a reader that finds out too late that a quote was never closed
goes back, so that the good lines behind the bad one are not lost.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from producer.readers.table import FileError, FileFault, RowFaultCode

CHUNK = 1 << 17
MAX_LINE = 1_000_000
"""Characters. A longer line is dropped while it streams by, and marked."""

_ESCAPED = re.compile("[\udc80-\udcff]")
_FOREIGN_LETTER = re.compile("[^\x00-\x7f\udc80-\udcff]")


class Lines:
    """The lines of a text, numbered from 1. `flaws`: what is wrong with which line."""

    __slots__ = (
        "_base",
        "_carry",
        "_decoder",
        "_dropping",
        "_kept",
        "_seen_utf8",
        "_stream",
        "encoding",
        "flaws",
        "mark",
    )

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self.encoding = encoding
        self.flaws: dict[int, RowFaultCode] = {}
        self.mark = 0  # the last line that nobody will want again
        self._stream = stream
        self._decoder = _decoder(encoding)
        self._kept: list[str] = []
        self._base = 0  # how many lines came before the kept ones
        self._carry = ""
        self._dropping = False
        self._seen_utf8 = False

    def after(self, line_no: int) -> Iterator[str]:
        """The lines behind line `line_no`, which must not be before `mark`."""
        at = line_no
        while True:
            start = at - self._base
            fresh = self._kept[start:] if start else self._kept
            if not fresh and not self._fill():
                return
            yield from fresh
            at += len(fresh)

    def head(self, characters: int) -> str:
        """The beginning of the text, without using it up."""
        while sum(map(len, self._kept)) < characters and self._fill():
            pass
        return "".join(self._kept)[:characters]

    def _fill(self) -> bool:
        """Read one chunk more, and forget the lines up to `mark`. False at the end."""
        self._forget()
        data = self._stream.read(CHUNK)
        if not data and self._decoder is None:
            return False
        fresh = self._split(self._decode(data))
        self._kept = self._kept + fresh if self._kept else fresh
        return True

    def _forget(self) -> None:
        done = self.mark - self._base
        if done > 0:
            self._kept = self._kept[done:]
            self._base += done
            for line_no in [n for n in self.flaws if n <= self.mark]:
                del self.flaws[line_no]

    def _decode(self, data: bytes) -> str:
        assert self._decoder is not None  # _fill asked  # noqa: S101
        try:
            text = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            text = f"not {self.encoding} throughout: save the file as UTF-8, or name its encoding"
            raise FileError(FileFault.ENCODING, text, row=self._next_no()) from error
        if not data:
            self._decoder = None
        return text

    def _split(self, text: str) -> list[str]:
        # StringIO cuts at line feeds only; str.splitlines would also cut at characters that a name may hold
        fresh = io.StringIO(self._carry + text).readlines()
        self._carry = fresh.pop() if fresh and not fresh[-1].endswith("\n") else ""
        if self._decoder is None and (self._carry or self._dropping):
            fresh.append(self._carry)
            self._carry = ""
        self._drop_long(fresh)
        if not text.isascii() or "\0" in text:
            self._find_flaws(fresh)
        return fresh

    def _drop_long(self, fresh: list[str]) -> None:
        """Forget the content of a line that is too long; its end may be chunks away."""
        if self._dropping and fresh:
            fresh[0] = "\n"
            self._flaw(0, RowFaultCode.FIELD_TOO_LONG)
            self._dropping = False
        if len(self._carry) > MAX_LINE or self._dropping:
            self._carry, self._dropping = "", True
        if fresh and len(fresh[0]) > MAX_LINE:
            fresh[0] = "\n"
            self._flaw(0, RowFaultCode.FIELD_TOO_LONG)

    def _find_flaws(self, fresh: list[str]) -> None:
        for at, line in enumerate(fresh):
            if line.isascii():
                if "\0" in line:
                    self._flaw(at, RowFaultCode.NUL)
                continue
            self._seen_utf8 = self._seen_utf8 or _FOREIGN_LETTER.search(line) is not None
            if (escaped := _ESCAPED.search(line)) is not None:
                self._refuse_other_encoding(at, line, escaped[0])
                self._flaw(at, RowFaultCode.ENCODING)
            elif "\0" in line:
                self._flaw(at, RowFaultCode.NUL)

    def _refuse_other_encoding(self, at: int, line: str, escaped: str) -> None:
        """A bad byte before any letter in good UTF-8: the file is in another encoding, not one row damaged."""
        if self._seen_utf8:
            return
        column = line[: line.index(escaped)].count(",") + 1
        byte = ord(escaped) & 0xFF
        text = (
            f"not UTF-8 (byte 0x{byte:02X}): save the file as UTF-8, or name its encoding "
            "(cp1252 for Western Windows, latin-1, cp1250, utf-16 …)"
        )
        raise FileError(FileFault.ENCODING, text, row=self._next_no() + at, column=str(column))

    def _flaw(self, at: int, code: RowFaultCode) -> None:
        self.flaws[self._next_no() + at] = code

    def _next_no(self) -> int:
        return self._base + len(self._kept) + 1


def _decoder(encoding: str) -> io.IncrementalNewlineDecoder | None:
    # Bad bytes of UTF-8 are carried as lone surrogates, so that one damaged row does not stop the others.
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    return io.IncrementalNewlineDecoder(decoder, translate=True)
