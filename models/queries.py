"""What several rooms ask the database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select, union_all
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from models.outbox import note_campaign
from models.phase import phase_of
from models.states import OPEN_AT_PROVIDER, MessageState
from models.tables import AccountStatus, Attempt, Base, Batch, Campaign, CampaignCount, CampaignEvent, Message
from models.trails import attempts_named

NOT_FINAL = (
    MessageState.QUEUED,
    MessageState.SUBMITTING,
    MessageState.SUBMITTED,
    MessageState.HELD,
    MessageState.SENT,
    MessageState.UNKNOWN,
)


BEFORE_ALL = -1  # row numbers begin after it


def insert_new(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert what is not there yet; rows that are there already stay as they are."""
    if rows:
        insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        session.connection().execute(insert(table).on_conflict_do_nothing(), list(rows))


class Due(NamedTuple):
    """What a submit needs of a queued message. Plain rows: loading whole messages costs five times as much."""

    id: UUID
    row_no: int
    msisdn: str
    sender: str
    text: str | None
    encoding: str
    segments: int
    tries: int
    looks: int
    ref_round: int
    expires_at: datetime | None


# Of the table, not of the class: a million rows need nothing of what makes objects of rows.
_M = Message.__table__.c
_DUE = tuple(_M[name] for name in Due._fields)


def due_messages(session: Session, batch_id: UUID, now: datetime, limit: int, after: int = BEFORE_ALL) -> list[Due]:
    """Queued messages of a batch that may leave now, in row order, those beyond row `after`."""
    query = (
        select(*_DUE)
        .where(
            _M.batch_id == batch_id,
            _M.row_no > after,
            _M.phase == MessageState.QUEUED,
            _M.state == MessageState.QUEUED,
            (_M.not_before.is_(None)) | (_M.not_before <= now),
        )
        .order_by(_M.row_no)
        .limit(limit)
    )
    return [Due._make(row) for row in session.execute(query).all()]


def counts(session: Session, campaign_id: UUID) -> dict[str, dict[MessageState, int]]:
    """Counters of a campaign by account and state."""
    query = select(CampaignCount.account, CampaignCount.state, CampaignCount.n).where(
        CampaignCount.campaign_id == campaign_id, CampaignCount.n != 0
    )
    result: dict[str, dict[MessageState, int]] = {}
    for account, state, n in session.execute(query):
        result.setdefault(account, {})[state] = n
    return result


def over_accounts(by_account: Mapping[str, Mapping[MessageState, int]]) -> dict[MessageState, int]:
    """Counters by state, over all accounts."""
    total: dict[MessageState, int] = {}
    for states in by_account.values():
        for state, n in states.items():
            total[state] = total.get(state, 0) + n
    return total


def counts_of(session: Session, campaign_ids: Sequence[UUID]) -> dict[UUID, dict[str, dict[MessageState, int]]]:
    """The same of several campaigns, in one query."""
    query = select(CampaignCount.campaign_id, CampaignCount.account, CampaignCount.state, CampaignCount.n).where(
        CampaignCount.campaign_id.in_(campaign_ids), CampaignCount.n != 0
    )
    result: dict[UUID, dict[str, dict[MessageState, int]]] = {}
    for campaign_id, account, state, n in session.execute(query):
        result.setdefault(campaign_id, {}).setdefault(account, {})[state] = n
    return result


def recount(session: Session, campaign_id: UUID) -> dict[str, dict[MessageState, int]]:
    """The same figures counted from the messages themselves."""
    query = (
        select(Message.account, Message.state, func.count())
        .where(Message.campaign_id == campaign_id)
        .group_by(Message.account, Message.state)
    )
    result: dict[str, dict[MessageState, int]] = {}
    for account, state, n in session.execute(query):
        result.setdefault(account, {})[state] = n
    return result


