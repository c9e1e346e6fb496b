"""Dropping what is kept for a while only: answers of repeated requests, counts of days long past, drafts that nobody
went on with.
"""

from __future__ import annotations

from models.database import Database
from producer import drafts, idempotency, quota


def tidy_up(database: Database) -> int:
    """In short transactions; how many rows are gone."""
    now = database.now()
    with database.write() as session:
        gone = quota.forget_old(session, now) + drafts.drop_expired(session, now)
    while True:
        with database.write() as session:
            some = idempotency.forget_old(session, now)
        gone += some
        if some < idempotency.FORGOTTEN_AT_ONCE:
            return gone
