"""Everything a campaign's page shows, read cheaply: counters, samples, snapshots; never a pass over the messages."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.states import BatchState, CampaignState, MessageState
from models.steering import Steering, steering_of
from models.tables import Batch, Campaign, CampaignEvent
from producer.api.context import Context
from producer.api.problems import Problem
from producer.limits import Standing, standings
from producer.overview import Progress, progress
from producer.samples import Totals, history, rates, slot_of, totals_of
from producer.web.account_view import trouble
from producer.web.allowance import allowed
from producer.web.breakdown import Breakdown, Breakdowns
from producer.web.chart import Chart, chart, step_for
from producer.web.shares import Part, parts, triples
from producer.web.verdict import Facts, Verdict, verdict

EVENTS = 50
CHARTS = 200  # kept in memory


@dataclass(frozen=True, slots=True)
class AccountLine:
    """One account's share of a campaign."""

    name: str
    states: Mapping[MessageState, int]
    standing: Standing | None

    @property
    def totals(self) -> Totals:
        return totals_of(self.states)

    @property
    def messages(self) -> int:
        return sum(self.states.values())

    @property
    def bar(self) -> list[tuple[str, int, str]]:
        return triples(self.states)


@dataclass(frozen=True, slots=True)
class CampaignView:
    """`breakdown` None: it is being counted for the first time."""

    progress: Progress
    facts: Facts
    verdict: Verdict
    steering: Steering
    accounts: Sequence[AccountLine]
    events: Sequence[CampaignEvent]
    chart: Chart | None
    breakdown: Breakdown | None

    @property
    def campaign(self) -> Campaign:
        return self.progress.campaign

    @property
    def parts(self) -> list[Part]:
        return parts(self.progress.by_state)

    @property
    def bar(self) -> list[tuple[str, int, str]]:
        return triples(self.progress.by_state)

    @property
    def actions(self) -> list[str]:
        """What may be done now."""
        return [name for name, fits in _ACTIONS.items() if fits(self.progress)]

    @property
    def final(self) -> bool:
        """Nothing on the page will change any more."""
        if self.campaign.purged_at is not None:
            return True
        known = self.breakdown is not None and self.breakdown.messages == self.progress.messages
        return self.progress.over and known


def _startable(one: Progress) -> bool:
    return one.campaign.state is CampaignState.DRAFT and one.messages > 0 and not one.campaign.copy_due


def _retryable(one: Progress) -> bool:
    done = one.campaign.state in {CampaignState.COMPLETED, CampaignState.CANCELLED}
    return one.failed > 0 and (done or (one.campaign.state is CampaignState.RUNNING and not one.left))


_ACTIONS: Mapping[str, Callable[[Progress], bool]] = {
    "start": _startable,
    "pause": lambda one: one.campaign.state in {CampaignState.RUNNING, CampaignState.SCHEDULED},
    "resume": lambda one: one.campaign.state is CampaignState.PAUSED,
    "retry-failed": _retryable,
    "cancel": lambda one: (
        one.campaign.state
        in {CampaignState.DRAFT, CampaignState.SCHEDULED, CampaignState.RUNNING, CampaignState.PAUSED}
    ),
}


@dataclass
class Figures:
    """What one process keeps between views: counts that cost a pass, and charts until their next column."""

    breakdowns: Breakdowns
    _charts: OrderedDict[UUID, tuple[tuple[object, ...], Chart | None]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def chart(self, session: Session, one: Progress, allowed: float | None, now: datetime) -> Chart | None:
        started = one.campaign.started_at
        if started is None:
            return None
        # What only waits for reports would stretch the picture for days: it ends with the last change.
        end = now if one.left and one.campaign.finished_at is None else None
        step = step_for(((end or one.campaign.finished_at or now) - started).total_seconds())
        key = (step, slot_of(now) // step, one.campaign.finished_at, bool(one.left), allowed)
        with self._lock:
            kept = self._charts.get(one.campaign.id)
        if kept is not None and kept[0] == key:
            return kept[1]
        made = _chart(session, one, started, end, allowed)
        with self._lock:
            self._charts[one.campaign.id] = key, made
            while len(self._charts) > CHARTS:
                self._charts.popitem(last=False)
        return made


def _chart(
    session: Session, one: Progress, started: datetime, end: datetime | None, allowed: float | None
) -> Chart | None:
    guess = (end or one.campaign.finished_at or started) - started
    samples = history(session, one.campaign.id, step_for(guess.total_seconds()))
    if not samples:
        return None
    until = end or samples[-1].at
    step = step_for((until - started).total_seconds())
    width = step * 5
    # The column that the last change lies in is over too, when nothing will change any more.
    shown = until if end else datetime.fromtimestamp((until.timestamp() // width + 1) * width, until.tzinfo)
    return chart(samples, started, shown, step, allowed)


def look(here: Context, figures: Figures, campaign_id: UUID, wait: float = 0.0) -> CampaignView:
    """A campaign now. `wait`: seconds to wait for figures that were never counted. Raises Problem 404."""
    now = here.now()
    with here.database.read() as session:
        one = progress(session, campaign_id)
        if one is None:
            raise Problem(404, "not-found", f"there is no campaign {campaign_id}")
        steering = steering_of(one.campaign.steering)
        standing = {found.account: found for found in standings(session, here.accounts, now)}
        limit = allowed(one.campaign, one.by_account, here.accounts, here.providers, steering)
        facts = _facts(session, one, standing, steering, limit, now)
        picture = figures.chart(session, one, limit, now)
        events = _events(session, campaign_id)
    lines = [AccountLine(name, states, standing.get(name)) for name, states in sorted(one.by_account.items())]
    breakdown = figures.breakdowns.of(campaign_id, one.by_state, wait) if one.messages else None
    return CampaignView(one, facts, verdict(facts), steering, lines, events, picture, breakdown)


def _facts(
    session: Session,
    one: Progress,
    standing: Mapping[str, Standing],
    steering: Steering,
    limit: float | None,
    now: datetime,
) -> Facts:
    campaign = one.campaign
    if campaign.state is not CampaignState.RUNNING:
        return Facts(one, now, allowed=limit, canary=steering.canary)
    started = {campaign.id: campaign.started_at} if campaign.started_at else {}
    rate = rates(session, now, {campaign.id: totals_of(one.by_state)}, started).get(campaign.id)
    waiting = [name for name, states in one.by_account.items() if states.get(MessageState.QUEUED)]
    found = [trouble(standing[name]) for name in waiting if name in standing]
    next_at = None if rate else _next_at(session, campaign.id, waiting)
    return Facts(one, now, rate, limit, [text for text in found if text], next_at, steering.canary)


def _next_at(session: Session, campaign_id: UUID, accounts: Sequence[str]) -> datetime | None:
    """When the next batch may leave; None: some are on their way to a worker, or there is none."""
    query = select(func.min(Batch.not_before)).where(
        Batch.account.in_(accounts), Batch.campaign_id == campaign_id, Batch.state == BatchState.PLANNED
    )
    return session.execute(query).scalar_one()


def _events(session: Session, campaign_id: UUID) -> Sequence[CampaignEvent]:
    """The last ones, the newest first."""
    query = select(CampaignEvent).where(CampaignEvent.campaign_id == campaign_id)
    return session.execute(query.order_by(CampaignEvent.id.desc()).limit(EVENTS)).scalars().all()
