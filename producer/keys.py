"""API keys: made, listed, revoked, recognised. Only a digest is kept; the key itself is shown once.

A key reads `dk_<prefix>_<secret>`: the prefix finds its row and is no secret; the secret has 256 random bits, so a
plain SHA-256 of it is enough (there is nothing to guess that a slow hash would protect).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from models.tables import ApiKey
from models.types import new_id
from producer.quota import MOST

TOUCH_EVERY = timedelta(minutes=1)  # `last_used_at` is for people: a write per request would be a waste

_KEY = re.compile(r"dk_([0-9a-z]{10})_([0-9A-Za-z_-]{43})").fullmatch
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_NOBODY = hashlib.sha256(b"").hexdigest()


class Scope(StrEnum):
    """What a key may do; each includes those before it."""

    READ = "read"  # look, with numbers masked
    SUBMIT = "submit"  # make and steer campaigns, see numbers and texts
    ADMIN = "admin"  # lift opt-outs and whatever else undoes a protection

    def covers(self, needed: Scope) -> bool:
        return _RANK[self] >= _RANK[needed]


_RANK = {Scope.READ: 0, Scope.SUBMIT: 1, Scope.ADMIN: 2}


class ApiKeyError(ValueError):
    """A key cannot be made or found so; the text says why."""


def create_key(
    session: Session, name: str, scope: str, now: datetime, daily_quota: int | None = None
) -> tuple[str, ApiKey]:
    """A new key: its text, to be shown once and kept nowhere, and its row. `daily_quota`: messages a day (UTC), see
    `producer.quota`; None: any number. Raises ApiKeyError."""
    _check_quota(daily_quota)
    if scope not in list(Scope):
        raise ApiKeyError(f"scope: found {scope!r}, expected one of {', '.join(Scope)}")
    if not name.strip():
        raise ApiKeyError("name: found nothing, expected who will use the key")
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(10))
    secret = secrets.token_urlsafe(32)
    row = ApiKey(
        id=new_id(), name=name.strip()[:100], prefix=prefix, digest=_digest(secret), scope=scope, created_at=now,
        daily_quota=daily_quota,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return f"dk_{prefix}_{secret}", row


def list_keys(session: Session) -> Sequence[ApiKey]:
    """Every key ever made, the newest first; revoked ones have `revoked_at`."""
    return session.execute(select(ApiKey).order_by(ApiKey.id.desc())).scalars().all()


def revoke_key(session: Session, which: UUID | str, now: datetime) -> ApiKey:
    """End a key, named by its id or its prefix. Asked twice it stays revoked since the first time.

    Raises ApiKeyError.
    """
    row = _one(session, which)
    row.revoked_at = row.revoked_at or now
    return row


def set_quota(session: Session, which: UUID | str, daily_quota: int | None) -> ApiKey:
    """Another daily quota; what was taken today stays taken. Raises ApiKeyError."""
    _check_quota(daily_quota)
    row = _one(session, which)
    row.daily_quota = daily_quota
    return row


def _check_quota(daily_quota: int | None) -> None:
    if daily_quota is not None and not 0 <= daily_quota <= MOST:
        raise ApiKeyError(f"daily_quota: found {daily_quota}, expected 0 to {MOST} messages a day")


def _one(session: Session, which: UUID | str) -> ApiKey:
    found = session.execute(select(ApiKey).where(_is(which)).with_for_update()).scalars().all()
    if len(found) != 1:
        raise ApiKeyError(f"there is no key {which!s}")
    return found[0]


def find_key(session: Session, text: str) -> ApiKey | None:
    """The row of a valid key, or None: malformed, unknown, wrong or revoked, and nobody is told which."""
    match = _KEY(text)
    prefix, secret = (match[1], match[2]) if match else ("", "")
    rows = session.execute(select(ApiKey).where(ApiKey.prefix == prefix)).scalars().all()
    given = _digest(secret)
    same = [row for row in rows if hmac.compare_digest(row.digest, given)]
    if not rows:
        hmac.compare_digest(_NOBODY, given)  # an unknown prefix takes as long as a wrong secret
    return next((row for row in same if row.revoked_at is None), None)


def wants_touch(row: ApiKey, now: datetime) -> bool:
    return row.last_used_at is None or now - row.last_used_at >= TOUCH_EVERY


def touch(session: Session, key_id: UUID, now: datetime) -> None:
    """Note that the key was used, at most once a minute whoever asks."""
    due = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= now - TOUCH_EVERY)
    session.execute(update(ApiKey).where(ApiKey.id == key_id, due).values(last_used_at=now))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _is(which: UUID | str) -> ColumnElement[bool]:
    if isinstance(which, UUID):
        return ApiKey.id == which
    try:
        return ApiKey.id == UUID(which)
    except ValueError:
        return ApiKey.prefix == which.removeprefix("dk_").split("_")[0]
