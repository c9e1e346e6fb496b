"""A campaign made of another's recipients: the failed ones again, or one more run of a recurring campaign.

The copy is frozen: numbers, texts, senders and references are those of the source, so the same is sent that was
previewed and priced. Opt-outs since then are honoured at submit. What may still be delivered is never copied.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, delete, func, insert, or_, select
from sqlalchemy.orm import Session, aliased

from models.database import Database
from models.moves import add_counts
from models.number_index import add_numbers
from models.plain import trail_line
from models.queries import note_event
from models.states import CampaignState, MessageState
from models.steering import steering_of
from models.tables import Batch, Campaign, CampaignCount, Message, MessageNumber
from models.types import new_id
from producer import quota
from producer.campaigns import CampaignError, find, start
from producer.dispatch import open_lanes
from producer.message_pages import Place, in_row_order
from producer.shaping import Batcher, Row, Shape

log = structlog.get_logger("drumline.copies")

AT_ONCE = 5000  # messages per transaction
SMALL = 100  # messages
LEASE = timedelta(seconds=300)  # without progress for so long, a copy counts as dead
RETRYABLE = (MessageState.FAILED, MessageState.EXPIRED, MessageState.UNDELIVERED, MessageState.REJECTED)
BY_DEFAULT = (MessageState.FAILED, MessageState.EXPIRED, MessageState.UNDELIVERED)
UNPROVEN = ("outcome_unknown", "no_dlr")
"""Failure codes of messages that were perhaps delivered after all: never sent again."""


class Kind(StrEnum):
    RETRY = "retry"
    RUN = "run"


def retry_failed(
    session: Session,
    campaign_id: UUID,
    now: datetime,
    states: Sequence[MessageState] = BY_DEFAULT,
    name: str = "",
    api_key_id: UUID | None = None,
) -> UUID:
    """A new campaign of an old one's failures, to be filled by `fill` and then started. Who was in an earlier retry of
    the same campaign is left to that one. `api_key_id`: whose it is, if not the source's. Raises CampaignError, or
    QuotaExceeded where that key has too little left today (it is taken when the copy starts)."""
    source = find(session, campaign_id)
    check_kept(source)
    wrong = sorted(set(states) - set(RETRYABLE))
    if wrong or not states:
        found = ", ".join(wrong) or "nothing"
        raise CampaignError("states", f"states: found {found}, expected some of {', '.join(sorted(RETRYABLE))}")
    if _retry_at_work(session, source.id):
        raise CampaignError("state", "a retry of this campaign is being made; look again when it is filled")
    bad = (Message.campaign_id == source.id, Message.phase.in_(tuple(states)), *_proven(source.id))
    chosen = session.execute(select(func.count()).where(*bad)).scalar_one()
    if not chosen:
        raise CampaignError("states", f"no message of the campaign is {' or '.join(states)} and proven undelivered")
    origin = {"kind": Kind.RETRY, "states": [str(state) for state in states]}
    made = _make(session, source, name or f"{source.name} (retry)", origin, now, api_key_id)
    quota.look(session, made, chosen, now)
    steering = steering_of(source.steering)
    made.steering = replace(steering, canary=None, pacing=None).as_json()  # a remainder: neither probed nor paced
    note_event(session, source.id, "retried", f"{chosen} messages again as campaign {made.id}", now)
    return made.id


def check_kept(source: Campaign) -> None:
    """Raises CampaignError once retention has begun to erase the campaign's numbers and texts."""
    if source.purge_began_at is not None:
        raise CampaignError("id", "the campaign's numbers and texts were erased by retention; there is nothing to copy")


def _retry_at_work(session: Session, source_id: UUID) -> bool:
    """Only what is filled already can be told apart: two at once would take the same recipients."""
    query = select(Campaign.origin).where(
        Campaign.origin_id == source_id, or_(Campaign.copy_due, Campaign.state == CampaignState.IMPORTING),
        Campaign.state.in_((CampaignState.DRAFT, CampaignState.IMPORTING)),
    )  # fmt: skip
    return any(origin and origin.get("kind") == Kind.RETRY for origin in session.execute(query).scalars())


def new_run(
    session: Session, source: Campaign, name: str, recurring_id: UUID, now: datetime, api_key_id: UUID | None = None
) -> Campaign:
    """One more run of a recurring campaign, to be filled by `fill` and then started."""
    return _make(session, source, name, {"kind": Kind.RUN, "recurring": str(recurring_id)}, now, api_key_id)


