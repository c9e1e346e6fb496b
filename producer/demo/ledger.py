"""Reading both sides: the simulator's ledger over its control API, and our own messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson
from sqlalchemy import func, select

from config.accounts import Account
from models.database import Database
from models.tables import Campaign, Message
from producer.demo.compare import Entry, Row


async def fetch_entries(control: str) -> list[Entry]:
    async with aiohttp.ClientSession() as client, client.get(f"{control}/ledger") as answer:
        answer.raise_for_status()
        return [_entry(orjson.loads(line)) async for line in answer.content if line.strip()]


def _entry(item: Mapping[str, Any]) -> Entry:
    digits = str(item["msisdn"]).lstrip("+")
    return Entry(item["provider"], str(item["id"]), item["ref"], digits, item["text"], item["truth"])


async def fetch_stats(control: str, configure: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The simulator's counters by provider; `configure` sets switches first."""
    async with aiohttp.ClientSession() as client:
        if configure:
            async with client.post(f"{control}/config", json=configure) as answer:
                answer.raise_for_status()
        async with client.get(f"{control}/stats") as answer:
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json()
            return found


def our_rows(database: Database, accounts: Mapping[str, Account]) -> list[Row]:
    """Every message of every campaign."""
    query = select(
        Message.id, Message.account, Message.state, Message.provider_id, Message.msisdn,
        func.coalesce(Message.text, Campaign.common_text),
    ).join(Campaign, Campaign.id == Message.campaign_id)  # fmt: skip
    with database.read() as session:
        return [
            Row(str(id_), account, accounts[account].provider, state, provider_id, msisdn.lstrip("+"), text or "")
            for id_, account, state, provider_id, msisdn, text in session.execute(query)
        ]
