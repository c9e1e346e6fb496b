"""What campaigns cost, why messages failed, what became of them: of one campaign, and by day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from models.states import MessageState
from producer import figures
from producer.api.access import Reader, guarded_router
from producer.api.campaigns import known
from producer.api.context import Here
from producer.api.problems import Fault, Problem, responses
from producer.api.values import Day
from producer.figures_by_day import MOST_DAYS, by_day

router = guarded_router("figures")


class By(StrEnum):
    """What figures can be parted by."""

    ACCOUNT = "account"
    COUNTRY = "country"
    NETWORK = "network"
    CHANNEL = "channel"
    KLASS = "klass"


Parted = Annotated[list[By] | None, Query(description="Part by these; may be given several times")]
Group = Annotated[dict[str, str | None], Field(description="The values of what it is parted by")]


class CostOut(BaseModel):
    """One currency, never added to another. `messages`: those that the provider named a price for."""

    group: Group
    currency: str | None
    messages: int
    parts: int
    price: Decimal


class CostList(BaseModel):
    items: list[CostOut]


class ErrorOut(BaseModel):
    """How many messages ended so, and why."""

    group: Group
    code: str | None
    klass: str | None
    reason: str | None
    state: MessageState
    messages: int


class ErrorList(BaseModel):
    """The most frequent first."""

    items: list[ErrorOut]


class OutcomeOut(BaseModel):
    """How many messages with this value are in this state."""

    value: str | None
    state: MessageState
    messages: int


class OutcomeList(BaseModel):
    items: list[OutcomeOut]


class DayCost(BaseModel):
    currency: str | None
    messages: int
    parts: int
    price: Decimal


class DayOut(BaseModel):
    """What was started on a day (UTC): campaigns, their messages by state as it is now, and what they cost so far."""

    day: date
    campaigns: int
    messages: int
    segments: int
    states: dict[MessageState, int]
    costs: list[DayCost]


class DayList(BaseModel):
    """One for each day on which something was started, the latest first."""

    items: list[DayOut]


@router.get(
    "/campaigns/{campaign_id:uuid}/costs", response_model=CostList, responses=responses(404), summary="What it cost"
)
def costs(campaign_id: UUID, here: Here, caller: Reader, by: Parted = None) -> CostList:
    """By currency, as providers and reports said. Counted from the messages: about a second for a million."""
    names = _names(by)
    with here.database.read() as session:
        known(session, campaign_id)
        rows = figures.costs(session, campaign_id, *names)
    return CostList(items=[CostOut(**_grouped(row, names)) for row in rows])


@router.get(
    "/campaigns/{campaign_id:uuid}/errors",
    response_model=ErrorList,
    responses=responses(404),
    summary="Why they failed",
)
def errors(
    campaign_id: UUID,
    here: Here,
    caller: Reader,
    by: Parted = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> ErrorList:
    """Codes of the providers with class, reason and number."""
    names = [name for name in _names(by) if name != By.KLASS]
    with here.database.read() as session:
        known(session, campaign_id)
        rows = figures.errors(session, campaign_id, *names, limit=limit)
    return ErrorList(items=[ErrorOut(**_grouped(row, names)) for row in rows])


@router.get(
    "/campaigns/{campaign_id:uuid}/outcomes",
    response_model=OutcomeList,
    responses=responses(404),
    summary="What became of them",
)
def outcomes(campaign_id: UUID, here: Here, caller: Reader, by: By = By.COUNTRY) -> OutcomeList:
    """Messages by country (or what else is asked for) and state."""
    with here.database.read() as session:
        known(session, campaign_id)
        rows = figures.outcomes(session, campaign_id, str(by))
    return OutcomeList(items=[OutcomeOut(value=row[by], state=row["state"], messages=row["messages"]) for row in rows])


@router.get("/figures", response_model=DayList, summary="Figures by day")
def days(
    here: Here,
    caller: Reader,
    since: Annotated[Day | None, Query(description=f"The first day; default: {MOST_DAYS} days up to `until`")] = None,
    until: Annotated[Day | None, Query(description="The last day; default: today (UTC)")] = None,
) -> DayList:
    """At most 31 days at a time."""
    last = until or here.now().astimezone(UTC).date()
    first = since or _days_before(last, MOST_DAYS - 1)
    if not 0 <= (last - first).days < MOST_DAYS or last == date.max:
        detail = f"expected 1 to {MOST_DAYS} days from since to until"
        raise Problem(422, "invalid-request", detail, errors=[Fault(detail=detail, parameter="since")])
    with here.database.read() as session:
        found = by_day(session, _midnight(first), _midnight(last + timedelta(days=1)))
    return DayList.model_validate({"items": found})


def _days_before(day: date, days: int) -> date:
    return day - timedelta(days=min(days, (day - date.min).days))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _names(by: list[By] | None) -> list[str]:
    return [str(one) for one in dict.fromkeys(by or [])]


def _grouped(row: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {**{name: value for name, value in row.items() if name not in names},
            "group": {name: row[name] for name in names}}  # fmt: skip
