"""From a recipient file to batches and messages in SQL: everything, or nothing.

Rows stream through; messages are written a few thousand at a time under the state `importing`, which nothing is sent
from. A file that turns out broken, even at its last byte, leaves no message behind: the campaign is `failed`, or, if
it holds other files, a draft with those.

A campaign with `stream` runs from the first slice on. There a broken file cannot be undone: the campaign keeps what was
read, pauses, and says how many messages have left.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config import tracing
from config.accounts import Account
from models.copying import insert_flat, insert_rows
from models.database import Database
from models.imports import close_failed, close_stopped, take_back
from models.moves import add_counts
from models.number_index import add_numbers
from models.options import adapter_options, max_parts
from models.queries import note_event
from models.states import CampaignState, MessageState
from models.steering import steering_of
from models.tables import Batch, Campaign, Message, Reject, Source
from models.tallies import Tally, tally
from producer import quota
from producer.campaigns import CampaignError, begin_streaming, sender_for
from producer.import_feed import CHILD_FROM, open_feed
from producer.import_work import BATCH, CHUNK, MESSAGE, REJECT, Plan, Slice
from producer.readers import Hint
from producer.route import Route
from producer.suppressions import opted_out
from providers.base import Provider

IMPORT_LEASE = 300.0  # seconds without progress after which an import counts as dead
_STREAMING = frozenset({CampaignState.RUNNING, CampaignState.PAUSED})


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. `encoding` and `number_column` are what was found in the file."""

    campaign_id: UUID
    accepted: int
    rejected: int
    segments: int
    encoding: str | None
    number_column: str
    source_no: int = 1

    @property
    def rows(self) -> int:
        return self.accepted + self.rejected


@dataclass
class _Job:
    """One file on its way in. `base`: rows accepted, rejected and segments of the campaign's earlier files."""

    campaign_id: UUID
    source_no: int
    stream: bool
    base: tuple[int, int, int]
    accepted: int = 0
    rejected: int = 0
    segments: int = 0
    row: int = 0


