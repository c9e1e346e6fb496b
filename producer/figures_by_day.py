"""What was started on each day: campaigns, messages by state, and what they cost. Days are UTC's.

Messages by state come from the counters; what they cost is summed from the messages, as everywhere.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.states import MessageState
from models.tables import Campaign, CampaignCount, Message

MOST_DAYS = 31


def by_day(session: Session, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """One line for each day on which a campaign started, from `since` to before `until`, the latest first."""
    started = (Campaign.started_at >= since, Campaign.started_at < until)
    campaigns = session.execute(select(Campaign.id, Campaign.started_at, Campaign.segments_total).where(*started)).all()
    day_of: dict[UUID, date] = {campaign_id: at.date() for campaign_id, at, _ in campaigns if at is not None}
    states: dict[date, dict[MessageState, int]] = defaultdict(lambda: defaultdict(int))
    counted = select(CampaignCount.campaign_id, CampaignCount.state, CampaignCount.n).join(
        Campaign, Campaign.id == CampaignCount.campaign_id
    )
    for campaign_id, state, n in session.execute(counted.where(*started, CampaignCount.n != 0)):
        states[day_of[campaign_id]][state] += n
    costs = _costs(session, since, until, day_of)
    days = sorted(set(day_of.values()), reverse=True)
    return [
        {
            "day": day,
            "campaigns": sum(1 for found in day_of.values() if found == day),
            "messages": sum(states[day].values()),
            "segments": sum(segments for campaign_id, _, segments in campaigns if day_of.get(campaign_id) == day),
            "states": dict(states[day]),
            "costs": costs.get(day, []),
        }
        for day in days
    ]


def _costs(
    session: Session, since: datetime, until: datetime, day_of: dict[UUID, date]
) -> dict[date, list[dict[str, Any]]]:
    query = (
        select(
            Message.campaign_id, Message.currency, func.count(),
            func.sum(func.coalesce(Message.parts, Message.segments)), func.sum(Message.price),
        )
        .join(Campaign, Campaign.id == Message.campaign_id)
        .where(Campaign.started_at >= since, Campaign.started_at < until, Message.price.is_not(None))
        .group_by(Message.campaign_id, Message.currency)
    )  # fmt: skip
    sums: dict[tuple[date, str | None], tuple[int, int, Decimal]] = {}
    for campaign_id, currency, messages, parts, price in session.execute(query):
        key = (day_of[campaign_id], currency)
        before = sums.get(key, (0, 0, Decimal(0)))
        sums[key] = (before[0] + messages, before[1] + int(parts), before[2] + (price or 0))
    found: dict[date, list[dict[str, Any]]] = defaultdict(list)
    for (day, currency), (messages, parts, price) in sorted(
        sums.items(), key=lambda item: (item[0][0], str(item[0][1]))
    ):
        found[day].append({"currency": currency, "messages": messages, "parts": parts, "price": price})
    return found
