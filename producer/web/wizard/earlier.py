"""The recipients of an earlier campaign as a file: numbers and references. Texts and values are not kept with them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import BinaryIO
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.database import Database
from models.states import MessageState
from models.tables import Campaign, Message

LISTED = 50
WHICH: Mapping[str, str] = {
    "all": "everybody it was for",
    "delivered": "only whom it was delivered to",
    "others": "only whom it was not delivered to",
}
_HELD = 5_000  # rows between two writes


def listed(session: Session) -> Sequence[Campaign]:
    """The newest campaigns that have recipients."""
    query = select(Campaign).where(Campaign.rows_accepted > 0).order_by(Campaign.id.desc()).limit(LISTED)
    return session.execute(query).scalars().all()


def campaign_of(session: Session, text: str) -> Campaign | None:
    try:
        return session.get(Campaign, UUID(text))
    except ValueError:
        return None


def write(database: Database, campaign_id: UUID, which: str, target: BinaryIO) -> int:
    """CSV with a header, row by row; how many bytes. Numbers that were erased are left out."""
    query = select(Message.msisdn, Message.reference).where(Message.campaign_id == campaign_id)
    if which == "delivered":
        query = query.where(Message.phase == MessageState.DELIVERED)
    elif which == "others":
        query = query.where(Message.phase != MessageState.DELIVERED)
    out = io.TextIOWrapper(target, "utf-8", newline="")
    writer = csv.writer(out)
    writer.writerow(("phone", "reference"))
    with database.read() as session:
        for number, reference in session.execute(query.execution_options(yield_per=_HELD)):
            if number and number.startswith("+"):
                writer.writerow((number, reference or ""))
    out.flush()
    size = target.tell()
    out.detach()
    target.seek(0)
    return size
