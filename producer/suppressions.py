"""Opted-out numbers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.orm import Session

from models.queries import insert_new
from models.tables import Suppression


def add_suppressions(session: Session, numbers: Iterable[str], sender: str, source: str, now: datetime) -> None:
    """Numbers in E.164 with `+`; those that are there already stay as they are."""
    rows = [
        {"msisdn": number, "sender": sender, "source": source[:64], "created_at": now}
        for number in sorted(set(numbers))
    ]
    for start in range(0, len(rows), 1000):
        insert_new(session, Suppression, rows[start : start + 1000])