def all_final(session: Session, campaign_id: UUID) -> bool:
    """Asked of the messages, never of the counters; in one statement, for they move meanwhile.

    The first of each phase in the order of its index: for any of them PostgreSQL would rather read messages of other
    campaigns until it meets one.
    """
    mine = select(Message.id).where(Message.campaign_id == campaign_id).order_by(Message.row_no).limit(1)
    firsts = (mine.where(Message.phase == phase).subquery() for phase in dict.fromkeys(map(phase_of, NOT_FINAL)))
    return session.execute(union_all(*(select(first.c.id) for first in firsts)).limit(1)).first() is None


def oldest_open(session: Session, account: str) -> datetime | None:
    """When the oldest message that waits for its report was submitted."""
    query = select(func.min(Message.submitted_at)).where(
        Message.account == account, Message.phase.in_(tuple(OPEN_AT_PROVIDER)), Message.submitted_at.is_not(None)
    )
    return session.execute(query).scalar_one()


def may_have_carried(batches: Collection[UUID], trails: Iterable[str]) -> ColumnElement[bool]:
    """Requests of these batches, and those that the histories name: failover gives a message another batch, and its
    earlier requests stay with the first. Both are looked up by an index; which message it was, `message_ids` says."""
    named = frozenset[UUID]().union(*map(attempts_named, trails))
    return or_(Attempt.batch_id.in_(batches), Attempt.id.in_(named))


def recent_costs(
    session: Session, account: str, now: datetime, seconds: float, kinds: Sequence[str]
) -> list[tuple[float, int, int, int]]:
    """Requests of the last `seconds`: (age in seconds, requests, messages, segments). What a wiped limiter relearns."""
    query = select(Attempt.started_at, Attempt.messages, Attempt.segments).where(
        Attempt.account == account, Attempt.started_at > now - timedelta(seconds=seconds), Attempt.kind.in_(kinds)
    )
    return _costs(session, query, now)


def campaign_costs(
    session: Session, campaign_id: UUID, now: datetime, seconds: float
) -> list[tuple[float, int, int, int]]:
    """The same of one campaign, over all accounts."""
    query = (
        select(Attempt.started_at, Attempt.messages, Attempt.segments)
        .join(Batch, Batch.id == Attempt.batch_id)
        .where(Batch.campaign_id == campaign_id, Attempt.started_at > now - timedelta(seconds=seconds))
    )
    return _costs(session, query, now)


def sender_costs(
    session: Session, account: str, own_sender: str | None, sender: str, now: datetime, seconds: float
) -> list[tuple[float, int, int, int]]:
    """The same of one sender ID at an account. Replays name no batch: they count for every sender."""
    query = (
        select(Attempt.started_at, Attempt.messages, Attempt.segments)
        .outerjoin(Batch, Batch.id == Attempt.batch_id)
        .outerjoin(Campaign, Campaign.id == Batch.campaign_id)
        .where(
            Attempt.account == account,
            Attempt.started_at > now - timedelta(seconds=seconds),
            Attempt.kind.in_(("submit", "replay")),
        )
    )
    if own_sender is None:
        query = query.where((Campaign.sender == sender) | (Attempt.batch_id.is_(None)))
    return _costs(session, query, now)


def _costs(session: Session, query: Select[datetime, int, int], now: datetime) -> list[tuple[float, int, int, int]]:
    return [
        (max(0.0, (now - started).total_seconds()), 1, messages, segments)
        for started, messages, segments in session.execute(query)
    ]


def account_status(session: Session, account: str) -> AccountStatus:
    """The account's row, made on first sight."""
    found = session.get(AccountStatus, account)
    if found is None:
        insert_new(session, AccountStatus, [{"account": account, "snapshot": {}, "virtual_time": 0.0}])
        found = session.get_one(AccountStatus, account)
    return found


def note_event(session: Session, campaign_id: UUID, kind: str, detail: str, now: datetime) -> None:
    """One line of the campaign's timeline; whoever listens to the campaign is told."""
    session.add(CampaignEvent(campaign_id=campaign_id, at=now, kind=kind, detail=detail))
    note_campaign(session, campaign_id, kind, detail, now)
