"""What is to come: scheduled campaigns, recurring ones, and times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.states import CampaignState
from models.tables import Campaign
from models.windows import WindowError, check_zone
from producer import recurring
from producer.campaigns import CampaignError

FIRST_YEAR, LAST_YEAR = 1970, 9000


def in_calendar(moment: datetime) -> bool:
    """At the ends of the calendar a zone's offset, or a validity, would lead out of it."""
    return FIRST_YEAR <= moment.year <= LAST_YEAR


def moment_of(text: str, zone: str, field: str = "at") -> datetime:
    """A time with its offset, or a wall clock's time in `zone`. One that the clock leaves out when it goes forward is
    refused; of two when it goes back the first is meant. Raises CampaignError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CampaignError(field, f"{field}: found {text!r}, expected a time like 2026-12-01T09:00+01:00") from None
    if not in_calendar(moment):
        expected = f"expected a time between the years {FIRST_YEAR} and {LAST_YEAR}"
        raise CampaignError(field, f"{field}: found {text!r}, {expected}")
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    try:
        local = moment.replace(tzinfo=ZoneInfo(check_zone(zone)))
    except WindowError as error:
        raise CampaignError("zone", str(error)) from error
    if local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) != moment:
        raise CampaignError(field, f"{field}: the clocks of {zone} leave out {text}: they go forward then")
    return local.astimezone(UTC)


def upcoming(session: Session) -> list[dict[str, Any]]:
    """Scheduled campaigns and the next runs of recurring ones, the next first."""
    query = select(Campaign).where(Campaign.state == CampaignState.SCHEDULED)
    found = [
        {
            "at": campaign.start_at,
            "kind": "campaign",
            "id": str(campaign.id),
            "name": campaign.name,
            "messages": campaign.rows_accepted,
        }
        for campaign in session.execute(query).scalars()
    ]
    found += [
        {
            "at": entry.next_at,
            "kind": "recurring",
            "id": str(entry.id),
            "name": entry.name,
            "messages": session.get_one(Campaign, entry.campaign_id).rows_accepted,
        }
        for entry in recurring.active(session)
    ]
    return sorted(found, key=lambda item: str(item["at"]))
