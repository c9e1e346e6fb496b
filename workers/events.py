"""Telling others what happened: signed batches of events to the endpoints that asked for them.

At least once: a batch whose answer is lost is sent again, with the same event ids. Only 2xx counts as received.
Redirects are not followed, and a connection goes only to an address that was looked up and found allowed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp
import orjson
import structlog
from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.orm import Session

from config.events import endpoint_secret, signature
from models.tables import EventEndpoint, Message, OutboxEvent
from models.types import new_id
from models.web_address import networks, url_fault
from workers.guarded_dns import AddressRefused, GuardedResolver
from workers.runtime import Runtime

log = structlog.get_logger("drumline.events")

AT_ONCE = 20  # endpoints served at the same time
BATCH = 100  # events in one request
ROUNDS = 20  # batches to one endpoint in one run: others get their turn
TIMEOUT = 10.0  # seconds for one request, all of it
CLAIM_SECONDS = 60.0  # renewed before each batch
MOST_TRIES = 12  # then an event is dead (about five hours), until it is replayed
FIRST_WAIT = 10.0  # seconds; doubles
LONGEST_WAIT = 3600.0
KEPT = timedelta(days=7)  # delivered events, for a replay

# What a message's facts are called in an event.
_FACTS = {
    "reference": Message.reference, "to": Message.msisdn, "account": Message.account, "country": Message.country,
    "parts": Message.parts, "price": Message.price, "currency": Message.currency, "network": Message.network,
    "channel": Message.channel, "code": Message.code, "reason": Message.reason, "at": Message.provider_at,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint this process delivers to now."""

    id: UUID
    url: str


@dataclass(frozen=True, slots=True)
class Parcel:
    """One request to be: its events' rows, and its body."""

    rows: Sequence[int]
    body: bytes


def backoff(failures: int, chance: float) -> float:
    """Seconds after the n-th failure in a row (from 1); `chance` from 0 to 1 spreads them by a quarter. Pure."""
    return min(FIRST_WAIT * 2.0 ** min(failures - 1, 20), LONGEST_WAIT) * (1.0 + 0.25 * chance)


async def deliver_events(runtime: Runtime) -> int:
    """Serve the endpoints that something waits for; the number of events delivered."""
    targets = await runtime.write(claim, runtime.now(), AT_ONCE)
    if not targets:
        return 0
    allowed = networks(runtime.settings.events_allowed_networks)
    connector = aiohttp.TCPConnector(resolver=GuardedResolver(allowed), use_dns_cache=False, limit=AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as client:
        post = _Post(client, runtime)
        delivered = await asyncio.gather(*(_serve(runtime, post, target) for target in targets))
    return sum(delivered)


async def _serve(runtime: Runtime, post: _Post, target: Target) -> int:
    """Batches to one endpoint, in the order the events came, until none waits or one fails."""
    delivered = 0
    for _ in range(ROUNDS):
        parcel = await runtime.write(next_parcel, target.id, runtime.now())
        if parcel is None or runtime.stopping:
            break
        fault = await post.send(target, parcel.body)
        await runtime.insist(note_outcome, target.id, parcel.rows, fault, random.random(), runtime.now())
        if fault is not None:
            log.warning("events_not_delivered", endpoint=str(target.id), events=len(parcel.rows), error=fault)
            return delivered
        delivered += len(parcel.rows)
    await runtime.write(release, target.id)
    return delivered


@dataclass(frozen=True, slots=True)
class _Post:
    client: aiohttp.ClientSession
    runtime: Runtime

    async def send(self, target: Target, body: bytes) -> str | None:
        """None when it was received, else a short reason, without the URL."""
        if fault := url_fault(target.url, networks(self.runtime.settings.events_allowed_networks)):
            return fault
        stamp = int(time.time())  # the receiver compares it with its own clock, not with our database's
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Drumline",
            "Drumline-Timestamp": str(stamp),
            "Drumline-Signature": signature(endpoint_secret(self.runtime.settings, target.id), stamp, body),
        }
        try:
            async with self.client.post(target.url, data=body, headers=headers, allow_redirects=False) as answer:
                return None if 200 <= answer.status < 300 else f"HTTP {answer.status}"
        except AddressRefused as error:
            return str(error)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return type(error).__name__


# --- database steps, each one transaction ----------------------------------------------------------------------------


