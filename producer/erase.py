"""One number erased everywhere: the person asked for it.

Refused while a message to it is open, or a request that carried it may have to be repeated: erasing those would lose
what is needed to find out whether the message was sent. What a suppression says survives as a keyed digest, for without
it the number would be written to again at the next import (see `models.forgotten`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, LargeBinary, String, Uuid, and_, cast, delete, func, literal, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from models import forgotten
from models.database import Database
from models.personal import ERASED, GONE
from models.queries import NOT_FINAL, may_have_carried
from models.tables import (
    Attempt,
    Base,
    Campaign,
    CampaignEvent,
    DeliveryReport,
    IdempotentAnswer,
    InboundMessage,
    InboxPage,
    Message,
    MessageNumber,
    OutboxEvent,
    Reject,
    Source,
)
from producer import drafts
from producer.retention import forget_wal, in_short
from producer.retention_steps import erase_inbound, erase_messages

MOST_SHOWN = 20
AT_ONCE = 200
MASK = "…"


class EraseRefused(Exception):
    """Something is still under way to the number. The text names it."""


class Keep(StrEnum):
    """What becomes of the number's suppressions."""

    AS_DIGEST = "as_digest"  # those there are
    ADD = "add"  # and one for every sender, if there is none: never write to this person again
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Erased:
    """How many rows lost the number. `mentioned`: operator's texts that hold it and were left alone."""

    messages: int = 0
    reports: int = 0
    pages: int = 0
    requests: int = 0
    inbound: int = 0
    others: int = 0
    suppressions_kept: int = 0
    mentioned: tuple[str, ...] = ()


def erase(database: Database, number: str, keep: Keep, key: forgotten.Key) -> Erased:
    """`number` in E.164 with `+`. Raises EraseRefused, and WrongKey where digests were made with another key."""
    digits = number.removeprefix("+")
    with database.read() as session:
        _refuse_if_open(session, number, digits)
        found = {table: _mentions(session, table, digits) for table in _SEARCHED}
        mentioned = _left_alone(session, digits)
    making = drafts.holding(database, digits)
    done = in_short(database, lambda session: _messages(session, number))
    for table, ids in found.items():
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            done = in_short(database, partial(_rows, table=table, keys=some, digits=digits, done=done))
    in_short(database, lambda session: drafts.drop(session, making))
    done = replace(done, others=done.others + len(making))
    kept = in_short(database, lambda session: _suppressions(session, number, keep, key, database.now()))
    forget_wal(database)
    return replace(done, suppressions_kept=kept, mentioned=mentioned)


# --- what speaks against it ------------------------------------------------------------------------------------------


def _refuse_if_open(session: Session, number: str, digits: str) -> None:
    reasons = [*_open_messages(session, number), *_open_requests(session, digits), *_unread_pages(session, digits)]
    if reasons:
        more = f"\n… and {len(reasons) - MOST_SHOWN} more" if len(reasons) > MOST_SHOWN else ""
        raise EraseRefused("nothing was erased:\n" + "\n".join(reasons[:MOST_SHOWN]) + more)


def _open_messages(session: Session, number: str) -> list[str]:
    query = (
        select(Message.id, Message.state, Message.account, Campaign.id, Campaign.state)
        .join(Campaign, Campaign.id == Message.campaign_id)
        .join(MessageNumber, MessageNumber.message_id == Message.id)
        .where(MessageNumber.msisdn == number, Message.state.in_(NOT_FINAL))
        .order_by(Message.id)
    )
    return [
        f"message {message} is {state} at {account}; campaign {campaign} is {campaign_state}: wait for its end, or "
        f"cancel the campaign"
        for message, state, account, campaign, campaign_state in session.execute(query)
    ]


def _open_requests(session: Session, digits: str) -> list[str]:
    """A request to several people whose outcome is open may have to be repeated byte by byte."""
    query = select(Attempt.id, Attempt.message_ids).where(
        Attempt.body.is_not(None), _holds(session, Attempt.body, digits)
    )
    found = []
    for attempt, ids in session.execute(query):
        wanted = [UUID(one) for one in ids or ()]
        still = select(func.count()).where(Message.id.in_(wanted), Message.state.in_(NOT_FINAL))
        if open_ones := session.execute(still).scalar_one():
            found.append(f"request {attempt} carried it, and {open_ones} messages of that request are open")
    return found


def _unread_pages(session: Session, digits: str) -> list[str]:
    query = select(InboxPage.id).where(InboxPage.parsed_at.is_(None), _holds(session, InboxPage.body, digits))
    return [
        f"page {page} of reports names it and is not read yet: try again in a moment" for page in session.scalars(query)
    ]


# --- where it stands -------------------------------------------------------------------------------------------------

_SEARCHED: tuple[type[Base], ...] = (
    Attempt, InboxPage, DeliveryReport, IdempotentAnswer, OutboxEvent, InboundMessage, Reject, CampaignEvent, Source,
    Message,
)  # fmt: skip


def _mentions(session: Session, table: type[Base], digits: str) -> Sequence[Any]:
    """Keys of the rows that hold the number anywhere; reading only, so that nobody waits for it."""
    columns = [column for column in table.__mapper__.columns if _searched(table, column)]
    keys = _keys(table)
    query = select(*keys).where(or_(*(_holds(session, column, digits) for column in columns))).order_by(*keys)
    return [tuple(row) for row in session.execute(query)]


