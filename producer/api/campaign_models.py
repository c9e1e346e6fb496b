"""Campaigns as the API takes and gives them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from models.options import DEFAULT_PARTS, MOST_PARTS
from models.states import CampaignState, CanaryState, MessageState
from producer.api.steering_models import SteeringIn
from producer.api.values import AccountName, Moment, Plain, Real, Reason, Sender, Short, Whole, YesNo, storable
from producer.campaigns import LEAST_RATE, MAX_VALIDITY, MOST_RATE
from producer.plan import MOST_WEIGHT
from producer.template import MAX_TEMPLATE

Scalar = str | int | Annotated[float, Field(allow_inf_nan=False)] | bool | None
MAX_VERSION = 2**31 - 1
TEMPLATE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
Weight = Annotated[Whole, Field(ge=1, le=MOST_WEIGHT)]
CountryCode = Annotated[str, Field(pattern="^[A-Z]{2}$", examples=["GB"])]


class RecipientIn(BaseModel):
    """One recipient. Every further field is a variable of the template."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"phone": "+447700900123", "name": "Ama", "reference": "order-17"}]},
    )
    __pydantic_extra__: dict[str, Scalar] = Field(init=False)

    phone: Annotated[str, Field(max_length=64, description="Any usual human form; international with + is safest")]
    reference: Annotated[str | None, Field(max_length=128, description="Your own id, given back everywhere")] = None

    @model_validator(mode="after")
    def _storable(self) -> RecipientIn:
        for name, value in self.cells().items():
            storable(name)
            if isinstance(value, str):
                storable(value)
        return self

    def cells(self) -> dict[str, Scalar]:
        """The row as a file would hold it."""
        extra = self.__pydantic_extra__ or {}
        reference: dict[str, Scalar] = {} if self.reference is None else {"reference": self.reference}
        return {"phone": self.phone, **reference, **extra}


class RuleIn(BaseModel):
    """Numbers of these countries, or beginning so, go to these accounts."""

    model_config = ConfigDict(extra="forbid")

    accounts: Annotated[dict[AccountName, Weight], Field(min_length=1, max_length=100)]
    countries: Annotated[list[CountryCode], Field(max_length=250)] = Field(default_factory=list)
    prefixes: Annotated[
        list[Annotated[str, Field(pattern=r"^\+[1-9][0-9]{0,14}$")]], Field(max_length=1000, examples=[["+4479"]])
    ] = Field(default_factory=list)


class RoutingIn(BaseModel):
    """Rules (the first that fits decides), accounts that step in when none of a row's takes it, sender IDs by account,
    countries that are allowed (empty: all) and denied."""

    model_config = ConfigDict(extra="forbid")

    rules: Annotated[list[RuleIn], Field(max_length=200)] = Field(default_factory=list)
    failover: Annotated[list[AccountName], Field(max_length=100)] = Field(default_factory=list)
    senders: Annotated[dict[AccountName, Sender], Field(max_length=100)] = Field(default_factory=dict)
    allow: Annotated[list[CountryCode], Field(max_length=250)] = Field(default_factory=list)
    deny: Annotated[list[CountryCode], Field(max_length=250)] = Field(default_factory=list)


class ContentIn(BaseModel):
    """What is said, by whom, through which accounts."""

    model_config = ConfigDict(extra="forbid")

    sender: Annotated[Sender, Field(description="Sender ID; an account may have one of its own, which wins")] = ""
    template: Annotated[
        Plain, Field(max_length=MAX_TEMPLATE, description="Liquid: `{{ name }}`, filters, if/unless/case/for/assign")
    ] = ""
    template_name: Annotated[
        str | None, Field(pattern=TEMPLATE_NAME, description="A named template instead of a text")
    ] = None
    template_version: Annotated[Whole | None, Field(ge=1, le=MAX_VERSION, description="Null: the newest")] = None
    missing: Annotated[
        Plain | None, Field(max_length=200, description="Stands for missing values; null: such rows are rejected")
    ] = None
    gsm7_only: Annotated[YesNo, Field(description="Write GSM-7's nearest characters where that is possible")] = False
    region: Annotated[
        str | None, Field(pattern="^[A-Z]{2}$", description="Country of numbers without a country code")
    ] = None
    route: Annotated[
        dict[AccountName, Weight],
        Field(min_length=1, max_length=100, description="Account name to weight"),
    ]
    routing: Annotated[RoutingIn, Field(description="What goes beyond weights")] = Field(default_factory=RoutingIn)
    options: Annotated[
        dict[Short, Annotated[Plain, Field(max_length=1000)]],
        Field(max_length=50, description="Handed to the provider's adapter with every message; see its document"),
    ] = Field(default_factory=dict)
    validity: Annotated[Whole | None, Field(ge=1, le=MAX_VALIDITY, description="Seconds")] = None
    max_parts: Annotated[
        Whole, Field(ge=1, le=MOST_PARTS, description="A row whose text needs more parts is rejected")
    ] = DEFAULT_PARTS


