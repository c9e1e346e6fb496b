"""Downloads as CSV and Parquet, streamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Query
from fastapi.responses import StreamingResponse

from models.states import MessageState
from producer.api.access import Caller, Reader, guarded_router
from producer.api.campaigns import known
from producer.api.context import Context, Here
from producer.api.problems import Problem, responses
from producer.api.values import AccountName
from producer.exports import MESSAGE_COLUMNS, REJECT_COLUMNS, FileFormat, as_file, message_rows, reject_rows
from producer.message_pages import Wanted

router = guarded_router("messages")

MEDIA: Mapping[FileFormat, str] = {
    FileFormat.CSV: "text/csv; charset=utf-8",
    FileFormat.PARQUET: "application/vnd.apache.parquet",
}
_CSV: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "CSV, UTF-8, with a header"},
}
_EITHER: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
        },
        "description": "CSV (UTF-8, with a header) or Parquet",
    },
}
States = Annotated[list[MessageState] | None, Query(alias="state", description="Only these states")]
Account = Annotated[AccountName | None, Query()]


@router.get(
    "/campaigns/{campaign_id:uuid}/rejects.csv",
    response_class=StreamingResponse,
    responses={**_CSV, **responses(404)},
    summary="Rejected rows",
)
def rejects(campaign_id: UUID, here: Here, caller: Reader) -> StreamingResponse:
    """The rows that did not become messages: where, what and why. Numbers in it are masked."""
    return _rejects(here, campaign_id, FileFormat.CSV)


@router.get(
    "/campaigns/{campaign_id:uuid}/messages.csv",
    response_class=StreamingResponse,
    responses={**_CSV, **responses(404)},
    summary="Messages as CSV",
)
def messages(
    campaign_id: UUID, here: Here, caller: Reader, states: States = None, account: Account = None
) -> StreamingResponse:
    """Every message of a campaign with what became of it."""
    return _messages(here, caller, Wanted(campaign_id, states or (), account), FileFormat.CSV)


@router.get(
    "/campaigns/{campaign_id:uuid}/export",
    response_class=StreamingResponse,
    responses={**_EITHER, **responses(404, 406)},
    summary="Messages as CSV or Parquet",
)
def export(
    campaign_id: UUID,
    here: Here,
    caller: Reader,
    states: States = None,
    account: Account = None,
    file_format: Annotated[FileFormat | None, Query(alias="format", description="Else what Accept asks for")] = None,
    accept: Annotated[str, Header()] = "*/*",
) -> StreamingResponse:
    """The same rows as `messages.csv`. Parquet has types: times, exact decimals, numbers."""
    return _messages(here, caller, Wanted(campaign_id, states or (), account), file_format or _accepted(accept))


@router.get(
    "/campaigns/{campaign_id:uuid}/rejects",
    response_class=StreamingResponse,
    responses={**_EITHER, **responses(404, 406)},
    summary="Rejected rows as CSV or Parquet",
)
def export_rejects(
    campaign_id: UUID,
    here: Here,
    caller: Reader,
    file_format: Annotated[FileFormat | None, Query(alias="format", description="Else what Accept asks for")] = None,
    accept: Annotated[str, Header()] = "*/*",
) -> StreamingResponse:
    """The same rows as `rejects.csv`."""
    return _rejects(here, campaign_id, file_format or _accepted(accept))


def _rejects(here: Context, campaign_id: UUID, kind: FileFormat) -> StreamingResponse:
    with here.database.read() as session:
        known(session, campaign_id)
    rows = reject_rows(here.database, campaign_id)
    return _file(f"rejects-{campaign_id}", kind, as_file(kind, REJECT_COLUMNS, rows))


def _messages(here: Context, caller: Caller, wanted: Wanted, kind: FileFormat) -> StreamingResponse:
    with here.database.read() as session:
        known(session, wanted.campaign_id)
    rows = message_rows(here.database, wanted, caller.number)
    return _file(str(wanted.campaign_id), kind, as_file(kind, MESSAGE_COLUMNS, rows))


def _file(name: str, kind: FileFormat, pieces: Iterator[bytes]) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    return StreamingResponse(pieces, headers=headers, media_type=MEDIA[kind])


def _accepted(accept: str) -> FileFormat:
    """CSV, unless Parquet is asked for and CSV is not. Weights are not read: there are two kinds to choose from."""
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if kinds & {"", "*/*", "text/*", "text/csv"}:
        return FileFormat.CSV
    if kinds & {MEDIA[FileFormat.PARQUET], "application/*", "application/octet-stream"}:
        return FileFormat.PARQUET
    raise Problem(406, "not-acceptable", f"this address gives text/csv or {MEDIA[FileFormat.PARQUET]}")
