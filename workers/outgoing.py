"""A stored message as an adapter sees it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from models.options import adapter_options
from models.queries import Due
from models.segments import Encoding
from models.tables import Campaign, Message, client_ref
from providers.base import Outgoing, Sought


def outgoing(row: Message | Due, campaign: Campaign, options: Mapping[str, str] | None = None) -> Outgoing:
    """Text and options exactly as stored at import: a replay must be byte-identical. `options`: those of the campaign,
    where the caller has many messages of it."""
    name = str(row.id)
    return Outgoing(
        id=name,
        ref=name if row.ref_round <= 1 else client_ref(row.id, row.ref_round),
        msisdn=row.msisdn,
        sender=row.sender,
        text=row.text if row.text is not None else (campaign.common_text or ""),
        encoding=_ENCODINGS[row.encoding],
        segments=row.segments,
        validity=campaign.validity,
        options=options_of(campaign) if options is None else options,
    )


_ENCODINGS = {encoding.value: encoding for encoding in Encoding}  # calling the enumeration costs five times as much


def sought(row: Message, campaign: Campaign, now: datetime) -> Sought:
    """A message that left, as its provider is asked about it."""
    bulk = str(row.attempt_id) if row.attempt_id else None
    return Sought(outgoing(row, campaign), row.attempted_at or now, row.looks, bulk)


def options_of(campaign: Campaign) -> dict[str, str]:
    return adapter_options(campaign.options)
