"""A preview as the API gives it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field


class PreviewRow(BaseModel):
    """What one recipient would get. `refused_by`: accounts of the route that would not take it, and why."""

    row: int
    phone: str
    country: str
    account: str
    sender: str
    text: str
    encoding: str
    segments: int
    reference: str | None
    warnings: list[str]
    refused_by: dict[str, str]


class PreviewReject(BaseModel):
    """A row that would get nothing."""

    row: int
    column: str | None
    value: str
    code: str
    reason: str


class PreviewCounts(BaseModel):
    """`invalid` are all rejected rows that are neither duplicate nor suppressed."""

    valid: int
    invalid: int
    duplicate: int
    suppressed: int
    by_reason: Annotated[dict[str, int], Field(description="Rejected rows by code")]


class PreviewSegments(BaseModel):
    """Per message, and of all."""

    min: int
    median: float
    max: int
    total: int
    messages_by_segments: Annotated[dict[int, int], Field(description="Number of parts to messages")]


class PreviewDuration(BaseModel):
    """Seconds of sending by the accounts' limits, if nothing else is sent; pauses by sending windows come on top."""

    seconds: float
    by_account: dict[str, float]


class PreviewCost(BaseModel):
    """One country: `cost` by currency; `unpriced_parts` are those that the price table has no price for."""

    country: str
    messages: int
    parts: int
    cost: dict[str, Decimal]
    unpriced_parts: int


class PreviewOut(BaseModel):
    """Nothing was stored and nothing was sent."""

    counts: PreviewCounts
    segments: PreviewSegments
    by_account: Annotated[dict[str, int], Field(description="Messages per account")]
    by_encoding: dict[str, int]
    duration: PreviewDuration
    cost: Annotated[dict[str, Decimal], Field(description="By currency, from the price table")]
    unpriced_parts: int
    cost_by_country: list[PreviewCost]
    warnings: Annotated[dict[str, int], Field(description="Each warning, and how many messages it concerns")]
    rows: list[PreviewRow]
    rejected: list[PreviewReject]
