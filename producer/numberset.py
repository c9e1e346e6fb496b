"""A set of phone numbers that does not grow with the list: above a bound it keeps them in a temporary file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Protocol

HELD = 300_000
"""Numbers in memory: just under where Python's set doubles its table, about 20 MB."""


_SPREAD = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: neighbouring numbers end up far apart
_BITS = 26
_MASK = (1 << _BITS) - 1
"""A filter of 8 MB before the file: of a million numbers that are not there it lets about one in seventy through."""


class Numbers(Protocol):
    """What the audience asks of a set of numbers (E.164 without `+`, as whole numbers)."""

    def __contains__(self, number: object, /) -> bool: ...

    def add(self, number: int, /) -> None: ...


class NumberSet:
    """Exact, add-only. The file has no name and is gone with the set, or with the process."""

    def __init__(self, numbers: Iterable[int] = (), held: int = HELD) -> None:
        self._held = held
        self._recent: set[int] = set()
        self._file: sqlite3.Connection | None = None
        self._filter = bytearray()
        for number in numbers:
            self.add(number)

    def add(self, number: int) -> None:
        self._recent.add(number)
        if len(self._recent) > self._held:
            self._spill()

    def __contains__(self, number: object) -> bool:
        if number in self._recent:
            return True
        if self._file is None or not isinstance(number, int):
            return False
        place = number * _SPREAD >> 32 & _MASK
        if not self._filter[place >> 3] >> (place & 7) & 1:
            return False  # most numbers are new, and a look into the file costs more than all else about them
        return self._file.execute("SELECT 1 FROM n WHERE n = ?", (number,)).fetchone() is not None

    def __bool__(self) -> bool:
        return bool(self._recent) or self._file is not None

    def _spill(self) -> None:
        """In order, so that the file is written once from left to right instead of all over the place."""
        if self._file is None:
            self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)  # "": temporary, on disk
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-8000"):
                self._file.execute(f"PRAGMA {pragma}")
            self._file.execute("CREATE TABLE n (n INTEGER PRIMARY KEY)")
            self._filter = bytearray(1 << _BITS - 3)
        self._file.execute("BEGIN")
        self._file.executemany("INSERT OR IGNORE INTO n VALUES (?)", ((number,) for number in sorted(self._recent)))
        self._file.execute("COMMIT")
        for number in self._recent:
            place = number * _SPREAD >> 32 & _MASK
            self._filter[place >> 3] |= 1 << (place & 7)
        self._recent = set()
