"""The tables: the only record of what was asked, tried and reported. Nouns as in the architecture page.

One file although it is long: every module means these classes by this name, and a schema is read as a whole.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    false,
)
from sqlalchemy import text as sql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from models.states import BatchState, CampaignState, CanaryState, MessageState
from models.types import Money, SmallCount, Told, UtcDateTime, Word, new_id

# On SQLite only INTEGER PRIMARY KEY counts up by itself.
Serial = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime(),
        Decimal: Money(),
        dict[str, Any]: JSON(),
        list[str]: JSON(),
        UUID: Uuid(),
    }


class Campaign(Base):
    """Who is told what, by whom, through which accounts, from when to when."""

    __tablename__ = "campaigns"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(Told(200))
    state: Mapped[CampaignState] = mapped_column(Word(CampaignState))
    state_reason: Mapped[str | None] = mapped_column(Told())
    sender: Mapped[str] = mapped_column(String(64))
    template: Mapped[str] = mapped_column(Text)
    template_name: Mapped[str | None] = mapped_column(String(100))  # where the text was taken from; it is pinned here
    template_version: Mapped[int | None] = mapped_column(Integer)
    missing: Mapped[str | None] = mapped_column(Text)  # stands for a value that a row has not; None: the row is refused
    gsm7_only: Mapped[bool] = mapped_column(Boolean, default=False, server_default=sql("false"))
    common_text: Mapped[str | None] = mapped_column(Text)  # set when the template has no variables
    route: Mapped[dict[str, Any]]  # account name -> weight; 0: only by a rule or as failover
    routing: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")  # rules, failover, senders, ...
    region: Mapped[str | None] = mapped_column(String(2))  # country of numbers without a country code
    stream: Mapped[bool] = mapped_column(Boolean, default=False, server_default=sql("false"))  # send while importing
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)  # handed to the adapter with every message
    priority: Mapped[str] = mapped_column(String(10), default="normal")
    weight: Mapped[int] = mapped_column(Integer, default=1)
    max_rate: Mapped[float | None] = mapped_column(Double)  # messages a second over all accounts
    validity: Mapped[int | None] = mapped_column(Integer)  # seconds
    on_unknown: Mapped[str] = mapped_column(String(10), default="give_up")
    # Whether messages may move to another account of the route while theirs is out of order.
    failover: Mapped[bool] = mapped_column(Boolean, default=True, server_default=sql("true"))
    start_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    import_until: Mapped[datetime | None]  # lease of whoever imports; ended means the importer died
    source: Mapped[str | None] = mapped_column(Told(255))
    api_key_id: Mapped[UUID | None] = mapped_column()  # who made it through the API: its endpoints are told
    rows_total: Mapped[int] = mapped_column(Integer, default=0)
    rows_accepted: Mapped[int] = mapped_column(Integer, default=0)
    rows_rejected: Mapped[int] = mapped_column(Integer, default=0)
    segments_total: Mapped[int] = mapped_column(BigInteger, default=0)
    steering: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")  # see models.steering
    anchor_at: Mapped[datetime | None]  # pace and validity count from here: the start, moved on by pauses
    paused_at: Mapped[datetime | None]
    canary: Mapped[CanaryState | None] = mapped_column(Word(CanaryState))
    canary_at: Mapped[datetime | None]  # when the last message of the canary had left
    guard_marks: Mapped[list[list[int]] | None] = mapped_column(JSON(none_as_null=True))  # see producer.guard
    origin_id: Mapped[UUID | None] = mapped_column(index=True)  # the campaign whose recipients this one copies
    origin: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # how; see producer.copies
    copy_due: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())  # still to be copied
    purge_began_at: Mapped[datetime | None]  # from here on its numbers and texts are being erased
    purged_at: Mapped[datetime | None]  # all of them are
    quota_day: Mapped[date | None]  # of whose quota of its key it holds a part; see producer.quota
    quota_held: Mapped[int] = mapped_column(Integer, default=0, server_default="0")  # messages

    __table_args__ = (Index("ix_campaigns_state", "state", "id"),)


class Source(Base):
    """One file (or inline list) of a campaign, numbered from 1. `row_no` of messages and rejects is a row of it."""

    __tablename__ = "sources"

    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    name: Mapped[str | None] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(10))  # importing | done | failed (nothing kept) | stopped (streamed)
    reason: Mapped[str | None] = mapped_column(Text)
    rows_accepted: Mapped[int] = mapped_column(Integer, default=0)
    rows_rejected: Mapped[int] = mapped_column(Integer, default=0)
    segments: Mapped[int] = mapped_column(BigInteger, default=0)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class TemplateText(Base):
    """One version of a named template. Versions are never changed; a campaign pins one."""

    __tablename__ = "templates"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(Text)
    missing: Mapped[str | None] = mapped_column(Text)
    gsm7_only: Mapped[bool] = mapped_column(Boolean, default=False)
    note: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime]
    retired_at: Mapped[datetime | None]  # not offered any more; campaigns that pinned it go on


class Batch(Base):
    """A slice of one campaign for one account; one Celery job. Its lease protects the work."""

    __tablename__ = "batches"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"))
    source_no: Mapped[int] = mapped_column(SmallInteger, default=1, server_default="1")  # `sources.number`
    account: Mapped[str] = mapped_column(String(31))
    size: Mapped[int] = mapped_column(Integer)
    state: Mapped[BatchState] = mapped_column(Word(BatchState), default=BatchState.PLANNED)
    not_before: Mapped[datetime]
    dispatched_at: Mapped[datetime | None]
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    lease_token: Mapped[int] = mapped_column(Integer, default=0)  # counts leases: the fence
    lease_until: Mapped[datetime | None]
    position: Mapped[int] = mapped_column(Integer, default=0, server_default="0")  # of its first message, from 0
    zones: Mapped[str | None] = mapped_column(Text)  # where its recipients are; None: not known, ask the messages

    __table_args__ = (
        Index("ix_batches_due", "account", "campaign_id", "not_before", "id",
              postgresql_where=sql("state = 'planned'"), sqlite_where=sql("state = 'planned'")),
        Index("ix_batches_busy", "account", "state", postgresql_where=sql("state IN ('dispatched', 'leased')"),
              sqlite_where=sql("state IN ('dispatched', 'leased')")),
        Index("ix_batches_campaign_id", "campaign_id"),
    )  # fmt: skip


_OPEN = "phase IN ('submitted', 'held', 'sent')"


class Message(Base):
    """One MT to one MSISDN, from import to its final state. `trail` is its history, one line per transition."""

    __tablename__ = "messages"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    campaign_id: Mapped[UUID] = mapped_column()  # no foreign key: looking each up is a quarter of an import's cost
    batch_id: Mapped[UUID] = mapped_column()
    source_no: Mapped[int] = mapped_column(SmallInteger, default=1, server_default="1")  # `sources.number`
    row_no: Mapped[int] = mapped_column(Integer)
    account: Mapped[str] = mapped_column(String(31))
    msisdn: Mapped[str] = mapped_column(String(17))
    country: Mapped[str | None] = mapped_column(String(2))
    sender: Mapped[str] = mapped_column(String(64))
    text: Mapped[str | None] = mapped_column(Text)  # None: the campaign's common text
    encoding: Mapped[str] = mapped_column(String(5))
    segments: Mapped[int] = mapped_column(SmallInteger)
    reference: Mapped[str | None] = mapped_column(Told(128))  # the client's own
    state: Mapped[MessageState] = mapped_column(Word(MessageState), default=MessageState.QUEUED)
    not_before: Mapped[datetime | None]  # queued: not due before; unknown: when to look next
    tries: Mapped[int] = mapped_column(SmallInteger, default=0)  # refusals spent, never rate waits
    looks: Mapped[int] = mapped_column(SmallInteger, default=0)
    ref_round: Mapped[int] = mapped_column(SmallInteger, default=1)
    attempt_id: Mapped[UUID | None] = mapped_column()  # the last one: the fence of whoever records its answer
    attempted_at: Mapped[datetime | None]
    provider_id: Mapped[str | None] = mapped_column(Told(128))
    group_id: Mapped[str | None] = mapped_column(Told(128))
    submitted_at: Mapped[datetime | None]
    final_at: Mapped[datetime | None]
    provider_at: Mapped[datetime | None]  # delivered (or failed) when, by the provider's clock
    held_until: Mapped[datetime | None]  # when the provider lets it go, where it said so
    deadline: Mapped[datetime | None]  # no report by then: expired (no_dlr)
    code: Mapped[str | None] = mapped_column(Told(64))
    klass: Mapped[str | None] = mapped_column(Told(20))
    reason: Mapped[str | None] = mapped_column(Told(300))
    parts: Mapped[int | None] = mapped_column(SmallCount)
    price: Mapped[Decimal | None]
    currency: Mapped[str | None] = mapped_column(Told(8))
    network: Mapped[str | None] = mapped_column(Told(64))
    channel: Mapped[str | None] = mapped_column(Told(16))
    read_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]  # cannot leave after this
    trail: Mapped[str] = mapped_column(Told(), default="")
    # What the indexes know: an intent that changed an indexed column would cost an entry in each of them.
    phase: Mapped[MessageState] = mapped_column(Word(MessageState), server_default="queued", deferred=True)

    __table_args__ = (
        # Those of a batch, of a campaign and of what is open say that what they order by is there: so PostgreSQL takes
        # them for looks that ask for it and for no others, whatever it believes of new rows. (SQLite would not know
        # that a batch it is asked for is one.)
        Index("ix_messages_batch", "batch_id", "row_no",
              postgresql_where=sql("phase = 'queued' AND batch_id IS NOT NULL"), sqlite_where=sql("phase = 'queued'")),
        Index("ix_messages_provider_id", "account", "provider_id", postgresql_where=sql("provider_id IS NOT NULL"),
              sqlite_where=sql("provider_id IS NOT NULL")),
        Index("ix_messages_unknown", "account", "not_before", postgresql_where=sql("phase = 'unknown'"),
              sqlite_where=sql("phase = 'unknown'")),
        Index("ix_messages_open", "account", "submitted_at",
              postgresql_where=sql(f"{_OPEN} AND submitted_at IS NOT NULL"),
              sqlite_where=sql(f"{_OPEN} AND submitted_at IS NOT NULL")),
        Index("ix_messages_endless", "account",  # mostly nobody
              postgresql_where=sql(f"{_OPEN} AND deadline IS NULL"), sqlite_where=sql(f"{_OPEN} AND deadline IS NULL")),
        Index("ix_messages_held", "account", "held_until",
              postgresql_where=sql("phase = 'held'"), sqlite_where=sql("phase = 'held'")),
        Index("ix_messages_deadline", "deadline",
              postgresql_where=sql(f"{_OPEN} AND deadline IS NOT NULL"),
              sqlite_where=sql(f"{_OPEN} AND deadline IS NOT NULL")),
        Index("ix_messages_expiring", "expires_at",
              postgresql_where=sql("phase = 'queued' AND expires_at IS NOT NULL"),
              sqlite_where=sql("phase = 'queued' AND expires_at IS NOT NULL")),
        Index("ix_messages_state", "campaign_id", "phase", "row_no",  # all lists; whether all are final
              postgresql_where=sql("campaign_id IS NOT NULL")),
    )  # fmt: skip

    @property
    def ref(self) -> str:
        """Our client reference on the wire: stable per message, renewed only after a remembered refusal."""
        return client_ref(self.id, self.ref_round)


class MessageNumber(Base):
    """The messages to a number, for its history and the frequency caps: an index that is a table. Whoever inserts
    messages fills it (`models.number_index`), triggers empty it. PostgreSQL writes an entry into every index of
    `messages` each time a message moves; in one of numbers these stand at random places, and where millions are kept it
    is larger than the memory."""

    __tablename__ = "message_numbers"

    msisdn: Mapped[str] = mapped_column(String(17), primary_key=True)
    message_id: Mapped[UUID] = mapped_column(primary_key=True)

    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - as the library declares it


def client_ref(message_id: UUID, ref_round: int) -> str:
    return str(message_id) if ref_round <= 1 else f"{message_id}-r{ref_round}"


def message_id_of(ref: str) -> UUID | None:
    """The message a client reference belongs to, or None when it is not one of ours."""
    try:
        return UUID(ref[:36])
    except ValueError:
        return None


def ref_round_of(ref: str) -> int | None:
    """The round a client reference was made in, or None when it does not say."""
    match ref[36:].partition("-r"):
        case ("", "", ""):
            return 1
        case ("", "-r", number) if number.isdecimal() and len(number) < 5:
            return int(number)
        case _:
            return None


class Attempt(Base):
    """One HTTP request to one account. Written before a byte leaves; ended with its answer."""

    __tablename__ = "attempts"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    account: Mapped[str] = mapped_column(String(31))
    kind: Mapped[str] = mapped_column(String(10))  # submit | replay | look_up | poll | probe
    batch_id: Mapped[UUID | None] = mapped_column()
    started_at: Mapped[datetime]
    elapsed_ms: Mapped[int | None] = mapped_column(Integer)  # None: no answer was recorded
    status: Mapped[int | None] = mapped_column(SmallInteger)
    outcome: Mapped[str | None] = mapped_column(Told(20))
    reason: Mapped[str | None] = mapped_column(Told(300))
    request_id: Mapped[str | None] = mapped_column(Told(128))
    messages: Mapped[int] = mapped_column(Integer, default=0)
    segments: Mapped[int] = mapped_column(Integer, default=0)
    message_ids: Mapped[list[str] | None] = mapped_column()
    body: Mapped[bytes | None] = mapped_column(LargeBinary)  # kept while a byte-identical replay may be needed

    __table_args__ = (Index("ix_attempts_recent", "account", "started_at"), Index("ix_attempts_batch_id", "batch_id"))


class InboxPage(Base):
    """A report page or push exactly as it came, stored before anybody parses it."""

    __tablename__ = "inbox"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    account: Mapped[str] = mapped_column(String(31))
    kind: Mapped[str] = mapped_column(String(10))  # pull | push | look_up
    received_at: Mapped[datetime]
    content_type: Mapped[str] = mapped_column(Told(100), default="")
    query: Mapped[str] = mapped_column(Told(), default="")
    body: Mapped[bytes] = mapped_column(LargeBinary)
    parsed_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Told())

    __table_args__ = (
        Index("ix_inbox_new", "id", postgresql_where=sql("parsed_at IS NULL"), sqlite_where=sql("parsed_at IS NULL")),
    )


class DeliveryReport(Base):
    """One report out of the inbox. `applied_at` None: its message is not known (yet)."""

    __tablename__ = "delivery_reports"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    account: Mapped[str] = mapped_column(String(31))
    dedupe: Mapped[str] = mapped_column(Told(200))
    inbox_id: Mapped[int | None] = mapped_column(BigInteger)
    received_at: Mapped[datetime]
    provider_id: Mapped[str | None] = mapped_column(Told(128))
    ref: Mapped[str | None] = mapped_column(Told(200))
    msisdn: Mapped[str | None] = mapped_column(Told(32))
    state: Mapped[MessageState | None] = mapped_column(Word(MessageState))
    raw_status: Mapped[str] = mapped_column(Told(100), default="")
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    message_id: Mapped[UUID | None] = mapped_column()
    applied_at: Mapped[datetime | None]
    effect: Mapped[str | None] = mapped_column(Told(40))  # what it did: moved, repeated, late, ...
    tries: Mapped[int] = mapped_column(SmallInteger, default=0)
    next_try_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("account", "dedupe"),
        Index("ix_delivery_reports_message_id", "message_id"),
        Index("ix_delivery_reports_waiting", "next_try_at", postgresql_where=sql("applied_at IS NULL"),
              sqlite_where=sql("applied_at IS NULL")),
    )  # fmt: skip


class CampaignCount(Base):
    """How many messages of a campaign are in a state at an account. Kept in the transaction that moves them."""

    __tablename__ = "campaign_counts"

    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    account: Mapped[str] = mapped_column(String(31), primary_key=True)
    state: Mapped[MessageState] = mapped_column(Word(MessageState), primary_key=True)
    n: Mapped[int] = mapped_column(Integer, default=0)


class CampaignSample(Base):
    """A campaign's totals at a moment: what rates over time are drawn from. Written only when something changed."""

    __tablename__ = "campaign_samples"

    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    slot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)  # see producer.samples
    gone: Mapped[int] = mapped_column(Integer)  # messages that have left
    delivered: Mapped[int] = mapped_column(Integer)
    failed: Mapped[int] = mapped_column(Integer)


