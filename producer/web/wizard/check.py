"""Step five's work: the dry run, the same as the API's preview, and the rows that would get nothing as a file."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, ParamSpec, TypeVar, cast

import orjson
from starlette.concurrency import run_in_threadpool

from models.tables import Draft
from producer import drafts
from producer.api.context import Context
from producer.audience import Chunk
from producer.audience_types import REJECT_TEXTS, RejectCode
from producer.campaigns import CampaignError
from producer.preview import Previewer
from producer.readers import FileError, Format, Hint, open_table
from producer.readers.table import Row
from producer.rejects import COLUMNS, harmless
from producer.web.wizard.columns import NAMES, Use
from producer.web.wizard.flow import Step
from producer.web.wizard.spec import PLACES, StepFault, Whole, whole_of

MOST_REJECTS = 100_000  # rows of the file of rejected rows
SHOWN = 5

P = ParamSpec("P")
T = TypeVar("T")


async def limited(here: Context, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """In a thread, as one of the few that may read a whole file at a time."""
    async with here.uploads:
        return await run_in_threadpool(work, *given, **named)


def digest_of(draft: Draft) -> str:
    """Of everything that the check depends on, save the world: what was checked is what is started."""
    answers = {str(step): draft.answers.get(step) for step in Step}
    row = dict(answers[Step.MESSAGE] or {})
    row.pop("row", None)  # which row was looked at
    answers[Step.MESSAGE] = row
    parts = [draft.name, str(draft.file_id), answers]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def current(draft: Draft) -> dict[str, Any] | None:
    """The last check, if nothing was changed since."""
    return draft.checked if draft.checked.get("digest") == digest_of(draft) else None


@contextmanager
def opened(here: Context, draft: Draft) -> Iterator[BinaryIO]:
    """The draft's file. Raises StepFault if there is none."""
    if draft.file_id is None:
        raise StepFault(Step.RECIPIENTS, "There is no file any more; upload it again.")
    with drafts.opened(here.database, draft.file_id, here.settings.state_dir / "uploads") as file:
        yield file


def run(here: Context, draft: Draft) -> None:
    """Check the whole file and keep what was found; or what is wrong, with the step that mends it."""
    digest, at = digest_of(draft), here.now().isoformat()
    with tempfile.TemporaryFile() as kept:
        rejects = _Rejects(cast(BinaryIO, kept))
        try:
            found = _found(here, draft, rejects)
        except StepFault as fault:
            found = {"fault": str(fault), "step": str(fault.step)}
        rejects_id = rejects.stored(here, draft) if rejects.rows else None
    with here.database.write() as session:
        held = drafts.get(session, draft.id, draft.api_key_id, lock=True)
        held.checked = {**found, "digest": digest, "at": at}
        held.rejects_id = rejects_id
        drafts.forget(session, draft.id, but=(held.file_id, rejects_id))


def _found(here: Context, draft: Draft, rejects: _Rejects) -> dict[str, Any]:
    whole = whole_of(here, draft)
    try:
        with opened(here, draft) as file:
            preview = _previewer(here).run(whole.spec, file, whole.hint, shown=SHOWN, heard=rejects.add)
    except FileError as error:
        raise StepFault(Step.RECIPIENTS, f"The file: {error}.") from error
    except CampaignError as error:
        raise StepFault(PLACES.get(error.field, Step.TIME), str(error)) from error
    found: dict[str, Any] = json.loads(json.dumps(preview.as_dict(), default=str))
    found["rejects_cut"] = rejects.rows > MOST_REJECTS
    return found


def _previewer(here: Context) -> Previewer:
    return Previewer(here.database, here.accounts, here.providers, here.prices, here.settings.default_region or None)


class _Rejects:
    """Rejected rows on their way to a CSV file."""

    def __init__(self, file: BinaryIO) -> None:
        self.rows = 0
        self._file = file
        self._text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        self._writer = csv.writer(self._text)
        self._writer.writerow(COLUMNS)

    def add(self, chunk: Chunk) -> None:
        for row in chunk.rejected:
            self.rows += 1
            if self.rows <= MOST_REJECTS:
                cells = (row.column or "", row.value, str(row.code), row.reason)
                self._writer.writerow([row.row_no, *(harmless(cell) for cell in cells)])

    def stored(self, here: Context, draft: Draft) -> Any:
        self._text.flush()
        self._file.seek(0)
        try:
            return drafts.store(here.database, draft.id, self._file)
        finally:
            self._text.detach()


@dataclass(frozen=True, slots=True)
class OneRow:
    """What one row of the file would get, looked at by itself: a repeat of an earlier number does not show. `text` is
    None where it gets nothing, for the `fault`."""

    number: int
    text: str | None = None
    phone: str = ""
    detail: str = ""
    fault: str = ""


def one_row(here: Context, draft: Draft, number: int) -> OneRow:
    """Raises StepFault if the campaign cannot be checked at all."""
    whole = whole_of(here, draft)
    try:
        with opened(here, draft) as file:
            table = open_table(file, whole.hint)
            row = next((row for row in table.rows if row.row_no >= number), None)
            if row is None or row.row_no != number:
                return OneRow(number, fault="The file has no recipient in this row.")
            return _shown(here, whole, row, table.header)
    except FileError as error:
        raise StepFault(Step.RECIPIENTS, f"The file: {error}.") from error


def _shown(here: Context, whole: Whole, row: Row, header: tuple[str, ...] | None) -> OneRow:
    if row.fault is not None:
        return OneRow(row.row_no, fault=row.fault.reason)
    cells = row.cells if isinstance(row.cells, dict) else dict(zip(header or (), row.cells, strict=False))
    line = orjson.dumps({name: value for name, value in cells.items() if name})
    alone = Hint(Format.NDJSON, column=NAMES[Use.NUMBER])
    try:
        found = _previewer(here).run(whole.spec, io.BytesIO(line + b"\n"), alone)
    except FileError as error:
        return OneRow(row.row_no, fault=str(error))
    if not found.rows:
        return OneRow(row.row_no, fault=found.rejected[0].reason if found.rejected else "it gets nothing")
    one = found.rows[0]
    parts = "1 part" if one.segments == 1 else f"{one.segments} parts"
    detail = f"{parts} of {one.encoding}, by {one.account}, from {one.sender or 'the account’s own sender'}"
    return OneRow(row.row_no, one.text, one.msisdn, detail)


def reasons(found: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Of the rejected rows: how many, the code, the code in words."""
    return [(n, code, REJECT_TEXTS[RejectCode(code)]) for code, n in found["counts"]["by_reason"].items()]
