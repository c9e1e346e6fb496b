"""Opted-out numbers: never written to, by one sender or (empty sender) by all. Checked at import and at submit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from models import forgotten
from models.queries import insert_new
from models.tables import Suppression

AT_ONCE = 1000
READ = 10_000


def add_suppressions(session: Session, numbers: Iterable[str], sender: str, source: str, now: datetime) -> None:
    """Numbers in E.164 with `+`; those that are there already stay as they are."""
    rows = [
        {"msisdn": number, "sender": sender, "source": source[:64], "created_at": now}
        for number in sorted(set(numbers))
    ]
    for start in range(0, len(rows), AT_ONCE):
        insert_new(session, Suppression, rows[start : start + AT_ONCE])


def remove_suppressions(session: Session, numbers: Iterable[str], key: forgotten.Key, sender: str = "") -> int:
    """Only on the person's own wish. How many there were. `key`: for numbers that were erased (models.forgotten)."""
    wanted, gone = sorted(set(numbers)), 0
    for start in range(0, len(wanted), AT_ONCE // 2):
        some = wanted[start : start + AT_ONCE // 2]
        statement = delete(Suppression).where(Suppression.msisdn.in_(some), Suppression.sender == sender)
        gone += len(session.execute(statement.returning(Suppression.msisdn)).all())
        gone += sum(forgotten.lift(session, number, key, sender) for number in some)
    return gone


def list_suppressions(
    session: Session, limit: int, sender: str | None = None, after: tuple[str, str] | None = None
) -> list[Suppression]:
    """In the order of numbers and senders; `after` is the last pair of the page before."""
    query = select(Suppression).order_by(Suppression.msisdn, Suppression.sender).limit(limit)
    if sender is not None:
        query = query.where(Suppression.sender == sender)
    if after is not None:
        query = query.where(tuple_(Suppression.msisdn, Suppression.sender) > tuple_(*after))
    return list(session.execute(query).scalars())


def opted_out(session: Session, senders: Collection[str]) -> Iterator[int]:
    """Every number that one of these senders (`""`: any) must not write to, without its `+`."""
    query = select(Suppression.msisdn).where(Suppression.sender.in_(senders)).execution_options(yield_per=READ)
    for number in session.execute(query).scalars():
        yield int(number[1:])