def _make(
    session: Session, source: Campaign, name: str, origin: Mapping[str, Any], now: datetime, api_key_id: UUID | None
) -> Campaign:
    """Like the source in everything, save where, when and by whom it is filled."""
    values = {column.key: getattr(source, column.key) for column in Campaign.__table__.columns}
    made = Campaign(**{**values, **_FRESH, "id": new_id(), "name": name[:200], "created_at": now,
                       "origin_id": source.id, "origin": dict(origin), "source": f"campaign {source.id}",
                       "api_key_id": api_key_id or source.api_key_id})  # fmt: skip
    session.add(made)
    session.flush()
    open_lanes(session, made.id, made.route)
    note_event(session, made.id, "created", f"{origin['kind']} of campaign {source.id}", now)
    return made


_FRESH: Mapping[str, Any] = {
    "state": CampaignState.DRAFT, "state_reason": None, "start_at": None, "started_at": None, "finished_at": None,
    "import_until": None, "rows_total": 0, "rows_accepted": 0, "rows_rejected": 0, "segments_total": 0,
    "anchor_at": None, "paused_at": None, "canary": None, "canary_at": None, "guard_marks": None, "copy_due": True,
    "stream": False, "purge_began_at": None, "purged_at": None, "quota_day": None, "quota_held": 0,
}  # fmt: skip


# --- whom ------------------------------------------------------------------------------------------------------------


def _proven(source_id: UUID) -> tuple[ColumnElement[bool], ...]:
    """Of messages that ended badly: those that did for certain, no report may still call delivered, and no earlier
    retry has taken."""
    again, retry = aliased(Message), aliased(Campaign)
    retried = (
        select(again.id)
        .join(retry, retry.id == again.campaign_id)
        .join(MessageNumber, MessageNumber.message_id == again.id)
        .where(
            MessageNumber.msisdn == Message.msisdn,
            retry.origin_id == source_id,
            retry.state.not_in((CampaignState.FAILED, CampaignState.CANCELLED)),
        )
        .exists()
    )
    return or_(Message.code.is_(None), Message.code.not_in(UNPROVEN)), ~retried


def _chosen(campaign: Campaign) -> tuple[UUID, Sequence[MessageState], tuple[ColumnElement[bool], ...]]:
    """Whose messages a copy takes, in which states (none: all) and under which further conditions."""
    origin = campaign.origin or {}
    if campaign.origin_id is None:
        raise CampaignError("id", f"campaign {campaign.id} is no copy")
    if origin.get("kind") == Kind.RETRY:
        return campaign.origin_id, [MessageState(state) for state in origin["states"]], _proven(campaign.origin_id)
    return campaign.origin_id, (), ()


# --- copying ---------------------------------------------------------------------------------------------------------


def fill(database: Database, accounts: Collection[str], campaign_id: UUID) -> bool:
    """Copy the recipients and start. False: nothing was to be done, or somebody else is at it. Raises CampaignError."""
    with database.write() as session:
        campaign = session.get(Campaign, campaign_id, with_for_update=True)
        if campaign is None or not campaign.copy_due or campaign.state is not CampaignState.DRAFT:
            return False
        campaign.state = CampaignState.IMPORTING
        campaign.import_until = database.now() + LEASE
    try:
        _Copy(database, campaign, accounts).run()
    except BaseException as error:
        _undo(database, campaign_id, f"{type(error).__name__}: {error}")
        raise
    return True


