"""Suppressions of people whose number was erased: a keyed digest, so that they are not written to by mistake.

Phone numbers are few enough to try them all, so a plain hash would hide nothing. The key is kept outside the database:
whoever has only the database learns no number from it. Without the right key nothing may be sent, because nobody could
say any more who must not be written to.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from datetime import datetime

from sqlalchemy import delete, exists, or_, select
from sqlalchemy.orm import Session

from models.queries import insert_new
from models.tables import Suppression, SuppressionDigest

Key = Callable[[], bytes]


class WrongKey(Exception):
    """The digests were made with another key. Nothing may be sent before the right one is back."""

    def __init__(self) -> None:
        super().__init__(
            "the suppressions of erased numbers were made with another key: restore suppression.key in the state "
            "folder, or DRUMLINE_SUPPRESSION_SECRET; until then nothing is sent"
        )


def digest_of(number: str, key: bytes) -> str:
    """HMAC-SHA256 of a number in E.164, in hex."""
    return hmac.digest(key, number.encode(), hashlib.sha256).hex()


def mark_of(key: bytes) -> str:
    """Tells keys apart, and tells nothing about them."""
    return hmac.digest(key, b"which key is this", hashlib.sha256).hex()[:16]


def forget(session: Session, number: str, key: Key, now: datetime, *, add: bool) -> int:
    """Turn the number's suppressions into digests (`add`: make one for every sender in any case); how many."""
    rows = session.execute(delete(Suppression).where(Suppression.msisdn == number).returning(Suppression)).scalars()
    kept = {(row.sender, row.source, row.created_at) for row in rows}
    if add and not any(sender == "" for sender, _, _ in kept):
        kept.add(("", "erased", now))
    if not kept:
        return 0
    secret = key()
    _check(session, secret)
    digest, mark = digest_of(number, secret), mark_of(secret)
    made = [
        {"digest": digest, "sender": sender, "source": source, "created_at": at, "key_mark": mark}
        for sender, source, at in sorted(kept)
    ]
    insert_new(session, SuppressionDigest, made)
    return len(made)


def lift(session: Session, number: str, key: Key, sender: str = "", source: str | None = None) -> bool:
    """Take a digest back; whether there was one."""
    if not _any(session):
        return False
    which = [SuppressionDigest.digest == digest_of(number, key()), SuppressionDigest.sender == sender]
    if source is not None:
        which.append(SuppressionDigest.source == source)
    return (
        session.execute(delete(SuppressionDigest).where(*which).returning(SuppressionDigest.digest)).first() is not None
    )


def drop(session: Session, number: str, key: Key) -> int:
    """Every suppression of a number, plain or not; how many."""
    gone = len(
        session.execute(delete(Suppression).where(Suppression.msisdn == number).returning(Suppression.sender)).all()
    )
    if not _any(session):
        return gone
    mine = SuppressionDigest.digest == digest_of(number, key())
    return gone + len(session.execute(delete(SuppressionDigest).where(mine).returning(SuppressionDigest.sender)).all())


def suppressed(session: Session, numbers: Iterable[str], key: Key) -> set[tuple[str, str]]:
    """Those of the numbers that have a digest, with the sender each is closed to. Raises WrongKey."""
    if not _any(session):
        return set()
    secret = key()
    _check(session, secret)
    by_digest = {digest_of(number, secret): number for number in numbers}
    query = select(SuppressionDigest.digest, SuppressionDigest.sender).where(SuppressionDigest.digest.in_(by_digest))
    return {(by_digest[digest], sender) for digest, sender in session.execute(query)}


def _any(session: Session) -> bool:
    return bool(session.execute(select(exists().where(SuppressionDigest.digest != ""))).scalar_one())


def _check(session: Session, key: bytes) -> None:
    other = exists().where(or_(SuppressionDigest.key_mark < mark_of(key), SuppressionDigest.key_mark > mark_of(key)))
    if session.execute(select(other)).scalar_one():
        raise WrongKey


def inbound_digest(inbound_id: str) -> str:
    """An incoming message's id that says nothing, and by which a repeat of the message is still known as one."""
    return inbound_id if inbound_id.startswith("#") else "#" + hashlib.sha256(inbound_id.encode()).hexdigest()
