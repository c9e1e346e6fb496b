"""Writers of one SQLite file, one after the other."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import TracebackType

if sys.platform == "win32":

    def _lock(file: int) -> None:
        """Threads alone queue there; between processes SQLite's own busy handler has to do."""

    def _unlock(file: int) -> None:
        """Nothing was locked."""
else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


class WriterQueue:
    """The threads of a process queue at a lock, the processes at a lock on a file beside the database.

    SQLite's own busy handler sleeps and polls, up to a tenth of a second at a time, and whoever comes last may win.
    Here the kernel wakes the next one at once, and forgets a process that died. A writer from outside (a shell) meets
    SQLite's own lock as ever.
    """

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(f"{database.name}-queue")
        self._threads = threading.Lock()
        self._file: int | None = None
        self._pid = 0

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            _lock(self._opened())
        except BaseException:
            self._threads.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            _unlock(self._opened())
        finally:
            self._threads.release()

    def _opened(self) -> int:
        """Opened by the process that uses it: a lock inherited over a fork would be shared, and be no lock."""
        if self._file is None or self._pid != os.getpid():
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._pid = os.getpid()
        return self._file

    def close(self) -> None:
        with self._threads:
            if self._file is not None and self._pid == os.getpid():
                os.close(self._file)
            self._file = None
