"""Step one: a name, and a file or pasted numbers. The file goes to the database as it comes; a look at it follows."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, cast
from uuid import UUID

from fastapi import Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from models.plain import storable
from models.tables import Draft
from producer import drafts
from producer.api.access import require
from producer.api.context import Context, Here
from producer.api.spool import Spooled, spooled_form
from producer.keys import Scope
from producer.readers import FileError, Hint
from producer.web.guard import CSRF_FIELD, Operator, Viewer, check_given
from producer.web.wizard import earlier, flow
from producer.web.wizard.flow import Step
from producer.web.wizard.routing import WizardUpload, wizard_router
from producer.web.wizard.sample import Sample, look

router = wizard_router()
uploads = wizard_router(WizardUpload)

MOST_NAME = 200
MOST_PASTED = 300_000  # characters, some 20,000 numbers
HEADLESS: Mapping[str, bool | None] = {"auto": None, "names": False, "data": True}
DELIMITERS: Mapping[str, str] = {"": "find out", ",": "comma", ";": "semicolon", "tab": "tab", "|": "vertical bar"}
Uploader = Annotated[Viewer, Depends(require(Viewer, Scope.SUBMIT))]


@dataclass(frozen=True, slots=True)
class Given:
    """What the form brought. `earlier`: of which campaign the recipients are to be taken, and which of them; `how`: the
    fields that say how the file is to be read."""

    name: str
    pasted: str
    earlier: dict[str, str]
    how: dict[str, str]
    go: str
    file: Spooled

    @property
    def has_file(self) -> bool:
        return self.file.size > 0

    @property
    def has_any(self) -> bool:
        return bool(self.has_file or self.pasted or self.earlier["earlier"])

    @property
    def kept(self) -> dict[str, str]:
        """To be shown again."""
        return {**self.how, **self.earlier, "pasted": self.pasted[:MOST_PASTED]}


@router.get("/campaigns/new")
def begin(request: Request, here: Here, viewer: Operator) -> Response:
    """An empty form, and what may be gone on with."""
    with here.database.write() as session:
        drafts.drop_expired(session, here.now())
    return _page(request, here, viewer, None)


@router.get("/campaigns/new/{draft_id}")
def resume(draft_id: UUID, here: Here, viewer: Operator) -> Response:
    """To the first step that is not complete."""
    draft = flow.load(here, draft_id, viewer)
    return flow.away(flow.url_of(draft_id, list(Step)[min(flow.reached(draft), len(Step) - 1)]))


@router.get("/campaigns/new/{draft_id}/recipients")
def page(request: Request, draft_id: UUID, here: Here, viewer: Operator) -> Response:
    return _page(request, here, viewer, flow.load(here, draft_id, viewer))


@uploads.post("/campaigns/new")
async def create(request: Request, here: Here, viewer: Uploader) -> Response:
    return await _posted(request, here, viewer, None)


@uploads.post("/campaigns/new/{draft_id}/recipients")
async def change(request: Request, draft_id: UUID, here: Here, viewer: Uploader) -> Response:
    return await _posted(request, here, viewer, draft_id)


async def _posted(request: Request, here: Context, viewer: Viewer, draft_id: UUID | None) -> Response:
    async with spooled_form(request, here.settings.state_dir / "uploads") as file:
        check_given(request, file.fields.get(CSRF_FIELD, ""))
        async with here.uploads:
            return await run_in_threadpool(_take, request, here, viewer, draft_id, _given(file))


def _given(file: Spooled) -> Given:
    fields = {name: storable(text) for name, text in file.fields.items()}
    how = {name: fields.get(name, "").strip()[:100] for name in ("encoding", "delimiter", "sheet", "headless")}
    earlier = {name: fields.get(name, "").strip()[:36] for name in ("earlier", "which")}
    return Given(
        name=fields.get("name", "").strip()[:MOST_NAME], pasted=fields.get("pasted", "").strip(), earlier=earlier,
        how=how, go=fields.get("go", ""), file=file,
    )  # fmt: skip


def _take(request: Request, here: Context, viewer: Viewer, draft_id: UUID | None, given: Given) -> Response:
    """Keep what was given, right or wrong; then say what is wrong, or go on."""
    if draft_id is None and not given.has_any:
        faults = _missing(given, None) | ({} if given.name else {"name": "Give the campaign a name."})
        return _page(request, here, viewer, None, given, faults)
    draft = _kept(here, viewer, draft_id, given)
    faults = _missing(given, draft)
    sample, fault = _looked(here, draft, given)
    if fault:
        faults["file"] = fault
    if not given.name:
        faults["name"] = "Give the campaign a name."
    draft = _looked_at(here, viewer, draft.id, sample, right=not faults)
    if faults and flow.moves_on(given.go):
        return _page(request, here, viewer, draft, given, faults)
    return flow.away(flow.target(draft, Step.RECIPIENTS, given.go))


def _missing(given: Given, draft: Draft | None) -> dict[str, str]:
    if len(given.pasted) > MOST_PASTED:
        return {"pasted": f"{len(given.pasted):,} characters; at most {MOST_PASTED:,} here. Upload them as a file."}
    if given.has_any and draft is not None and draft.file_id is None:
        return {"earlier": "This campaign is not there any more."} if given.earlier["earlier"] else {}
    has_any = given.has_any or (draft is not None and draft.file_id is not None)
    return {} if has_any else {"file": "Choose a file, or paste numbers below. An empty file has no recipients."}


def _kept(here: Context, viewer: Viewer, draft_id: UUID | None, given: Given) -> Draft:
    """The draft with the name, the options and the new file, if there is one."""
    if draft_id is None:
        with here.database.write() as session:
            draft_id = drafts.make(session, viewer.key_id, given.name, here.now())
    draft = flow.load(here, draft_id, viewer)
    with tempfile.TemporaryFile() as made:
        source = _source(here, draft, given, cast(BinaryIO, made))
        blob_id = drafts.store(here.database, draft_id, source.file) if source is not None else None
    with here.database.write() as session:
        draft = flow.draft_of(session, draft_id, viewer, lock=True)
        draft.name, draft.campaign_id = given.name, None
        drafts.answer(draft, Step.RECIPIENTS, given.kept, here.now())
        if source is not None:
            draft.file_id, draft.file_name, draft.file_size = blob_id, source.name, source.size
            draft.rejects_id, draft.checked = None, {}
            drafts.forget(session, draft_id, but=(blob_id,))
        return draft


@dataclass(frozen=True, slots=True)
class Source:
    """A new file for the draft. `size` in bytes."""

    file: BinaryIO
    name: str
    size: int


def _source(here: Context, draft: Draft, given: Given, made: BinaryIO) -> Source | None:
    """What is new: a file, an earlier campaign, other numbers. None: the draft's file stays. `made`: room for it."""
    if given.has_file:
        name = Path((given.file.name or "file").replace("\\", "/")).name
        return Source(given.file.file, storable(name)[:255], given.file.size)
    before = draft.answers.get(Step.RECIPIENTS, {})
    if given.earlier["earlier"] and _is_new(draft, before, given.earlier):
        return _earlier(here, given.earlier, made)
    if given.pasted and len(given.pasted) <= MOST_PASTED and _is_new(draft, before, {"pasted": given.pasted}):
        data = as_file(given.pasted)
        return Source(io.BytesIO(data), "pasted numbers", len(data))
    return None


