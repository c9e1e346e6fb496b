"""Ending an import that did not reach the end of its file: what is taken back, and what stays.

Shared by the importer, which ends its own failures, and by the sweep, which ends those of a process that died.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from models.moves import add_counts
from models.phase import of_batches
from models.queries import counts, note_event, recount
from models.states import CampaignState, MessageState
from models.tables import Batch, Campaign, CampaignCount, Lane, Message, Reject, Source

BATCHES_AT_ONCE = 200  # deleted in one transaction: nobody waits long for the write lock of SQLite


def open_source(session: Session, campaign_id: UUID) -> Source | None:
    """The file that is being imported."""
    query = select(Source).where(Source.campaign_id == campaign_id, Source.state == "importing")
    return session.execute(query.order_by(Source.number.desc()).limit(1)).scalar_one_or_none()


def take_back(session: Session, campaign_id: UUID, number: int) -> bool:
    """Delete a part of what a file left behind. False: nothing is left."""
    query = select(Batch.id).where(Batch.campaign_id == campaign_id, Batch.source_no == number)
    ids = session.execute(query.limit(BATCHES_AT_ONCE)).scalars().all()
    if ids:
        session.execute(delete(Message).where(of_batches(campaign_id, ids)))
        session.execute(delete(Batch).where(Batch.id.in_(ids)))
    return bool(ids)


def close_failed(session: Session, campaign: Campaign, number: int, reason: str, now: datetime) -> None:
    """After `take_back`: a campaign with other files is a draft again, one without has failed."""
    session.execute(delete(Reject).where(Reject.campaign_id == campaign.id, Reject.source_no == number))
    _count_anew(session, campaign.id)
    _close_source(session, campaign.id, number, "failed", reason, now)
    _add_up(session, campaign)
    campaign.import_until = None
    campaign.state_reason = reason[:2000]
    if campaign.rows_total:
        campaign.state = CampaignState.DRAFT
    else:
        session.execute(delete(Lane).where(Lane.campaign_id == campaign.id))
        campaign.state = CampaignState.FAILED
        campaign.finished_at = now
    note_event(session, campaign.id, "import_failed", reason[:2000], now)


def close_stopped(session: Session, campaign: Campaign, number: int, reason: str, now: datetime) -> None:
    """A campaign that is sent while it is imported keeps what was read; it pauses, for somebody has to decide."""
    by_state: dict[MessageState, int] = {}
    for states in counts(session, campaign.id).values():
        for state, n in states.items():
            by_state[state] = by_state.get(state, 0) + n
    total, waiting = sum(by_state.values()), by_state.get(MessageState.QUEUED, 0)
    text = (
        f"the import stopped: {reason}. {total} messages are in, {total - waiting} of them have left. "
        "Resume it to send what is in, or cancel it"
    )[:2000]
    source = session.get(Source, (campaign.id, number))
    if source is not None:
        source.rows_accepted = campaign.rows_accepted - _sum_of_others(session, campaign.id, number)
    _close_source(session, campaign.id, number, "stopped", reason, now)
    campaign.import_until = None
    if campaign.state is CampaignState.RUNNING:
        campaign.state = CampaignState.PAUSED
        campaign.state_reason = text
    note_event(session, campaign.id, "import_stopped", text, now)


def _close_source(session: Session, campaign_id: UUID, number: int, state: str, reason: str, now: datetime) -> None:
    source = session.get(Source, (campaign_id, number))
    if source is not None:
        source.state, source.reason, source.ended_at = state, reason[:2000], now
        session.flush()


def _count_anew(session: Session, campaign_id: UUID) -> None:
    session.execute(delete(CampaignCount).where(CampaignCount.campaign_id == campaign_id))
    found = recount(session, campaign_id)
    add_counts(session, {(campaign_id, account, str(s)): n for account, by in found.items() for s, n in by.items()})


def _add_up(session: Session, campaign: Campaign) -> None:
    """The campaign's totals from the files that count."""
    query = select(
        func.coalesce(func.sum(Source.rows_accepted), 0),
        func.coalesce(func.sum(Source.rows_rejected), 0),
        func.coalesce(func.sum(Source.segments), 0),
    ).where(Source.campaign_id == campaign.id, Source.state == "done")
    accepted, rejected, segments = session.execute(query).one()
    campaign.rows_accepted, campaign.rows_rejected, campaign.segments_total = (
        int(accepted),
        int(rejected),
        int(segments),
    )
    campaign.rows_total = campaign.rows_accepted + campaign.rows_rejected


def _sum_of_others(session: Session, campaign_id: UUID, number: int) -> int:
    query = select(func.coalesce(func.sum(Source.rows_accepted), 0)).where(
        Source.campaign_id == campaign_id, Source.number != number, Source.state == "done"
    )
    return int(session.execute(query).scalar_one())