class Lane(Base):
    """A campaign's place in the fair queue of one account. `finish` is its virtual finish time."""

    __tablename__ = "lanes"

    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    account: Mapped[str] = mapped_column(String(31), primary_key=True)
    finish: Mapped[float] = mapped_column(Double, default=0.0)


class AccountStatus(Base):
    """What the workers last said of an account (limiter, breaker), and when to poll it next."""

    __tablename__ = "account_status"

    account: Mapped[str] = mapped_column(String(31), primary_key=True)
    snapshot: Mapped[dict[str, Any]] = mapped_column(default=dict)
    updated_at: Mapped[datetime | None]
    parked_until: Mapped[datetime | None]  # breaker open or blocked: nothing is dispatched before
    # The breaker is not closed: one batch at a time, whose first request is the probe.
    trial: Mapped[bool] = mapped_column(Boolean, default=False, server_default=sql("false"))
    order_word: Mapped[str | None] = mapped_column(String(20))  # what an operator wants done, until it is done
    order_note: Mapped[str | None] = mapped_column(String(300))
    next_poll_at: Mapped[datetime | None]
    polled_at: Mapped[datetime | None]  # when the last poll that read everything it wanted began
    virtual_time: Mapped[float] = mapped_column(Double, default=0.0)


class TallyRow(Base):
    """A counter of the metrics, over all processes; see `models.tallies`. It only ever grows."""

    __tablename__ = "tallies"

    name: Mapped[str] = mapped_column(String(30), primary_key=True)
    account: Mapped[str] = mapped_column(String(31), primary_key=True)
    labels: Mapped[str] = mapped_column(String(80), primary_key=True)  # values joined by |
    n: Mapped[float] = mapped_column(Double, default=0.0)


