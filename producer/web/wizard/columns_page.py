"""Step two: the first rows as a table, and what each column is for."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from fastapi import Request, Response

from models.tables import Draft
from producer.api.context import Context, Here
from producer.web.guard import Form, Operator, Viewer, text_of
from producer.web.render import render
from producer.web.wizard import columns, flow
from producer.web.wizard.countries import countries
from producer.web.wizard.flow import Step
from producer.web.wizard.routing import wizard_router

router = wizard_router()
SHOWN_ROWS = 6


def choices_of(here: Context, draft: Draft) -> tuple[list[columns.Choice], dict[str, str]]:
    """As they were made, else as they are guessed; with the form that says so."""
    sample = flow.choice_sample(draft)
    fields = draft.answers.get(Step.COLUMNS)
    if fields:
        return columns.choices_of(fields, sample), fields
    region = here.settings.default_region or ""
    guessed = columns.guess(sample, region or None)
    return guessed, columns.fields_of(guessed, region)


@router.get("/campaigns/new/{draft_id}/columns")
def page(request: Request, draft_id: UUID, here: Here, viewer: Operator) -> Response:
    return _page(request, here, viewer, flow.load(here, draft_id, viewer, Step.COLUMNS))


@router.post("/campaigns/new/{draft_id}/columns")
def save(request: Request, draft_id: UUID, here: Here, viewer: Operator, form: Form) -> Response:
    go, fields = text_of(form, "go"), flow.fields_of(form)
    sample = flow.choice_sample(flow.load(here, draft_id, viewer, Step.COLUMNS))
    faults = columns.faults(columns.choices_of(fields, sample), fields)
    draft = flow.keep(here, draft_id, viewer, Step.COLUMNS, fields, complete=not faults)
    if faults and flow.moves_on(go):
        return _page(request, here, viewer, draft, faults)
    return flow.away(flow.target(draft, Step.COLUMNS, go))


@router.post("/campaigns/new/{draft_id}/columns/live")
def live(request: Request, draft_id: UUID, here: Here, viewer: Operator, form: Form) -> Response:
    """How the numbers read with the columns and the country that are chosen right now; nothing is stored."""
    sample = flow.choice_sample(flow.load(here, draft_id, viewer, Step.COLUMNS))
    fields = flow.fields_of(form)
    found = columns.numbers(sample, columns.choices_of(fields, sample), columns.region_of(fields))
    return render(request, "wizard/numbers.html", viewer=viewer, numbers=found)


def _page(
    request: Request, here: Context, viewer: Viewer, draft: Draft, faults: Mapping[str, str] | None = None
) -> Response:
    sample = flow.choice_sample(draft)
    choices, fields = choices_of(here, draft)
    return flow.show(
        request, viewer, Step.COLUMNS, draft,
        sample=sample, choices=choices, f=fields, uses=columns.USES, countries=countries(),
        rows=sample.rows[:SHOWN_ROWS], faults=faults or {},
        numbers=columns.numbers(sample, choices, columns.region_of(fields)),
    )  # fmt: skip
