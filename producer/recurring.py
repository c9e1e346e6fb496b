"""Campaigns that are sent again and again: by a cron expression, each run a campaign of its own.

A run that was missed by more than the grace (everything was down) is left out and says so; it is never made up for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.queries import note_event
from models.states import CampaignState
from models.tables import Campaign, Recurring
from models.types import new_id
from models.windows import WindowError, check_zone
from producer.campaigns import CampaignError, find
from producer.copies import check_kept, new_run
from producer.cron import CronError, parse_cron

NOT_READY = frozenset({CampaignState.IMPORTING, CampaignState.FAILED})


@dataclass(frozen=True, slots=True)
class Due:
    """What one tick did: runs made, and runs that were missed."""

    made: Sequence[UUID]
    missed: int


def add(
    session: Session,
    campaign_id: UUID,
    cron: str,
    zone: str,
    now: datetime,
    name: str = "",
    api_key_id: UUID | None = None,
) -> Recurring:
    """Send a stored campaign's messages again at every time of `cron`. `api_key_id`: whose the runs are, if not the
    source's. Raises CampaignError."""
    source = find(session, campaign_id)
    check_kept(source)
    if source.state in NOT_READY or not source.rows_accepted:
        raise CampaignError("id", f"the campaign is {source.state} and has no recipients to send to again")
    entry = Recurring(
        id=new_id(), name=(name or source.name)[:200], campaign_id=source.id, cron=cron.strip()[:200], zone=zone,
        next_at=next_time(cron, zone, now), created_at=now, api_key_id=api_key_id,
    )  # fmt: skip
    session.add(entry)
    session.flush()
    note_event(session, source.id, "recurring_added", f"{entry.cron} {zone}, first {_shown(entry.next_at)}", now)
    return entry


def next_time(cron: str, zone: str, now: datetime) -> datetime:
    """Raises CampaignError naming `cron` or `zone`."""
    try:
        check_zone(zone)
        return parse_cron(cron).after(now, zone)
    except WindowError as error:
        raise CampaignError("zone", str(error)) from error
    except CronError as error:
        raise CampaignError("cron", str(error)) from error


def remove(session: Session, recurring_id: UUID, now: datetime) -> None:
    """No further runs; those already made go on. Raises CampaignError."""
    entry = session.get(Recurring, recurring_id, with_for_update=True)
    if entry is None or entry.next_at is None:
        raise CampaignError("id", f"there is no recurring campaign {recurring_id}")
    entry.next_at = None
    note_event(session, entry.campaign_id, "recurring_removed", entry.cron, now)


def active(session: Session) -> list[Recurring]:
    """Those that will run, the next one first."""
    query = select(Recurring).where(Recurring.next_at.is_not(None)).order_by(Recurring.next_at, Recurring.id)
    return list(session.execute(query).scalars())


def as_dict(entry: Recurring) -> dict[str, Any]:
    return {
        "id": str(entry.id),
        "name": entry.name,
        "campaign_id": str(entry.campaign_id),
        "cron": entry.cron,
        "zone": entry.zone,
        "next_at": entry.next_at,
        "last_at": entry.last_at,
        "last_campaign_id": str(entry.last_campaign_id) if entry.last_campaign_id else None,
    }


def run_due(session: Session, now: datetime, grace: float) -> Due:
    """Make the runs whose time has come. Safe to run twice at once: each is taken under its lock."""
    query = select(Recurring).where(Recurring.next_at <= now).with_for_update(skip_locked=True)
    made: list[UUID] = []
    missed = 0
    for entry in session.execute(query).scalars():
        due = entry.next_at or now
        cron = parse_cron(entry.cron)
        entry.next_at = cron.after(now, entry.zone)
        oldest = now - timedelta(seconds=grace)
        if due < oldest:
            missed += 1
            _note_missed(session, entry, due, now)
            due = cron.after(oldest, entry.zone)  # a later one may be within the grace
        if due <= now:
            made.append(_run(session, entry, due, now))
    return Due(made, missed)


def _run(session: Session, entry: Recurring, due: datetime, now: datetime) -> UUID:
    source = session.get_one(Campaign, entry.campaign_id)
    run = new_run(session, source, f"{entry.name} {due:%Y-%m-%d %H:%M}", entry.id, now, entry.api_key_id)
    entry.last_at, entry.last_campaign_id = due, run.id
    note_event(session, source.id, "recurring_run", f"run as campaign {run.id}, next {_shown(entry.next_at)}", now)
    return run.id


def _note_missed(session: Session, entry: Recurring, due: datetime, now: datetime) -> None:
    late = (now - due).total_seconds() / 60
    detail = f"the run of {_shown(due)} was missed by {late:.0f} minutes and is left out"
    note_event(session, entry.campaign_id, "recurring_missed", f"{detail}; next {_shown(entry.next_at)}", now)


def _shown(moment: datetime | None) -> str:
    return moment.isoformat(timespec="minutes") if moment else "never"
