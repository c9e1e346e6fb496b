"""Start, pause, resume, cancel, the failures again: a page that says what will happen, and a button that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Path, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from config import names
from models.plain import storable
from producer import campaigns, copies
from producer.api.campaigns import wake
from producer.api.context import Here
from producer.web.campaign_page import figures_of
from producer.web.campaign_view import look
from producer.web.guard import Form, Operator, page_router, text_of
from producer.web.render import render

router = page_router()

MOST_REASON = 500
Word = Annotated[Literal["start", "pause", "resume", "cancel", "retry-failed"], Path()]
Act = Callable[[Session, UUID, str, datetime], UUID]


@dataclass(frozen=True, slots=True)
class Action:
    """What a button does, in words. `asks_why`: a reason may be given, and is kept in the timeline."""

    name: str
    text: str
    act: Act
    asks_why: bool = False
    grave: bool = False


def _start(session: Session, campaign_id: UUID, reason: str, now: datetime) -> UUID:
    campaigns.start(session, campaign_id, now)
    return campaign_id


def _pause(session: Session, campaign_id: UUID, reason: str, now: datetime) -> UUID:
    campaigns.pause(session, campaign_id, reason, now)
    return campaign_id


def _resume(session: Session, campaign_id: UUID, reason: str, now: datetime) -> UUID:
    campaigns.resume(session, campaign_id, now)
    return campaign_id


def _cancel(session: Session, campaign_id: UUID, reason: str, now: datetime) -> UUID:
    campaigns.cancel(session, campaign_id, reason, now)
    return campaign_id


def _retry(session: Session, campaign_id: UUID, reason: str, now: datetime) -> UUID:
    return copies.retry_failed(session, campaign_id, now)


ACTIONS: Mapping[str, Action] = {
    "start": Action("Start", "Its messages begin to leave now, or at its time if it has one.", _start),
    "pause": Action(
        "Pause", "Nothing more leaves within a second. What has left is followed to its end.", _pause, asks_why=True
    ),
    "resume": Action(
        "Resume", "It goes on exactly where it stopped: nothing is sent twice, nothing is left out.", _resume
    ),
    "cancel": Action(
        "Cancel",
        "Nothing more leaves, for good. What has left is followed to its end. This cannot be undone.",
        _cancel,
        asks_why=True,
        grave=True,
    ),
    "retry-failed": Action(
        "Send failures again",
        "A new campaign is made of the failed, expired and undelivered messages, with the same texts. "
        "Whoever may have got the message after all is left out. It starts by itself.",
        _retry,
    ),
}


@router.get("/campaigns/{campaign_id}/{word}")
def confirm(request: Request, campaign_id: UUID, word: Word, here: Here, viewer: Operator) -> Response:
    view = look(here, figures_of(request), campaign_id)
    return render(
        request, "confirm_campaign.html",
        viewer=viewer, view=view, word=word, action=ACTIONS[word], possible=word in view.actions,
    )  # fmt: skip


@router.post("/campaigns/{campaign_id}/{word}")
def act(campaign_id: UUID, word: Word, here: Here, viewer: Operator, form: Form) -> Response:
    """Asked twice it does the same once. Raises what the use case raises, which becomes a page."""
    reason = storable(text_of(form, "reason")).strip()[:MOST_REASON]
    with here.database.write() as session:
        shown = ACTIONS[word].act(session, campaign_id, reason, here.now())
    wake(here)
    if word == "retry-failed":
        here.bell.ring(names.SCHEDULE, names.CONTROL_QUEUE)
    return RedirectResponse(f"/campaigns/{shown}?done={word}", 303)
