"""POSTs that may be repeated: the first answer under an Idempotency-Key is kept for a day and given again.

    first = claim(session, owner, digest, now)      # its own transaction, before anything is done
    settle(session, claimed, status, body)          # in the transaction of the last effect

Between the two the key is `at work`, and a repeat is told to wait. Settling in the transaction of the last effect makes
both one: a crash in between leaves neither, and after `ABANDONED` a repeat may begin anew. Only successes are kept: a
refused request changed nothing, so it may be mended and sent again under the same key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from models.tables import IdempotentAnswer

KEPT = timedelta(hours=24)
FORGOTTEN_AT_ONCE = 500
ABANDONED = timedelta(minutes=15)
"""After which a request without an answer counts as dead. If it lives after all, it cannot settle any more, and what
depended on settling is undone with it."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose key: two clients may use the same text without meeting."""

    api_key_id: UUID
    key: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """This request is the first (or follows a dead one): do the work, then settle. `since` is the fence."""

    owner: Owner
    digest: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Stored:
    """Answered before: give the same answer again."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class AtWork:
    """The first request is still being worked on; ask again in `retry_after` seconds."""

    retry_after: int


@dataclass(frozen=True, slots=True)
class OtherRequest:
    """The key was used for another method, path or body."""


class LostClaim(Exception):
    """Someone else took the key over since: nothing of this transaction may stay."""


def claim(session: Session, owner: Owner, digest: str, now: datetime) -> Claimed | Stored | AtWork | OtherRequest:
    """Take the key for this request, or say what became of it."""
    session.execute(delete(IdempotentAnswer).where(*_is(owner), IdempotentAnswer.created_at <= now - KEPT))
    if _insert(session, owner, digest, now):
        return Claimed(owner, digest, now)
    query = select(IdempotentAnswer).where(*_is(owner)).with_for_update()
    return _judge(session.execute(query).scalar_one(), owner, digest, now)


def _insert(session: Session, owner: Owner, digest: str, now: datetime) -> bool:
    """Whether this request is the first. A second one waits here for the first's commit, on both databases."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    row = {"key": owner.key, "api_key_id": owner.api_key_id, "digest": digest, "created_at": now}
    statement = insert(IdempotentAnswer).values(row).on_conflict_do_nothing().returning(IdempotentAnswer.key)
    return session.execute(statement).first() is not None


def _judge(
    before: IdempotentAnswer, owner: Owner, digest: str, now: datetime
) -> Claimed | Stored | AtWork | OtherRequest:
    if before.digest != digest:
        return OtherRequest()
    if before.status is not None:
        return Stored(before.status, before.body or b"")
    if now - before.created_at < ABANDONED:
        return AtWork(2)
    before.created_at = now
    return Claimed(owner, digest, now)


def settle(session: Session, claimed: Claimed, status: int, body: bytes) -> None:
    """Keep the answer. Raises LostClaim."""
    kept = session.execute(
        update(IdempotentAnswer)
        .where(*_is(claimed.owner), IdempotentAnswer.created_at == claimed.since, IdempotentAnswer.status.is_(None))
        .values(status=status, body=body)
        .returning(IdempotentAnswer.key)
    ).first()
    if kept is None:
        raise LostClaim(claimed.owner.key)


def release(session: Session, claimed: Claimed) -> None:
    """The work failed and left nothing: the key is free again."""
    session.execute(
        delete(IdempotentAnswer).where(
            *_is(claimed.owner), IdempotentAnswer.created_at == claimed.since, IdempotentAnswer.status.is_(None)
        )
    )


def forget_old(session: Session, now: datetime, limit: int = FORGOTTEN_AT_ONCE) -> int:
    """Drop what is older than a day, so many in one transaction at most; how many there were."""
    aged = IdempotentAnswer.created_at <= now - KEPT
    key = (IdempotentAnswer.key, IdempotentAnswer.api_key_id)
    # `aged` twice: a key that is claimed anew in between stays.
    which = tuple_(*key).in_(select(*key).where(aged).limit(limit))
    return len(session.execute(delete(IdempotentAnswer).where(which, aged).returning(IdempotentAnswer.key)).all())


def _is(owner: Owner) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return IdempotentAnswer.key == owner.key, IdempotentAnswer.api_key_id == owner.api_key_id
