"""Prometheus metrics as a view of the database: no process keeps counters, so none are lost with one.

Counters come from the campaigns' counters and from the attempts; limiter and breaker from the workers' snapshots.
A scrape costs a handful of indexed queries, whatever the number of messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.states import OPEN_AT_PROVIDER, BatchState, CampaignState, MessageState
from models.tables import AccountStatus, Attempt, Batch, Campaign, CampaignCount, DeliveryReport, InboxPage, Message

RECENT_SECONDS = 60.0
LATENCY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BREAKER_STATES = ("closed", "half_open", "open")


def render(session: Session, now: datetime) -> bytes:
    """The whole exposition in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_View(session, now))
    return generate_latest(registry)


class _View(Collector):
    def __init__(self, session: Session, now: datetime) -> None:
        self.session = session
        self.now = now

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        for part in _PARTS:
            yield from part(self.session, self.now)


def _gauge(name: str, text: str, labels: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> GaugeMetricFamily:
    """`rows` are label values followed by the value."""
    family = GaugeMetricFamily(f"drumline_{name}", text, labels=labels)
    for row in rows:
        family.add_metric([str(value) for value in row[:-1]], float(row[-1] or 0))
    return family


def _messages(session: Session, now: datetime) -> Iterator[Metric]:
    query = select(CampaignCount.account, CampaignCount.state, func.sum(CampaignCount.n)).group_by(
        CampaignCount.account, CampaignCount.state
    )
    yield _gauge("messages", "Messages by account and state.", ("account", "state"), session.execute(query))
    campaigns = select(Campaign.state, func.count()).group_by(Campaign.state)
    yield _gauge("campaigns", "Campaigns by state.", ("state",), session.execute(campaigns))


def _queue(session: Session, now: datetime) -> Iterator[Metric]:
    busy = (
        select(Batch.account, Batch.state, func.count())
        .where(Batch.state.in_((BatchState.DISPATCHED, BatchState.LEASED)))
        .group_by(Batch.account, Batch.state)
    )
    yield _gauge("batches", "Batches on Redis or in work.", ("account", "state"), session.execute(busy))
    oldest = (
        select(Batch.account, func.min(Batch.not_before))
        .join(Campaign, Campaign.id == Batch.campaign_id)
        .where(Batch.state == BatchState.PLANNED, Batch.not_before <= now, Campaign.state == CampaignState.RUNNING)
        .group_by(Batch.account)
    )
    ages = [(account, (now - due).total_seconds()) for account, due in session.execute(oldest)]
    yield _gauge("oldest_due_batch_seconds", "How long the oldest due batch has waited.", ("account",), ages)
    unknown = (
        select(Message.account, func.count()).where(Message.state == MessageState.UNKNOWN).group_by(Message.account)
    )
    yield _gauge("unknown_open", "Messages whose outcome is not known.", ("account",), session.execute(unknown))


def _attempts(session: Session, now: datetime) -> Iterator[Metric]:
    """Requests of the last minute."""
    recent = Attempt.started_at > now - timedelta(seconds=RECENT_SECONDS)
    query = (
        select(Attempt.account, Attempt.kind, func.coalesce(Attempt.status, 0), func.count())
        .where(recent)
        .group_by(Attempt.account, Attempt.kind, Attempt.status)
    )
    labels = ("account", "kind", "status")
    text = f"Requests of the last {RECENT_SECONDS:g} s; status 0: no answer."
    yield _gauge("requests_recent", text, labels, session.execute(query))
    yield _gauge(
        "request_seconds_recent",
        f"Share of the requests of the last {RECENT_SECONDS:g} s answered within `le` seconds.",
        ("account", "le"),
        _latency(session, recent),
    )


def _latency(session: Session, recent: Any) -> Iterator[tuple[str, float, float]]:
    within = [func.sum(func.coalesce((Attempt.elapsed_ms <= le * 1000).cast(_INT), 0)) for le in LATENCY_BUCKETS]
    query = (
        select(Attempt.account, func.count(), *within)
        .where(recent, Attempt.elapsed_ms.is_not(None))
        .group_by(Attempt.account)
    )
    for account, total, *counts in session.execute(query):
        for le, count in zip(LATENCY_BUCKETS, counts, strict=True):
            yield account, le, float(count) / total


def _reports(session: Session, now: datetime) -> Iterator[Metric]:
    waiting = select(func.count(), func.min(InboxPage.received_at)).where(InboxPage.parsed_at.is_(None))
    pages, oldest = session.execute(waiting).one()
    yield _gauge("inbox_pages_waiting", "Report pages that nobody has parsed yet.", (), [(pages,)])
    lag = (now - oldest).total_seconds() if pages else 0.0
    yield _gauge("report_lag_seconds", "Age of the oldest page that waits.", (), [(lag,)])
    unmatched = (
        select(DeliveryReport.account, func.count())
        .where(DeliveryReport.applied_at.is_(None))
        .group_by(DeliveryReport.account)
    )
    rows = session.execute(unmatched)
    yield _gauge("reports_unmatched", "Reports whose message is not known (yet).", ("account",), rows)
    open_query = (
        select(Message.account, func.min(Message.submitted_at))
        .where(Message.state.in_(tuple(OPEN_AT_PROVIDER)))
        .group_by(Message.account)
    )
    ages = [(account, (now - first).total_seconds()) for account, first in session.execute(open_query) if first]
    yield _gauge("oldest_open_report_seconds", "Age of the oldest message that waits for a report.", ("account",), ages)


def _accounts(session: Session, now: datetime) -> Iterator[Metric]:
    rows = [(row.account, row.snapshot, row.updated_at) for row in session.execute(select(AccountStatus)).scalars()]
    fresh = [(account, (now - at).total_seconds()) for account, _, at in rows if at]
    yield _gauge("snapshot_age_seconds", "Age of the workers' last word on an account.", ("account",), fresh)
    breaker = [
        (account, state, int(snapshot["breaker"]["state"] == state))
        for account, snapshot, _ in rows
        if "breaker" in snapshot
        for state in BREAKER_STATES
    ]
    yield _gauge("breaker", "1 for the state the breaker is in.", ("account", "state"), breaker)
    submit = [(account, snapshot["submit"]) for account, snapshot, _ in rows if "submit" in snapshot]
    blocked = [(account, facts["blocked_for"]) for account, facts in submit]
    yield _gauge("blocked_seconds", "How long the account still waits after a 429.", ("account",), blocked)
    rates = [(account, facts["messages_per_second"]) for account, facts in submit]
    yield _gauge("messages_per_second", "Messages leaving, by the limiter.", ("account",), rates)
    used = [
        (account, window["counts"], window["per"], window["used"] / window["limit"])
        for account, facts in submit
        for window in facts["windows"]
    ]
    yield _gauge("window_used", "Share of a limit's window that is used.", ("account", "counts", "per"), used)


_INT = Batch.size.type
_PARTS = (_messages, _queue, _attempts, _reports, _accounts)
