"""Campaigns: make them, steer them, look at them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import names
from models.states import CampaignState
from models.tables import Campaign
from producer import campaigns, templates
from producer.api.access import Reader, Submitter, guarded_router
from producer.api.campaign_models import CampaignIn, CampaignOut, CampaignPage, ContentIn, ReasonIn, RecipientIn
from producer.api.campaign_reads import details, summary
from producer.api.context import Context, Here
from producer.api.posting import Once, Posting
from producer.api.problems import Fault, Problem, of_file, pointer, responses
from producer.api.values import Limit, decode_cursor, encode_cursor
from producer.campaigns import CampaignSpec
from producer.quota import QuotaExceeded
from producer.readers import FileError, Format, Hint
from producer.rejects import first_rejects

router = guarded_router("campaigns")
_CONFLICT = responses(400, 404, 409, 413, 415)
FURTHEST = timedelta(days=366)
SHOWN_REJECTS = 20


@router.post(
    "/campaigns",
    status_code=201,
    response_model=CampaignOut,
    responses=responses(400, 409, 413, 415),
    summary="Create a campaign",
)
def create(body: CampaignIn, caller: Submitter, once: Once) -> Response:
    """A campaign with its recipients (up to a limit; upload more as a file), or a draft without. With `start` it begins
    at once. Bad rows are listed in the reject file and harm no other row; if no row is good, nothing is created."""
    here = once.here
    _check_body(here, body)
    spec = pinned(here, _spec(body, caller.key_id))
    template = campaigns.check_spec(spec, here.accounts, here.providers)
    with once.once():
        with here.database.write() as session:
            campaign_id = campaigns.create(session, spec, template, here.now())
        if body.recipients:
            _import(here, campaign_id, body)
        try:
            response = _finish(once, campaign_id, body)
        except QuotaExceeded:
            _drop(here, campaign_id)
            raise
    if body.start:
        wake(here)
    return response


def _check_body(here: Context, body: CampaignIn) -> None:
    if len(body.recipients) > here.options.max_inline:
        detail = f"{len(body.recipients)} recipients, at most {here.options.max_inline} inline; upload them as a file"
        raise wrong("recipients", detail)
    if body.stream and body.recipients:
        raise wrong("stream", "for uploaded files; recipients in the request are stored before it is answered")
    if body.start and not body.recipients:
        raise wrong("start", "a campaign without recipients cannot be started; upload them first")
    if body.start_at is not None and body.start_at - here.now() > FURTHEST:
        raise wrong("start_at", f"more than {FURTHEST.days} days ahead")


def wrong(field: str, detail: str) -> Problem:
    """A field of the body is wrong."""
    return Problem(422, "invalid-request", f"{field}: {detail}", errors=[Fault(detail=detail, pointer=f"#/{field}")])


def _spec(body: CampaignIn, key_id: UUID | None = None) -> CampaignSpec:
    given = body.model_dump(exclude={"recipients", "start", "steering"}) | {"routing": routing_of(body)}
    source = "API" if body.recipients else None
    return CampaignSpec(**given, source=source, steering=body.steering.steering(), api_key_id=key_id)


def routing_of(body: ContentIn) -> dict[str, Any]:
    """As the route's document has it, without what is empty."""
    return body.routing.model_dump(exclude_defaults=True)


def pinned(here: Context, spec: CampaignSpec) -> CampaignSpec:
    """The spec with the text of the template it names."""
    with here.database.read() as session:
        return templates.pin(session, spec)


def ndjson(recipients: list[RecipientIn]) -> bytes:
    """Inline recipients as the file they could have been: row n is line n."""
    return "".join(json.dumps(row.cells(), ensure_ascii=False) + "\n" for row in recipients).encode()


def _import(here: Context, campaign_id: UUID, body: CampaignIn) -> None:
    """Everything, or no campaign at all."""
    try:
        done = here.importer().run(
            campaign_id, io.BytesIO(ndjson(body.recipients)), Hint(Format.NDJSON, column="phone")
        )
    except FileError as error:
        _drop(here, campaign_id)
        raise of_file(error) from error
    if not done.accepted:
        faults = _drop(here, campaign_id)
        raise Problem(422, "no-recipients", "every recipient was rejected; nothing was created", errors=faults)


