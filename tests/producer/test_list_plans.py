"""Lists never read what they leave out: the plans of the very statements they send, on both databases.

The tables are large enough, and their statistics fresh, so that PostgreSQL's planner has a reason to choose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert

from models.database import Database
from models.number_index import add_numbers
from models.phase import phase_of
from models.plain import trail_line
from models.states import BatchState, CampaignState, MessageState
from models.tables import (
    Attempt,
    Batch,
    Campaign,
    CampaignEvent,
    DeliveryReport,
    InboundMessage,
    Message,
    Reject,
    Suppression,
)
from models.types import new_id
from producer import audit, exports, figures, inbound
from producer.api import access, campaigns, message_reads, suppressions
from producer.api.campaign_reads import details
from producer.api.values import encode_cursor
from producer.campaigns import find
from producer.keys import Scope
from producer.message_pages import Wanted, of_number, page
from tests.support.plans import analyze, statements
from tests.support.rows import add_batch, add_campaign

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MANY = 16_000  # so many that reading them all is no planner's choice for a hundred of them
QUARTER = MANY // 4
IN_BATCH = 500  # of so many that reading all is no choice for one of them
RARE = (MessageState.FAILED, MessageState.HELD, MessageState.UNKNOWN, MessageState.SUBMITTING)
BIG = UUID(int=7)
FIRST_REQUEST = new_id()
Look = Callable[[Database], object]


def fill(database: Database) -> None:
    with database.write() as session:
        for n in range(200):
            rare = n % 40 == 0
            add_campaign(session, NOW, id=BIG if n == 0 else new_id(), route={"acme": 1, "rare": 1},
                         state=CampaignState.RUNNING if rare else CampaignState.COMPLETED)  # fmt: skip
        batches = [add_batch(session, BIG, NOW) for _ in range(MANY // IN_BATCH)]
        session.get_one(Batch, batches[-1]).state = BatchState.LEASED  # the one with the message that is leaving
        rows = [_message(batches[n // IN_BATCH], n) for n in range(MANY)]
        session.execute(insert(Message), rows)
        session.execute(insert(Attempt), [_attempt(row) for row in rows])
        add_numbers(session, [(row["msisdn"], row["id"].hex) for row in rows])
        session.execute(insert(InboundMessage), [_inbound(n) for n in range(MANY)])
        session.execute(insert(DeliveryReport), [_report(n) for n in range(MANY)])
        session.execute(
            insert(Suppression), [{"msisdn": _number(n), "sender": "", "created_at": NOW} for n in range(MANY)]
        )
        # Others' rows surround those of the campaign.
        others = [BIG if n % 3 == 0 else None for n in range(MANY)]
        other = add_campaign(session, NOW)
        session.execute(
            insert(Reject),
            [{"campaign_id": one or other, "row_no": n, "code": "x", "reason": "x"} for n, one in enumerate(others)],
        )
        session.execute(
            insert(CampaignEvent), [{"campaign_id": one or other, "at": NOW, "kind": "x"} for one in others]
        )
    if database.dialect == "postgresql":
        analyze(database)


def _number(n: int) -> str:
    return f"+4477009{n:05}"


def _message(batch: UUID, n: int) -> dict[str, Any]:
    state = (
        RARE[n // QUARTER] if n % QUARTER == QUARTER - 1 else MessageState.DELIVERED if n % 2 else MessageState.QUEUED
    )
    return {
        "id": new_id(), "campaign_id": BIG, "batch_id": batch, "row_no": n, "msisdn": _number(n),
        "account": "rare" if n == MANY - 1 else "acme", "sender": "S", "encoding": "GSM-7", "segments": 1,
        "state": state, "phase": phase_of(state),
        "trail": trail_line(MessageState.SUBMITTING, str(FIRST_REQUEST), NOW) if n == 0 else "",
    }  # fmt: skip


def _attempt(message: dict[str, Any]) -> dict[str, Any]:
    """The first one's request was another batch's: it changed its account since."""
    batch = new_id() if message["row_no"] == 0 else message["batch_id"]
    return {"id": FIRST_REQUEST if message["row_no"] == 0 else new_id(), "account": "acme", "kind": "submit",
            "batch_id": batch, "started_at": NOW, "message_ids": [str(message["id"])]}  # fmt: skip


def _inbound(n: int) -> dict[str, Any]:
    return {"account": "rare" if n == 0 else "acme", "inbound_id": str(n), "msisdn": _number(n), "to": "S", "text": "x",
            "received_at": NOW, "stop_word": n == 0}  # fmt: skip


def _report(n: int) -> dict[str, Any]:
    waits = n < 3
    return {"account": "acme", "dedupe": str(n), "received_at": NOW, "raw_status": "1", "details": {},
            "applied_at": None if waits else NOW, "next_try_at": NOW if waits else None}  # fmt: skip


BIG_TABLES = {"messages", "inbound", "delivery_reports", "rejects", "suppressions", "attempts"}


def worst(database: Database, statement: str, parameters: Any) -> list[str]:
    """What in the plan reads or sorts a whole table; empty: nothing."""
    with database.engine.connect() as connection:
        if database.dialect == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            lines = [str(row[3]) for row in rows]
            bounded = "WHERE" not in statement and "USE TEMP B-TREE FOR ORDER BY" not in lines  # newest first, LIMIT
            scans = [line for line in lines if line.startswith("SCAN") and "INDEX" not in line]
            return [] if bounded else [line for line in scans if not re.search("PRIMARY|anon_", line)]
        found = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    return list(_nodes(found[0]["Plan"]))


def _nodes(plan: dict[str, Any]) -> Iterator[str]:
    big = plan.get("Relation Name") in BIG_TABLES
    if plan["Node Type"] == "Seq Scan" and big:
        yield f"Seq Scan on {plan['Relation Name']}"
    if plan["Node Type"] == "Sort" and plan["Plan Rows"] > 1000 and plan["Plans"][0]["Plan Rows"] > 1000:
        yield f"Sort of {plan['Plans'][0]['Plan Rows']} rows"
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def read(work: Callable[[Any], object]) -> Look:
    def look(database: Database) -> None:
        with database.read() as session:
            work(session)

    return look


def messages(**changes: Any) -> Look:
    return read(lambda session: page(session, Wanted(BIG, **changes), 100))


def first_history(session: Any) -> None:
    """As the audit and the message's page find it."""
    row_0 = page(session, Wanted(BIG), 1).messages[0]
    found = audit.history(session, row_0.id)
    assert found is not None
    assert [one.id for one in found.attempts] == [FIRST_REQUEST]
    caller = access.Caller(new_id(), "k", Scope.READ)
    assert len(message_reads.history(session, row_0, caller).attempts) == 1


