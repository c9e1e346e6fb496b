"""A table full of submitted messages, and Qikli's reports about them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Table, func, insert, select
from sqlalchemy.orm import Session

from models.database import Database
from models.number_index import add_numbers
from models.states import BatchState, CampaignState, MessageState
from models.tables import Batch, Campaign, CampaignCount, InboxPage, Message

ACCOUNT = "qikli"
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
PAGE = 1000  # rows in one answer of GET /sms/1/reports
_AT_ONCE = 20_000
_BATCH = 1000
_MESSAGES: Table = Message.__table__  # type: ignore[assignment]  # declared as FromClause, is a Table


def message_id(number: int) -> UUID:
    """The n-th message's id, shaped like a UUIDv7 so that it grows like a real one."""
    return UUID(int=(0x018CC2510000 + number // 40 << 80) | (7 << 76) | (number * 2654435761 % (1 << 62)) | (2 << 62))


def campaign_id(number: int) -> UUID:
    return UUID(int=number + 1)


def batch_id(number: int) -> UUID:
    return UUID(int=(1 << 64) + number // _BATCH)


def fill(database: Database, messages: int, campaigns: int = 4) -> None:
    """Campaigns, batches and `messages` submitted messages of one account."""
    share = messages // campaigns
    with database.write() as session:
        for number in range(campaigns):
            session.add(_campaign(number))
        session.flush()
        batches = [_batch(first, min(first // share, campaigns - 1)) for first in range(0, messages, _BATCH)]
        session.execute(insert(Batch), batches)
    for first in range(0, messages, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, messages))
        with database.write() as session:
            _insert(session, [_message(number, min(number // share, campaigns - 1)) for number in numbers])
    with database.write() as session:
        count(session)


def _campaign(number: int) -> Campaign:
    return Campaign(
        id=campaign_id(number),
        name=f"bench {number}",
        state=CampaignState.RUNNING,
        sender="Drumline",
        template="Hello",
        common_text="Hello",
        route={ACCOUNT: 1},
        options={},
        created_at=START,
        started_at=START,
    )


def _batch(first: int, campaign: int) -> dict[str, Any]:
    return {
        "id": batch_id(first),
        "campaign_id": campaign_id(campaign),
        "account": ACCOUNT,
        "size": _BATCH,
        "state": BatchState.DONE,
        "not_before": START,
        "lease_token": 1,
    }


def _message(number: int, campaign: int) -> dict[str, Any]:
    identity = message_id(number)
    return {
        "id": identity,
        "campaign_id": campaign_id(campaign),
        "batch_id": batch_id(number),
        "row_no": number,
        "account": ACCOUNT,
        "msisdn": msisdn(number),
        "country": "GB",
        "sender": "Drumline",
        "encoding": "GSM7",
        "segments": 1,
        "state": MessageState.SUBMITTED,
        "phase": MessageState.SUBMITTED,
        "tries": 0,
        "looks": 0,
        "ref_round": 1,
        "attempt_id": batch_id(number),
        "attempted_at": START,
        "submitted_at": START,
        "provider_id": str(identity),
        "group_id": f"bulk-{number // 100}",
        "deadline": START + timedelta(days=3),
        "trail": f"1767268800000 submitting {batch_id(number)}\n1767268800200 submitted\n",
    }


def msisdn(number: int) -> str:
    """From the range for drama and tests; a thousand numbers, each many times."""
    return f"+447700900{number % 1000:03d}"


def _insert(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    if session.get_bind().dialect.name == "postgresql":
        _copy(session, rows)
    else:
        session.connection().execute(insert(_MESSAGES), list(rows))
    add_numbers(session, [(row["msisdn"], row["id"].hex) for row in rows])


def _copy(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    names = list(rows[0])
    raw: Any = session.connection().connection.driver_connection
    with raw.cursor().copy(f"COPY messages ({', '.join(names)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([str(value) if isinstance(value, MessageState) else value for value in row.values()])


def count(session: Session) -> None:
    """The counters, from the messages."""
    query = select(Message.campaign_id, Message.account, Message.state, func.count()).group_by(
        Message.campaign_id, Message.account, Message.state
    )
    rows = [
        {"campaign_id": campaign, "account": account, "state": state, "n": n}
        for campaign, account, state, n in session.execute(query)
    ]
    session.execute(insert(CampaignCount), rows)


def report(number: int) -> dict[str, Any]:
    """One row of Qikli's answer: nine in ten delivered, the others not."""
    status = _FAILED if number % 10 == 3 else _DELIVERED
    return {
        "bulkId": f"bulk-{number // 100}",
        "messageId": str(message_id(number)),
        "to": msisdn(number)[1:],
        "sentAt": "2026-01-01T12:00:00.000+0000",
        "doneAt": f"2026-01-01T12:{number // 60 % 60:02d}:{number % 60:02d}.120+0000",
        "smsCount": 1,
        "mccMnc": "23415",
        "price": {"pricePerMessage": 0.0375, "currency": "EUR"},
        **status,
    }


_DELIVERED = {
    "status": {"groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "DELIVERED_TO_HANDSET"},
    "error": {"groupId": 0, "groupName": "Ok", "id": 0, "name": "NO_ERROR", "permanent": False},
}
_FAILED = {
    "status": {"groupId": 2, "groupName": "UNDELIVERABLE", "id": 9, "name": "UNDELIVERABLE_NOT_DELIVERED"},
    "error": {"groupId": 1, "groupName": "HANDSET_ERRORS", "id": 27, "name": "EC_ABSENT_SUBSCRIBER"},
}


def page_of(numbers: Iterable[int]) -> bytes:
    return orjson.dumps({"results": [report(number) for number in numbers]})


def pages(numbers: Sequence[int]) -> Iterator[bytes]:
    for first in range(0, len(numbers), PAGE):
        yield page_of(numbers[first : first + PAGE])


def store(database: Database, bodies: Iterable[bytes], kind: str = "pull") -> int:
    """Pages into the inbox, as a poller leaves them."""
    rows = [{"account": ACCOUNT, "kind": kind, "received_at": START, "content_type": "", "query": "", "body": body}
            for body in bodies]  # fmt: skip
    with database.write() as session:
        session.execute(insert(InboxPage), rows)
    return len(rows)
