"""Who is told of events by a signed POST: added, listed, removed; and what was given up sent again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import names
from config.events import endpoint_secret
from models.tables import ApiKey, Campaign, EventEndpoint
from producer import webhooks_out
from producer.api.access import Caller, Submitter, guarded_router
from producer.api.context import Here
from producer.api.posting import Once
from producer.api.problems import Fault, Problem, responses
from producer.api.values import Moment, Plain, YesNo
from producer.keys import Scope
from producer.webhooks_out import EndpointError

router = guarded_router("events", prefix="/v1/event-endpoints")


class EndpointIn(BaseModel):
    """`campaign_id`: only that campaign's events; else those of every campaign that a key makes, by default yours."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"url": "https://shop.example.com/sms-events"}]}
    )

    url: Annotated[Plain, Field(min_length=1, max_length=2000, examples=["https://shop.example.com/sms-events"])]
    campaign_id: UUID | None = None
    api_key_id: Annotated[UUID | None, Field(description="Another key's campaigns; for admins")] = None


class EndpointMade(BaseModel):
    """`secret` signs what is sent there; it can be asked for again."""

    id: UUID
    url: str
    secret: str


class EndpointOut(BaseModel):
    """An endpoint and what waits for it; `dead` was given up and can be replayed."""

    id: UUID
    campaign_id: UUID | None
    api_key_id: UUID | None
    url: str
    created_at: datetime
    removed_at: datetime | None
    waiting: int
    delivered: int
    dead: int
    failures: Annotated[int, Field(description="In a row")]
    not_before: Annotated[datetime | None, Field(description="After a failure: the next try")]
    last_error: str | None


class EndpointList(BaseModel):
    items: list[EndpointOut]


class SecretOut(BaseModel):
    """Derived from the installation's key whenever it is asked for; stored nowhere."""

    secret: str


class ReplayIn(BaseModel):
    """What to send again: what was given up, or (`everything`) also what was received, kept for a week."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"since": "2030-06-01T09:00:00Z"}]})

    since: Annotated[Moment | None, Field(examples=["2030-06-01T09:00:00Z"])] = None
    everything: YesNo = False


class Replayed(BaseModel):
    """How many events will be sent again, with the same ids."""

    events: int


@router.get("", response_model=EndpointList, summary="List event endpoints")
def listing(here: Here, caller: Submitter) -> EndpointList:
    """The newest first: for admins all, for others those of their key and of its campaigns."""
    with here.database.read() as session:
        found = webhooks_out.list_endpoints(session)
        own = None if caller.scope is Scope.ADMIN else _own(session, caller)
    shown = [line for line in found if own is None or line["id"] in own]
    return EndpointList.model_validate({"items": shown})


@router.post(
    "",
    status_code=201,
    response_model=EndpointMade,
    responses=responses(400, 404, 409, 413, 415),
    summary="Add an event endpoint",
)
def add(body: EndpointIn, caller: Submitter, once: Once) -> Response:
    """At most five for a campaign or a key. Private addresses are refused, unless the operator allows them."""
    if body.campaign_id is not None and body.api_key_id is not None:
        raise _wrong("api_key_id", "name a campaign or a key, not both")
    if body.api_key_id not in (None, caller.key_id) and caller.scope is not Scope.ADMIN:
        raise Problem(403, "forbidden", "this needs a key of scope admin: the other key is not yours")
    key_id = None if body.campaign_id else body.api_key_id or caller.key_id

    def work(session: Session) -> tuple[EndpointMade, EndpointMade | None]:
        _check_owner(session, caller, body.campaign_id, key_id)
        try:
            made = webhooks_out.add_endpoint(
                session, once.here.settings, body.url, once.here.now(), campaign_id=body.campaign_id, api_key_id=key_id
            )
        except EndpointError as error:
            raise _of_endpoint(error) from error
        return EndpointMade(id=made.id, url=body.url, secret=made.secret), None

    return once.run_once_shown(201, work)


@router.get(
    "/{endpoint_id:uuid}/secret", response_model=SecretOut, responses=responses(404), summary="Its secret again"
)
def secret(endpoint_id: UUID, here: Here, caller: Submitter) -> SecretOut:
    """What its owner checks signatures with."""
    with here.database.read() as session:
        _known(session, caller, endpoint_id)
    return SecretOut(secret=endpoint_secret(here.settings, endpoint_id))


@router.delete("/{endpoint_id:uuid}", status_code=204, responses=responses(404), summary="Remove an event endpoint")
def remove(endpoint_id: UUID, here: Here, caller: Submitter) -> Response:
    """Nothing more is sent there."""
    with here.database.write() as session:
        _known(session, caller, endpoint_id)
        webhooks_out.remove_endpoint(session, endpoint_id, here.now())
    return Response(status_code=204)


@router.post(
    "/{endpoint_id:uuid}/replay",
    response_model=Replayed,
    responses=responses(400, 404, 409, 413, 415),
    summary="Send events again",
)
def replay(endpoint_id: UUID, caller: Submitter, once: Once, body: ReplayIn | None = None) -> Response:
    """With the same event ids, so that a receiver can tell what it has already."""
    asked = body or ReplayIn()

    def work(session: Session) -> Replayed:
        _known(session, caller, endpoint_id)
        again = webhooks_out.replay(session, endpoint_id=endpoint_id, since=asked.since, everything=asked.everything)
        return Replayed(events=again)

    response = once.run(200, work)
    once.here.bell.ring(names.DELIVER_EVENTS, names.EVENTS_QUEUE)
    return response


# --- whose -----------------------------------------------------------------------------------------------------------


def _own(session: Session, caller: Caller) -> set[UUID]:
    """Endpoints of the caller's key, and of campaigns it made."""
    made = select(Campaign.id).where(Campaign.api_key_id == caller.key_id)
    query = select(EventEndpoint.id).where(
        (EventEndpoint.api_key_id == caller.key_id) | EventEndpoint.campaign_id.in_(made)
    )
    return set(session.execute(query).scalars())


def _known(session: Session, caller: Caller, endpoint_id: UUID) -> EventEndpoint:
    """The endpoint, if it is there, not removed, and the caller's to handle."""
    found = session.get(EventEndpoint, endpoint_id)
    if found is None or found.removed_at is not None or not _may(session, caller, found):
        raise Problem(404, "not-found", f"there is no endpoint {endpoint_id}")
    return found


def _may(session: Session, caller: Caller, endpoint: EventEndpoint) -> bool:
    if caller.scope is Scope.ADMIN or endpoint.api_key_id == caller.key_id:
        return True
    campaign = session.get(Campaign, endpoint.campaign_id) if endpoint.campaign_id else None
    return campaign is not None and campaign.api_key_id == caller.key_id


def _check_owner(session: Session, caller: Caller, campaign_id: UUID | None, key_id: UUID | None) -> None:
    if campaign_id is not None:
        campaign = session.get(Campaign, campaign_id)
        if campaign is None or (caller.scope is not Scope.ADMIN and campaign.api_key_id != caller.key_id):
            raise Problem(404, "not-found", f"your key made no campaign {campaign_id}")
    elif session.get(ApiKey, key_id) is None:
        raise Problem(404, "not-found", f"there is no key {key_id}")


def _of_endpoint(error: EndpointError) -> Problem:
    field, mark, detail = str(error).partition(": ")
    if mark and field == "url":
        return _wrong("url", detail)
    return Problem(409, "conflict", str(error))


def _wrong(field: str, detail: str) -> Problem:
    return Problem(422, "invalid-request", f"{field}: {detail}", errors=[Fault(detail=detail, pointer=f"#/{field}")])