class _Copy:
    """One copy at work."""

    def __init__(self, database: Database, campaign: Campaign, accounts: Collection[str]) -> None:
        self._database = database
        self._campaign = campaign
        self._accounts = accounts
        self._shape = Shape(steering_of(campaign.steering))
        with database.read() as session:
            sizes = _sizes(session, campaign.origin_id)
        self._batcher = Batcher(campaign.id, sizes, self._shape, database.now)
        self._zones: dict[UUID, str | None] = {}
        self._segments = 0

    def run(self) -> None:
        for messages in self._pages():
            self._check_accounts(messages)
            self._know_zones(messages)
            for message in messages:
                self._segments += message.segments
                self._batcher.place(self._row(message), self._zones_of(message))
            self._write(last=False)
        self._write(last=True)

    def _pages(self) -> Iterator[Sequence[Message]]:
        """The source's messages in row order, read in short transactions."""
        source_id, states, further = _chosen(self._campaign)
        after: Place | None = None
        while True:
            with self._database.read() as session:
                messages = in_row_order(session, source_id, states, after, AT_ONCE, *further)
            if not messages:
                return
            yield messages
            after = (messages[-1].row_no, messages[-1].id)

    def _check_accounts(self, messages: Sequence[Message]) -> None:
        gone = sorted({message.account for message in messages} - set(self._accounts))
        if gone:
            raise CampaignError("route", f"the account {', '.join(gone)} is not configured any more")

    def _know_zones(self, messages: Sequence[Message]) -> None:
        """A row's own word on its zone is kept with its batch in the source."""
        if self._shape.steering.window is None:
            return
        wanted = {message.batch_id for message in messages} - self._zones.keys()
        with self._database.read() as session:
            query = select(Batch.id, Batch.zones).where(Batch.id.in_(wanted))
            self._zones |= dict(session.execute(query).all())

    def _zones_of(self, message: Message) -> str | None:
        return self._zones.get(message.batch_id) or self._shape.zones(message.msisdn)

    def _row(self, message: Message) -> Row:
        if message.text is None and self._campaign.common_text is None:
            raise CampaignError("text", "the texts of the source are erased already; import its recipients again")
        kept = {name: getattr(message, name) for name in _KEPT}
        trail = trail_line(MessageState.QUEUED, f"copied from message {message.id}", self._database.now())
        return {**kept, "id": new_id(), "campaign_id": self._campaign.id, "state": MessageState.QUEUED, "trail": trail}

    def _write(self, *, last: bool) -> None:
        batches, messages = self._batcher.take(last=last)
        now = self._database.now()
        with self._database.write() as session:
            campaign = find(session, self._campaign.id)
            if campaign.state is not CampaignState.IMPORTING:
                raise CampaignError("state", f"the campaign became {campaign.state} while it was filled")
            for table, rows in ((Batch, batches), (Message, messages)):
                if rows:
                    session.connection().execute(insert(table), rows)
            add_numbers(session, [(row["msisdn"], row["id"].hex) for row in messages])
            add_counts(session, _counted(messages))
            campaign.import_until = now + LEASE
            if last:
                self._finish(session, campaign, now)

    def _finish(self, session: Session, campaign: Campaign, now: datetime) -> None:
        copied = self._batcher.position
        campaign.rows_accepted = campaign.rows_total = copied
        campaign.segments_total = self._segments
        campaign.import_until = None
        campaign.copy_due = False
        campaign.state = CampaignState.DRAFT
        note_event(session, campaign.id, "imported", f"{copied} copied from campaign {campaign.origin_id}", now)
        start(session, campaign.id, now)


_KEPT = ("row_no", "account", "msisdn", "country", "sender", "text", "encoding", "segments", "reference")


def _sizes(session: Session, source_id: UUID | None) -> dict[str, int]:
    """A full batch is as large as the source's largest; an account that only took over messages makes small ones."""
    query = select(Batch.account, func.max(Batch.size)).where(Batch.campaign_id == source_id).group_by(Batch.account)
    return defaultdict(lambda: SMALL, session.execute(query).all())


def _counted(rows: Sequence[Row]) -> dict[tuple[UUID, str, str], int]:
    counted: dict[tuple[UUID, str, str], int] = {}
    for row in rows:
        key = (row["campaign_id"], str(row["account"]), str(MessageState.QUEUED))
        counted[key] = counted.get(key, 0) + 1
    return counted


def _undo(database: Database, campaign_id: UUID, reason: str) -> None:
    with database.write() as session:
        campaign = find(session, campaign_id)
        if campaign.state is not CampaignState.IMPORTING:
            return
        for table in (Message, Batch, CampaignCount):
            session.execute(delete(table).where(table.campaign_id == campaign_id))
        campaign.state = CampaignState.FAILED
        campaign.state_reason = reason[:2000]
        campaign.finished_at = database.now()
        note_event(session, campaign_id, "import_failed", reason[:2000], database.now())


def waiting(session: Session) -> list[UUID]:
    """Campaigns that still have to be filled."""
    query = select(Campaign.id).where(Campaign.copy_due, Campaign.state == CampaignState.DRAFT)
    return list(session.execute(query).scalars())
