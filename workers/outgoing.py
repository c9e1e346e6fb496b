"""A stored message as an adapter sees it."""

from __future__ import annotations

from models.tables import Campaign, Message
from providers.base import Outgoing


def outgoing(row: Message, campaign: Campaign) -> Outgoing:
    """Text and options exactly as stored at import: a replay must be byte-identical."""
    return Outgoing(
        id=str(row.id),
        ref=row.ref,
        msisdn=row.msisdn,
        sender=row.sender,
        text=row.text if row.text is not None else (campaign.common_text or ""),
        encoding=row.encoding_word,
        segments=row.segments,
        validity=campaign.validity,
        options={str(name): str(value) for name, value in campaign.options.items()},
    )
