"""What a campaign would send, without storing or sending anything."""

from __future__ import annotations

import io

from producer.api.access import Submitter, guarded_router
from producer.api.campaign_models import PreviewIn
from producer.api.campaigns import ndjson, pinned, routing_of, wrong
from producer.api.context import Here
from producer.api.preview_models import (
    PreviewCost,
    PreviewCounts,
    PreviewDuration,
    PreviewOut,
    PreviewReject,
    PreviewRow,
    PreviewSegments,
)
from producer.api.problems import responses
from producer.audience import Rejected
from producer.campaigns import CampaignSpec
from producer.preview import CountryCost, Preview, Previewer, Shown
from producer.readers import Format, Hint

router = guarded_router("campaigns")


@router.post("/campaigns/preview", response_model=PreviewOut, responses=responses(400, 413, 415), summary="Preview")
def preview(body: PreviewIn, here: Here, caller: Submitter) -> PreviewOut:
    """The text, encoding, parts and account of every row, what would be rejected and why, cost by country, the time it
    takes at least, and warnings: characters that make a text more expensive, senders that the provider rewrites. An
    Idempotency-Key is ignored: nothing happens."""
    most = here.options.max_preview
    if len(body.recipients) > most:
        raise wrong("recipients", f"{len(body.recipients)} rows, at most {most} in a preview")
    given = body.model_dump(exclude={"recipients"}) | {"routing": routing_of(body)}
    spec = pinned(here, CampaignSpec(name="preview", **given))
    region = here.settings.default_region or None
    previewer = Previewer(here.database, here.accounts, here.providers, here.prices, region)
    rows = io.BytesIO(ndjson(body.recipients))
    return _out(previewer.run(spec, rows, Hint(Format.NDJSON, column="phone"), shown=most))


def _out(found: Preview) -> PreviewOut:
    each = sorted(found.segments)
    return PreviewOut(
        counts=PreviewCounts(
            valid=found.valid, invalid=found.invalid, duplicate=found.duplicate, suppressed=found.suppressed,
            by_reason={str(code): n for code, n in found.reasons.items()},
        ),
        segments=PreviewSegments(
            min=each[0] if each else 0, median=found.median_segments, max=each[-1] if each else 0, total=found.parts,
            messages_by_segments=dict(found.segments),
        ),
        by_account=dict(found.by_account),
        by_encoding=dict(found.encodings),
        duration=PreviewDuration(seconds=found.seconds, by_account=dict(found.account_seconds)),
        cost=found.cost,
        unpriced_parts=found.unpriced,
        cost_by_country=[_cost(country) for country in found.countries],
        warnings=dict(found.warnings),
        rows=[_row(row) for row in found.rows],
        rejected=[_reject(row) for row in found.rejected],
    )  # fmt: skip


def _cost(one: CountryCost) -> PreviewCost:
    return PreviewCost(
        country=one.country, messages=one.messages, parts=one.parts, cost=dict(one.cost), unpriced_parts=one.unpriced
    )


def _row(row: Shown) -> PreviewRow:
    return PreviewRow(
        row=row.row_no,
        phone=row.msisdn,
        country=row.country,
        account=row.account,
        sender=row.sender,
        text=row.text,
        encoding=row.encoding,
        segments=row.segments,
        reference=row.reference,
        warnings=list(row.warnings),
        refused_by=dict(row.refused_by),
    )


def _reject(row: Rejected) -> PreviewReject:
    return PreviewReject(row=row.row_no, column=row.column, value=row.value, code=str(row.code), reason=row.reason)