_EXAMPLE: dict[str, JsonValue] = {
    "name": "Spring sale",
    "sender": "MyStore",
    "template": "Hi {{ name | default: 'there' }}, your code is {{ code }}",
    "route": {"qikli": 70, "quicksms": 30},
    "recipients": [
        {"phone": "+447700900123", "name": "Ama", "code": "A-17", "reference": "order-17"},
        {"phone": "+12025550123", "name": "Ben", "code": "B-4"},
    ],
    "start": True,
}


class CampaignIn(ContentIn):
    """A new campaign: with recipients, or a draft to upload them to."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    name: Short
    priority: Literal["high", "normal", "low"] = "normal"
    weight: Annotated[Whole, Field(ge=1, le=1000, description="Its share beside others of its priority")] = 1
    max_rate: Annotated[
        Real | None,
        Field(ge=LEAST_RATE, le=MOST_RATE, allow_inf_nan=False, description="Messages a second over all accounts"),
    ] = None
    failover: Annotated[
        YesNo, Field(description="Messages may move to another account of the route while theirs is out of order")
    ] = True
    on_unknown: Annotated[
        Literal["give_up", "resend"],
        Field(description="What ends a message of which can never be learnt whether it was accepted"),
    ] = "give_up"
    start_at: Annotated[
        Moment | None,
        Field(description="With zone, at most a year ahead", examples=["2030-06-01T09:00:00+02:00"]),
    ] = None
    steering: SteeringIn = Field(default_factory=SteeringIn)
    recipients: list[RecipientIn] = Field(default_factory=list)
    start: Annotated[YesNo, Field(description="Start at once (or at `start_at`)")] = False
    stream: Annotated[
        YesNo,
        Field(
            description="Send an uploaded file while it is still read. A file that turns out broken cannot be undone "
            "then: the campaign pauses and says how many messages have left"
        ),
    ] = False


class PreviewIn(ContentIn):
    """What would be sent to these rows."""

    max_rate: Annotated[Real | None, Field(ge=LEAST_RATE, le=MOST_RATE, allow_inf_nan=False)] = None

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{k: v for k, v in _EXAMPLE.items() if k not in {"name", "start"}}]},
    )

    recipients: Annotated[list[RecipientIn], Field(min_length=1)]


class ReasonIn(BaseModel):
    """Why; kept in the campaign's history."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[Reason, Field(examples=["wrong price in the text"])] = ""


class CampaignSummary(BaseModel):
    """A campaign in a list."""

    id: UUID
    name: str
    state: CampaignState
    state_reason: str | None
    sender: str
    priority: str
    created_at: datetime
    start_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    purged_at: Annotated[datetime | None, Field(description="When retention erased its numbers and texts")]
    rows_total: int
    rows_accepted: int
    rows_rejected: int
    segments_total: int


class CampaignPage(BaseModel):
    """`next` is the cursor of the following page; null at the end."""

    items: list[CampaignSummary]
    next: str | None


class Event(BaseModel):
    """One step of a campaign's history."""

    at: datetime
    kind: str
    detail: str


class Progress(BaseModel):
    """`share` of the messages that are final; `rate` in messages a second over the last minute; `eta_seconds` until
    the last has left. Null: not known."""

    final: int
    share: float
    rate: float | None
    eta_seconds: int | None


class CampaignOut(CampaignSummary):
    """A campaign and how far it is."""

    template: str
    template_name: str | None
    template_version: int | None
    route: Annotated[Mapping[str, int], Field(description="Account to weight; 0: only by a rule or as failover")]
    routing: dict[str, JsonValue]
    options: Mapping[str, str]
    max_parts: int
    weight: int
    max_rate: float | None
    failover: bool
    validity: int | None
    on_unknown: str
    source: str | None
    steering: Mapping[str, JsonValue]
    canary: Annotated[CanaryState | None, Field(description="Where the canary stands, if there is one")]
    origin_id: Annotated[UUID | None, Field(description="The campaign whose recipients this one copies")]
    counts: dict[MessageState, int]
    counts_by_account: dict[str, dict[MessageState, int]]
    progress: Progress
    events: list[Event]
    rejects: Annotated[str, Field(description="Where the rejected rows can be downloaded")]


class ImportOut(BaseModel):
    """What became of an uploaded file."""

    campaign_id: UUID
    rows: int
    accepted: int
    rejected: int
    segments: int
    encoding: str | None
    number_column: str
    rejects: Annotated[str, Field(description="Where the rejected rows can be downloaded")]
