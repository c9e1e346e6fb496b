"""The inbox's door: pushes that arrive together are stored together.

One transaction per push would end at a few hundred a second, since each waits for the disk. Here whoever arrives while
a transaction is being written goes into the next one, and the first of a quiet moment waits a few milliseconds for
company. A push is answered only after the transaction that holds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import insert
from sqlalchemy.exc import SQLAlchemyError

from models.database import Database
from models.tables import InboxPage

log = structlog.get_logger("drumline.webhooks")

COLLECT = 0.004  # seconds the first push waits for company
MOST = 500  # pages in one transaction
MOST_WAITING = 10_000  # pages
MOST_BYTES = 64 * 1024 * 1024  # of bodies that wait


class NotStored(Exception):
    """The push is not in the database: the provider has to send it again."""


@dataclass(slots=True)
class _Waiting:
    row: dict[str, Any]
    stored: asyncio.Future[None]

    @property
    def size(self) -> int:
        return len(self.row["body"])


@dataclass
class Inbox:
    """Used from one event loop."""

    database: Database
    _waiting: list[_Waiting] = field(default_factory=list)
    _bytes: int = 0
    _writer: asyncio.Task[None] | None = None
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="inbox"))
    transactions: int = 0

    async def store(self, row: dict[str, Any]) -> None:
        """Returns when the row is committed. Raises NotStored."""
        if len(self._waiting) >= MOST_WAITING or self._bytes > MOST_BYTES:
            raise NotStored("too many pushes wait for the database")
        waiting = _Waiting(row, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._bytes += waiting.size
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        await waiting.stored

    async def _write_all(self) -> None:
        await asyncio.sleep(COLLECT)
        while self._waiting:
            group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            self._bytes -= sum(waiting.size for waiting in group)
            await self._write(group)

    async def _write(self, group: Sequence[_Waiting]) -> None:
        """A group that fails is tried one by one: a single page that cannot be stored must not refuse the others."""
        error = await self._try(group)
        if error is not None and len(group) > 1:
            for waiting in group:
                _tell(waiting, await self._try([waiting]))
            return
        for waiting in group:
            _tell(waiting, error)

    async def _try(self, group: Sequence[_Waiting]) -> SQLAlchemyError | None:
        rows = [waiting.row for waiting in group]
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._insert, rows)
        except SQLAlchemyError as error:
            log.error("pushes_not_stored", pushes=len(group), error=type(error).__name__)
            return error
        return None

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        with self.database.write() as session:
            session.connection().execute(insert(InboxPage), rows)
        self.transactions += 1

    async def close(self) -> None:
        """Write what waits, then let go of the thread."""
        if self._writer is not None:
            await self._writer
        self._thread.shutdown(wait=True)


def _tell(waiting: _Waiting, error: SQLAlchemyError | None) -> None:
    if waiting.stored.done():  # its request was dropped meanwhile; the page is stored all the same
        return
    if error is None:
        waiting.stored.set_result(None)
    else:
        waiting.stored.set_exception(NotStored(type(error).__name__))