def listed(route: Callable[..., object], **changes: Any) -> Look:
    """A handler of the API, called as FastAPI would."""
    given = {"caller": None, "cursor": None, "limit": 50, **changes}

    def look(database: Database) -> None:
        settings = SimpleNamespace(default_region="")
        route(here=SimpleNamespace(database=database, settings=settings), **given)

    return look


FAR = (MANY - 10, UUID(int=0))
LOOKS: dict[str, Look] = {
    "messages": messages(),
    "messages, second page": messages(after=FAR),
    **{f"messages, {state}": messages(states=[state]) for state in MessageState},
    "messages, rare states together": messages(states=list(RARE)),
    "messages, rare states, second page": messages(states=list(RARE), after=(QUARTER, UUID(int=0))),
    "messages, all states": messages(states=list(MessageState)),
    "messages, account": messages(account="rare"),
    "messages, account and state": messages(account="rare", states=[MessageState.QUEUED]),
    "messages, number": messages(msisdn=_number(5)),
    "messages, number over all": read(lambda session: of_number(session, _number(5), None, 100)),
    "messages, number over all, second page": read(lambda session: of_number(session, _number(5), new_id(), 100)),
    "inbound": read(lambda session: inbound.list_inbound(session)),
    "inbound, second page": read(lambda session: inbound.list_inbound(session, before=100)),
    "inbound, account": read(lambda session: inbound.list_inbound(session, account="rare")),
    "inbound, number": read(lambda session: inbound.list_inbound(session, msisdn=_number(5))),
    "inbound, stops": read(lambda session: inbound.list_inbound(session, stops=True)),
    "unmatched": read(lambda session: figures.unmatched(session)),
    "unmatched, account, second page": read(lambda session: figures.unmatched(session, "acme", before=2)),
    "unmatched, counts": read(figures.unmatched_counts),
    "campaigns": listed(campaigns.listing, state=None),
    "campaigns, state": listed(campaigns.listing, state=[CampaignState.RUNNING]),
    "campaigns, second page": listed(campaigns.listing, state=None, cursor=encode_cursor(str(new_id()))),
    "suppressions": listed(suppressions.listing, phone=None),
    "suppressions, second page": listed(suppressions.listing, phone=None, cursor=encode_cursor(f"{_number(4000)} ")),
    "suppressions, number": listed(suppressions.listing, phone=_number(5)),
    "rejects": lambda database: next(exports.reject_rows(database, BIG)),
    "a message": read(first_history),
    "a campaign": read(lambda session: details(session, find(session, BIG), NOW + timedelta(seconds=30))),
}  # fmt: skip


def test_no_list_reads_or_sorts_what_it_leaves_out(unknown_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producer.message_pages.LOOK", 500)  # as small beside the table as it is in earnest
    fill(unknown_database)
    wrong = {}
    for name, look in LOOKS.items():
        with statements(unknown_database) as seen:
            look(unknown_database)
        assert seen, name
        for statement, parameters in seen:
            if found := worst(unknown_database, statement, parameters):
                wrong[name] = (found, statement)
    assert not wrong


def test_progress_is_told_by_the_counters_and_never_asks_a_message(database: Database) -> None:
    with database.write() as session:
        campaign = add_campaign(session, NOW)
    with statements(database) as seen:
        read(lambda session: details(session, session.get_one(Campaign, campaign), NOW))(database)
    assert 3 <= len(seen) <= 6
    named = {table for statement, _ in seen for table in re.findall(r"(?:FROM|JOIN)\s+(\w+)", statement)}
    assert "campaign_counts" in named
    assert "messages" not in named