@dataclass
class Importer:
    """Imports files into campaigns. `progress` is called with (accepted, rejected) after every slice, `wake` when the
    first messages of a campaign with `stream` may leave."""

    database: Database
    accounts: Mapping[str, Account]
    providers: Mapping[str, Provider]
    now: Callable[[], datetime]
    batch_seconds: float = 10.0
    default_region: str | None = None
    progress: Callable[[int, int], None] = lambda accepted, rejected: None
    wake: Callable[[], object] = lambda: None
    child_from: int = CHILD_FROM
    chunk: int = CHUNK

    def run(
        self, campaign_id: UUID, source: BinaryIO | Path, hint: Hint | None = None, name: str | None = None
    ) -> Imported:
        """One more file for a draft. Raises FileError (the file), CampaignError (the campaign), ImportDied; then
        nothing of the file is kept, save by a campaign with `stream` that has begun to send."""
        ids: dict[str, Any] = {"campaign": str(campaign_id)}
        with structlog.contextvars.bound_contextvars(**ids), tracing.span("import", **ids) as span:
            imported = self._run(campaign_id, source, hint, name)
            span.set_attribute("drumline.accepted", imported.accepted)
            span.set_attribute("drumline.rejected", imported.rejected)
            return imported

    def _run(self, campaign_id: UUID, source: BinaryIO | Path, hint: Hint | None, name: str | None) -> Imported:
        with self.database.read() as session:
            plan = self._plan(session, campaign_id)
        with closing(open_feed(plan, self.providers, source, hint or Hint(), self.child_from)) as feed:
            job = self._begin(plan, name or (source.name if isinstance(source, Path) else None))
            try:
                taken, opted_out = self._taken(plan), self._opted_out(plan)
                with closing(taken), closing(opted_out):
                    for part in feed.slices(taken, opted_out):
                        self._write(job, part)
                self._finish(job)
            except BaseException as error:
                self._end(job, f"{type(error).__name__}: {error}")
                raise
        return Imported(
            campaign_id, job.accepted, job.rejected, job.segments, feed.encoding, feed.number, job.source_no
        )

    # --- before ------------------------------------------------------------------------------------------------------

    def _plan(self, session: Session, campaign_id: UUID) -> Plan:
        campaign = session.get(Campaign, campaign_id)
        _check_draft(campaign, campaign_id)
        assert campaign is not None  # just checked  # noqa: S101
        return plan_of(campaign, self.accounts, self.now(), _next_number(session, campaign_id), self.database.dialect,
                       self.batch_seconds, self.default_region, self.chunk)  # fmt: skip

    def _begin(self, plan: Plan, name: str | None) -> _Job:
        now = self.now()
        with self.database.write() as session:
            campaign = session.get(Campaign, plan.campaign_id, with_for_update=True)
            _check_draft(campaign, plan.campaign_id)
            assert campaign is not None  # just checked  # noqa: S101
            if _next_number(session, campaign.id) != plan.source_no:
                raise CampaignError("state", "another file was added to the campaign in this moment; try again")
            campaign.state = CampaignState.IMPORTING
            campaign.state_reason = None
            campaign.import_until = now + timedelta(seconds=IMPORT_LEASE)
            session.add(
                Source(
                    campaign_id=campaign.id, number=plan.source_no, name=(name or "")[:255] or None,
                    state="importing", rows_accepted=0, rows_rejected=0, segments=0, started_at=now,
                )
            )  # fmt: skip
            base = (campaign.rows_accepted, campaign.rows_rejected, campaign.segments_total)
        return _Job(plan.campaign_id, plan.source_no, plan.stream, base)

    def _taken(self, plan: Plan) -> Generator[int, None, None]:
        """Numbers of the campaign's earlier files."""
        if plan.source_no > 1:
            with self.database.read() as session:
                query = select(Message.msisdn).where(Message.campaign_id == plan.campaign_id)
                for number in session.execute(query.execution_options(yield_per=10_000)).scalars():
                    yield int(number[1:])

    def _opted_out(self, plan: Plan) -> Generator[int, None, None]:
        with self.database.read() as session:
            yield from opted_out(session, {"", *plan.senders.values()})

    # --- on the way --------------------------------------------------------------------------------------------------

    def _write(self, job: _Job, part: Slice) -> None:
        now = self.now()
        with self.database.write() as session:
            campaign = session.get_one(Campaign, job.campaign_id, with_for_update=True)
            if campaign.state is not CampaignState.IMPORTING and not (job.stream and campaign.state in _STREAMING):
                raise CampaignError("state", f"the campaign became {campaign.state} while it was imported")
            insert_rows(session, Batch, BATCH, part.batches)
            insert_flat(session, Message, MESSAGE, part.messages, part.same)
            add_numbers(session, part.numbers())
            insert_rows(session, Reject, REJECT, part.rejects)
            queued = str(MessageState.QUEUED)
            tally(session, Tally.IMPORTED, "", ("accepted",), part.accepted - job.accepted)
            tally(session, Tally.IMPORTED, "", ("rejected",), part.rejected - job.rejected)
            add_counts(session, {(job.campaign_id, account, queued): n for account, n in part.queued.items()})
            campaign.import_until = now + timedelta(seconds=IMPORT_LEASE)
            _total(campaign, job, part)
            starts = job.stream and bool(part.batches) and campaign.state is CampaignState.IMPORTING
            if starts:
                begin_streaming(session, campaign, now)
            elif campaign.started_at is not None:
                quota.hold(session, campaign, now, now)
        job.accepted, job.rejected, job.segments, job.row = part.accepted, part.rejected, part.segments, part.row
        if starts:
            self.wake()
        self.progress(job.accepted, job.rejected)

    def _finish(self, job: _Job) -> None:
        now = self.now()
        with self.database.write() as session:
            campaign = session.get_one(Campaign, job.campaign_id, with_for_update=True)
            if campaign.state is CampaignState.IMPORTING:
                campaign.state = CampaignState.DRAFT
            campaign.import_until = None
            source = session.get_one(Source, (job.campaign_id, job.source_no))
            source.state, source.ended_at = "done", now
            source.rows_accepted, source.rows_rejected, source.segments = job.accepted, job.rejected, job.segments
            name = f"{source.name}: " if source.name else ""
            note_event(session, campaign.id, "imported", f"{name}{job.accepted} accepted, {job.rejected} rejected", now)

    def _end(self, job: _Job, reason: str) -> None:
        """Take everything back, or stop where it is if messages may have left."""
        if self._stop(job, reason):
            return
        while self._take_back(job):
            pass
        with self.database.write() as session:
            campaign = session.get(Campaign, job.campaign_id, with_for_update=True)
            if campaign is not None and campaign.state is CampaignState.IMPORTING:
                close_failed(session, campaign, job.source_no, reason, self.now())

    def _stop(self, job: _Job, reason: str) -> bool:
        with self.database.write() as session:
            campaign = session.get(Campaign, job.campaign_id, with_for_update=True)
            if campaign is None or campaign.state is CampaignState.IMPORTING:
                return False
            if campaign.import_until is not None:
                close_stopped(session, campaign, job.source_no, f"{reason} (read up to row {job.row})", self.now())
            return True

    def _take_back(self, job: _Job) -> bool:
        with self.database.write() as session:
            campaign = session.get(Campaign, job.campaign_id, with_for_update=True)
            if campaign is None or campaign.state is not CampaignState.IMPORTING:
                return False
            campaign.import_until = self.now() + timedelta(seconds=IMPORT_LEASE)
            return take_back(session, job.campaign_id, job.source_no)