def _is_new(draft: Draft, before: Mapping[str, str], given: Mapping[str, str]) -> bool:
    return draft.file_id is None or any(before.get(name, "") != value for name, value in given.items())


def _earlier(here: Context, wanted: Mapping[str, str], made: BinaryIO) -> Source | None:
    with here.database.read() as session:
        campaign = earlier.campaign_of(session, wanted["earlier"])
    if campaign is None:
        return None
    size = earlier.write(here.database, campaign.id, wanted["which"], made)
    return Source(made, f"recipients of {campaign.name}"[:255], size)


def as_file(pasted: str) -> bytes:
    """Numbers one by line or between commas; or a table with a line of names, as a spreadsheet copies it."""
    lines = pasted.splitlines()
    if any(char.isalpha() for char in lines[0]):
        return pasted.encode()
    cells = [cell.strip() for line in lines for cell in line.replace(";", ",").replace("\t", ",").split(",")]
    text = io.StringIO()
    csv.writer(text).writerows([["phone"], *([cell] for cell in cells if cell)])
    return text.getvalue().encode()


def hint_of(how: Mapping[str, str]) -> Hint:
    delimiter = {"tab": "\t"}.get(how.get("delimiter", ""), how.get("delimiter", ""))
    return Hint(None, how.get("encoding") or None, delimiter[:1] or None, None, how.get("sheet") or None)


def _looked(here: Context, draft: Draft, given: Given) -> tuple[Sample | None, str]:
    """The file's beginning, or what is wrong with it."""
    if draft.file_id is None:
        return None, ""
    with drafts.opened(here.database, draft.file_id, here.settings.state_dir / "uploads") as file:
        try:
            return look(file, hint_of(given.how), headless=HEADLESS.get(given.how["headless"])), ""
        except FileError as error:
            return None, f"{str(error)[:1].upper()}{str(error)[1:]}."


def _looked_at(here: Context, viewer: Viewer, draft_id: UUID, sample: Sample | None, *, right: bool) -> Draft:
    """Keep the look. Columns that changed lose their mapping, and the steps behind are looked at again."""
    with here.database.write() as session:
        draft = flow.draft_of(session, draft_id, viewer, lock=True)
        before, found = draft.sample, sample.as_json() if sample is not None else {}
        if not before or any(before.get(key) != found.get(key) for key in ("names", "format", "headless")):
            draft.answers = {name: value for name, value in draft.answers.items() if name != Step.COLUMNS}
            flow.reopen(draft, Step.COLUMNS)
        draft.sample = found
        if right:
            flow.complete_step(draft, Step.RECIPIENTS)
        else:
            flow.reopen(draft, Step.RECIPIENTS)
        return draft


def _page(
    request: Request, here: Context, viewer: Viewer, draft: Draft | None, given: Given | None = None,
    faults: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    how = dict(draft.answers.get(Step.RECIPIENTS, {})) if draft is not None else {}
    if given is not None:
        how = {**given.kept, "pasted": given.pasted}
    name = given.name if given is not None else draft.name if draft is not None else ""
    with here.database.read() as session:
        others = drafts.unfinished(session, viewer.key_id) if draft is None else []
        campaigns = earlier.listed(session)
    return flow.show(
        request, viewer, Step.RECIPIENTS, draft,
        f=how, name=name, others=others, campaigns=campaigns, which=earlier.WHICH, faults=faults or {},
        delimiters=DELIMITERS, most=here.options.max_upload,
        action=flow.url_of(draft.id, Step.RECIPIENTS) if draft else "/campaigns/new",
    )  # fmt: skip
