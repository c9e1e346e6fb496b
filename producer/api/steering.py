"""Steering over time: another time for a campaign, its failures again, recurring campaigns, what is to come."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from fastapi import Response
from sqlalchemy.orm import Session

from config import names
from models.tables import Campaign
from producer import campaigns, copies, recurring, schedule
from producer.api.access import Reader, Submitter, guarded_router
from producer.api.campaign_models import CampaignOut
from producer.api.campaign_reads import details
from producer.api.context import Context, Here
from producer.api.posting import Once
from producer.api.problems import Fault, Problem, responses
from producer.api.steering_models import (
    RecurringIn,
    RecurringList,
    RecurringOut,
    RescheduleIn,
    RetryIn,
    ScheduleOut,
)

router = guarded_router("schedule")
_CONFLICT = responses(400, 404, 409, 413, 415)
FURTHEST = timedelta(days=366)


@router.post(
    "/campaigns/{campaign_id:uuid}/reschedule", response_model=CampaignOut, responses=_CONFLICT, summary="Another time"
)
def reschedule(campaign_id: UUID, body: RescheduleIn, caller: Submitter, once: Once) -> Response:
    """For a campaign that has not begun. A draft keeps the time for its start, all others wait for it."""
    now = once.here.now()
    if body.start_at - now > FURTHEST:
        detail = f"start_at: more than {FURTHEST.days} days ahead"
        raise Problem(422, "invalid-request", detail, errors=[Fault(detail=detail, pointer="#/start_at")])

    def work(session: Session) -> CampaignOut:
        campaigns.reschedule(session, campaign_id, body.start_at, now)
        return _details(session, campaign_id, once.here)

    return once.run(200, work)


@router.post(
    "/campaigns/{campaign_id:uuid}/retry-failed",
    status_code=202,
    response_model=CampaignOut,
    responses=_CONFLICT,
    summary="The failures again",
)
def retry_failed(campaign_id: UUID, caller: Submitter, once: Once, body: RetryIn | None = None) -> Response:
    """A new campaign of those that surely got nothing, with the same texts. It is answered at once, filled in the
    background, and starts by itself."""
    asked = body or RetryIn()

    def work(session: Session) -> CampaignOut:
        made = copies.retry_failed(
            session, campaign_id, once.here.now(), asked.chosen(), asked.name or "", caller.key_id
        )
        return _details(session, made, once.here)

    response = once.run(202, work)
    once.here.bell.ring(names.SCHEDULE, names.CONTROL_QUEUE)
    return response


@router.get("/schedule", response_model=ScheduleOut, summary="What is to come")
def coming(here: Here, caller: Reader) -> ScheduleOut:
    """Scheduled campaigns and the next runs of recurring ones."""
    with here.database.read() as session:
        return ScheduleOut.model_validate({"items": schedule.upcoming(session)})


@router.get("/recurring", response_model=RecurringList, summary="List recurring campaigns")
def listing(here: Here, caller: Reader) -> RecurringList:
    """Those that will run again, the next first."""
    with here.database.read() as session:
        return RecurringList.model_validate({"items": [recurring.as_dict(one) for one in recurring.active(session)]})


@router.post(
    "/recurring", status_code=201, response_model=RecurringOut, responses=_CONFLICT, summary="Repeat a campaign"
)
def add(body: RecurringIn, caller: Submitter, once: Once) -> Response:
    """Every run is a campaign of its own, with the recipients and texts as they are stored now."""

    def work(session: Session) -> RecurringOut:
        made = recurring.add(
            session, body.campaign_id, body.cron, body.zone, once.here.now(), body.name or "", caller.key_id
        )
        return RecurringOut.model_validate(recurring.as_dict(made))

    return once.run(201, work)


@router.delete("/recurring/{recurring_id:uuid}", status_code=204, responses=responses(404), summary="Repeat no more")
def remove(recurring_id: UUID, here: Here, caller: Submitter) -> None:
    """Runs that were made already go on."""
    with here.database.write() as session:
        recurring.remove(session, recurring_id, here.now())


def _details(session: Session, campaign_id: UUID, here: Context) -> CampaignOut:
    session.flush()
    return details(session, session.get_one(Campaign, campaign_id), here.now())