def claim(session: Session, now: datetime, limit: int) -> list[Target]:
    """Endpoints with something due, that nobody else serves; ours for a while."""
    waits = exists().where(
        OutboxEvent.endpoint_id == EventEndpoint.id, OutboxEvent.delivered_at.is_(None), OutboxEvent.dead_at.is_(None)
    )
    query = (
        select(EventEndpoint)
        .where(
            EventEndpoint.removed_at.is_(None),
            or_(EventEndpoint.not_before.is_(None), EventEndpoint.not_before <= now),
            or_(EventEndpoint.claimed_until.is_(None), EventEndpoint.claimed_until < now),
            waits,
        )
        .order_by(EventEndpoint.not_before, EventEndpoint.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = session.execute(query).scalars().all()
    for row in rows:
        row.claimed_until = now + timedelta(seconds=CLAIM_SECONDS)
    return [Target(row.id, row.url) for row in rows]


def release(session: Session, endpoint_id: UUID) -> None:
    session.execute(update(EventEndpoint).where(EventEndpoint.id == endpoint_id).values(claimed_until=None))


def next_parcel(session: Session, endpoint_id: UUID, now: datetime) -> Parcel | None:
    """The oldest events that wait, made into a request; the claim is renewed. None: nothing waits."""
    query = (
        select(OutboxEvent)
        .where(
            OutboxEvent.endpoint_id == endpoint_id,
            OutboxEvent.delivered_at.is_(None),
            OutboxEvent.dead_at.is_(None),
        )
        .order_by(OutboxEvent.id)
        .limit(BATCH)
    )
    rows = session.execute(query).scalars().all()
    if not rows:
        return None
    until = now + timedelta(seconds=CLAIM_SECONDS)
    session.execute(update(EventEndpoint).where(EventEndpoint.id == endpoint_id).values(claimed_until=until))
    facts = _facts(session, [row.message_id for row in rows if row.message_id])
    events = [_event(row, facts.get(row.message_id) if row.message_id else None) for row in rows]
    document = {"delivery_id": str(new_id()), "events": events}
    return Parcel([row.id for row in rows], orjson.dumps(document, default=str))


def _facts(session: Session, ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    columns = [column.label(name) for name, column in _FACTS.items()]
    query = select(Message.id.label("message_id"), *columns).where(Message.id.in_(set(ids)))
    return {row.message_id: {"id": row.message_id, **{name: getattr(row, name) for name in _FACTS}}
            for row in session.execute(query)}  # fmt: skip


def _event(row: OutboxEvent, message: Mapping[str, Any] | None) -> dict[str, Any]:
    """`type` is what happened then; `message` holds what is known now, so a replay tells the latest."""
    event: dict[str, Any] = {"id": row.event_id, "type": row.kind, "at": row.at, "campaign_id": row.campaign_id}
    if row.detail:
        event["detail"] = row.detail
    if row.message_id is not None:
        event["message"] = {**(message or {"id": row.message_id}), "state": row.kind.partition(".")[2]}
    return event


def note_outcome(
    session: Session, endpoint_id: UUID, rows: Sequence[int], fault: str | None, chance: float, now: datetime
) -> None:
    """Received: done. Not received: later again, and after the last try never by itself."""
    endpoint = session.get_one(EventEndpoint, endpoint_id)
    ours = OutboxEvent.id.in_(rows)
    if fault is None:
        session.execute(update(OutboxEvent).where(ours).values(delivered_at=now))
        endpoint.failures, endpoint.not_before, endpoint.last_error = 0, None, None
        return
    session.execute(update(OutboxEvent).where(ours).values(tries=OutboxEvent.tries + 1))
    session.execute(update(OutboxEvent).where(ours, OutboxEvent.tries >= MOST_TRIES).values(dead_at=now))
    endpoint.failures += 1
    endpoint.not_before = now + timedelta(seconds=backoff(endpoint.failures, chance))
    endpoint.last_error = fault
    endpoint.claimed_until = None


def forget_old(session: Session, now: datetime) -> int:
    """Delivered events are kept for a replay, then dropped; some at a time."""
    old = select(OutboxEvent.id).where(OutboxEvent.delivered_at < now - KEPT).limit(10_000)
    return len(session.execute(delete(OutboxEvent).where(OutboxEvent.id.in_(old)).returning(OutboxEvent.id)).all())
