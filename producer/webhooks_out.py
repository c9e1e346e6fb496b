"""Who is told of events: endpoints made, listed and removed, and what was given up brought back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select, update
from sqlalchemy.orm import Session

from config.events import endpoint_secret
from config.settings import Settings, SettingsError
from models.tables import ApiKey, Campaign, EventEndpoint, OutboxEvent
from models.types import new_id
from models.web_address import networks, url_fault

MOST_ENDPOINTS = 5  # of one campaign, or of one key


class EndpointError(ValueError):
    """An endpoint cannot be made or found so; the text says why."""


@dataclass(frozen=True, slots=True)
class Made:
    """A new endpoint, and the secret its owner checks signatures with."""

    id: UUID
    secret: str


def add_endpoint(
    session: Session,
    settings: Settings,
    url: str,
    now: datetime,
    *,
    campaign_id: UUID | None = None,
    api_key_id: UUID | None = None,
) -> Made:
    """Tell `url` of the events of one campaign, or of every campaign that an API key makes. Raises EndpointError."""
    if (campaign_id is None) == (api_key_id is None):
        raise EndpointError("expected either a campaign or an API key")
    if fault := url_fault(url, _allowed(settings)):
        raise EndpointError(f"url: {fault}")
    owner = session.get(Campaign, campaign_id) if campaign_id else session.get(ApiKey, api_key_id)
    if owner is None:
        raise EndpointError("there is no such campaign" if campaign_id else "there is no such API key")
    whose = EventEndpoint.campaign_id == campaign_id if campaign_id else EventEndpoint.api_key_id == api_key_id
    if _count(session, whose) >= MOST_ENDPOINTS:
        raise EndpointError(f"at most {MOST_ENDPOINTS} endpoints")
    made = EventEndpoint(id=new_id(), campaign_id=campaign_id, api_key_id=api_key_id, url=url, created_at=now)
    session.add(made)
    session.flush()
    return Made(made.id, endpoint_secret(settings, made.id))


def remove_endpoint(session: Session, endpoint_id: UUID, now: datetime) -> None:
    """Nothing more is sent there. Raises EndpointError for one that is not there."""
    row = session.get(EventEndpoint, endpoint_id)
    if row is None:
        raise EndpointError(f"there is no endpoint {endpoint_id}")
    row.removed_at = row.removed_at or now


def list_endpoints(session: Session) -> list[dict[str, Any]]:
    """Every endpoint with what waits for it, newest first."""
    waiting = case((OutboxEvent.delivered_at.is_(None) & OutboxEvent.dead_at.is_(None), 1))
    query = (
        select(
            EventEndpoint,
            func.count(waiting).label("waiting"),
            func.count(OutboxEvent.delivered_at).label("delivered"),
            func.count(OutboxEvent.dead_at).label("dead"),
        )
        .outerjoin(OutboxEvent, OutboxEvent.endpoint_id == EventEndpoint.id)
        .group_by(EventEndpoint.id)
        .order_by(EventEndpoint.id.desc())
    )
    return [_line(row, waits, delivered, dead) for row, waits, delivered, dead in session.execute(query)]


def _line(row: EventEndpoint, waiting: int, delivered: int, dead: int) -> dict[str, Any]:
    return {
        "id": row.id,
        "campaign_id": row.campaign_id,
        "api_key_id": row.api_key_id,
        "url": row.url,
        "created_at": row.created_at,
        "removed_at": row.removed_at,
        "waiting": waiting,
        "delivered": delivered,
        "dead": dead,
        "failures": row.failures,
        "not_before": row.not_before,
        "last_error": row.last_error,
    }


def replay(
    session: Session, *, endpoint_id: UUID | None = None, since: datetime | None = None, everything: bool = False
) -> int:
    """Send again what was given up (`everything`: what was delivered too), with the same event ids; how many events."""
    which: list[ColumnElement[bool]] = [OutboxEvent.dead_at.is_not(None)]
    if everything:
        which = [OutboxEvent.dead_at.is_not(None) | OutboxEvent.delivered_at.is_not(None)]
    if endpoint_id is not None:
        which.append(OutboxEvent.endpoint_id == endpoint_id)
    if since is not None:
        which.append(OutboxEvent.at >= since)
    endpoints: Sequence[UUID] = (
        session.execute(select(OutboxEvent.endpoint_id).where(*which).distinct()).scalars().all()
    )
    again = session.execute(
        update(OutboxEvent).where(*which).values(delivered_at=None, dead_at=None, tries=0).returning(OutboxEvent.id)
    ).all()
    session.execute(update(EventEndpoint).where(EventEndpoint.id.in_(endpoints)).values(failures=0, not_before=None))
    return len(again)


def _count(session: Session, whose: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(EventEndpoint).where(whose, EventEndpoint.removed_at.is_(None))
    return session.execute(query).scalar_one()


def _allowed(settings: Settings) -> tuple[Any, ...]:
    try:
        return networks(settings.events_allowed_networks)
    except ValueError as error:
        raise SettingsError(f"DRUMLINE_EVENTS_ALLOWED_NETWORKS: {error}") from error
