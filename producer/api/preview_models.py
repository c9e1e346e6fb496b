"""A preview as the API gives it."""

from __future__ import annotations

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


class PreviewSegments(BaseModel):
    """Per message, and of all."""

    min: int
    median: float
    max: int
    total: int


class PreviewOut(BaseModel):
    """Nothing was stored and nothing was sent."""

    counts: PreviewCounts
    segments: PreviewSegments
    by_account: Annotated[dict[str, int], Field(description="Messages per account")]
    by_encoding: dict[str, int]
    warnings: Annotated[dict[str, int], Field(description="Each warning, and how many messages it concerns")]
    rows: list[PreviewRow]
    rejected: list[PreviewReject]
