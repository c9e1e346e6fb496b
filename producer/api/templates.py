"""Named templates with versions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from models.tables import TemplateText
from producer import templates
from producer.api.access import Admin, Reader, Submitter, guarded_router
from producer.api.campaign_models import MAX_VERSION, TEMPLATE_NAME
from producer.api.context import Here
from producer.api.posting import Once
from producer.api.problems import Fault, Problem, responses
from producer.api.values import Limit, Plain, YesNo, decode_cursor, encode_cursor
from producer.template import MAX_TEMPLATE
from producer.templates import NoTemplateError

router = guarded_router("templates")
Name = Annotated[str, Path(pattern=TEMPLATE_NAME)]


class TemplateIn(BaseModel):
    """A new version. `missing` stands for a value that a row has not; null: such rows are rejected."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "Hi {{ name }}", "missing": ""}]}
    )

    text: Annotated[Plain, Field(min_length=1, max_length=MAX_TEMPLATE)]
    missing: Annotated[Plain | None, Field(max_length=200)] = None
    gsm7_only: YesNo = False
    note: Annotated[Plain, Field(max_length=200)] = ""


class TemplateOut(BaseModel):
    """One version; it never changes."""

    name: str
    version: int
    text: str
    missing: str | None
    gsm7_only: bool
    note: str
    created_at: datetime
    retired_at: datetime | None


class TemplatePage(BaseModel):
    """`next` is the cursor of the following page; null at the end."""

    items: list[TemplateOut]
    next: str | None


class TemplateVersions(BaseModel):
    """Every version, the newest first."""

    items: list[TemplateOut]


@router.get("/templates", response_model=TemplatePage, summary="List templates")
def listing(
    here: Here,
    caller: Reader,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
    limit: Annotated[Limit, Query()] = 100,
) -> TemplatePage:
    """The newest version of each, by name."""
    after = decode_cursor(cursor, _read_place) or ""
    with here.database.read() as session:
        found = templates.newest(session, after, limit + 1)
    more = encode_cursor(found[limit - 1].name) if len(found) > limit else None
    return TemplatePage(items=[_out(one) for one in found[:limit]], next=more)


def _read_place(text: str) -> str:
    if "\0" in text:
        raise ValueError(text)
    return text


@router.get(
    "/templates/{name}", response_model=TemplateVersions, responses=responses(404), summary="Versions of a template"
)
def history(name: Name, here: Here, caller: Reader) -> TemplateVersions:
    """The retired ones too: campaigns that pinned them go on."""
    with here.database.read() as session:
        try:
            return TemplateVersions(items=[_out(one) for one in templates.versions(session, name)])
        except NoTemplateError as error:
            raise _absent(error) from error


@router.get("/templates/{name}/{version}", response_model=TemplateOut, responses=responses(404), summary="One version")
def one(name: Name, version: Annotated[int, Path(ge=1, le=MAX_VERSION)], here: Here, caller: Reader) -> TemplateOut:
    """As it was saved."""
    with here.database.read() as session:
        try:
            return _out(templates.get(session, name, version))
        except NoTemplateError as error:
            raise _absent(error) from error


@router.post(
    "/templates/{name}", response_model=TemplateOut, responses=responses(400, 409, 413, 415), summary="Save a template"
)
def save(name: Name, body: TemplateIn, caller: Submitter, once: Once) -> Response:
    """A new version, or the newest one if nothing would change. Campaigns keep the version they pinned."""

    def work(session: Session) -> TemplateOut:
        given = body.model_dump(exclude={"text"})
        return _out(templates.save(session, name, body.text, once.here.now(), **given))

    return once.run(200, work)


@router.delete("/templates/{name}", status_code=204, responses=responses(404), summary="Retire a template")
def retire(name: Name, here: Here, caller: Admin) -> Response:
    """Offer it no more. Campaigns that pinned a version of it go on. Needs scope admin."""
    with here.database.write() as session:
        try:
            templates.retire(session, name, here.now())
        except NoTemplateError as error:
            raise _absent(error) from error
    return Response(status_code=204)


def _out(found: TemplateText) -> TemplateOut:
    return TemplateOut(**{name: getattr(found, name) for name in TemplateOut.model_fields})


def _absent(error: NoTemplateError) -> Problem:
    text = str(error).removeprefix("template_name: ")
    return Problem(404, "not-found", text, errors=[Fault(detail=text, parameter="name")])
