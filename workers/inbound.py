"""Messages from people: kept and listed; whoever says stop is not written to any more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from models.forgotten import inbound_digest
from models.msisdn import Msisdn, parse_msisdn
from models.queries import insert_new
from models.stopwords import Meaning, StopWords
from models.tables import InboundMessage, Suppression
from models.types import storable
from providers.base import Inbound

log = structlog.get_logger("drumline.inbound")

SOURCE = "inbound stop"


def store_inbound(session: Session, account: str, messages: Sequence[Inbound], words: StopWords, now: datetime) -> None:
    """Keep them; a repeat of one that is kept already does nothing, so that an old stop cannot undo a newer start."""
    fresh = _fresh(session, account, messages)
    rows = [_row(account, inbound, words, now) for inbound in fresh]
    insert_new(session, InboundMessage, rows)
    for inbound in fresh:
        _obey(session, account, inbound, words, now)


def _fresh(session: Session, account: str, messages: Sequence[Inbound]) -> list[Inbound]:
    by_id = {storable(inbound.inbound_id)[:128]: inbound for inbound in reversed(messages)}
    query = select(InboundMessage.inbound_id).where(
        InboundMessage.account == account,
        InboundMessage.inbound_id.in_([*by_id, *map(inbound_digest, by_id)]),  # the latter: erased by retention
    )
    known = set(session.execute(query).scalars()) if by_id else set()
    return [inbound for key, inbound in reversed(by_id.items()) if known.isdisjoint((key, inbound_digest(key)))]


def _row(account: str, inbound: Inbound, words: StopWords, now: datetime) -> dict[str, Any]:
    return {
        "account": account,
        "inbound_id": storable(inbound.inbound_id)[:128],
        "msisdn": inbound.msisdn,
        "to": inbound.to,
        "text": inbound.text,
        "received_at": inbound.received_at or now,
        "stop_word": words.meaning(inbound.text) is Meaning.STOP,
    }


def _obey(session: Session, account: str, inbound: Inbound, words: StopWords, now: datetime) -> None:
    meaning = words.meaning(inbound.text)
    number = _number(inbound.msisdn)
    if meaning is None:
        return
    if number is None:
        log.warning("stop_without_number", account=account, meaning=str(meaning))
        return
    if meaning is Meaning.STOP:
        senders = _spellings(inbound.to) if words.per_sender and inbound.to else [""]
        insert_new(
            session,
            Suppression,
            [{"msisdn": number, "sender": sender, "source": SOURCE, "created_at": now} for sender in senders],
        )
    else:
        _lift(session, number, inbound.to)


def _lift(session: Session, number: str, to: str) -> None:
    """A start takes back a stop that came the same way, never what an operator or a file said."""
    session.execute(
        delete(Suppression).where(
            Suppression.msisdn == number,
            Suppression.sender.in_(["", *_spellings(to)]),
            Suppression.source == SOURCE,
        )
    )


def _number(written: str) -> str | None:
    """E.164; providers write a number with or without its plus. None for an alphanumeric sender."""
    bare = written.strip()
    number = parse_msisdn(bare if bare.startswith("+") else f"+{bare.removeprefix('00')}")
    return str(number) if isinstance(number, Msisdn) else None


def _spellings(sender: str) -> list[str]:
    """The sender as campaigns may write it: with a plus, without, and as the provider wrote it."""
    bare = storable(sender.strip())[:63].lstrip("+")
    return sorted({bare, f"+{bare}"}) if bare.isdecimal() else [bare]
