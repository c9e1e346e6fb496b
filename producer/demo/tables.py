"""What the demonstration prints at its end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from rich import box
from rich.table import Table
from sqlalchemy import func, select

from config.accounts import Account, Counts, Limit
from models.database import Database
from models.queries import counts
from models.states import MessageState
from models.tables import Attempt, Message, Reject

STATES = (
    MessageState.DELIVERED, MessageState.UNDELIVERED, MessageState.REJECTED, MessageState.EXPIRED, MessageState.UNKNOWN,
)  # fmt: skip
SUBMIT = ("submit", "replay")


def account_table(
    database: Database, accounts: Mapping[str, Account], campaign_id: UUID, stats: Mapping[str, Any]
) -> Table:
    """Per account: what became of its messages, the 429s, and how much of the allowance was used."""
    table = Table(
        title="What became of every message (used: share of the allowance while submitting)",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in ("account", "submitted", *map(str, STATES), "429s", "used"):
        table.add_column(column, justify="left" if column == "account" else "right")
    with database.read() as session:
        by_account = counts(session, campaign_id)
    for name, account in accounts.items():
        states = by_account.get(name, {})
        table.add_row(
            name,
            f"{_submitted(database, name):,}",
            *(f"{states.get(state, 0):,}" for state in STATES),
            str(
                stats["providers"][account.provider]["throttled"]
                if "providers" in stats
                else _throttled(stats, account)
            ),
            allowance_used(database, account),
        )
    return table


def _throttled(stats: Mapping[str, Any], account: Account) -> int:
    return int(stats[account.provider]["throttled"])


def _submitted(database: Database, account: str) -> int:
    query = select(func.count()).where(Message.account == account, Message.submitted_at.is_not(None))
    with database.read() as session:
        return session.execute(query).scalar_one()


def allowance_used(database: Database, account: Account) -> str:
    """Share of the tightest window's rate, from the first to the last submit; polls count where they share it."""
    limit = min(account.limits, key=lambda one: one.limit / one.per, default=None)
    if limit is None:
        return "no limit"
    with database.read() as session:
        bounds: Any = session.execute(
            select(func.min(Attempt.started_at), func.max(Attempt.started_at)).where(
                Attempt.account == account.name, Attempt.kind.in_(SUBMIT)
            )
        ).one()
        first, last = bounds
        if first is None or last <= first:
            return "-"
        used = session.execute(
            select(func.count(), func.sum(Attempt.messages), func.sum(Attempt.segments)).where(
                Attempt.account == account.name, Attempt.started_at.between(first, last),
                Attempt.kind.in_(SUBMIT) if account.poll_limits is not None else Attempt.id.is_not(None),
            )
        ).one()  # fmt: skip
    return f"{_share(limit, used, last - first):.0%}"


def _share(limit: Limit, used: Any, span: timedelta) -> float:
    spent = {Counts.REQUESTS: used[0], Counts.MESSAGES: used[1], Counts.SEGMENTS: used[2]}[limit.counts]
    # The first permit opens the span: n permits at full rate take n - 1 spacings. The short burst that a rested account
    # may begin with is within the allowance, so the share never reads above the whole.
    return min(1.0, max(0.0, float(spent) - 1) / (limit.limit / limit.per * max(span.total_seconds(), 0.001)))


def reject_table(database: Database, campaign_id: UUID) -> Table:
    table = Table(title="Rows that did not become messages", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("row", "column", "value", "reason"):
        table.add_column(column, justify="right" if column == "row" else "left", overflow="fold")
    query = select(Reject).where(Reject.campaign_id == campaign_id).order_by(Reject.row_no)
    with database.read() as session:
        for row in session.execute(query).scalars():
            table.add_row(str(row.row_no), row.column, row.value.replace("[", "\\["), row.reason.replace("[", "\\["))
    return table
