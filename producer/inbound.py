"""Messages from people, as they are listed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.tables import InboundMessage


def list_inbound(
    session: Session, *, account: str | None = None, msisdn: str | None = None, stops: bool = False,
    before: int | None = None, limit: int = 50,
) -> Sequence[InboundMessage]:  # fmt: skip
    """The latest first. `stops`: only those that began with a stop word; `before`: an id, to go on from."""
    query = select(InboundMessage).order_by(InboundMessage.id.desc()).limit(limit)
    if account is not None:
        query = query.where(InboundMessage.account == account)
    if msisdn is not None:
        bare = msisdn.lstrip("+")
        query = query.where(InboundMessage.msisdn.in_([bare, f"+{bare}"]))
    if stops:
        query = query.where(InboundMessage.stop_word)
    if before is not None:
        query = query.where(InboundMessage.id < before)
    return session.execute(query).scalars().all()
