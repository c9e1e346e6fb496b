"""A world to steer campaigns in: a clock that is set by hand, two accounts, numbers of the ranges kept for fiction."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from config.accounts import Account
from models.database import Database
from models.moves import Move, apply_moves
from models.states import BatchState, CampaignState, MessageState
from models.steering import steering_of
from models.tables import Batch, Campaign, CampaignEvent, Message
from models.types import new_id
from producer import campaigns
from producer.campaigns import CampaignSpec
from producer.importer import Importer
from producer.readers import Format, Hint
from providers.accounts import open_provider

START = datetime(2026, 6, 3, 12, 0, tzinfo=UTC)  # a Wednesday
ACCOUNTS = {
    "qikli": Account("qikli", "qikli", "http://127.0.0.1:1/qikli", {"username": "u", "password": "p"}),
    "quicksms": Account("quicksms", "quicksms", "http://127.0.0.1:1/quicksms", {"api_key": "k"}),
}
PROVIDERS = {name: open_provider(account) for name, account in ACCOUNTS.items()}
TO_SUBMITTED = (MessageState.SUBMITTING, MessageState.SUBMITTED)


def uk(count: int, first: int = 0) -> list[str]:
    """Numbers of London's clocks."""
    return [f"+447700{900000 + n}" for n in range(first, first + count)]


def new_york(count: int) -> list[str]:
    return [f"+121255501{n:02}" for n in range(count)]


@dataclass
class World:
    database: Database
    now: datetime = START
    accounts: Mapping[str, Account] = field(default_factory=lambda: ACCOUNTS)

    def clock(self) -> datetime:
        return self.now

    def tick(self, **span: float) -> datetime:
        self.now += timedelta(**span)
        return self.now

    # --- campaigns ---------------------------------------------------------------------------------------------------

    def campaign(
        self,
        numbers: Sequence[str],
        steering: Mapping[str, Any] | None = None,
        *,
        zones: Sequence[str] = (),
        start: bool = True,
        batch_seconds: float = 10.0,
        **spec: Any,
    ) -> UUID:
        """Imported, and started unless told otherwise."""
        given = {"name": "Test", "sender": "Drumline", "template": "Hello", "route": {"qikli": 1}, **spec}
        made = CampaignSpec(**given, steering=steering_of(steering))
        template = campaigns.check_spec(made, self.accounts, PROVIDERS)
        with self.database.write() as session:
            campaign_id = campaigns.create(session, made, template, self.now)
        importer = Importer(self.database, self.accounts, PROVIDERS, self.clock, batch_seconds)
        importer.run(campaign_id, io.BytesIO(_file(numbers, zones)), Hint(Format.CSV))
        if start:
            self.start(campaign_id)
        return campaign_id

    def start(self, campaign_id: UUID) -> CampaignState:
        with self.database.write() as session:
            return campaigns.start(session, campaign_id, self.now)

    def pause(self, campaign_id: UUID) -> None:
        with self.database.write() as session:
            campaigns.pause(session, campaign_id, "by an operator", self.now)

    def resume(self, campaign_id: UUID) -> CampaignState:
        with self.database.write() as session:
            return campaigns.resume(session, campaign_id, self.now)

    def cancel(self, campaign_id: UUID) -> None:
        with self.database.write() as session:
            campaigns.cancel(session, campaign_id, "by an operator", self.now)

    def get(self, campaign_id: UUID) -> Campaign:
        with self.database.read() as session:
            return session.get_one(Campaign, campaign_id)

    def events(self, campaign_id: UUID) -> list[str]:
        query = select(CampaignEvent.kind).where(CampaignEvent.campaign_id == campaign_id).order_by(CampaignEvent.id)
        with self.database.read() as session:
            return list(session.execute(query).scalars())

    def last_event(self, campaign_id: UUID, kind: str) -> str:
        query = (
            select(CampaignEvent.detail)
            .where(CampaignEvent.campaign_id == campaign_id, CampaignEvent.kind == kind)
            .order_by(CampaignEvent.id.desc())
        )
        with self.database.read() as session:
            return session.execute(query).scalars().first() or ""

    # --- batches and messages ----------------------------------------------------------------------------------------

    def batches(self, campaign_id: UUID) -> list[Batch]:
        query = select(Batch).where(Batch.campaign_id == campaign_id).order_by(Batch.position, Batch.id)
        with self.database.read() as session:
            return list(session.execute(query).scalars())

    def messages(self, campaign_id: UUID) -> list[Message]:
        query = select(Message).where(Message.campaign_id == campaign_id).order_by(Message.row_no)
        with self.database.read() as session:
            return list(session.execute(query).scalars())

    def states(self, campaign_id: UUID) -> dict[str, int]:
        found: dict[str, int] = {}
        for message in self.messages(campaign_id):
            found[str(message.state)] = found.get(str(message.state), 0) + 1
        return found

    def end(self, messages: Sequence[Message], state: MessageState, code: str | None = None) -> None:
        """Bring queued messages to a state by the way of a submit."""
        attempt = new_id()
        for step in (*TO_SUBMITTED, state):
            values: dict[str, Any] = {"code": code} if step is state else {}
            if step is MessageState.SUBMITTING:
                values = {"attempt_id": attempt, "attempted_at": self.now}
            if step is MessageState.SUBMITTED:
                values = {"submitted_at": self.now}
            with self.database.write() as session:
                apply_moves(session, [Move(message.id, step, "", values) for message in messages], self.now)

    def set_batch(self, batch_id: UUID, state: BatchState, **values: Any) -> None:
        with self.database.write() as session:
            session.execute(update(Batch).where(Batch.id == batch_id).values(state=state, **values))


def _file(numbers: Sequence[str], zones: Sequence[str]) -> bytes:
    header = "phone,timezone" if zones else "phone,reference"
    rows = [f"{number},{zones[n] if n < len(zones) else ''}" for n, number in enumerate(numbers)]
    return "\n".join([header, *rows, ""]).encode()
