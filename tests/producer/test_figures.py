"""Costs, errors and reports without a message, counted from the rows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from models.database import Database
from models.states import MessageState
from models.tables import DeliveryReport
from producer import figures
from tests.support.clock import START
from tests.support.rows import add_batch, add_campaign, add_messages

S = MessageState


def add(database: Database, *messages: dict[str, Any]) -> UUID:
    with database.write() as session:
        campaign = add_campaign(session, START)
        batch = add_batch(session, campaign, START)
        for row, values in enumerate(messages, 1):
            add_messages(session, campaign, batch, 1, row_no=row, **values)
    return campaign


def test_costs_are_exact_and_currencies_are_never_added_up(database: Database) -> None:
    eur, usd = {"currency": "EUR", "state": S.DELIVERED}, {"currency": "USD", "state": S.UNDELIVERED}
    campaign = add(
        database,
        {**eur, "price": Decimal("0.1"), "parts": 2, "country": "GB"},
        {**eur, "price": Decimal("0.2"), "country": "GH"},
        {**usd, "price": Decimal("0.000000001"), "country": "GB"},
        {"state": S.SENT},  # no price named
    )
    other = add(database, {**eur, "price": Decimal(9)})
    with database.read() as session:
        assert figures.costs(session, campaign) == [
            {"currency": "EUR", "messages": 2, "parts": 3, "price": Decimal("0.3")},
            {"currency": "USD", "messages": 1, "parts": 1, "price": Decimal("0.000000001")},
        ]
        by_country = figures.costs(session, campaign, "country")
        assert [(row["country"], row["currency"]) for row in by_country] == [
            ("GB", "EUR"),
            ("GH", "EUR"),
            ("GB", "USD"),
        ]
        assert figures.costs(session, other)[0]["price"] == Decimal(9)


def test_errors_come_with_class_and_reason_the_most_frequent_first(database: Database) -> None:
    absent = {"state": S.UNDELIVERED, "code": "27", "klass": "temporary", "reason": "absent"}
    barred = {"state": S.REJECTED, "code": "9", "klass": "recipient", "reason": "barred"}
    campaign = add(database, absent, absent, barred, {"state": S.DELIVERED})
    with database.read() as session:
        found = figures.errors(session, campaign)
        assert [(row["code"], row["klass"], row["reason"], row["messages"]) for row in found] == [
            ("27", "temporary", "absent", 2),
            ("9", "recipient", "barred", 1),
        ]
        assert figures.errors(session, None, "account", limit=1)[0]["account"] == "acme"
        assert sum(row["messages"] for row in figures.outcomes(session, campaign, "country")) == 4


def test_what_figures_cannot_be_parted_by_is_an_error(database: Database) -> None:
    with database.read() as session, pytest.raises(KeyError):
        figures.costs(session, UUID(int=1), "msisdn")


def test_reports_without_a_message_are_counted_by_account_and_listed(database: Database) -> None:
    with database.write() as session:
        for place, (account, again) in enumerate([("a", START), ("a", None), ("b", None)]):
            session.add(
                DeliveryReport(
                    account=account, dedupe=str(place), received_at=START, details={}, effect="unmatched",
                    next_try_at=again, tries=1,
                )
            )  # fmt: skip
        session.add(
            DeliveryReport(account="a", dedupe="x", received_at=START, details={}, applied_at=START, effect="moved")
        )
    with database.read() as session:
        counts = [(row["account"], row["reports"], row["given_up"]) for row in figures.unmatched_counts(session)]
        assert counts == [("a", 2, 1), ("b", 1, 1)]
        assert [row.dedupe for row in figures.unmatched(session, "a")] == ["1", "0"]
        assert {"account": "a", "effect": "moved", "reports": 1} in figures.effects(session)
