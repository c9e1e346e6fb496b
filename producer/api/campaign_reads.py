"""How campaigns look to the API, and how far they are. Only counters are asked, never the messages."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from threading import Lock
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.options import adapter_options, max_parts
from models.queries import counts, over_accounts
from models.states import FINAL, CampaignState, MessageState
from models.tables import Attempt, Batch, Campaign, CampaignEvent
from producer.api.campaign_models import CampaignOut, CampaignSummary, Event, Progress

RATE_WINDOW = 60.0  # seconds
RATE_KEPT = 2.0  # seconds: many may look at one campaign
EVENTS = 50
_LEFT_TO_SEND = (MessageState.QUEUED, MessageState.SUBMITTING)

_rates: dict[UUID, tuple[float, float]] = {}
_rates_lock = Lock()


def summary(campaign: Campaign) -> CampaignSummary:
    return CampaignSummary.model_validate(campaign, from_attributes=True)


def details(session: Session, campaign: Campaign, now: datetime) -> CampaignOut:
    """Everything about a campaign."""
    by_account = counts(session, campaign.id)
    total = over_accounts(by_account)
    rate = _rate(session, campaign, now) if campaign.state is CampaignState.RUNNING else None
    return CampaignOut(
        **summary(campaign).model_dump(),
        template=campaign.template,
        template_name=campaign.template_name,
        template_version=campaign.template_version,
        routing=campaign.routing,
        route=campaign.route,
        options=adapter_options(campaign.options),
        max_parts=max_parts(campaign.options),
        weight=campaign.weight,
        max_rate=campaign.max_rate,
        failover=campaign.failover,
        validity=campaign.validity,
        on_unknown=campaign.on_unknown,
        source=campaign.source,
        steering=campaign.steering,
        canary=campaign.canary,
        origin_id=campaign.origin_id,
        counts=total,
        counts_by_account=by_account,
        progress=progress(total, rate),
        events=_events(session, campaign.id),
        rejects=rejects_path(campaign.id),
    )


def rejects_path(campaign_id: UUID) -> str:
    return f"/v1/campaigns/{campaign_id}/rejects.csv"


def progress(total: Mapping[MessageState, int], rate: float | None) -> Progress:
    """How far a campaign with these counts is, at this rate. Pure."""
    final = sum(n for state, n in total.items() if state in FINAL)
    everything = sum(total.values())
    left = sum(total.get(state, 0) for state in _LEFT_TO_SEND)
    return Progress(
        final=final,
        share=round(final / everything, 4) if everything else 0.0,
        rate=None if rate is None else round(rate, 2),
        eta_seconds=round(left / rate) if rate and left else None,
    )


def _events(session: Session, campaign_id: UUID) -> list[Event]:
    """The last ones, in the order they happened."""
    query = (
        select(CampaignEvent)
        .where(CampaignEvent.campaign_id == campaign_id)
        .order_by(CampaignEvent.id.desc())
        .limit(EVENTS)
    )
    found = session.execute(query).scalars().all()
    return [Event.model_validate(event, from_attributes=True) for event in reversed(found)]


def _rate(session: Session, campaign: Campaign, now: datetime) -> float:
    """Messages a second that left in the last minute, or since the start; counted every few seconds only."""
    with _rates_lock:
        counted_at, rate = _rates.get(campaign.id, (-RATE_KEPT, 0.0))
        if time.monotonic() - counted_at < RATE_KEPT:
            return rate
    running = (now - campaign.started_at).total_seconds() if campaign.started_at else RATE_WINDOW
    seconds = min(RATE_WINDOW, max(1.0, running))
    rate = _left(session, campaign, now - timedelta(seconds=seconds)) / seconds
    with _rates_lock:
        if len(_rates) > 1000:
            _rates.clear()
        _rates[campaign.id] = (time.monotonic(), rate)
    return rate


def _left(session: Session, campaign: Campaign, since: datetime) -> int:
    """Summed by batch before the batches are looked up: a batch has many requests."""
    by_batch = (
        select(Attempt.batch_id, func.sum(Attempt.messages).label("messages"))
        .where(
            Attempt.account.in_(list(campaign.route)),
            Attempt.started_at > since,
            Attempt.kind == "submit",
        )
        .group_by(Attempt.batch_id)
        .subquery()
    )
    query = (
        select(func.coalesce(func.sum(by_batch.c.messages), 0))
        .join(Batch, Batch.id == by_batch.c.batch_id)
        .where(Batch.campaign_id == campaign.id)
    )
    return int(session.execute(query).scalar_one())