class Suppression(Base):
    """An opted-out MSISDN; `sender` empty means every sender."""

    __tablename__ = "suppressions"

    msisdn: Mapped[str] = mapped_column(String(17), primary_key=True)
    sender: Mapped[str] = mapped_column(Told(64), primary_key=True, default="")
    source: Mapped[str] = mapped_column(Told(64), default="")
    created_at: Mapped[datetime]


class SuppressionDigest(Base):
    """An opted-out MSISDN that was erased: see `models.forgotten`. `key_mark` tells which key made the digest."""

    __tablename__ = "suppression_digests"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    sender: Mapped[str] = mapped_column(Told(64), primary_key=True, default="")
    source: Mapped[str] = mapped_column(Told(64), default="")
    key_mark: Mapped[str] = mapped_column(String(16), index=True)
    created_at: Mapped[datetime]


class Reject(Base):
    """An input row that did not become a message, with the reason. The reject file is made of these."""

    __tablename__ = "rejects"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"))
    source_no: Mapped[int] = mapped_column(SmallInteger, default=1, server_default="1")  # `sources.number`
    row_no: Mapped[int] = mapped_column(Integer)
    column: Mapped[str] = mapped_column(Told(100), default="")
    value: Mapped[str] = mapped_column(Told(200), default="")
    code: Mapped[str] = mapped_column(Told(40))
    reason: Mapped[str] = mapped_column(Told(400))

    __table_args__ = (Index("ix_rejects_campaign_id", "campaign_id", "id"),)


