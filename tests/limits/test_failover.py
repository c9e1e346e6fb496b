"""An account out of order gives its undispatched messages to another one of the route; no message can arrive twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from config.accounts import Account, Limit, Webhook
from models.database import Database
from models.moves import Move, apply_moves
from models.queries import account_status, counts, recount
from models.states import CampaignState, MessageState
from models.tables import Batch, CampaignEvent, Message
from producer.audit import message_differences
from providers.accounts import open_provider
from providers.base import Provider
from tests.support.cluster import Ask, plant
from workers.breaker import OpenKind
from workers.failover import Failover, Health, health

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ACCOUNTS = {
    "quicksms": Account(
        "quicksms", "quicksms", "https://q.test", {"api_key": "k"}, (Limit(1000, 60.0),),
        webhook=Webhook(push=True, secret="x" * 16, token="t" * 16),
    ),
    "cliqtel": Account(
        "cliqtel", "cliqtel", "https://c.test", {"api_key": "k"}, (Limit(60, 60.0),), sender="+12025550123"
    ),
}  # fmt: skip
ROUTE = ("quicksms", "cliqtel")


def breaker(state: str, kind: str | None, since: float = 1.0) -> dict[str, Any]:
    return {"breaker": {"state": state, "kind": kind, "reason": "why", "for": since}}


@pytest.mark.parametrize(
    ("snapshot", "age", "parked", "out", "healthy"),
    [
        ({}, None, None, False, True),
        (breaker("closed", None), 1, None, False, True),
        (breaker("closed", None), 1, 60, False, False),  # blocked: that passes by itself
        (breaker("open", "unproven"), 1, None, False, True),
        (breaker("open", "credentials"), 1, 900, True, False),
        (breaker("half_open", "credentials"), 1, None, True, False),
        (breaker("open", "operator"), 1, 60, True, False),
        (breaker("open", "paused"), 1, 600, True, False),
        (breaker("open", "errors", 5.0), 1, 5, False, False),
        (breaker("open", "errors", 90.0), 1, 5, True, False),
        (breaker("open", "credentials"), 90, 900, False, False),  # nobody has heard of it lately
        ({"error": "Redis does not answer"}, 1, None, False, False),
    ],
)
def test_only_lasting_trouble_makes_others_take_over(
    snapshot: dict[str, Any], age: float | None, parked: float | None, out: bool, healthy: bool
) -> None:
    updated = None if age is None else NOW - timedelta(seconds=age)
    until = None if parked is None else NOW + timedelta(seconds=parked)
    found = health(snapshot, updated, until, NOW)
    assert found == Health(found.out_of_order, healthy)
    assert (found.out_of_order is not None) == out


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'failover.db'}")
    made.migrate()
    yield made
    made.close()


def out_of_order(database: Database, account: str, kind: OpenKind = OpenKind.CREDENTIALS) -> None:
    with database.write() as session:
        status = account_status(session, account)
        status.snapshot = breaker("open", str(kind))
        status.updated_at = database.now()


def run(database: Database, refuse: str = "") -> int:
    adapters: dict[str, Provider] = {
        name: open_provider(account, "https://us.test") for name, account in ACCOUNTS.items()
    }
    accounts = {
        name: replace(account, senders=("none",)) if name == refuse else account for name, account in ACCOUNTS.items()
    }
    with database.write() as session:
        return Failover(session, accounts, adapters.get, 10.0, database.now()).run()


def messages(database: Database, campaign: UUID) -> list[Message]:
    with database.read() as session:
        return list(session.execute(select(Message).where(Message.campaign_id == campaign)).scalars())


def at(database: Database, campaign: UUID, account: str) -> int:
    return sum(row.account == account for row in messages(database, campaign))


def test_messages_move_as_many_as_the_other_account_can_use_in_the_next_while(database: Database) -> None:
    campaign = plant(database, ACCOUNTS, Ask("quicksms", 400, 100, route=ROUTE))
    out_of_order(database, "quicksms")
    assert run(database) == 30  # three batches of ten seconds at one a second
    assert run(database) == 0
    moved = [row for row in messages(database, campaign) if row.account == "cliqtel"]
    assert {row.sender for row in moved} == {"+12025550123"}
    assert {row.state for row in moved} == {MessageState.QUEUED}
    assert all("moved from quicksms: credentials" in row.trail for row in moved)
    with database.read() as session:
        assert counts(session, campaign) == recount(session, campaign)
        assert all(tuple(message_differences(row)) == () for row in moved)
        batches = {b.id: b for b in session.execute(select(Batch)).scalars()}
        assert all(batches[row.batch_id].account == row.account for row in messages(database, campaign))
        [event] = session.execute(select(CampaignEvent).where(CampaignEvent.kind == "failover")).scalars()
        assert event.detail.startswith("30 messages from quicksms to cliqtel")


def test_a_message_of_once_unknown_outcome_never_moves_and_a_refused_one_does(database: Database) -> None:
    campaign = plant(database, ACCOUNTS, Ask("quicksms", 3, 3, route=ROUTE))
    first, second, third = messages(database, campaign)
    now = database.now()
    paths = {
        first.id: [MessageState.SUBMITTING, MessageState.UNKNOWN, MessageState.QUEUED],
        second.id: [MessageState.SUBMITTING, MessageState.QUEUED],
        third.id: [MessageState.SUBMITTING],
    }
    with database.write() as session:
        for message, path in paths.items():
            for state in path:
                assert apply_moves(session, [Move(message, state)], now)
    out_of_order(database, "quicksms")
    assert run(database) == 1
    assert {row.id: row.account for row in messages(database, campaign)} == {
        first.id: "quicksms", second.id: "cliqtel", third.id: "quicksms",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ask", "sick"),
    [
        (Ask("quicksms", 20, route=ROUTE, failover=False), ["quicksms"]),
        (Ask("quicksms", 20, route=("quicksms",)), ["quicksms"]),
        (Ask("quicksms", 20, route=ROUTE, state=CampaignState.PAUSED), ["quicksms"]),
        (Ask("quicksms", 20, route=ROUTE), ["quicksms", "cliqtel"]),
        (Ask("quicksms", 20, route=ROUTE), []),
    ],
    ids=["switched off", "one account in the route", "paused", "both out of order", "all well"],
)
def test_nothing_moves_where_it_should_not(database: Database, ask: Ask, sick: list[str]) -> None:
    campaign = plant(database, ACCOUNTS, ask)
    for account in sick:
        out_of_order(database, account)
    assert run(database) == 0
    assert at(database, campaign, "quicksms") == 20


def test_what_the_other_account_would_refuse_stays(database: Database) -> None:
    campaign = plant(database, ACCOUNTS, Ask("quicksms", 20, route=ROUTE))
    out_of_order(database, "quicksms")
    assert run(database, refuse="cliqtel") == 0
    assert at(database, campaign, "quicksms") == 20


def test_the_tables_of_the_newest_release_go_back_and_forth(database: Database) -> None:
    database.migrate("-1")
    database.migrate()
    campaign = plant(database, ACCOUNTS, Ask("quicksms", 1, route=ROUTE))
    assert at(database, campaign, "quicksms") == 1
