"""From a recipient file to batches and messages in SQL: everything, or nothing.

Rows stream through; messages are written a few thousand at a time under the state `importing`, which nothing is sent
from. A file that turns out broken, even at its last byte, leaves the campaign `failed` and no message behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from config.accounts import Account
from config.pace import batch_size
from models.database import Database
from models.moves import add_counts, trail_line
from models.msisdn import Msisdn
from models.queries import note_event
from models.segments import measure
from models.states import CampaignState, MessageState
from models.steering import steering_of
from models.tables import Batch, Campaign, CampaignCount, Lane, Message, Reject, Suppression
from models.types import new_id
from producer.audience import Accepted, Audience, Chunk, Rejected
from producer.audience_types import Refusal, Rules
from producer.campaigns import CampaignError, sender_for
from producer.plan import Rota
from producer.readers import Hint, open_table
from producer.shaping import Batcher, Shape
from producer.template import Template
from providers.base import Failure, Outgoing, Provider

IMPORT_LEASE = 300.0  # seconds without progress after which an import counts as dead
NOBODY = str(UUID(int=0))  # the reference of a message that is only asked about


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. `encoding` and `number_column` are what was found in the file."""

    campaign_id: UUID
    accepted: int
    rejected: int
    segments: int
    encoding: str | None
    number_column: str

    @property
    def rows(self) -> int:
        return self.accepted + self.rejected


@dataclass
class Importer:
    """Imports files into one campaign. `progress` is called with (accepted, rejected) after every chunk."""

    database: Database
    accounts: Mapping[str, Account]
    providers: Mapping[str, Provider]
    now: Callable[[], datetime]
    batch_seconds: float = 10.0
    default_region: str | None = None
    progress: Callable[[int, int], None] = lambda accepted, rejected: None

    def run(self, campaign_id: UUID, source: BinaryIO | Path, hint: Hint | None = None) -> Imported:
        """Raises FileError (the file), CampaignError (the campaign); in both cases nothing of the file is kept."""
        table = open_table(source, hint or Hint())
        with self.database.write() as session:
            campaign = self._begin(session, campaign_id)
        try:
            work = _Work(self, campaign)
            for chunk in work.audience.chunks(table):
                work.add(chunk)
                self._write(work, last=False)
            self._write(work, last=True)
        except BaseException as error:
            self._undo(campaign_id, f"{type(error).__name__}: {error}")
            raise
        return Imported(campaign_id, work.accepted, work.rejected, work.segments, table.encoding, table.number)

    def _begin(self, session: Session, campaign_id: UUID) -> Campaign:
        campaign = session.get(Campaign, campaign_id, with_for_update=True)
        if campaign is None:
            raise CampaignError("id", f"there is no campaign {campaign_id}")
        if campaign.state is not CampaignState.DRAFT:
            raise CampaignError("state", f"the campaign is {campaign.state}; recipients can be added to a draft only")
        if campaign.rows_total:
            raise CampaignError("recipients", "the campaign has recipients already")
        campaign.state = CampaignState.IMPORTING
        campaign.import_until = self.now() + timedelta(seconds=IMPORT_LEASE)
        return campaign

    def suppressed(self, sender_ids: set[str]) -> set[str]:
        with self.database.read() as session:
            query = select(Suppression.msisdn).where(Suppression.sender.in_({"", *sender_ids}))
            return set(session.execute(query).scalars())

    def _write(self, work: _Work, *, last: bool) -> None:
        batches, messages, rejects = work.take(last=last)
        now = self.now()
        with self.database.write() as session:
            campaign = session.get_one(Campaign, work.campaign.id, with_for_update=True)
            if campaign.state is not CampaignState.IMPORTING:
                raise CampaignError("state", f"the campaign became {campaign.state} while it was imported")
            for table, rows in ((Batch, batches), (Message, messages), (Reject, rejects)):
                if rows:
                    session.connection().execute(insert(table), rows)
            add_counts(session, work.counted(messages))
            campaign.import_until = now + timedelta(seconds=IMPORT_LEASE)
            if last:
                self._finish(session, campaign, work, now)
        self.progress(work.accepted, work.rejected)

    def _finish(self, session: Session, campaign: Campaign, work: _Work, now: datetime) -> None:
        campaign.state = CampaignState.DRAFT
        campaign.import_until = None
        campaign.rows_accepted = work.accepted
        campaign.rows_rejected = work.rejected
        campaign.rows_total = work.accepted + work.rejected
        campaign.segments_total = work.segments
        note_event(session, campaign.id, "imported", f"{work.accepted} accepted, {work.rejected} rejected", now)

    def _undo(self, campaign_id: UUID, reason: str) -> None:
        with self.database.write() as session:
            campaign = session.get(Campaign, campaign_id)
            if campaign is None or campaign.state is not CampaignState.IMPORTING:
                return
            for table in (Message, Batch, Reject, CampaignCount, Lane):
                session.execute(delete(table).where(table.campaign_id == campaign_id))
            campaign.state = CampaignState.FAILED
            campaign.state_reason = reason[:2000]
            campaign.finished_at = self.now()
            note_event(session, campaign_id, "import_failed", reason[:2000], self.now())


