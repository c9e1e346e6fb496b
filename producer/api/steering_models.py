"""Schedules, windows, paces, canaries, guards and caps as the API takes and gives them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.states import MessageState
from models.steering import MOST_MESSAGES, MOST_SECONDS, Steering, steering_of
from models.windows import EVERY_DAY, WindowError, check_zone
from producer.api.values import Moment, Plain, Real, Short, Whole

Seconds = Annotated[Whole, Field(ge=1, le=MOST_SECONDS)]
Share = Annotated[Real, Field(ge=0, le=1, allow_inf_nan=False)]
Clock = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["09:00"])]
ClosingClock = Annotated[str, Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", examples=["20:00"])]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class WindowIn(_Strict):
    """Hours at which messages may leave, by each recipient's own clock (derived from the number, or the row's column
    `timezone`); with `zone` by one clock for all."""

    opens: Annotated[Clock, Field(alias="from")]
    closes: Annotated[ClosingClock, Field(alias="to")]
    days: Annotated[
        list[Annotated[Whole, Field(ge=1, le=7)]], Field(min_length=1, max_length=7, description="Monday is 1")
    ] = Field(default_factory=lambda: list(EVERY_DAY))
    zone: Annotated[Plain | None, Field(max_length=64, examples=["Europe/Berlin"])] = None

    @model_validator(mode="after")
    def _possible(self) -> WindowIn:
        if self.opens == self.closes or (self.opens, self.closes) == ("00:00", "24:00"):
            raise ValueError("expected two different times of a day; leave the window out to send at any hour")
        if self.zone is not None:
            _known_zone(self.zone)
        return self


class PacingIn(_Strict):
    """`spread` evenly over so many seconds, or `slice` messages `every` so many seconds."""

    spread: Seconds | None = None
    slice: Annotated[Whole | None, Field(ge=1, le=MOST_MESSAGES)] = None
    every: Seconds | None = None

    @model_validator(mode="after")
    def _one_way(self) -> PacingIn:
        if (self.spread is None) == (self.slice is None) or (self.slice is None) != (self.every is None):
            raise ValueError("expected either spread, or slice and every")
        return self


class CanaryIn(_Strict):
    """Send `size` first; go on only when `share` of them is delivered and none failed with one of `codes` (`*` stands
    for anything). Reports are awaited `wait` seconds at most."""

    size: Annotated[Whole, Field(ge=1, le=MOST_MESSAGES)]
    share: Share = 0.8
    wait: Seconds = 1800
    codes: Annotated[list[Annotated[Plain, Field(min_length=1, max_length=64)]], Field(max_length=50)] = Field(
        default_factory=list, examples=[["DLT-*"]]
    )


class GuardIn(_Strict):
    """Pause when `share` of the `last` outcomes are errors (rejected, undelivered, expired, failed)."""

    share: Annotated[Real, Field(gt=0, le=1, allow_inf_nan=False)]
    last: Annotated[Whole, Field(ge=10, le=MOST_MESSAGES)] = 200


class CapsIn(_Strict):
    """At most `most` messages per number in `period` seconds over all campaigns (0: no cap); the same text to the same
    number not again within `repeat` seconds. What is left out is as the settings say."""

    most: Annotated[Whole | None, Field(ge=0, le=1_000_000)] = None
    period: Seconds | None = None
    repeat: Annotated[Whole | None, Field(ge=0, le=MOST_SECONDS)] = None


class SteeringIn(_Strict):
    """When and how far a campaign runs. Everything is optional."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"window": {"from": "09:00", "to": "20:00"}, "canary": {"size": 100}}]},
    )

    window: WindowIn | None = None
    pacing: PacingIn | None = None
    canary: CanaryIn | None = None
    guard: GuardIn | None = None
    caps: CapsIn | None = None

    def steering(self) -> Steering:
        return steering_of(self.model_dump(by_alias=True, exclude_none=True))


class RescheduleIn(_Strict):
    """Another time, with zone, at most a year ahead."""

    start_at: Annotated[Moment, Field(examples=["2030-06-01T09:00:00+02:00"])]


Retryable = Literal["failed", "expired", "undelivered", "rejected"]


def _by_default() -> list[Retryable]:
    return ["failed", "expired", "undelivered"]


class RetryIn(_Strict):
    """Which ends to send again to. What may still be delivered is never among them."""

    states: Annotated[list[Retryable], Field(min_length=1, max_length=4)] = Field(default_factory=_by_default)
    name: Short | None = None

    def chosen(self) -> list[MessageState]:
        return [MessageState(state) for state in dict.fromkeys(self.states)]


class RecurringIn(_Strict):
    """Send a stored campaign's messages again at every time of a cron expression of five fields."""

    campaign_id: UUID
    cron: Annotated[Plain, Field(min_length=1, max_length=200, examples=["0 9 * * mon-fri"])]
    zone: Annotated[Plain, Field(max_length=64, examples=["Europe/Berlin"])] = "UTC"
    name: Short | None = None


class RecurringOut(BaseModel):
    id: UUID
    name: str
    campaign_id: UUID
    cron: str
    zone: str
    next_at: datetime | None
    last_at: datetime | None
    last_campaign_id: UUID | None


class RecurringList(BaseModel):
    items: list[RecurringOut]


class ComingOut(BaseModel):
    """`kind` is `campaign` or `recurring`; `id` is its."""

    at: datetime
    kind: Literal["campaign", "recurring"]
    id: UUID
    name: str
    messages: int


class ScheduleOut(BaseModel):
    """What is to come, the next first."""

    items: list[ComingOut]


def _known_zone(name: str) -> None:
    try:
        check_zone(name)
    except WindowError as error:
        raise ValueError(str(error)) from error
