"""Who is signed in to the dashboard: sessions of API keys, kept in the database so that every API process knows them.

The cookie holds 256 random bits, the row their SHA-256: whoever reads the database gets no session out of it, and no
signing secret has to be configured, shared or rotated. Each look-up joins the key: a revoked key ends its sessions at
once, everywhere.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.orm import Session

from models.tables import ApiKey, WebSession
from producer.keys import Scope

LASTS = timedelta(hours=12)
IDLE = timedelta(hours=2)
TOUCH_EVERY = timedelta(minutes=1)  # `seen_at` is precise to this: a write per page would be a waste


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A live session and the key it was opened with."""

    digest: str
    key_id: UUID
    name: str
    scope: Scope
    seen_at: datetime


def open_session(session: Session, key_id: UUID, now: datetime) -> str:
    """A new session: the token for the cookie, kept nowhere. Drops sessions that have ended."""
    session.execute(delete(WebSession).where((WebSession.ends_at <= now) | (WebSession.seen_at <= now - IDLE)))
    token = secrets.token_urlsafe(32)
    session.add(
        WebSession(digest=digest_of(token), api_key_id=key_id, created_at=now, seen_at=now, ends_at=now + LASTS)
    )
    return token


def find_session(session: Session, token: str, now: datetime) -> SignedIn | None:
    """The session of a cookie; None: unknown, ended, idle for too long, or its key was revoked."""
    query = (
        select(WebSession.digest, ApiKey.id, ApiKey.name, ApiKey.scope, WebSession.seen_at)
        .join(ApiKey, ApiKey.id == WebSession.api_key_id)
        .where(WebSession.digest == digest_of(token), _alive(now))
    )
    row = session.execute(query).one_or_none()
    return None if row is None else SignedIn(row[0], row[1], row[2], Scope(row[3]), row[4])


def alive(session: Session, digests: Collection[str], now: datetime) -> set[str]:
    """Which of these sessions still live. For streams that stay open for long."""
    query = (
        select(WebSession.digest)
        .join(ApiKey, ApiKey.id == WebSession.api_key_id)
        .where(WebSession.digest.in_(digests), _alive(now))
    )
    return set(session.execute(query).scalars())


def touch_session(session: Session, digest: str, now: datetime) -> None:
    session.execute(update(WebSession).where(WebSession.digest == digest).values(seen_at=now))


def end_session(session: Session, digest: str) -> None:
    session.execute(delete(WebSession).where(WebSession.digest == digest))


def form_token(token: str, purpose: str = "form") -> str:
    """What every form of a session carries: derived from the cookie, so only a page that was given one can name it."""
    return hmac.new(token.encode(), purpose.encode(), hashlib.sha256).hexdigest()


def same_token(token: str, given: str, purpose: str = "form") -> bool:
    return hmac.compare_digest(form_token(token, purpose), given.encode("ascii", "replace").decode())


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _alive(now: datetime) -> ColumnElement[bool]:
    return and_(WebSession.ends_at > now, WebSession.seen_at > now - IDLE, ApiKey.revoked_at.is_(None))
