"""What a campaign would send, without storing or sending anything."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median

from sqlalchemy import select

from models.msisdn import Msisdn, parse_msisdn
from models.segments import Encoding, measure, why_ucs2
from models.tables import Suppression
from models.types import new_id
from producer import campaigns
from producer.api.access import Submitter, guarded_router
from producer.api.campaign_models import PreviewIn, RecipientIn
from producer.api.campaigns import ndjson, wrong
from producer.api.context import Context, Here
from producer.api.preview_models import (
    PreviewCounts,
    PreviewOut,
    PreviewReject,
    PreviewRow,
    PreviewSegments,
)
from producer.api.problems import responses
from producer.audience import Accepted, Audience, RejectCode, Rejected, Rules
from producer.audience_types import Refusal
from producer.campaigns import CampaignSpec, sender_for
from producer.plan import Rota
from producer.readers import Format, Hint, open_table
from producer.template import Template
from providers.base import Outgoing

router = guarded_router("campaigns")


@router.post("/campaigns/preview", response_model=PreviewOut, responses=responses(400, 413), summary="Preview")
def preview(body: PreviewIn, here: Here, caller: Submitter) -> PreviewOut:
    """The text, encoding, parts and account of every row, what would be rejected and why, and warnings: characters that
    make a text more expensive, senders that the provider rewrites. An Idempotency-Key is ignored: nothing happens."""
    if len(body.recipients) > here.options.max_preview:
        raise wrong("recipients", f"{len(body.recipients)} rows, at most {here.options.max_preview} in a preview")
    spec = CampaignSpec(name="preview", **body.model_dump(exclude={"recipients"}))
    template = campaigns.check_spec(spec, here.accounts, here.providers)
    return _report(_Rehearsal(here, spec), body.recipients, template)


@dataclass
class _Choice:
    """The account of one accepted row."""

    account: str
    refused_by: dict[str, str]


@dataclass
class _Rehearsal:
    """Chooses accounts as the import does, and remembers who refused."""

    here: Context
    spec: CampaignSpec
    choices: list[_Choice] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rota = Rota(self.spec.route)

    def sender(self, account: str) -> str:
        return sender_for(self.here.accounts[account], self.spec.sender)

    def outgoing(self, account: str, number: str, text: str) -> Outgoing:
        measured = measure(text)
        message_id = str(new_id())
        return Outgoing(
            id=message_id, ref=message_id, msisdn=number, sender=self.sender(account), text=text,
            encoding=measured.encoding, segments=measured.segments, validity=self.spec.validity,
            options=self.spec.options,
        )  # fmt: skip

    def choose(self, number: Msisdn, country: str, text: str, segments: int) -> Refusal | None:
        refused: dict[str, str] = {}
        refusal: Refusal | None = None
        while open_to := frozenset(self.spec.route) - refused.keys():
            account = self._rota.next(open_to)
            failure = self.here.providers[account].check(self.outgoing(account, number, text))
            if failure is None:
                self.choices.append(_Choice(account, refused))
                return None
            refused[account] = failure.reason
            refusal = Refusal(failure.code, failure.reason)
        return refusal

    def warnings(self, account: str, number: str, text: str) -> list[str]:
        given = self.here.providers[account].warnings(self.outgoing(account, number, text))
        return [*costly(text), *given]

    def suppressed(self, recipients: Iterable[RecipientIn]) -> set[str]:
        """Looked up by number, not read as a whole: the list may be long."""
        senders = {"", *(self.sender(name) for name in self.spec.route)}
        region = self.here.settings.default_region or None
        numbers = {str(found) for one in recipients if isinstance(found := parse_msisdn(one.phone, region), Msisdn)}
        with self.here.database.read() as session:
            return {
                found
                for some in _slices(sorted(numbers))
                for found in session.execute(
                    select(Suppression.msisdn).where(Suppression.msisdn.in_(some), Suppression.sender.in_(senders))
                ).scalars()
            }


def costly(text: str) -> list[str]:
    """Why a text needs UCS-2, where that needs more parts than GSM-7 would. Pure."""
    measured = measure(text)
    if measured.encoding is not Encoding.UCS2:
        return []
    offenders = why_ucs2(text)
    plain = measure("".join(" " if char in {o.char for o in offenders} else char for char in text))
    if plain.segments >= measured.segments:
        return []
    return [
        f"{offender.name} makes it {measured.segments} parts instead of {plain.segments}"
        + (f"; write {offender.replacement!r}" if offender.replacement else "")
        for offender in offenders
    ]


def _report(rehearsal: _Rehearsal, recipients: list[RecipientIn], template: Template) -> PreviewOut:
    rules = Rules(
        default_region=rehearsal.here.settings.default_region or None,
        suppressed=rehearsal.suppressed(recipients),
        check=rehearsal.choose,
    )
    audience = Audience(template, rules)
    table = open_table(io.BytesIO(ndjson(recipients)), Hint(Format.NDJSON, column="phone"))
    chunks = list(audience.chunks(table))
    accepted = [row for chunk in chunks for row in chunk.accepted]
    rejected = [row for chunk in chunks for row in chunk.rejected]
    rows = [_row(rehearsal, row, choice) for row, choice in zip(accepted, rehearsal.choices, strict=True)]
    return PreviewOut(
        counts=_counts(len(rows), audience.counts),
        segments=_segments([row.segments for row in rows]),
        by_account=Counter(row.account for row in rows),
        by_encoding=Counter(row.encoding for row in rows),
        warnings=Counter(warning for row in rows for warning in row.warnings),
        rows=rows,
        rejected=[_reject(row) for row in rejected],
    )


def _row(rehearsal: _Rehearsal, row: Accepted, choice: _Choice) -> PreviewRow:
    return PreviewRow(
        row=row.row_no,
        phone=str(row.msisdn),
        country=row.country,
        account=choice.account,
        sender=rehearsal.sender(choice.account),
        text=row.text,
        encoding=str(row.encoding),
        segments=row.segments,
        reference=row.reference,
        warnings=rehearsal.warnings(choice.account, row.msisdn, row.text),
        refused_by=choice.refused_by,
    )


def _reject(row: Rejected) -> PreviewReject:
    return PreviewReject(row=row.row_no, column=row.column, value=row.value, code=str(row.code), reason=row.reason)


def _counts(valid: int, rejected: Counter[RejectCode]) -> PreviewCounts:
    duplicate, suppressed = rejected[RejectCode.DUPLICATE], rejected[RejectCode.SUPPRESSED]
    invalid = rejected.total() - duplicate - suppressed
    return PreviewCounts(valid=valid, invalid=invalid, duplicate=duplicate, suppressed=suppressed)


def _segments(each: list[int]) -> PreviewSegments:
    if not each:
        return PreviewSegments(min=0, median=0, max=0, total=0)
    return PreviewSegments(min=min(each), median=median(each), max=max(each), total=sum(each))


def _slices(numbers: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(numbers), 500):
        yield numbers[start : start + 500]
