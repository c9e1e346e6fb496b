"""Putting right what a crash left behind, and closing what time has decided. Every step is idempotent.

What a dead worker held becomes `unknown`, never `queued`: it may have left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session

from models import leases
from models.bulk import among
from models.imports import close_failed, close_stopped, open_source, take_back
from models.moves import Move, apply_moves
from models.phase import in_state
from models.queries import all_final, note_event
from models.states import OPEN_AT_PROVIDER, BatchState, CampaignState, MessageState
from models.tables import Batch, Campaign, CampaignCount, DeliveryReport, Message

log = structlog.get_logger("drumline.sweep")

AT_ONCE = 1000  # messages per transaction
PATIENCE = timedelta(hours=52)  # 48 h of validity, and a grace
LAST_LOOK = timedelta(hours=1)  # beyond a report's deadline, for the provider's last word on it
JOB_LOST_SECONDS = 30.0  # a job that nobody took in this time is put on Redis again
FIRST_LOOK = 10.0  # seconds, for an account that is not configured any more


@dataclass(frozen=True, slots=True)
class Swept:
    leases_ended: int = 0
    turned_unknown: int = 0
    jobs_lost: int = 0
    orphans: int = 0
    stranded: int = 0
    expired: int = 0
    no_report: int = 0
    cancelled: int = 0
    completed: int = 0

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


FirstLook = float | Mapping[str, float]
"""Seconds until the first look, the same for all or by account: a request may still be on its way to the provider."""


def end_leases(session: Session, now: datetime, first_look: FirstLook) -> tuple[int, int]:
    """Batches whose worker let the lease run out: what it had in its hands is unknown, the rest is due again."""
    batches = leases.ended(session, now)
    turned = _turn_unknown(session, Message.batch_id.in_([batch.id for batch in batches]), now, first_look)
    for batch in batches:
        due = leases.next_due(session, batch.id)
        batch.state = BatchState.DONE if due is None else BatchState.PLANNED
        batch.not_before = max(due, now) if due else now
        batch.lease_owner = None
        batch.lease_until = None
        batch.lease_token += 1  # locks the former owner out, even if the batch is leased again
    return len(batches), turned


def _turn_unknown(session: Session, which: ColumnElement[bool], now: datetime, first_look: FirstLook) -> int:
    columns = (Message.id, Message.account, Message.attempt_id)
    query = select(*columns).where(which, in_state(MessageState.SUBMITTING))
    moves = [
        Move(
            message_id,
            MessageState.UNKNOWN,
            "the worker died",
            {"not_before": now + timedelta(seconds=_seconds(first_look, account)), "looks": 0},
            attempt,
        )
        for message_id, account, attempt in session.execute(query)
    ]
    return len(apply_moves(session, moves, now))


def _seconds(first_look: FirstLook, account: str) -> float:
    return first_look.get(account, FIRST_LOOK) if isinstance(first_look, Mapping) else first_look


def free_orphans(session: Session, now: datetime, lease_seconds: float, first_look: FirstLook) -> int:
    """Messages `submitting` in a batch that nobody holds. Should not happen; must not stay.

    Only looked for where an account has nothing of the campaign in its hands: then nothing but these keeps it from its
    end. The counters are kept by every move: they say where, and spare an index that every submit would change.
    """
    held = exists().where(
        *leases.BUSY, Batch.state == BatchState.LEASED,
        Batch.account == CampaignCount.account, Batch.campaign_id == CampaignCount.campaign_id,
    )  # fmt: skip
    left = CampaignCount.state == MessageState.SUBMITTING, CampaignCount.n > 0, ~held
    query = select(CampaignCount.campaign_id, CampaignCount.account).where(*left)
    old = Message.attempted_at < now - timedelta(seconds=lease_seconds * 2)
    turned = 0
    for campaign_id, account in session.execute(query).all():
        orphaned = (Message.campaign_id == campaign_id) & (Message.account == account) & old
        turned += _turn_unknown(session, orphaned, now, first_look)
    return turned


def requeue_lost_jobs(session: Session, now: datetime, seconds: float = JOB_LOST_SECONDS) -> int:
    """Jobs that were put on Redis and taken by nobody: Redis was wiped, or the workers are away."""
    waiting = (
        select(Batch.id)
        .where(
            *leases.BUSY,
            Batch.state == BatchState.DISPATCHED,
            Batch.dispatched_at < now - timedelta(seconds=seconds),
        )
        .with_for_update(skip_locked=True)
    )
    return _plan_again(session, waiting)


def reopen_stranded(session: Session, now: datetime) -> int:
    """Batches that are done although something in them is queued. Should not happen; must not stay.

    Only looked for where a campaign has nothing else left to dispatch: then nothing but these keeps it from its end.
    """
    found = 0
    at_work = Campaign.state.in_((CampaignState.RUNNING, CampaignState.PAUSED))
    for campaign_id, account in _still_queued(session, at_work):
        own = _part(campaign_id, account)
        if _anything_open(session, *own):
            continue
        due = exists().where(Message.batch_id == Batch.id, in_state(MessageState.QUEUED))
        found += _plan_again(session, select(Batch.id).where(*own, Batch.state == BatchState.DONE, due))
    return found


def _still_queued(session: Session, *which: ColumnElement[bool]) -> Sequence[tuple[UUID, str]]:
    """Campaigns of this kind and their accounts that have something queued, by the counters: of the messages
    themselves PostgreSQL would at times read all that is queued."""
    query = select(CampaignCount.campaign_id, CampaignCount.account).where(
        CampaignCount.state == MessageState.QUEUED,
        CampaignCount.n > 0,
        CampaignCount.campaign_id.in_(select(Campaign.id).where(*which)),
    )
    return [(campaign_id, account) for campaign_id, account in session.execute(query)]


def _part(campaign_id: UUID, account: str) -> tuple[ColumnElement[bool], ...]:
    return Batch.campaign_id == campaign_id, Batch.account == account


def _anything_open(session: Session, *own: ColumnElement[bool]) -> bool:
    """Whether an account's part of a campaign has batches that are not done. In the order of the indexes of each: of a
    million batches PostgreSQL would read those that are done until it meets another."""
    planned = select(Batch.id).where(*own, Batch.state == BatchState.PLANNED).order_by(Batch.not_before)
    busy = select(Batch.id).where(*own, *leases.BUSY).order_by(Batch.state)
    return any(session.execute(one.limit(1)).first() for one in (planned, busy))


def _plan_again(session: Session, batches: Select[UUID]) -> int:
    again = update(Batch).where(Batch.id.in_(batches)).values(state=BatchState.PLANNED).returning(Batch.id)
    return len(session.execute(again).all())


def expire_queued(session: Session, now: datetime) -> int:
    """What could not leave within its validity is never sent late."""
    # By time, then by campaign: the other way round all that is queued is read, ten millions at times. That is what a
    # list of campaigns would make of it on SQLite, and on PostgreSQL an EXISTS, which it may turn into a join.
    campaign = select(Campaign.state).where(Campaign.id == Message.campaign_id).scalar_subquery()
    at_work = campaign.in_((CampaignState.RUNNING, CampaignState.PAUSED))
    query = select(Message.id).where(in_state(MessageState.QUEUED), Message.expires_at < now, at_work)
    values = {"code": "too_late", "reason": "could not leave within its validity"}
    moves = [
        Move(found, MessageState.EXPIRED, "too late to leave", values)
        for found in session.execute(query.order_by(Message.expires_at).limit(AT_ONCE)).scalars()
    ]
    return len(apply_moves(session, moves, now))


def close_unreported(
    session: Session, now: datetime, notes: Mapping[str, str | None], asked: Mapping[str, timedelta] | None = None
) -> int:
    """No report by the deadline. `notes`: why an account may rightly send none. `asked`: accounts that are asked for
    overdue reports, and how long a question may be under way. There a last answer is waited for, up to an hour:
    perhaps nobody was up to ask, or the provider had trouble of its own."""
    asked = asked or {}
    answered = (and_(Message.account == name, Message.not_before > now + wait) for name, wait in asked.items())
    settled = or_(Message.account.not_in(asked), *answered, Message.deadline < now - LAST_LOOK)
    query = (
        select(Message.id, Message.account, Message.provider_id)
        .where(Message.phase.in_(tuple(OPEN_AT_PROVIDER)), Message.deadline < now, settled)
        .order_by(Message.deadline)
        .limit(AT_ONCE)
    )
    overdue = session.execute(query).all()
    reported = _try_now(session, [one.provider_id for one in overdue if one.provider_id], now)
    moves = [
        Move(
            message_id,
            MessageState.EXPIRED,
            "no_dlr",
            {"code": "no_dlr", "reason": notes.get(account) or "no delivery report came in time"},
        )
        for message_id, account, provider_id in overdue
        if (account, provider_id) not in reported
    ]
    return len(apply_moves(session, moves, now))


def _try_now(session: Session, provider_ids: Sequence[str], now: datetime) -> set[tuple[str, str | None]]:
    """Reports that are here, but came before their message's id was written, and wait for their next try."""
    if not provider_ids:
        return set()
    hurried = (
        update(DeliveryReport)
        .where(
            DeliveryReport.applied_at.is_(None),
            DeliveryReport.next_try_at.is_not(None),
            among(session, DeliveryReport.provider_id, provider_ids),
        )
        .values(next_try_at=now)
        .returning(DeliveryReport.account, DeliveryReport.provider_id)
    )
    return {(account, provider_id) for account, provider_id in session.execute(hurried)}


