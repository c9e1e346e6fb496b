"""Retention: numbers, texts and raw reports of what ended long ago are erased; the statistics stay.

Campaign by campaign, in transactions of some hundred rows, so that sending goes on beside it. A purge that is killed is
taken up again where it stopped: whatever is erased is not found again. See `models.personal` for what is erased.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Select, exists, func, or_, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, aliased

from config.settings import Settings
from models.database import DEADLOCK_TRIES, Database, is_deadlock
from models.queries import NOT_FINAL
from models.states import CampaignState
from models.tables import Campaign, InboundMessage, InboxPage, Message, Recurring
from producer import retention_steps as steps
from producer.copies import Kind
from producer.retention_steps import Purged, Step

log = structlog.get_logger("drumline.retention")

T = TypeVar("T")

TICK_BUDGET = 20.0  # seconds of one tick of the scheduled purge
LEAST_DAYS = 1.0  # idempotency keys and replays reach back a day
REST = 0.5  # share of the time spent writing that is left to others: SQLite has one writer at a time
BREATH = 0.005  # seconds, at least

_OVER = (CampaignState.COMPLETED, CampaignState.CANCELLED, CampaignState.FAILED)


class TooYoung(ValueError):
    """Retention shorter than what the system itself still needs."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A campaign that a purge would take."""

    id: UUID
    name: str
    state: CampaignState
    finished_at: datetime | None
    rows_accepted: int


def least_age(settings: Settings) -> timedelta:
    """Younger numbers still count: for caps over all campaigns, for idempotency keys and replays."""
    return max(timedelta(days=LEAST_DAYS), timedelta(hours=settings.cap_hours if settings.cap_messages else 0))


def candidates(session: Session, before: datetime) -> list[Candidate]:
    """Campaigns that ended before that and that nothing else needs, the oldest first."""
    query = _due(before).with_only_columns(
        Campaign.id, Campaign.name, Campaign.state, Campaign.finished_at, Campaign.rows_accepted
    )
    return [Candidate(*row) for row in session.execute(query)]


