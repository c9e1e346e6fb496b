"""Figures about campaigns, for the API, the command line and the demo alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.queries import counts, counts_of, over_accounts
from models.states import FINAL, CampaignState, MessageState
from models.tables import Campaign
from producer.guard import ERRORS


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a campaign stands. `by_account` holds the counters by account and state."""

    campaign: Campaign
    by_account: Mapping[str, Mapping[MessageState, int]]

    @property
    def by_state(self) -> dict[MessageState, int]:
        return over_accounts(self.by_account)

    @property
    def messages(self) -> int:
        return sum(self.by_state.values())

    @property
    def final(self) -> int:
        return sum(n for state, n in self.by_state.items() if state in FINAL)

    @property
    def left(self) -> int:
        """Messages that have not left yet."""
        return self.by_state.get(MessageState.QUEUED, 0)

    @property
    def delivered(self) -> int:
        return self.by_state.get(MessageState.DELIVERED, 0)

    @property
    def failed(self) -> int:
        return sum(n for state, n in self.by_state.items() if state in ERRORS)

    @property
    def reported(self) -> int:
        """Messages of which the end is known and that were tried: delivered and failed ones."""
        return self.delivered + self.failed

    @property
    def over(self) -> bool:
        """Nothing will change any more."""
        return self.campaign.finished_at is not None or self.campaign.state is CampaignState.FAILED

    def as_dict(self) -> dict[str, Any]:
        campaign = self.campaign
        return {
            "id": str(campaign.id),
            "name": campaign.name,
            "state": str(campaign.state),
            "state_reason": campaign.state_reason,
            "created_at": campaign.created_at,
            "started_at": campaign.started_at,
            "finished_at": campaign.finished_at,
            "purged_at": campaign.purged_at,
            "rows": campaign.rows_total,
            "rejected_rows": campaign.rows_rejected,
            "messages": self.messages,
            "segments": campaign.segments_total,
            "final": self.final,
            "states": {str(state): n for state, n in sorted(self.by_state.items())},
            "accounts": {
                account: {str(state): n for state, n in sorted(states.items())}
                for account, states in sorted(self.by_account.items())
            },
        }


def progress(session: Session, campaign_id: UUID) -> Progress | None:
    campaign = session.get(Campaign, campaign_id, populate_existing=True)
    return None if campaign is None else Progress(campaign, counts(session, campaign_id))


def listed(
    session: Session,
    limit: int,
    states: Collection[CampaignState] = (),
    name: str = "",
    before: UUID | None = None,
) -> list[Progress]:
    """Campaigns in these states whose name contains `name`, newest first, from the one after `before` on."""
    query = select(Campaign).order_by(Campaign.id.desc()).limit(limit)
    if states:
        query = query.where(Campaign.state.in_(states))
    if name:
        query = query.where(func.lower(Campaign.name).contains(name.lower(), autoescape=True))
    if before is not None:
        query = query.where(Campaign.id < before)
    campaigns = session.execute(query).scalars().all()
    counted = counts_of(session, [campaign.id for campaign in campaigns])
    return [Progress(campaign, counted.get(campaign.id, {})) for campaign in campaigns]


def recent(
    session: Session, limit: int, state: CampaignState | None = None, before: datetime | None = None
) -> list[Progress]:
    """Campaigns, newest first."""
    query = select(Campaign).order_by(Campaign.created_at.desc(), Campaign.id).limit(limit)
    if state is not None:
        query = query.where(Campaign.state == state)
    if before is not None:
        query = query.where(Campaign.created_at < before)
    return [Progress(campaign, counts(session, campaign.id)) for campaign in session.execute(query).scalars()]