def give_deadlines(session: Session, now: datetime, waits: Mapping[str, float] | None = None) -> int:
    """A report can prove an acceptance whose answer nobody recorded: such a message waits for its end as long as any
    other. `waits`: seconds by account."""
    late = (
        select(Message.id, Message.account)
        .where(Message.phase.in_(tuple(OPEN_AT_PROVIDER)), Message.deadline.is_(None))
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    found = session.execute(late).all()
    for account in {account for _, account in found}:
        wait = timedelta(seconds=waits[account]) if waits and account in waits else PATIENCE
        values = {"deadline": now + wait, "submitted_at": func.coalesce(Message.submitted_at, Message.attempted_at)}
        ids = [message_id for message_id, owner in found if owner == account]
        session.execute(update(Message).where(Message.id.in_(ids)).values(values))
    return len(found)


def cancel_queued(session: Session, now: datetime) -> int:
    """What came back from a worker or a look-up after its campaign was cancelled and closed (see workers.closing).
    Only once nothing of the campaign is planned any more, so that closing is done batch by batch."""
    left = _still_queued(session, Campaign.state == CampaignState.CANCELLED, Campaign.finished_at.is_(None))
    closing = {campaign for campaign, account in left if _anything_open(session, *_part(campaign, account))}
    moved = 0
    for campaign_id in dict.fromkeys(campaign for campaign, _ in left if campaign not in closing):
        queued = select(Message.id).where(Message.campaign_id == campaign_id, in_state(MessageState.QUEUED))
        found = session.execute(queued.limit(AT_ONCE)).scalars()
        moves = [Move(one, MessageState.CANCELLED, "campaign cancelled") for one in found]
        moved += len(apply_moves(session, moves, now))
    return moved


def complete_campaigns(session: Session, now: datetime) -> int:
    """A campaign is completed only when every message is final; a cancelled one only gets its end time."""
    open_states = (CampaignState.RUNNING, CampaignState.PAUSED, CampaignState.CANCELLED)
    query = select(Campaign).where(
        Campaign.state.in_(open_states),
        Campaign.finished_at.is_(None),
        Campaign.started_at.is_not(None),
        Campaign.import_until.is_(None),  # one that is sent while it is imported gets more messages yet
    )
    done = 0
    for campaign in session.execute(query).scalars():
        if all_final(session, campaign.id):
            campaign.finished_at = now
            if campaign.state is not CampaignState.CANCELLED:
                campaign.state = CampaignState.COMPLETED
                campaign.state_reason = None
            note_event(session, campaign.id, "completed", "every message is final", now)
            done += 1
    return done


def fail_dead_imports(session: Session, now: datetime) -> int:
    """An import whose process died is taken back, a part in every sweep; what is sent while it is imported stops where
    it is."""
    query = select(Campaign).where(Campaign.import_until < now)
    dead = session.execute(query.with_for_update(skip_locked=True)).scalars().all()
    for campaign in dead:
        source = open_source(session, campaign.id)
        number = source.number if source is not None else 1  # a copy of a campaign has no file
        if campaign.state is not CampaignState.IMPORTING:
            close_stopped(session, campaign, number, "its process died", now)
        elif not take_back(session, campaign.id, number):
            reason = "the import did not finish: its process died. Nothing was sent; import the file again."
            close_failed(session, campaign, number, reason, now)
    return len(dead)
