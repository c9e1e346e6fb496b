"""Messages as the API gives them. Times are ISO 8601 in UTC, prices exact decimals as texts."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from models.states import MessageState


class MessageOut(BaseModel):
    """A message in a list."""

    id: UUID
    row: Annotated[int, Field(description="Line or row of the recipient file")]
    phone: Annotated[
        str,
        Field(
            description="E.164; masked for keys of scope read; `(erased)` after retention", examples=["+447700900123"]
        ),
    ]
    country: str | None
    reference: str | None
    account: str
    sender: str
    encoding: str
    segments: int
    state: MessageState
    code: str | None
    klass: str | None
    reason: str | None
    provider_id: str | None
    submitted_at: datetime | None
    final_at: datetime | None
    provider_at: Annotated[datetime | None, Field(description="Delivered (or failed) when, by the provider's clock")]
    parts: Annotated[int | None, Field(description="Parts billed")]
    price: Decimal | None
    currency: str | None
    network: str | None
    channel: str | None
    read_at: datetime | None


class MessagePage(BaseModel):
    """`next` is the cursor of the following page; null at the end."""

    items: list[MessageOut]
    next: str | None


class FoundOut(MessageOut):
    """A message in a list over all campaigns."""

    campaign_id: UUID


class FoundPage(BaseModel):
    """`next` is the cursor of the following page; null at the end."""

    items: list[FoundOut]
    next: str | None


class Step(BaseModel):
    """One transition."""

    at: datetime
    state: str
    note: str


class AttemptOut(BaseModel):
    """One HTTP request that carried the message. `elapsed_ms` null: no answer was recorded."""

    id: UUID
    kind: str
    account: str
    started_at: datetime
    elapsed_ms: int | None
    status: int | None
    outcome: str | None
    reason: str | None
    request_id: Annotated[str | None, Field(description="The provider's, for its support")]
    messages: int


class ReportOut(BaseModel):
    """One delivery report of the message, and what it did."""

    received_at: datetime
    applied_at: datetime | None
    state: MessageState | None
    raw_status: str
    effect: str | None
    details: dict[str, Any]


class MessageHistory(MessageOut):
    """Everything that is known of one message. `text` is null for keys of scope read, and after retention."""

    campaign_id: UUID
    batch_id: UUID
    text: str | None
    tries: int
    looks: int
    not_before: datetime | None
    deadline: datetime | None
    expires_at: datetime | None
    history: list[Step]
    attempts: list[AttemptOut]
    reports: list[ReportOut]
