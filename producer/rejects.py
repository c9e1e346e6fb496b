"""The reject file: every row that did not become a message, with the place and the reason."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.tables import Reject

COLUMNS = ("row", "column", "value", "code", "reason")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class _Target(Protocol):
    def write(self, text: str, /) -> object: ...


def harmless(cell: str) -> str:
    """A cell that a spreadsheet will not run as a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def first_rejects(session: Session, campaign_id: UUID, limit: int) -> Sequence[Reject]:
    """In the order they were found."""
    query = select(Reject).where(Reject.campaign_id == campaign_id).order_by(Reject.id).limit(limit)
    return session.execute(query).scalars().all()


def write_rejects(session: Session, campaign_id: UUID, target: _Target) -> int:
    """CSV with a header, in row order; the number of rows."""
    writer = csv.writer(target)
    writer.writerow(COLUMNS)
    written = 0
    query = (
        select(Reject)
        .where(Reject.campaign_id == campaign_id)
        .order_by(Reject.row_no)
        .execution_options(yield_per=1000)
    )
    for row in session.execute(query).scalars():
        cells = (row.column, row.value, row.code, row.reason)
        writer.writerow([row.row_no, *(harmless(cell) for cell in cells)])
        written += 1
    return written