class _Work:
    """One import: decides, chooses accounts, cuts batches."""

    def __init__(self, importer: Importer, campaign: Campaign) -> None:
        self.campaign = campaign
        self.accepted = self.rejected = self.segments = 0
        self._now = importer.now
        self._providers = importer.providers
        self._senders = {name: sender_for(importer.accounts[name], campaign.sender) for name in campaign.route}
        self._rota = Rota(campaign.route)
        self._chosen: list[str] = []
        self._options = {str(name): str(value) for name, value in campaign.options.items()}
        sizes = {
            name: batch_size(importer.accounts[name], importer.providers[name].max_recipients, importer.batch_seconds)
            for name in campaign.route
        }
        self._shape = Shape(steering_of(campaign.steering))
        self._batcher = Batcher(campaign.id, sizes, self._shape, importer.now)
        self._rejects: list[dict[str, Any]] = []
        rules = Rules(
            default_region=importer.default_region,
            suppressed=importer.suppressed(set(self._senders.values())),
            check=self._choose,
            zones=self._shape.steering.window is not None,
        )
        self.audience = Audience(Template.parse(campaign.template), rules)

    def _choose(self, number: Msisdn, country: str, text: str, segments: int) -> Refusal | None:
        """Give the message to the account whose turn it is, or to another of the route that would take it.

        Called once for every row that is otherwise accepted, in order: `add` takes the choices in the same order.
        """
        open_to = frozenset(self.campaign.route)
        failure: Failure | None = None
        while open_to:
            name = self._rota.next(open_to)
            failure = self._providers[name].check(self._sample(number, name, text, segments))
            if failure is None:
                self._chosen.append(name)
                return None
            open_to -= {name}
        return Refusal(failure.code, failure.reason) if failure else None

    def _sample(self, number: Msisdn, account: str, text: str, segments: int) -> Outgoing:
        return Outgoing(
            id=NOBODY, ref=NOBODY, msisdn=number, sender=self._senders[account], text=text,
            encoding=measure(text).encoding, segments=segments, validity=self.campaign.validity, options=self._options,
        )  # fmt: skip

    def add(self, chunk: Chunk) -> None:
        for row, account in zip(chunk.accepted, self._chosen, strict=True):
            self._place(row, account)
        self._chosen.clear()
        self._rejects += [self._reject(row) for row in chunk.rejected]
        self.accepted += len(chunk.accepted)
        self.rejected += len(chunk.rejected)

    def _place(self, row: Accepted, account: str) -> None:
        self._batcher.place(self._message(row, account), self._shape.zones(row.msisdn, row.zone))
        self.segments += row.segments

    def _message(self, row: Accepted, account: str) -> dict[str, Any]:
        return {
            "id": new_id(),
            "campaign_id": self.campaign.id,
            "row_no": row.row_no,
            "account": account,
            "msisdn": str(row.msisdn),
            "country": row.country or None,
            "sender": self._senders[account],
            "text": None if self.campaign.common_text is not None else row.text,
            "encoding": str(row.encoding),
            "segments": row.segments,
            "reference": row.reference,
            "state": MessageState.QUEUED,
            "trail": trail_line(MessageState.QUEUED, "imported", self._now()),
        }

    def _reject(self, row: Rejected) -> dict[str, Any]:
        return {
            "campaign_id": self.campaign.id,
            "row_no": row.row_no,
            "column": (row.column or "")[:100],
            "value": row.value[:200],
            "code": str(row.code),
            "reason": row.reason[:400],
        }

    def take(self, *, last: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
        """What is ready to be written; at the end also the batches that did not get full."""
        ready = (*self._batcher.take(last=last), self._rejects)
        self._rejects = []
        return ready

    def counted(self, messages: list[dict[str, Any]]) -> dict[tuple[UUID, str, str], int]:
        counts: dict[tuple[UUID, str, str], int] = {}
        for row in messages:
            key = (self.campaign.id, str(row["account"]), str(MessageState.QUEUED))
            counts[key] = counts.get(key, 0) + 1
        return counts
