"""Accounts of all four providers without a network, and campaigns to import into."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from config.accounts import Account, Limit
from models.database import Database
from models.tables import Batch, Campaign, Message, Reject
from producer import campaigns
from producer.campaigns import CampaignSpec
from producer.importer import Importer
from providers.accounts import open_provider
from providers.base import Provider

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ACCOUNTS = {
    account.name: account
    for account in (
        Account("qikli", "qikli", "http://127.0.0.1:1", {"username": "u", "password": "p"}, (Limit(60, 60.0),)),
        Account("quicksms", "quicksms", "http://127.0.0.1:1", {"api_key": "sk_live_x"}, (Limit(1000, 60.0),)),
        Account("cliqtel", "cliqtel", "http://127.0.0.1:1", {"api_key": "17|x"}, (Limit(60, 60.0),)),
        Account(
            "qikberry", "qikberry", "http://127.0.0.1:1", {"access_token": "x"}, (Limit(2000, 60.0),),
            options={"service": "T"},
        ),
    )
}  # fmt: skip
PROVIDERS: Mapping[str, Provider] = {name: open_provider(account) for name, account in ACCOUNTS.items()}


def spec(**changes: Any) -> CampaignSpec:
    given: dict[str, Any] = {"name": "Spring", "sender": "MyStore", "template": "Hi {{ name }}", "route": {"qikli": 1}}
    return CampaignSpec(**{**given, **changes})


def draft(database: Database, **changes: Any) -> UUID:
    wanted = spec(**changes)
    template = campaigns.check_spec(wanted, ACCOUNTS, PROVIDERS)
    with database.write() as session:
        return campaigns.create(session, wanted, template, NOW)


def importer(database: Database, **changes: Any) -> Importer:
    return Importer(database, ACCOUNTS, PROVIDERS, lambda: NOW, **changes)


def people(count: int, start: int = 0) -> bytes:
    """A CSV file of numbers that France keeps for films."""
    lines = (f"+33639{980_000 + n},P{n},r{n}\n" for n in range(start, start + count))
    return ("phone,name,reference\n" + "".join(lines)).encode()


def campaign_of(database: Database, campaign_id: UUID) -> Campaign:
    with database.read() as session:
        return session.get_one(Campaign, campaign_id)


def messages_of(database: Database, campaign_id: UUID) -> list[Message]:
    query = select(Message).where(Message.campaign_id == campaign_id).order_by(Message.source_no, Message.row_no)
    with database.read() as session:
        return list(session.execute(query).scalars())


def batches_of(database: Database, campaign_id: UUID) -> list[Batch]:
    with database.read() as session:
        return list(session.execute(select(Batch).where(Batch.campaign_id == campaign_id).order_by(Batch.id)).scalars())


def rejects_of(database: Database, campaign_id: UUID) -> list[Reject]:
    query = select(Reject).where(Reject.campaign_id == campaign_id).order_by(Reject.source_no, Reject.row_no)
    with database.read() as session:
        return list(session.execute(query).scalars())
