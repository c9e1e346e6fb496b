"""A campaign's totals over time, every five seconds while they change: what its rates are drawn from.

Taken from the campaign's counters, so a sample costs the same for ten messages and for ten million. No sample between
two means that nothing changed. A beat that stood still leaves a gap, never a wrong figure: the totals are absolute.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from models.database import Database
from models.queries import counts, insert_new, over_accounts
from models.states import MessageState
from models.tables import Campaign, CampaignSample
from producer.guard import ERRORS

SLOT_SECONDS = 5
RATE_SECONDS = 60
_NEVER_LEFT = frozenset({MessageState.QUEUED, MessageState.SUBMITTING, MessageState.SUPPRESSED, MessageState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Totals:
    """How many messages have left, were delivered, and failed, so far."""

    gone: int
    delivered: int
    failed: int


@dataclass(frozen=True, slots=True)
class Sample:
    at: datetime
    totals: Totals


def totals_of(states: Mapping[MessageState, int]) -> Totals:
    return Totals(
        gone=sum(n for state, n in states.items() if state not in _NEVER_LEFT),
        delivered=states.get(MessageState.DELIVERED, 0),
        failed=sum(n for state, n in states.items() if state in ERRORS),
    )


def slot_of(at: datetime) -> int:
    return int(at.timestamp()) // SLOT_SECONDS


def time_of(slot: int) -> datetime:
    return datetime.fromtimestamp(slot * SLOT_SECONDS, UTC)


def take_samples(database: Database, now: datetime) -> int:
    """One sample of every campaign under way that changed since its last one. Safe to run twice at once."""
    with database.read() as session:
        rows = _changed(session, slot_of(now))
    if rows:
        with database.write() as session:
            insert_new(session, CampaignSample, rows)
    return len(rows)


def _changed(session: Session, slot: int) -> list[dict[str, object]]:
    under_way = select(Campaign.id).where(Campaign.started_at.is_not(None), Campaign.finished_at.is_(None))
    ids = list(session.execute(under_way).scalars())
    last = _last(session, ids)
    rows: list[dict[str, object]] = []
    for campaign_id in ids:
        known = last.get(campaign_id)
        if known is not None and known[0] >= slot:
            continue
        totals = totals_of(over_accounts(counts(session, campaign_id)))
        if known is None or known[1] != totals:
            values = {"gone": totals.gone, "delivered": totals.delivered, "failed": totals.failed}
            rows.append({"campaign_id": campaign_id, "slot": slot, **values})
    return rows


def _last(session: Session, ids: Collection[UUID]) -> dict[UUID, tuple[int, Totals]]:
    return _edge(session, ids, func.max(CampaignSample.slot))


def _edge(
    session: Session, ids: Collection[UUID], which: ColumnElement[int], *where: ColumnElement[bool]
) -> dict[UUID, tuple[int, Totals]]:
    """One sample of each campaign: the newest or oldest of those that fit."""
    edge = (
        select(CampaignSample.campaign_id, which.label("slot"))
        .where(CampaignSample.campaign_id.in_(list(ids)), *where)
        .group_by(CampaignSample.campaign_id)
        .subquery()
    )
    query = select(CampaignSample).join(
        edge, (CampaignSample.campaign_id == edge.c.campaign_id) & (CampaignSample.slot == edge.c.slot)
    )
    return {row.campaign_id: (row.slot, _totals(row)) for row in session.execute(query).scalars()}


def _totals(row: CampaignSample) -> Totals:
    return Totals(row.gone, row.delivered, row.failed)


def history(session: Session, campaign_id: UUID, step: int, since: datetime | None = None) -> list[Sample]:
    """The samples every `step` slots, oldest first, and the newest one."""
    query = select(CampaignSample).where(CampaignSample.campaign_id == campaign_id)
    if since is not None:
        query = query.where(CampaignSample.slot >= slot_of(since))
    newest = select(func.max(CampaignSample.slot)).where(CampaignSample.campaign_id == campaign_id).scalar_subquery()
    query = query.where((CampaignSample.slot % step == 0) | (CampaignSample.slot == newest))
    rows = session.execute(query.order_by(CampaignSample.slot)).scalars()
    return [Sample(time_of(row.slot), _totals(row)) for row in rows]


def rates(
    session: Session, now: datetime, totals: Mapping[UUID, Totals], started: Mapping[UUID, datetime]
) -> dict[UUID, float]:
    """Messages a second that left in the last minute (or since the start), by campaign; absent: not known yet.

    `totals` are the campaigns' present ones, `started` when they began.
    """
    ago = now - timedelta(seconds=RATE_SECONDS)
    before = _edge(session, totals, func.max(CampaignSample.slot), CampaignSample.slot <= slot_of(ago))
    after = _edge(session, totals, func.min(CampaignSample.slot), CampaignSample.slot > slot_of(ago))
    found: dict[UUID, float] = {}
    for campaign_id, present in totals.items():
        first = _first(before.get(campaign_id), after.get(campaign_id), started.get(campaign_id), ago)
        if first is not None:
            found[campaign_id] = max(0, present.gone - first.totals.gone) / max(1.0, (now - first.at).total_seconds())
    return found


def _first(
    before: tuple[int, Totals] | None, after: tuple[int, Totals] | None, started: datetime | None, ago: datetime
) -> Sample | None:
    """The totals a minute ago: the last sample before it still held then."""
    if before is not None:
        return Sample(ago, before[1])
    if started is not None and started >= ago:
        return Sample(started, Totals(0, 0, 0))
    return None if after is None else Sample(time_of(after[0]), after[1])


def by_step(samples: Sequence[Sample], started: datetime, now: datetime, step: int) -> list[tuple[datetime, Totals]]:
    """What was added in each span of `step` slots from the start to now. Pure: gaps are spans in which nothing was."""
    width = step * SLOT_SECONDS
    first = int(started.timestamp()) // width
    last = max(first, int(now.timestamp()) // width)
    spans: list[tuple[datetime, Totals]] = []
    before, at = Totals(0, 0, 0), 0
    for number in range(first, last + 1):
        end = (number + 1) * width
        present = before
        while at < len(samples) and samples[at].at.timestamp() <= end:
            present, at = samples[at].totals, at + 1
        added = Totals(present.gone - before.gone, present.delivered - before.delivered, present.failed - before.failed)
        spans.append((datetime.fromtimestamp(number * width, UTC), added))
        before = present
    return spans
