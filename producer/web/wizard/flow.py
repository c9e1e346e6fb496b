"""What all steps share: whose draft it is, how far it is, what a form said, and where a button leads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from models.plain import storable
from models.states import CampaignState
from models.tables import Campaign, Draft
from producer import drafts
from producer.api.context import Context
from producer.api.problems import Problem
from producer.web.guard import Viewer
from producer.web.render import render
from producer.web.wizard.sample import Sample, sample_of

MOST_TEXT = 20_000  # characters of one field
NEXT, BACK, STAY = "next", "back", "stay"
_REACHED = "reached"


class Step(StrEnum):
    RECIPIENTS = "recipients"
    COLUMNS = "columns"
    MESSAGE = "message"
    TIME = "time"
    CHECK = "check"

    @property
    def at(self) -> int:
        return list(Step).index(self)


TITLES: Mapping[Step, str] = {
    Step.RECIPIENTS: "Recipients",
    Step.COLUMNS: "Columns",
    Step.MESSAGE: "Message",
    Step.TIME: "Route and time",
    Step.CHECK: "Check",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """A step as the row of steps shows it. `state`: done, current, open (can be gone to) or closed."""

    word: str
    title: str
    number: int
    state: str


class Elsewhere(Exception):
    """The draft cannot be worked on here: go to `url`."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


def url_of(draft_id: UUID, step: Step | str) -> str:
    return f"/campaigns/new/{draft_id}/{step}"


def reached(draft: Draft | None) -> int:
    """How many steps are complete."""
    if draft is None or not draft.sample:
        return 0
    return int(draft.answers.get(_REACHED, 0))


def stages(draft: Draft | None, step: Step) -> list[Stage]:
    done = reached(draft)
    return [Stage(one, TITLES[one], one.at + 1, _state(one, step, done)) for one in Step]


def _state(one: Step, step: Step, done: int) -> str:
    if one is step:
        return "current"
    if one.at < done:
        return "done"
    return "open" if one.at == done else "closed"


def draft_of(
    session: Session, draft_id: UUID, viewer: Viewer, step: Step | None = None, *, lock: bool = False
) -> Draft:
    """The draft, if it can be worked on in this step. Raises Problem 404, Elsewhere."""
    try:
        found = drafts.get(session, draft_id, viewer.key_id, lock=lock)
    except drafts.NoDraft as error:
        text = "this campaign in the making is not there: it was made with another key, discarded, or left for a week"
        raise Problem(404, "not-found", text) from error
    if found.campaign_id is not None and not _came_to_nothing(session, found.campaign_id):
        raise Elsewhere(f"/campaigns/{found.campaign_id}")
    if step is not None and step.at > reached(found):
        raise Elsewhere(url_of(draft_id, list(Step)[reached(found)]))
    return found


def _came_to_nothing(session: Session, campaign_id: UUID) -> bool:
    """Whether the process died that filled the campaign, so that its draft is to be used again."""
    campaign = session.get(Campaign, campaign_id)
    return campaign is None or campaign.state is CampaignState.FAILED


def load(here: Context, draft_id: UUID, viewer: Viewer, step: Step | None = None) -> Draft:
    with here.database.read() as session:
        return draft_of(session, draft_id, viewer, step)


def fields_of(form: FormData) -> dict[str, str]:
    """A form's texts as they can be stored; its token and its buttons are not among them."""
    return {
        name[:MOST_TEXT]: storable(value)[:MOST_TEXT]
        for name, value in form.items()
        if isinstance(value, str) and name not in ("csrf", "go")
    }


def keep(
    here: Context, draft_id: UUID, viewer: Viewer, step: Step, fields: Mapping[str, Any], *, complete: bool = False
) -> Draft:
    """Store a step's form as it was typed, right or wrong. Raises Problem, Elsewhere."""
    with here.database.write() as session:
        draft = draft_of(session, draft_id, viewer, step, lock=True)
        if draft.campaign_id is not None:
            drafts.release(session, draft_id)
        drafts.answer(draft, step, fields, here.now())
        if complete:
            complete_step(draft, step)
        return draft


def complete_step(draft: Draft, step: Step) -> None:
    draft.answers = {**draft.answers, _REACHED: max(reached(draft), step.at + 1)}


def reopen(draft: Draft, step: Step) -> None:
    """The steps behind this one are to be looked at again."""
    draft.answers = {**draft.answers, _REACHED: min(reached(draft), step.at)}


def target(draft: Draft, step: Step, go: str) -> str:
    """Where a button leads; what is no step leads on."""
    steps = list(Step)
    places = {BACK: steps[max(step.at - 1, 0)], STAY: step, **{str(one): one for one in Step}}
    wanted = places.get(go, steps[min(step.at + 1, len(steps) - 1)])
    return url_of(draft.id, steps[min(wanted.at, reached(draft))])


def moves_on(go: str) -> bool:
    """Whether the step must be right for this button."""
    return go in (NEXT, "") or go not in (BACK, STAY, *Step)


def away(url: str) -> Response:
    return RedirectResponse(url, 303)


def choice_sample(draft: Draft) -> Sample:
    found = sample_of(draft.sample)
    if found is None:
        raise Elsewhere(url_of(draft.id, Step.RECIPIENTS))
    return found


def show(
    request: Request, viewer: Viewer, step: Step, draft: Draft | None, status: int = 200, /, **values: Any
) -> Response:
    """A step's page."""
    faults = values.pop("faults", {})
    return render(
        request, f"wizard/{step}.html", 422 if faults and status == 200 else status,
        viewer=viewer, step=step, title=TITLES[step], draft=draft, stages=stages(draft, step), faults=faults, **values,
    )  # fmt: skip
