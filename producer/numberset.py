"""A set of phone numbers that does not grow with the list: above a bound it keeps them in a temporary file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Protocol

HELD = 600_000
"""Numbers in memory: just under where Python's set doubles its table, about 40 MB."""


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
        for number in numbers:
            self.add(number)

    def add(self, number: int) -> None:
        self._recent.add(number)
        if len(self._recent) > self._held:
            self._spill()

    def __contains__(self, number: object) -> bool:
        if number in self._recent:
            return True
        if self._file is None:
            return False
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
        self._file.execute("BEGIN")
        self._file.executemany("INSERT OR IGNORE INTO n VALUES (?)", ((number,) for number in sorted(self._recent)))
        self._file.execute("COMMIT")
        self._recent = set()
