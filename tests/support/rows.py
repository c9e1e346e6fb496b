"""Rows for tests: campaigns, batches and messages with everything filled in that a test does not care about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from models.moves import Home, Move, add_counts, apply_expected, expect
from models.number_index import add_numbers
from models.phase import phase_of
from models.segments import Encoding
from models.states import BatchState, CampaignState, MessageState
from models.tables import Batch, Campaign, Lane, Message
from models.types import new_id

ACCOUNT = "acme"


def number(row: int) -> str:
    """A number of the UK's fiction range, +447700900001 for row 1."""
    return f"+447700900{row % 1000:03d}"


def add_campaign(session: Session, now: datetime, **changes: Any) -> UUID:
    values: dict[str, Any] = {
        "id": new_id(),
        "name": "Test",
        "state": CampaignState.RUNNING,
        "sender": "MyStore",
        "template": "Hello",
        "common_text": "Hello",
        "route": {ACCOUNT: 1},
        "options": {},
        "created_at": now,
        "started_at": now,
        "rows_accepted": 1,
    }
    row = Campaign(**{**values, **changes})
    session.add(row)
    session.flush()
    for account in row.route:
        session.add(Lane(campaign_id=row.id, account=account, finish=0.0))
    session.flush()
    return row.id


def add_batch(session: Session, campaign_id: UUID, now: datetime, **changes: Any) -> UUID:
    values: dict[str, Any] = {
        "id": new_id(),
        "campaign_id": campaign_id,
        "account": ACCOUNT,
        "size": 1,
        "state": BatchState.PLANNED,
        "not_before": now,
        "dispatched_at": now,
    }
    row = Batch(**{**values, **changes})
    session.add(row)
    session.flush()
    return row.id


def add_messages(session: Session, campaign_id: UUID, batch_id: UUID, many: int, **changes: Any) -> list[UUID]:
    """Queued messages, numbered from row 1 on unless `row_no` says otherwise; the counters follow."""
    first = changes.pop("row_no", 1)
    rows = [_message(campaign_id, batch_id, row, changes) for row in range(first, first + many)]
    session.add_all(rows)
    session.flush()
    add_numbers(session, [(row.msisdn, row.id.hex) for row in rows if row.msisdn])
    add_counts(session, Counter((row.campaign_id, row.account, str(row.state)) for row in rows))
    return [row.id for row in rows]


def submit_moves(ids: Sequence[UUID], now: datetime, **link: Any) -> tuple[tuple[MessageState, list[Move]], ...]:
    """The two moves of a submit in one attempt, each with the state before: left, then accepted."""
    attempt = ids[0]
    left = [Move(one, MessageState.SUBMITTING, "", {"attempt_id": attempt, "attempted_at": now}) for one in ids]
    link = {"submitted_at": now, **link}
    taken = [Move(one, MessageState.SUBMITTED, "accepted", link, attempt) for one in ids]
    return (MessageState.QUEUED, left), (MessageState.SUBMITTING, taken)


def submit_all(session: Session, campaign_id: UUID, ids: Sequence[UUID], now: datetime, **link: Any) -> None:
    for old, moves in submit_moves(ids, now, **link):
        assert (
            apply_expected(session, expect(session.get_bind().dialect, old, {Home(campaign_id, ACCOUNT): moves}, now))
            == []
        )


def _message(campaign_id: UUID, batch_id: UUID, row_no: int, changes: dict[str, Any]) -> Message:
    values: dict[str, Any] = {
        "id": new_id(),
        "campaign_id": campaign_id,
        "batch_id": batch_id,
        "row_no": row_no,
        "account": ACCOUNT,
        "msisdn": number(row_no),
        "country": "GB",
        "sender": "MyStore",
        "encoding": str(Encoding.GSM7),
        "segments": 1,
        "state": MessageState.QUEUED,
    }
    values |= changes
    return Message(phase=phase_of(values["state"]), **values)