class CampaignEvent(Base):
    """The timeline of a campaign: started, paused and why, finished."""

    __tablename__ = "campaign_events"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"))
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(Told(40))
    detail: Mapped[str] = mapped_column(Told(), default="")

    __table_args__ = (Index("ix_campaign_events_campaign_id", "campaign_id", "id"),)


class Recurring(Base):
    """A campaign sent again and again: each run is a campaign of its own with the same recipients and texts."""

    __tablename__ = "recurring"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(200))
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), index=True)
    api_key_id: Mapped[UUID | None] = mapped_column()  # who made it: its runs count on that key's quota
    cron: Mapped[str] = mapped_column(String(200))
    zone: Mapped[str] = mapped_column(String(64))
    next_at: Mapped[datetime | None] = mapped_column(index=True)  # None: never again
    last_at: Mapped[datetime | None]
    last_campaign_id: Mapped[UUID | None]
    created_at: Mapped[datetime]


class InboundMessage(Base):
    """A message from a person to us (MO)."""

    __tablename__ = "inbound"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    account: Mapped[str] = mapped_column(String(31))
    inbound_id: Mapped[str] = mapped_column(Told(128))
    msisdn: Mapped[str] = mapped_column(Told(32))
    to: Mapped[str] = mapped_column(Told(64))
    text: Mapped[str] = mapped_column(Told())
    received_at: Mapped[datetime]
    stop_word: Mapped[bool] = mapped_column(Boolean, default=False)

    __table_args__ = (
        UniqueConstraint("account", "inbound_id"),
        Index("ix_inbound_msisdn", "msisdn", "id"),
        Index("ix_inbound_account_id", "account", "id"),
        Index("ix_inbound_stops", "id", postgresql_where=sql("stop_word"), sqlite_where=sql("stop_word = 1")),
    )