def _drop(here: Context, campaign_id: UUID) -> list[Fault]:
    """Undo the creation; the first rejected rows, to be shown."""
    with here.database.write() as session:
        rejects = first_rejects(session, campaign_id, SHOWN_REJECTS)
        faults = [
            Fault(detail=f"{reject.reason} ({reject.code})", pointer=pointer(["recipients", reject.row_no - 1]))
            for reject in rejects
        ]
        session.expunge_all()
        campaigns.forget(session, campaign_id)
    return faults


def _finish(once: Posting, campaign_id: UUID, body: CampaignIn) -> Response:
    """Start and answer in one transaction: whoever has no answer has sent nothing."""
    here = once.here
    with here.database.write() as session:
        if body.start:
            campaigns.start(session, campaign_id, here.now())
            session.flush()
        answer = details(session, session.get_one(Campaign, campaign_id), here.now())
        respond = once.settle(session, 201, answer)
    return respond()


def wake(here: Context) -> None:
    here.bell.ring(names.DISPATCH, names.CONTROL_QUEUE)


# --- steering --------------------------------------------------------------------------------------------------------


@router.post("/campaigns/{campaign_id:uuid}/start", response_model=CampaignOut, responses=_CONFLICT, summary="Start")
def start(campaign_id: UUID, caller: Submitter, once: Once) -> Response:
    """Send now, or at the campaign's time. A draft needs recipients first; a paused one is resumed."""
    return _steer(once, campaign_id, lambda session: campaigns.start(session, campaign_id, once.here.now()))


@router.post("/campaigns/{campaign_id:uuid}/resume", response_model=CampaignOut, responses=_CONFLICT, summary="Resume")
def resume(campaign_id: UUID, caller: Submitter, once: Once) -> Response:
    """Go on exactly where it stopped: nothing is sent twice, nothing is left out."""
    return _steer(once, campaign_id, lambda session: campaigns.resume(session, campaign_id, once.here.now()))


@router.post("/campaigns/{campaign_id:uuid}/pause", response_model=CampaignOut, responses=_CONFLICT, summary="Pause")
def pause(campaign_id: UUID, caller: Submitter, once: Once, body: ReasonIn | None = None) -> Response:
    """Nothing leaves any more within a second; what has left is followed to its end."""
    reason = body.reason if body else ""
    return _steer(once, campaign_id, lambda session: campaigns.pause(session, campaign_id, reason, once.here.now()))


@router.post("/campaigns/{campaign_id:uuid}/cancel", response_model=CampaignOut, responses=_CONFLICT, summary="Cancel")
def cancel(campaign_id: UUID, caller: Submitter, once: Once, body: ReasonIn | None = None) -> Response:
    """Nothing more leaves, for good. What has left is followed to its end."""
    reason = body.reason if body else ""
    return _steer(once, campaign_id, lambda session: campaigns.cancel(session, campaign_id, reason, once.here.now()))


def _steer(once: Posting, campaign_id: UUID, act: Callable[[Session], CampaignState]) -> Response:
    def work(session: Session) -> CampaignOut:
        act(session)
        session.flush()
        return details(session, session.get_one(Campaign, campaign_id), once.here.now())

    response = once.run(200, work)
    wake(once.here)
    return response


# --- looking ---------------------------------------------------------------------------------------------------------


@router.get("/campaigns", response_model=CampaignPage, summary="List campaigns")
def listing(
    here: Here,
    caller: Reader,
    state: Annotated[list[CampaignState] | None, Query(description="Only these states")] = None,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
    limit: Annotated[Limit, Query()] = 50,
) -> CampaignPage:
    """The newest first."""
    before = decode_cursor(cursor, UUID)
    query = select(Campaign).order_by(Campaign.id.desc()).limit(limit + 1)
    if state:
        query = query.where(Campaign.state.in_(state))
    if before is not None:
        query = query.where(Campaign.id < before)
    with here.database.read() as session:
        rows = session.execute(query).scalars().all()
    more = encode_cursor(str(rows[limit - 1].id)) if len(rows) > limit else None
    return CampaignPage(items=[summary(row) for row in rows[:limit]], next=more)


@router.get("/campaigns/{campaign_id:uuid}", response_model=CampaignOut, responses=responses(404), summary="Progress")
def one(campaign_id: UUID, here: Here, caller: Reader) -> CampaignOut:
    """A campaign, its counters and how far it is."""
    with here.database.read() as session:
        return details(session, known(session, campaign_id), here.now())


def known(session: Session, campaign_id: UUID) -> Campaign:
    """The campaign, or a Problem."""
    found = session.get(Campaign, campaign_id)
    if found is None:
        raise Problem(404, "not-found", f"there is no campaign {campaign_id}")
    return found
