"""A finished campaign that left its traces in every table, and a search through all of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.database import Database
from models.personal import speaking_columns
from models.plain import trail_line
from models.queries import counts, note_event, recount
from models.states import BatchState, CampaignState, MessageState
from models.tables import (
    Attempt,
    Base,
    Campaign,
    DeliveryReport,
    EventEndpoint,
    IdempotentAnswer,
    InboundMessage,
    InboxPage,
    Message,
    OutboxEvent,
    Reject,
    Source,
)
from models.types import new_id
from producer import figures
from tests.support.rows import ACCOUNT, add_batch, add_campaign, add_messages

NOW = datetime.now(UTC)
OLD = NOW - timedelta(days=100)
TEXT = "Dear Ama, the parcel Zanzibar is waiting"
NAME = "Ama Ampomah"
ENDS = (MessageState.DELIVERED, MessageState.UNDELIVERED, MessageState.EXPIRED)
STATES = MessageState


def phone(row: int) -> str:
    return f"+447700900{row:03d}"


@dataclass(frozen=True)
class Traces:
    """What one campaign left behind."""

    campaign: UUID
    messages: list[UUID]


def leave_traces(session: Session, many: int = 3, *, at: datetime = OLD, first: int = 1, **changes: Any) -> Traces:
    """A completed campaign of `many` messages to `phone(first)` and the next, with everything that went with it."""
    given = {
        "state": CampaignState.COMPLETED, "created_at": at, "started_at": at, "finished_at": at, "template": TEXT,
        "common_text": None, "source": f"{NAME}.csv", "rows_accepted": many, "rows_rejected": 1, "missing": NAME,
    }  # fmt: skip
    campaign = add_campaign(session, at, **{**given, **changes})
    session.add(Source(campaign_id=campaign, number=1, name=f"{NAME}.csv", state="done", started_at=at))
    batch = add_batch(session, campaign, at, state=BatchState.DONE, size=many)
    ids: list[UUID] = []
    for row in range(first, first + many):
        ids += _message(session, campaign, batch, row, at)
    session.add(
        Reject(
            campaign_id=campaign, row_no=99, column=NAME, value=phone(first), code="invalid", reason=f"{NAME}: {TEXT}"
        )
    )
    note_event(session, campaign, "imported", f"{NAME}.csv", at)
    _attempt(session, batch, ids, first, at)
    _around(session, campaign, ids[0], first, at)
    return Traces(campaign, ids)


def _message(session: Session, campaign: UUID, batch: UUID, row: int, at: datetime) -> list[UUID]:
    state = ENDS[row % len(ENDS)]
    trail = "".join(
        (
            trail_line(STATES.QUEUED, f"imported {NAME}", at),
            trail_line(STATES.SUBMITTING, "", at),
            trail_line(STATES.SUBMITTED, f"to {phone(row)}", at),
            trail_line(state, "reported", at),
        )
    )
    ids = add_messages(
        session, campaign, batch, 1, row_no=row, msisdn=phone(row), text=f"{TEXT} {row}", reference=f"order of {NAME}",
        state=state, provider_id=f"p{row}-{phone(row)[1:]}", group_id=f"g-{NAME}", reason=f"no such {phone(row)}",
        code="17", klass="recipient", parts=1, price=Decimal(row), currency="EUR", final_at=at, submitted_at=at,
        trail=trail,
    )  # fmt: skip
    page = InboxPage(account=ACCOUNT, kind="push", received_at=at, query=f"to={phone(row)[1:]}", parsed_at=at,
                     body=orjson.dumps({"to": phone(row), "text": TEXT}))  # fmt: skip
    session.add(page)
    session.flush()
    session.add(
        DeliveryReport(account=ACCOUNT, dedupe=f"{ids[0]} {phone(row)}", inbox_id=page.id, received_at=at,
                       provider_id=f"p{row}", ref=str(ids[0]), msisdn=phone(row), state=state, raw_status="DELIVRD",
                       details={"reason": f"{phone(row)} {NAME}"}, message_id=ids[0], applied_at=at, effect="moved")
    )  # fmt: skip
    return ids


def _attempt(session: Session, batch: UUID, ids: list[UUID], first: int, at: datetime) -> None:
    body = f"to={phone(first)}&text={TEXT}".encode()
    for batch_id in (batch, None):
        session.add(
            Attempt(id=new_id(), account=ACCOUNT, kind="submit" if batch_id else "look_up", batch_id=batch_id,
                    body=body, started_at=at, reason=f"{phone(first)} {NAME}", messages=3,
                    message_ids=[str(one) for one in ids])
        )  # fmt: skip


def _around(session: Session, campaign: UUID, message: UUID, first: int, at: datetime) -> None:
    endpoint = EventEndpoint(id=new_id(), campaign_id=campaign, url="https://example.com/hook", created_at=at)
    session.add(endpoint)
    session.flush()
    session.add_all(
        [
            OutboxEvent(endpoint_id=endpoint.id, event_id=new_id(), kind="message.sent", campaign_id=campaign,
                        message_id=message, detail=f"{NAME} {phone(first)}", at=at, dead_at=at),
            InboundMessage(account=ACCOUNT, inbound_id=f"mo-{phone(first)}-{campaign}", msisdn=phone(first)[1:],
                           to="12345", text=f"{TEXT}, asks {NAME}", received_at=at),
            IdempotentAnswer(key=str(new_id()), api_key_id=new_id(), digest="d", status=200, created_at=at,
                             body=f'{{"phone": "{phone(first)}", "text": "{TEXT}"}}'.encode()),
        ]
    )  # fmt: skip


def where(database: Database, *wanted: str) -> set[str]:
    """Every `table.column` in which one of these texts stands anywhere."""
    found = set()
    with database.read() as session:
        for table in Base.metadata.sorted_tables:
            for name in speaking_columns()[table.name]:
                for value in session.execute(select(table.c[name]).where(table.c[name].is_not(None))).scalars():
                    if any(text in _shown(value) for text in wanted):
                        found.add(f"{table.name}.{name}")
    return found


def _shown(value: Any) -> str:
    match value:
        case bytes():
            return value.decode("latin-1")
        case str():
            return value
        case _:
            return orjson.dumps(value).decode()


def in_files(folder: Path, *wanted: str) -> list[str]:
    """Files below a folder whose bytes hold one of these texts."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(text.encode() in path.read_bytes() for text in wanted)
    ]


def statistics(database: Database, campaign: UUID) -> dict[str, Any]:
    """Everything that has to be the same before and after."""
    with database.read() as session:
        row = session.get_one(Campaign, campaign)
        per_day = (
            select(func.date(Message.final_at), Message.country, Message.account, Message.code, func.sum(Message.parts),
                   func.count())
            .where(Message.campaign_id == campaign)
            .group_by(func.date(Message.final_at), Message.country, Message.account, Message.code)
        )  # fmt: skip
        errors = figures.errors(session, campaign)
        return {
            "counters": counts(session, campaign),
            "recounted": recount(session, campaign),
            "countries": figures.outcomes(session, campaign, "country"),
            "costs": figures.costs(session, campaign, "country", "account"),
            "errors": [{name: value for name, value in one.items() if name != "reason"} for one in errors],
            "days": [tuple(one) for one in session.execute(per_day)],
            "rows": (row.rows_total, row.rows_accepted, row.rows_rejected, row.segments_total),
            "rejects": session.execute(select(Reject.row_no, Reject.code).where(Reject.campaign_id == campaign)).all(),
        }