class ApiKey(Base):
    """A key of the API: only its hash is kept."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(100))
    prefix: Mapped[str] = mapped_column(String(16), index=True)  # finds the row; is no secret
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of a 256-bit random key
    scope: Mapped[str] = mapped_column(String(10))  # read | submit | admin
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    daily_quota: Mapped[int | None] = mapped_column(Integer)  # messages a day (UTC); None: any number


class KeyDay(Base):
    """How many messages of campaigns that a key made were started on a day (UTC)."""

    __tablename__ = "key_days"

    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    used: Mapped[int] = mapped_column(Integer, default=0)


class WebSession(Base):
    """Somebody signed in to the dashboard with an API key. Only a digest of the cookie is kept."""

    __tablename__ = "web_sessions"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)  # SHA-256 of a 256-bit random token
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    ends_at: Mapped[datetime] = mapped_column(index=True)


class Draft(Base):
    """A campaign in the making: what its maker has said so far on the dashboard's pages, until it is created."""

    __tablename__ = "drafts"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    answers: Mapped[dict[str, Any]]  # by step, the fields of its form as they were typed
    file_id: Mapped[UUID | None]  # its pieces' `blob_id`
    file_name: Mapped[str | None] = mapped_column(String(255))
    file_size: Mapped[int] = mapped_column(BigInteger, default=0)
    sample: Mapped[dict[str, Any]]  # the header and the first rows; empty: not read, or not readable
    checked: Mapped[dict[str, Any]]  # the last dry run; empty: none
    rejects_id: Mapped[UUID | None]
    campaign_id: Mapped[UUID | None]  # what it became
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime] = mapped_column(index=True)