def _due(before: datetime) -> Select[Any]:
    """Not: the source of a recurring campaign or of a copy that is being made; what a retry needs to know whom it has
    tried already (then the original goes first); anything with an open message."""
    copy, origin = aliased(Campaign), aliased(Campaign)
    recurring = exists().where(Recurring.campaign_id == Campaign.id, Recurring.next_at.is_not(None))
    copied = exists().where(
        copy.origin_id == Campaign.id, or_(copy.copy_due, copy.state == CampaignState.IMPORTING),
        copy.state.in_((CampaignState.DRAFT, CampaignState.IMPORTING)),
    )  # fmt: skip
    retry_of_kept = exists().where(
        origin.id == Campaign.origin_id, origin.purge_began_at.is_(None),
        Campaign.origin["kind"].as_string() == Kind.RETRY,
    )  # fmt: skip
    still_open = exists().where(Message.campaign_id == Campaign.id, Message.phase.in_(NOT_FINAL))
    return (
        select(Campaign)
        .where(
            Campaign.state.in_(_OVER), Campaign.finished_at < before, Campaign.purged_at.is_(None),
            ~recurring, ~copied, ~retry_of_kept, ~still_open,
        )
        .order_by(Campaign.created_at, Campaign.id)
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a purge would do."""

    campaigns: Sequence[Candidate]
    messages: int
    pages: int
    inbound: int


def forecast(session: Session, before: datetime) -> Forecast:
    """Changes nothing. Pages: raw reports by age alone; those that a campaign's own reports came in are not counted."""
    found = candidates(session, before)
    ids = [candidate.id for candidate in found]
    messages = select(func.count()).where(Message.campaign_id.in_(ids), Message.msisdn != "")
    pages = select(func.count()).where(InboxPage.received_at < before, InboxPage.parsed_at.is_not(None))
    inbound = select(func.count()).where(InboundMessage.received_at < before, InboundMessage.msisdn != "")
    figures = [session.execute(query).scalar_one() for query in (messages, pages, inbound)]
    return Forecast(found, *figures)


def purge(
    database: Database,
    older_than: timedelta,
    settings: Settings,
    *,
    budget: float | None = None,
    rest: Callable[[float], None] = time.sleep,
    tell: Callable[[Purged], None] = lambda so_far: None,
) -> Purged:
    """Erase what ended longer ago than that. `budget`: seconds after which it stops, to be called again.

    Raises TooYoung. On SQLite the freed bytes are overwritten.
    """
    if older_than < least_age(settings):
        raise TooYoung(f"purge what is older than {least_age(settings).total_seconds() / 86400:g} days or more")
    now = database.now()
    done, began = Purged(), time.monotonic()
    started = began
    for figures in _all(database, now - older_than, now):
        done += figures
        tell(done)
        if budget is not None and time.monotonic() - began > budget:
            done = replace(done, left=True)
            break
        rest(max(BREATH, REST * (time.monotonic() - started)))
        started = time.monotonic()
    forget_wal(database)
    return done


def tick(database: Database, settings: Settings) -> Purged:
    """One round of the scheduled purge (setting DRUMLINE_PURGE_AFTER_DAYS). Raises TooYoung."""
    done = purge(database, timedelta(days=settings.purge_after_days), settings, budget=TICK_BUDGET)
    if done.campaigns or done.left:
        log.info("purged", campaigns=done.campaigns, messages=done.messages, more=done.left)
    return done


def _all(database: Database, before: datetime, now: datetime) -> Iterator[Purged]:
    """Every transaction in order, carried out as it is asked for."""
    with database.read() as session:
        found = candidates(session, before)
    for candidate in found:
        yield from _walk(database, partial(steps.begin, campaign_id=candidate.id, now=now))
        for step in steps.OF_CAMPAIGN:
            yield from _walk(database, partial(step, campaign_id=candidate.id))
        yield from _walk(database, partial(steps.end, campaign_id=candidate.id, now=now))
    for by_age in steps.BY_AGE:
        yield from _walk(database, partial(by_age, before=before))


def _walk(database: Database, step: Callable[..., Step]) -> Iterator[Purged]:
    """One step from its first row to its last, some hundred rows in each transaction."""
    after: Any = None
    more = True
    while more:
        figures, after, more = in_short(database, partial(step, after=after))
        yield figures


def in_short(database: Database, work: Callable[[Session], T]) -> T:
    """One transaction that leaves no bytes behind. A report that comes late may cross it on PostgreSQL: then nothing
    was done, and again is right."""
    for left in reversed(range(DEADLOCK_TRIES)):
        try:
            with erasing(database) as session:
                return work(session)
        except DBAPIError as error:
            if not is_deadlock(error) or not left:
                raise
    raise AssertionError("the last try returns or raises")


@contextmanager
def erasing(database: Database) -> Iterator[Session]:
    """A writing transaction. SQLite overwrites what is freed in it; elsewhere it would stay readable in the file."""
    with database.write() as session:
        if database.dialect == "sqlite":
            session.connection().exec_driver_sql("PRAGMA secure_delete = ON")
        try:
            yield session
            session.flush()
        finally:
            if database.dialect == "sqlite":
                session.connection().exec_driver_sql("PRAGMA secure_delete = OFF")


def forget_wal(database: Database) -> None:
    """Bring SQLite's log into the file and empty it, as far as nobody reads: it holds the pages as they were."""
    if database.dialect == "sqlite":
        with database.engine.connect() as connection:
            connection.rollback()
            raw: Any = connection.connection.driver_connection
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def vacuum(database: Database) -> None:
    """Write the tables anew, without what was ever deleted in them. SQLite: nobody writes meanwhile, and it needs as
    much room again. PostgreSQL: beside all other work."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        raw: Any = connection.connection.driver_connection
        raw.execute("VACUUM")
    forget_wal(database)
