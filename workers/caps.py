"""Frequency cap and flood guard: who was written to lately, over all campaigns.

Asked twice: when a slice of a batch is loaded, to close what is over the cap, and again in the transaction that writes
the intents, under a lock, so that two campaigns that reach one number at the same moment cannot both pass.
What counts is what arrived or may still; a refusal or a failure reached nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from models.moves import Move
from models.states import OPEN_AT_PROVIDER, MessageState
from models.steering import Caps
from models.tables import Campaign, Message, MessageNumber

LOCK = 0x64726D6C63617073  # "drmlcaps": PostgreSQL's advisory lock for intents of capped campaigns

_REACHED = or_(
    Message.state.in_((*OPEN_AT_PROVIDER, MessageState.DELIVERED, MessageState.SUBMITTING, MessageState.UNKNOWN)),
    Message.code.in_(("outcome_unknown", "no_dlr")),
)


@dataclass(frozen=True, slots=True)
class Contact:
    """A message that reached a number or may have; its text where the flood guard needs it."""

    message_id: UUID
    at: datetime
    text: str | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message that is about to leave."""

    id: UUID
    msisdn: str
    text: str


def moves_against(session: Session, caps: Caps | None, candidates: Sequence[Candidate], now: datetime) -> list[Move]:
    """The moves that close what is over the caps."""
    if not caps or not candidates:
        return []
    found = contacts(session, caps, {candidate.msisdn for candidate in candidates}, now)
    return [move for one in candidates if (move := judge(caps, one, found.get(one.msisdn, ()), now)) is not None]


def lock(session: Session) -> None:
    """One at a time from here to the commit. On SQLite a writing transaction is alone anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(LOCK)))


def contacts(session: Session, caps: Caps, numbers: set[str], now: datetime) -> Mapping[str, Sequence[Contact]]:
    """What reached these numbers within the caps' times, by the index over number and time."""
    since = now - timedelta(seconds=max(caps.period or 0 if caps.most else 0, caps.repeat or 0))
    lately = now - timedelta(seconds=caps.repeat or 0)
    text = func.coalesce(Message.text, Campaign.common_text)
    query = (
        select(MessageNumber.msisdn, Message.id, Message.attempted_at, case((Message.attempted_at > lately, text)))
        .join(Message, Message.id == MessageNumber.message_id)
        .join(Campaign, Campaign.id == Message.campaign_id)
        .where(
            MessageNumber.msisdn.in_(sorted(numbers)),
            Message.attempted_at > since,
            _REACHED,
        )
    )
    found: dict[str, list[Contact]] = defaultdict(list)
    for msisdn, message_id, at, said in session.execute(query):
        if at is not None:
            found[msisdn].append(Contact(message_id, at, said))
    return found


def judge(caps: Caps, candidate: Candidate, earlier: Sequence[Contact], now: datetime) -> Move | None:
    """Pure. None: it may leave."""
    others = [contact for contact in earlier if contact.message_id != candidate.id]
    if caps.repeat and any(_within(c, caps.repeat, now) and c.text == candidate.text for c in others):
        reason = f"the same text went to this number within {span(caps.repeat)}"
        return _close(candidate, MessageState.REJECTED, "repeated_text", reason)
    period = caps.period or 86_400
    if caps.most and sum(_within(c, period, now) for c in others) >= caps.most:
        reason = f"the number had {caps.most} or more messages within {span(period)}, the frequency cap"
        return _close(candidate, MessageState.SUPPRESSED, "frequency_cap", reason)
    return None


def span(seconds: int) -> str:
    """`24 h`, `10 min`, `90 s`."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _within(contact: Contact, seconds: int, now: datetime) -> bool:
    return contact.at > now - timedelta(seconds=seconds)


def _close(candidate: Candidate, state: MessageState, code: str, reason: str) -> Move:
    return Move(candidate.id, state, code, {"code": code, "reason": reason}, None, frozenset({MessageState.QUEUED}))