def plan_of(
    campaign: Campaign, accounts: Mapping[str, Account], now: datetime, source_no: int, dialect: str,
    batch_seconds: float, default_region: str | None, chunk: int = CHUNK,
) -> Plan:  # fmt: skip
    """What the decisions over a file of this campaign depend on. Raises CampaignError for an account that is gone."""
    route = Route.stored(campaign.route, campaign.routing)
    gone = [name for name in route.weights if name not in accounts]
    if gone:
        raise CampaignError("route", f"route: account {gone[0]!r} is not in the accounts file any more")
    used = {name: accounts[name] for name in route.weights}
    return Plan(
        campaign_id=campaign.id,
        source_no=source_no,
        template=campaign.template,
        missing=campaign.missing,
        gsm7_only=campaign.gsm7_only,
        common=campaign.common_text is not None,
        route=route,
        accounts=used,
        senders={name: sender_for(account, campaign.sender, route.senders) for name, account in used.items()},
        options=adapter_options(campaign.options),
        max_parts=max_parts(campaign.options),
        validity=campaign.validity,
        steering=steering_of(campaign.steering),
        position=campaign.rows_accepted,
        region=campaign.region or default_region,
        stream=campaign.stream,
        batch_seconds=batch_seconds,
        dialect=dialect,
        now=now,
        chunk=chunk,
    )


def _check_draft(campaign: Campaign | None, campaign_id: UUID) -> None:
    if campaign is None:
        raise CampaignError("id", f"there is no campaign {campaign_id}")
    if campaign.state is not CampaignState.DRAFT:
        raise CampaignError("state", f"the campaign is {campaign.state}; recipients can be added to a draft only")


def _next_number(session: Session, campaign_id: UUID) -> int:
    query = select(func.coalesce(func.max(Source.number), 0)).where(Source.campaign_id == campaign_id)
    return int(session.execute(query).scalar_one()) + 1


def _total(campaign: Campaign, job: _Job, part: Slice) -> None:
    accepted, rejected, segments = job.base
    campaign.rows_accepted = accepted + part.accepted
    campaign.rows_rejected = rejected + part.rejected
    campaign.rows_total = campaign.rows_accepted + campaign.rows_rejected
    campaign.segments_total = segments + part.segments
