"""Step three: sender and text, with the text of any row as it will arrive, counted while it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from fastapi import Request, Response
from sqlalchemy.orm import Session

from models.tables import Draft
from producer.api.context import Context, Here
from producer.template_filters import FILTERS
from producer.web.guard import Form, Operator, Viewer, text_of
from producer.web.render import render
from producer.web.wizard import columns, flow, message
from producer.web.wizard.columns_page import choices_of
from producer.web.wizard.flow import Step
from producer.web.wizard.message import Content, Shown, TextFault
from producer.web.wizard.routing import wizard_router
from producer.web.wizard.sample import Sample

router = wizard_router()
DEFAULTS: Mapping[str, str] = {"kind": "own", "absent": "reject"}
REPLACE, REMOVE = "replace", "remove"


@router.get("/campaigns/new/{draft_id}/message")
def page(request: Request, draft_id: UUID, here: Here, viewer: Operator) -> Response:
    return _page(request, here, viewer, flow.load(here, draft_id, viewer, Step.MESSAGE))


@router.post("/campaigns/new/{draft_id}/message")
def save(request: Request, draft_id: UUID, here: Here, viewer: Operator, form: Form) -> Response:
    go, fields = text_of(form, "go"), flow.fields_of(form)
    if go in (REPLACE, REMOVE):
        fields["text"] = message.replaced(fields.get("text", ""), remove=go == REMOVE)
        go = flow.STAY
    fields["row"] = str(_row_after(fields.get("row", ""), go))
    draft = flow.load(here, draft_id, viewer, Step.MESSAGE)
    faults = faults_of(here, draft, fields)
    draft = flow.keep(here, draft_id, viewer, Step.MESSAGE, fields, complete=not faults)
    if faults and flow.moves_on(go) and not go.startswith("row-"):
        return _page(request, here, viewer, draft, faults)
    return flow.away(
        flow.url_of(draft_id, Step.MESSAGE) if go.startswith("row-") else flow.target(draft, Step.MESSAGE, go)
    )


@router.post("/campaigns/new/{draft_id}/message/live")
def live(request: Request, draft_id: UUID, here: Here, viewer: Operator, form: Form) -> Response:
    """The text that is being written, for one row; nothing is stored."""
    draft = flow.load(here, draft_id, viewer, Step.MESSAGE)
    fields = flow.fields_of(form)
    return render(request, "wizard/preview.html", viewer=viewer, **_preview(here, draft, fields))


def _row_after(text: str, go: str) -> int:
    """The place in the sample that is shown: another one after `row-next` and `row-before`."""
    at = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    return max(0, at + {"row-next": 1, "row-before": -1}.get(go, 0))


def faults_of(here: Context, draft: Draft, fields: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with the message, by field."""
    known = columns.variables(choices_of(here, draft)[0])
    try:
        with here.database.read() as session:
            content = message.content_of(session, fields)
        template = message.parsed(content)
    except TextFault as error:
        return {error.field: str(error)}
    missing = [name for name in template.required if name not in known]
    if missing:
        names = ", ".join(f"“{name}”" for name in missing)
        text = f"No column fills {names}: every row would be rejected. Map a column to it, or give a default below."
        return {"template" if content.name else "text": text}
    return {}


def _preview(here: Context, draft: Draft, fields: Mapping[str, str]) -> dict[str, object]:
    sample = flow.choice_sample(draft)
    choices, _ = choices_of(here, draft)
    with here.database.read() as session:
        shown, content = _shown(session, sample, choices, fields)
    at = min(_row_after(fields.get("row", ""), ""), max(len(sample.good) - 1, 0))
    return {
        "draft": draft, "shown": shown, "at": at, "rows": len(sample.good),
        "row": sample.good[at].number if sample.good else None,
        "sender": content.sender if content else "", "gsm7_only": bool(content and content.gsm7_only),
        "own": fields.get("kind") != "stored",
    }  # fmt: skip


def _shown(
    session: Session, sample: Sample, choices: Sequence[columns.Choice], fields: Mapping[str, str]
) -> tuple[Shown, Content | None]:
    if not sample.good:
        return Shown(fault="None of the first rows can be read, so there is nothing to show."), None
    at = min(_row_after(fields.get("row", ""), ""), len(sample.good) - 1)
    try:
        content = message.content_of(session, fields)
    except TextFault as error:
        return Shown(fault=str(error)), None
    return message.show(content, columns.values_of(sample.good[at], choices, sample)), content


def _page(
    request: Request, here: Context, viewer: Viewer, draft: Draft, faults: Mapping[str, str] | None = None
) -> Response:
    fields = {**DEFAULTS, **draft.answers.get(Step.MESSAGE, {})}
    with here.database.read() as session:
        templates = message.stored(session)
    preview = _preview(here, draft, fields)
    preview.pop("draft")
    return flow.show(
        request, viewer, Step.MESSAGE, draft,
        f=fields, faults=faults or {}, variables=columns.variables(choices_of(here, draft)[0]),
        templates=templates, filters=FILTERS, **preview,
    )  # fmt: skip
