"""The gauges of the metrics, from the rows. Every query is bounded by what is under way, not by what ever was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from config.accounts import Account
from config.pace import message_rate
from models.queries import oldest_open
from models.states import BatchState, CampaignState, MessageState
from models.tables import AccountStatus, Batch, Campaign, CampaignCount, DeliveryReport, InboxPage, Message, OutboxEvent

BREAKER_STATES = ("closed", "half_open", "open")
STALLED_AFTER = timedelta(minutes=15)
MOST_UNKNOWN = 10_000  # unknown messages looked at for the oldest one

Accounts = Mapping[str, Account]


def gauge(name: str, text: str, labels: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> GaugeMetricFamily:
    """`rows` are label values followed by the value."""
    family = GaugeMetricFamily(f"drumline_{name}", text, labels=labels)
    for row in rows:
        family.add_metric([str(value) for value in row[:-1]], float(row[-1] or 0))
    return family


def gauges(session: Session, accounts: Accounts, now: datetime) -> Iterator[Metric]:
    """Every gauge, in a fixed order."""
    for part in _PARTS:
        yield from part(session, accounts, now)


def _campaigns(session: Session, accounts: Accounts, now: datetime) -> Iterator[Metric]:
    query = select(Campaign.state, func.count()).group_by(Campaign.state)
    found = dict(session.execute(query).all())
    rows = [(state, found.get(state, 0)) for state in CampaignState]
    yield gauge("campaigns", "Campaigns by state.", ("state",), rows)
    unfinished = (
        select(CampaignCount.account, CampaignCount.state, func.sum(CampaignCount.n))
        .join(Campaign, Campaign.id == CampaignCount.campaign_id)
        .where(Campaign.finished_at.is_(None), Campaign.state != CampaignState.FAILED)
        .group_by(CampaignCount.account, CampaignCount.state)
    )
    messages = session.execute(unfinished).all()
    yield gauge("campaign_messages", "Messages of unfinished campaigns.", ("account", "state"), messages)
    unknown = dict.fromkeys(accounts, 0) | {
        account: n for account, state, n in messages if state is MessageState.UNKNOWN
    }
    yield gauge("unknown_messages", "Messages whose outcome is not known.", ("account",), unknown.items())
    oldest = ((account, _oldest_unknown(session, account)) for account in unknown)
    yield gauge("oldest_unknown_age_seconds",
                f"How long ago the oldest of them was attempted (of the {MOST_UNKNOWN} that are looked for next).",
                ("account",), _ages(now, oldest))  # fmt: skip
    stalled = session.execute(_stalled(now)).scalar_one()
    text = f"Running campaigns with a batch due for {STALLED_AFTER.seconds // 60} minutes and none put to work since."
    yield gauge("campaigns_stalled", text, (), [(stalled,)])


def _oldest_unknown(session: Session, account: str) -> datetime | None:
    next_looked_for = (
        select(Message.attempted_at)
        .where(Message.account == account, Message.phase == MessageState.UNKNOWN)
        .order_by(Message.not_before)
        .limit(MOST_UNKNOWN)
        .subquery()
    )
    found: datetime | None = session.execute(select(func.min(next_looked_for.c.attempted_at))).scalar_one()
    return found


def _stalled(now: datetime) -> Any:
    long_ago = now - STALLED_AFTER
    of_it = Batch.campaign_id == Campaign.id
    due = select(Batch.id).where(of_it, Batch.state == BatchState.PLANNED, Batch.not_before <= long_ago).exists()
    busy = select(Batch.id).where(of_it, Batch.dispatched_at > long_ago).exists()
    return select(func.count()).where(Campaign.state == CampaignState.RUNNING, due, ~busy)


def _ages(now: datetime, moments: Iterable[tuple[str, datetime | None]]) -> list[tuple[str, float]]:
    return [(name, 0.0 if moment is None else max(0.0, (now - moment).total_seconds())) for name, moment in moments]


def _batches(session: Session, accounts: Accounts, now: datetime) -> Iterator[Metric]:
    busy = (
        select(Batch.account, Batch.state, func.count())
        .where(Batch.state.in_((BatchState.DISPATCHED, BatchState.LEASED)))
        .group_by(Batch.account, Batch.state)
    )
    due = (
        select(Batch.account, func.count(), func.min(Batch.not_before))
        .join(Campaign, Campaign.id == Batch.campaign_id)
        .where(Batch.state == BatchState.PLANNED, Batch.not_before <= now, Campaign.state == CampaignState.RUNNING)
        .group_by(Batch.account)
    )
    waiting = session.execute(due).all()
    rows = [*session.execute(busy), *((account, "due", n) for account, n, _ in waiting)]
    yield gauge("batches", "Batches: due and waiting for their turn, dispatched (a job is on Redis), leased (in work).",
                ("account", "state"), rows)  # fmt: skip
    oldest = dict.fromkeys(accounts) | {account: first for account, _, first in waiting}
    yield gauge("oldest_due_batch_age_seconds", "How long the oldest due batch of a running campaign has waited.",
                ("account",), _ages(now, oldest.items()))  # fmt: skip


def _reports(session: Session, accounts: Accounts, now: datetime) -> Iterator[Metric]:
    new = select(func.count(), func.min(InboxPage.received_at)).where(InboxPage.parsed_at.is_(None))
    pages, first = session.execute(new).one()
    yield gauge("inbox_pages", "Report pages that nobody has read yet.", (), [(pages,)])
    ((_, lag),) = _ages(now, [("", first)])
    yield gauge("report_lag_seconds", "Age of the oldest page that nobody has read yet.", (), [(lag,)])
    unmatched = (
        select(DeliveryReport.account, func.count())
        .where(DeliveryReport.applied_at.is_(None), DeliveryReport.next_try_at.is_not(None))
        .group_by(DeliveryReport.account)
    )
    yield gauge("reports_unmatched", "Reports whose message is not known and still looked for.", ("account",),
                session.execute(unmatched))  # fmt: skip
    waits = ((account, oldest_open(session, account)) for account in accounts)
    yield gauge("oldest_open_message_age_seconds", "How long the oldest submitted message has waited for its report.",
                ("account",), _ages(now, waits))  # fmt: skip
    owed = select(func.count()).where(OutboxEvent.delivered_at.is_(None), OutboxEvent.dead_at.is_(None))
    yield gauge("events_waiting", "Outgoing events that their endpoint has not taken yet.", (),
                [(session.execute(owed).scalar_one(),)])  # fmt: skip


def _accounts(session: Session, accounts: Accounts, now: datetime) -> Iterator[Metric]:
    rows = [row for row in session.execute(select(AccountStatus)).scalars() if row.account in accounts]
    said = [(row.account, row.updated_at.timestamp()) for row in rows if row.updated_at]
    yield gauge(
        "snapshot_timestamp_seconds", "When the workers last told of an account (Unix time).", ("account",), said
    )
    polled = [(row.account, row.polled_at.timestamp()) for row in rows if row.polled_at]
    yield gauge("last_poll_timestamp_seconds", "When the last poll that read everything began (Unix time).",
                ("account",), polled)  # fmt: skip
    due = [(row.account, row.next_poll_at.timestamp()) for row in rows if row.next_poll_at]
    yield gauge("next_poll_timestamp_seconds", "When the next poll is due, while reports are awaited (Unix time).",
                ("account",), due)  # fmt: skip
    breaker = [
        (row.account, state, int(row.snapshot["breaker"]["state"] == state))
        for row in rows
        if "breaker" in row.snapshot
        for state in BREAKER_STATES
    ]
    yield gauge("breaker_state", "1 for the state the breaker is in.", ("account", "state"), breaker)
    allowances = [(name, rate) for name, account in accounts.items() if (rate := _allowance(account)) < float("inf")]
    yield gauge("account_allowance_messages_per_second", "What the configured limits allow; absent without limits.",
                ("account",), allowances)  # fmt: skip


def _allowance(account: Account) -> float:
    return message_rate(account, account.request_cap or 1)


def _limiter(session: Session, accounts: Accounts, now: datetime) -> Iterator[Metric]:
    rows = [row for row in session.execute(select(AccountStatus)).scalars() if row.account in accounts]
    facts = [
        (row.account, budget, row.snapshot[budget])
        for row in rows
        for budget in ("submit", "poll")
        if budget in row.snapshot
    ]
    labels = ("account", "budget")
    yield gauge("limiter_blocked_seconds", "How long the account still waits after a 429 or a lock-out.", labels,
                [(account, budget, said["blocked_for"]) for account, budget, said in facts])  # fmt: skip
    yield gauge("limiter_ramp_ratio", "Share of the full rate in force: below 1 after a block.", labels,
                [(account, budget, said.get("ramp", 1.0)) for account, budget, said in facts])  # fmt: skip
    yield gauge("limiter_messages_per_second", "Messages leaving, over the limiter's last ten seconds.", labels,
                [(account, budget, said["messages_per_second"]) for account, budget, said in facts])  # fmt: skip
    windows = [
        (account, budget, window["counts"], f"{window['per']:g}", window)
        for account, budget, said in facts
        for window in said["windows"]
    ]
    which = ("account", "budget", "counts", "per_seconds")
    yield gauge("limiter_window_limit", "What a limit's window allows.", which,
                [(*names, window["limit"]) for *names, window in windows])  # fmt: skip
    yield gauge("limiter_window_used_ratio", "Share of a limit's window that is used, also by others.", which,
                [(*names, _used(window)) for *names, window in windows])  # fmt: skip


def _used(window: Mapping[str, Any]) -> float:
    return float(window["used"] + window.get("foreign", 0)) / float(window["limit"])


def _database(session: Session, accounts: Accounts, now: datetime) -> Iterator[Metric]:
    size = {
        "postgresql": "SELECT pg_database_size(current_database())",
        "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    }[session.get_bind().dialect.name]
    yield gauge("database_size_bytes", "Size of the database.", (), [(session.execute(text(size)).scalar_one(),)])


_PARTS: tuple[Callable[[Session, Accounts, datetime], Iterator[Metric]], ...] = (
    _campaigns,
    _batches,
    _reports,
    _accounts,
    _limiter,
    _database,
)
