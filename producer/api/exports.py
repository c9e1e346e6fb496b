"""Downloads as CSV, streamed: memory does not grow with the campaign, and no transaction stays open between pages.

A cell that a spreadsheet would run as a formula is made harmless. An E.164 number is left as it is: `+` and digits are
a number to every spreadsheet, and the file stays fit to be imported again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from fastapi.responses import StreamingResponse
from sqlalchemy import select

from models.database import Database
from models.states import MessageState
from models.tables import Message, Reject
from producer.api.access import Caller, Reader, guarded_router
from producer.api.campaigns import known
from producer.api.context import Here
from producer.api.message_models import MessageOut
from producer.api.message_reads import Wanted, page, row
from producer.api.problems import responses
from producer.api.values import AccountName
from producer.rejects import COLUMNS, harmless

router = guarded_router("messages")

PAGE = 1000  # rows in one look at the database
MESSAGE_COLUMNS = tuple(MessageOut.model_fields)
_CSV: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "CSV, UTF-8, with a header"},
}


class CsvResponse(StreamingResponse):
    """A CSV file to be saved under a name."""

    media_type = "text/csv"

    def __init__(self, rows: Iterable[str], name: str) -> None:
        super().__init__(rows, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@router.get(
    "/campaigns/{campaign_id:uuid}/rejects.csv",
    response_class=StreamingResponse,
    responses={**_CSV, **responses(404)},
    summary="Rejected rows",
)
def rejects(campaign_id: UUID, here: Here, caller: Reader) -> CsvResponse:
    """The rows that did not become messages: where, what and why. Numbers in it are masked."""
    with here.database.read() as session:
        known(session, campaign_id)
    return CsvResponse(_csv(COLUMNS, _reject_rows(here.database, campaign_id)), f"rejects-{campaign_id}.csv")


@router.get(
    "/campaigns/{campaign_id:uuid}/messages.csv",
    response_class=StreamingResponse,
    responses={**_CSV, **responses(404)},
    summary="Messages as CSV",
)
def messages(
    campaign_id: UUID,
    here: Here,
    caller: Reader,
    state: Annotated[list[MessageState] | None, Query(description="Only these states")] = None,
    account: Annotated[AccountName | None, Query()] = None,
) -> CsvResponse:
    """Every message of a campaign with what became of it."""
    with here.database.read() as session:
        known(session, campaign_id)
    wanted = Wanted(campaign_id, state or (), account)
    return CsvResponse(_csv(MESSAGE_COLUMNS, _message_rows(here.database, wanted, caller)), f"{campaign_id}.csv")


def _csv(columns: Sequence[str], pages: Iterable[list[list[object]]]) -> Iterator[str]:
    yield _lines([columns])
    for rows in pages:
        yield _lines(rows)


def _lines(rows: Iterable[Sequence[object]]) -> str:
    target = io.StringIO()
    csv.writer(target).writerows([_cell(value) for value in cells] for cells in rows)
    return target.getvalue()


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.isoformat()
        case str() if value[:1] == "+" and value[1:].isascii() and value[1:].isdigit():
            return value
        case _:
            return harmless(str(value))


def _reject_rows(database: Database, campaign_id: UUID) -> Iterator[list[list[object]]]:
    last = 0
    while True:
        query = (
            select(Reject).where(Reject.campaign_id == campaign_id, Reject.id > last).order_by(Reject.id).limit(PAGE)
        )
        with database.read() as session:
            found = session.execute(query).scalars().all()
        if not found:
            return
        last = found[-1].id
        yield [[row.row_no, row.column, row.value, row.code, row.reason] for row in found]


def _message_rows(database: Database, wanted: Wanted, caller: Caller) -> Iterator[list[list[object]]]:
    after: tuple[int, UUID] | None = None
    while True:
        with database.read() as session:
            found = page(session, Wanted(wanted.campaign_id, wanted.states, wanted.account, after), PAGE)
        if not found:
            return
        after = (found[-1].row_no, found[-1].id)
        yield [_export(message, caller) for message in found]


def _export(message: Message, caller: Caller) -> list[object]:
    values = row(message, caller)
    return [getattr(values, name) for name in MESSAGE_COLUMNS]