def _searched(table: type[Base], column: ColumnElement[Any]) -> bool:
    if isinstance(column.type, Uuid):
        return False
    wanted = None if table.__tablename__ in GONE else _handled(table)
    return wanted is None or column.key in wanted


def _handled(table: type[Base]) -> frozenset[str]:
    more = {"messages": {"trail"}, "inbound": {"inbound_id"}}.get(table.__tablename__, set())
    return frozenset({*ERASED[table.__tablename__], *more})


def _keys(table: type[Base]) -> list[InstrumentedAttribute[Any]]:
    return [getattr(table, str(column.key)) for column in table.__mapper__.primary_key]


def _holds(session: Session, column: Any, digits: str) -> ColumnElement[bool]:
    """Whether the column's text or bytes contain these digits."""
    kind = getattr(column.type, "impl", column.type)
    if isinstance(kind, LargeBinary):
        wanted = literal(digits.encode(), LargeBinary)
        postgresql = session.get_bind().dialect.name == "postgresql"
        return (func.position(wanted.op("IN")(column)) if postgresql else func.instr(column, wanted)) > 0
    return cast(column, String).contains(digits)


def _left_alone(session: Session, digits: str) -> tuple[str, ...]:
    """Texts of the operator's own that name the number, such as a shop's: whose it is there, only he can say."""
    named = or_(
        Campaign.template.contains(digits), Campaign.common_text.contains(digits), Campaign.name.contains(digits)
    )
    return tuple(f"campaign {found}" for found in session.execute(select(Campaign.id).where(named)).scalars())


# --- erasing ---------------------------------------------------------------------------------------------------------


def _messages(session: Session, number: str) -> Erased:
    """Everything that is known by its message. Looked at again under lock: an import may have come between."""
    query = (
        select(Message.id, Message.state, Message.batch_id, Message.trail)
        .join(MessageNumber, MessageNumber.message_id == Message.id)
        .where(MessageNumber.msisdn == number)
        .order_by(Message.id)
    )
    rows = session.execute(query.with_for_update(of=Message)).all()
    if any(row.state in NOT_FINAL for row in rows):
        raise EraseRefused("nothing was erased: a message to it was imported just now")
    ids = [row.id for row in rows]
    done = erase_messages(session, ids)
    carried = may_have_carried({row.batch_id for row in rows}, [row.trail for row in rows])
    requests = _requests(session, carried, {str(message_id) for message_id in ids})
    session.execute(delete(OutboxEvent).where(OutboxEvent.message_id.in_(ids)))
    return Erased(messages=done.messages, reports=done.reports, pages=done.pages, requests=requests)


def _requests(session: Session, carried: ColumnElement[bool], ids: set[str]) -> int:
    """What providers answered to requests that named these messages."""
    query = select(Attempt.id, Attempt.message_ids).where(carried, Attempt.reason.is_not(None))
    named = [attempt for attempt, those in session.execute(query) if ids.intersection(those or ())]
    session.execute(update(Attempt).where(Attempt.id.in_(named)).values(reason=None))
    return len(named)


def _rows(session: Session, *, table: type[Base], keys: Sequence[Any], digits: str, done: Erased) -> Erased:
    """The rows with these keys, each table in its way."""
    which = or_(*(_is(table, key) for key in keys))
    match table.__tablename__:
        case "inbox" | "delivery_reports" | "idempotent_answers" | "outbox" as name:
            session.execute(delete(table).where(which))
            kind = {"inbox": "pages", "delivery_reports": "reports"}.get(name, "others")
        case "attempts":
            session.execute(update(table).where(which).values(ERASED["attempts"]))
            kind = "requests"
        case "inbound":
            _inbound(session, [key[0] for key in keys], digits)
            kind = "inbound"
        case _:
            _mask(session, table, which, digits)
            kind = "others"
    return replace(done, **{kind: getattr(done, kind) + len(keys)})


def _is(table: type[Base], key: Sequence[Any]) -> ColumnElement[bool]:
    return and_(*(column == value for column, value in zip(_keys(table), key, strict=True)))


def _inbound(session: Session, ids: Sequence[int], digits: str) -> None:
    """The person's own messages lose everything, those that only name the number lose the number."""
    query = select(InboundMessage.id).where(InboundMessage.id.in_(ids), InboundMessage.msisdn.contains(digits))
    own = session.execute(query).scalars().all()
    erase_inbound(session, own)
    _mask(session, InboundMessage, InboundMessage.id.in_(set(ids) - set(own)), digits)


def _mask(session: Session, table: type[Base], which: ColumnElement[bool], digits: str) -> None:
    """The number is taken out of every text of these rows; the rest of it speaks of others. Longer runs of digits, such
    as a trail's times, are something else."""
    number = re.compile(rf"(?<!\d)\+?(?:00)?{digits}(?!\d)")
    names = sorted(name for name in _handled(table) if not isinstance(getattr(table, name).type, LargeBinary))
    query = select(*_keys(table), *(getattr(table, name) for name in names)).where(which)
    for row in session.execute(query).all():
        values = {name: number.sub(MASK, text) for name in names if (text := getattr(row, name))}
        session.execute(update(table).where(_is(table, row[: len(_keys(table))])).values(values))


def _suppressions(session: Session, number: str, keep: Keep, key: Callable[[], bytes], now: datetime) -> int:
    if keep is Keep.NOTHING:
        forgotten.drop(session, number, key)
        return 0
    return forgotten.forget(session, number, key, now, add=keep is Keep.ADD)