class DraftPiece(Base):
    """A compressed piece of a draft's file: in the database, so that every API process has it."""

    __tablename__ = "draft_pieces"

    blob_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    draft_id: Mapped[UUID] = mapped_column(ForeignKey("drafts.id", ondelete="CASCADE"), index=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class IdempotentAnswer(Base):
    """The answer to a POST with an Idempotency-Key, kept for a day."""

    __tablename__ = "idempotent_answers"

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    api_key_id: Mapped[UUID] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))  # of method, path and body
    status: Mapped[int | None] = mapped_column(SmallInteger)  # None: the first request is still at work
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(index=True)


class EventEndpoint(Base):
    """A URL that is told of events: of one campaign, or of every campaign an API key made.

    Its secret is kept nowhere: it is derived from the installation's key and the endpoint's id.
    """

    __tablename__ = "event_endpoints"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    campaign_id: Mapped[UUID | None] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), index=True)
    api_key_id: Mapped[UUID | None] = mapped_column(index=True)
    url: Mapped[str] = mapped_column(String(2000))
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(Integer, default=0)  # in a row
    not_before: Mapped[datetime | None]  # after a failure: when to try again
    claimed_until: Mapped[datetime | None]  # somebody delivers to it now
    last_error: Mapped[str | None] = mapped_column(Told(300))


class OutboxEvent(Base):
    """One event for one endpoint, written in the transaction that made it true."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("event_endpoints.id", ondelete="CASCADE"))
    event_id: Mapped[UUID] = mapped_column()  # the same in every repeat
    kind: Mapped[str] = mapped_column(Told(40))
    campaign_id: Mapped[UUID] = mapped_column()
    message_id: Mapped[UUID | None] = mapped_column()
    detail: Mapped[str] = mapped_column(Told(), default="")
    at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(SmallInteger, default=0)
    delivered_at: Mapped[datetime | None]
    dead_at: Mapped[datetime | None]  # given up; `drumline events replay` brings it back

    __table_args__ = (
        Index("ix_outbox_waiting", "endpoint_id", "id",
              postgresql_where=sql("delivered_at IS NULL AND dead_at IS NULL"),
              sqlite_where=sql("delivered_at IS NULL AND dead_at IS NULL")),
        Index("ix_outbox_delivered", "delivered_at", postgresql_where=sql("delivered_at IS NOT NULL"),
              sqlite_where=sql("delivered_at IS NOT NULL")),
    )  # fmt: skip
