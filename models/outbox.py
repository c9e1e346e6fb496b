"""What happened, for whoever asked to be told: events in the transaction that made them true.

Only campaigns with an endpoint make rows. An event is a short row; its message's facts are added when it is delivered.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Table, bindparam, or_, select
from sqlalchemy.orm import Session

from models.bulk import insert_missing
from models.states import MessageState
from models.tables import Campaign, EventEndpoint, OutboxEvent
from models.types import new_id

_OUTBOX: Table = OutboxEvent.__table__  # type: ignore[assignment]  # declared as FromClause, is a Table
_COLUMNS = ("endpoint_id", "event_id", "kind", "campaign_id", "message_id", "detail", "at", "tries")

SILENT = frozenset({MessageState.QUEUED, MessageState.SUBMITTING})
"""States nobody is told of: they are our own to and fro before a provider has the message."""


def note_moves(
    session: Session,
    kinds: Iterable[tuple[UUID, MessageState]],
    moved: Iterable[tuple[UUID, UUID, MessageState]],
    now: datetime,
) -> None:
    """Events `message.<state>` of (campaign, message, new state). `kinds`: the campaigns and new states among them, so
    that nobody looks at each message where nobody listens."""
    endpoints = _endpoints(session, {campaign_id for campaign_id, state in kinds if state not in SILENT})
    if not endpoints:
        return
    rows = [
        _row(endpoint, f"message.{state}", campaign_id, message_id, "", now)
        for campaign_id, message_id, state in moved
        if state not in SILENT
        for endpoint in endpoints.get(campaign_id, ())
    ]
    insert_missing(session, _OUTBOX, _COLUMNS, rows)


def note_campaign(session: Session, campaign_id: UUID, kind: str, detail: str, now: datetime) -> None:
    """An event `campaign.<kind>`."""
    endpoints = _endpoints(session, {campaign_id}).get(campaign_id, ())
    rows = [_row(endpoint, f"campaign.{kind}", campaign_id, None, detail[:2000], now) for endpoint in endpoints]
    insert_missing(session, _OUTBOX, _COLUMNS, rows)


_LISTENING: Final = (
    select(Campaign.id, EventEndpoint.id)
    .join(EventEndpoint, or_(EventEndpoint.campaign_id == Campaign.id, EventEndpoint.api_key_id == Campaign.api_key_id))
    .where(Campaign.id.in_(bindparam("campaigns", expanding=True)), EventEndpoint.removed_at.is_(None))
)


def _endpoints(session: Session, campaigns: set[UUID]) -> dict[UUID, list[UUID]]:
    """Which endpoints listen to which of these campaigns."""
    if not campaigns:
        return {}
    found: dict[UUID, list[UUID]] = {}
    for campaign_id, endpoint_id in session.execute(_LISTENING, {"campaigns": list(campaigns)}):
        found.setdefault(campaign_id, []).append(endpoint_id)
    return found


def _row(
    endpoint: UUID, kind: str, campaign_id: UUID, message_id: UUID | None, detail: str, now: datetime
) -> dict[str, object]:
    return {
        "endpoint_id": endpoint,
        "event_id": new_id(),
        "kind": kind,
        "campaign_id": campaign_id,
        "message_id": message_id,
        "detail": detail,
        "at": now,
        "tries": 0,
    }
