"""Recipient files: streamed to disk, then imported, everything or nothing."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response
from starlette.concurrency import run_in_threadpool

from models.states import CampaignState
from models.tables import Campaign
from producer.api.access import Submitter, guarded_router
from producer.api.campaign_models import ImportOut
from producer.api.campaign_reads import rejects_path
from producer.api.campaigns import known
from producer.api.context import Context, Here
from producer.api.posting import KeyOwner, Posting, digest_of
from producer.api.problems import Problem, responses
from producer.api.spool import TYPES, Spooled, spooled
from producer.importer import Imported
from producer.readers import Format, Hint

router = guarded_router("campaigns")

_FILE = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"schema": {"type": "object", "properties": {"file": _FILE["schema"]}, "required": ["file"]}}
_BODY = {"required": True, "content": {**{name: _FILE for name in TYPES if name}, "multipart/form-data": _FORM}}


@router.post(
    "/campaigns/{campaign_id:uuid}/recipients",
    response_model=ImportOut,
    responses=responses(400, 404, 409, 413, 415),
    openapi_extra={"requestBody": _BODY},
    summary="Upload recipients",
)
async def upload(
    campaign_id: UUID,
    request: Request,
    here: Here,
    caller: Submitter,
    owner: KeyOwner,
    column: Annotated[str | None, Query(max_length=100, description="The number column, if not named as usual")] = None,
    encoding: Annotated[str | None, Query(max_length=40, description="As utf-8 or cp1252, if not UTF-8/16")] = None,
    delimiter: Annotated[str | None, Query(max_length=1)] = None,
    sheet: Annotated[str | None, Query(max_length=100, description="Of a workbook; else the first")] = None,
    file_format: Annotated[Format | None, Query(alias="format", description="If the content type does not say")] = None,
) -> Response:
    """CSV, NDJSON or XLSX, also in gzip or zip, as the raw body or as the part `file` of a form. A file that turns out
    broken, even at its last byte, leaves no recipient behind and the campaign `failed`; a bad row harms only itself and
    is listed in the reject file."""
    await run_in_threadpool(_check_draft, here, campaign_id)
    async with spooled(request, here.settings.state_dir / "uploads") as file:
        if not file.size:
            raise Problem(422, "invalid-file", "the file is empty")
        hint = Hint(file_format or file.format, encoding or file.encoding, delimiter, column, sheet)
        posting = Posting(here, owner, digest_of(request, file.digest))
        async with here.uploads:
            return await run_in_threadpool(_import, posting, campaign_id, file, hint)


def _check_draft(here: Context, campaign_id: UUID) -> None:
    """Before a gigabyte is read for nothing. A repeat under its key must still reach its stored answer: so only what
    can never have taken a file is refused."""
    with here.database.read() as session:
        campaign = known(session, campaign_id)
        if campaign.state is CampaignState.CANCELLED:
            raise Problem(409, "conflict", "the campaign is cancelled; recipients can be added to a draft only")


def _import(posting: Posting, campaign_id: UUID, file: Spooled, hint: Hint) -> Response:
    here = posting.here
    with posting.once():
        done = here.importer().run(campaign_id, file.file, hint, file.name)
        with here.database.write() as session:
            session.get_one(Campaign, campaign_id).source = (file.name or "upload")[:255]
            respond = posting.settle(session, 200, _out(done))
        return respond()


def _out(done: Imported) -> ImportOut:
    return ImportOut(
        campaign_id=done.campaign_id,
        rows=done.rows,
        accepted=done.accepted,
        rejected=done.rejected,
        segments=done.segments,
        encoding=done.encoding,
        number_column=done.number_column,
        rejects=rejects_path(done.campaign_id),
    )
