"""Filling the index of numbers; triggers take out of it what is erased or deleted (migration 0150)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from sqlalchemy.orm import Session

from models.copying import insert_flat
from models.tables import MessageNumber


def add_numbers(session: Session, messages: Iterable[tuple[str, str]]) -> None:
    """Make new messages known by their numbers, in the transaction that inserts them: (MSISDN, id as hex) of each.

    In the order of the numbers, so that neighbours go to the same page: a trigger for each row took SQLite 17 us a row
    of an import, an index on `messages` 13, this 10.
    """
    insert_flat(session, MessageNumber, ("msisdn", "message_id"), list(chain.from_iterable(sorted(messages))))
