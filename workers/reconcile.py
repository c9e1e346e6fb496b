"""Delivery reports: from the inbox to the messages, each counted once.

Pull and push both end in the inbox as raw pages. `apply_inbox` parses them into reports (unique by account and dedupe
key), matches each to its message, and moves the message forward only. A report whose message is not known yet waits:
it can beat our own commit of the provider's id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models.moves import Move, apply_moves
from models.msisdn import Msisdn, parse_msisdn
from models.queries import insert_new
from models.states import FINAL, MessageState, may
from models.tables import DeliveryReport, InboundMessage, InboxPage, Message, Suppression, message_id_of
from providers.base import Failure, FailureClass, OptOut, Parsed, Provider, Raw, Report
from providers.wire import BadBody

log = structlog.get_logger("drumline.reconcile")

PAGES = 100  # raw pages parsed in one transaction
REPORTS = 2000  # waiting reports applied in one transaction
RETRY_FIRST = 2.0  # seconds until an unmatched report is tried again; doubles
RETRY_MOST = 3600.0
GIVE_UP_TRIES = 20  # then it is only listed for the operator (about half a day)


@dataclass(frozen=True, slots=True)
class Effect:
    """What one run did."""

    pages: int = 0
    reports: int = 0
    moved: int = 0
    waiting: int = 0

    def __bool__(self) -> bool:
        return bool(self.pages or self.reports)


def apply_inbox(session: Session, provider_of: Callable[[str], Provider | None], now: datetime) -> Effect:
    """One round: parse some pages, apply some reports. Call again while it did something."""
    pages = parse_pages(session, provider_of, now)
    reports = _due_reports(session, now)
    moved = apply_reports(session, reports, now) if reports else 0
    return Effect(pages, len(reports), moved, sum(1 for report in reports if report.applied_at is None))


# --- pages to reports ------------------------------------------------------------------------------------------------


def parse_pages(session: Session, provider_of: Callable[[str], Provider | None], now: datetime) -> int:
    """Turn raw pages into reports. A page that cannot be read keeps its error and its bytes."""
    query = select(InboxPage).where(InboxPage.parsed_at.is_(None)).order_by(InboxPage.id).limit(PAGES)
    pages = session.execute(query.with_for_update(skip_locked=True)).scalars().all()
    for page in pages:
        provider = provider_of(page.account)
        if provider is None:
            page.error = "this account is not configured any more"
        else:
            parsed = _parse(page, provider)
            _store(session, page, parsed, now)
        page.parsed_at = now
    return len(pages)


def _parse(page: InboxPage, provider: Provider) -> Parsed:
    raw = Raw(page.body, page.content_type, page.query, page.kind, page.received_at)
    try:
        parsed = provider.parse_reports(raw)
    except BadBody as error:
        log.error("report_page_unreadable", account=page.account, page=page.id, error=str(error))
        page.error = str(error)[:2000]
        return Parsed()
    if parsed.bad:
        page.error = "; ".join(f"{where}: {why}" for where, why in parsed.bad)[:2000]
        log.warning("report_items_unreadable", account=page.account, page=page.id, items=len(parsed.bad))
    return parsed


def _store(session: Session, page: InboxPage, parsed: Parsed, now: datetime) -> None:
    insert_new(session, DeliveryReport, [_report_row(page, report, now) for report in parsed.reports])
    insert_new(session, Suppression, [row for opt_out in parsed.opt_outs if (row := suppression_row(opt_out, now))])
    insert_new(
        session,
        InboundMessage,
        [
            {
                "account": page.account,
                "inbound_id": inbound.inbound_id[:128],
                "msisdn": inbound.msisdn[:32],
                "to": inbound.to[:64],
                "text": inbound.text,
                "received_at": inbound.received_at or now,
                "stop_word": False,
            }
            for inbound in parsed.inbound
        ],
    )


def suppression_row(opt_out: OptOut, now: datetime) -> dict[str, Any] | None:
    """An opt-out as a row of our suppressions; None for one that is no number."""
    number = parse_msisdn(opt_out.msisdn)
    if not isinstance(number, Msisdn):
        log.warning("opt_out_without_number", source=opt_out.source)
        return None
    return {"msisdn": str(number), "sender": opt_out.sender or "", "source": opt_out.source[:64], "created_at": now}


def _report_row(page: InboxPage, report: Report, now: datetime) -> dict[str, Any]:
    return {
        "account": page.account,
        "dedupe": report.dedupe[:200],
        "inbox_id": page.id,
        "received_at": page.received_at,
        "provider_id": _short(report.provider_id, 128),
        "ref": _short(report.ref, 200),
        "msisdn": _short(report.msisdn, 32),
        "state": report.state,
        "raw_status": report.raw_status[:100],
        "details": _details(report),
        "tries": 0,
        "next_try_at": now,
    }


def _short(text: str | None, length: int) -> str | None:
    return text[:length] if text else None


# --- a report's further facts, kept as JSON until it is applied ------------------------------------------------------


def _details(report: Report) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "at": report.at.isoformat() if report.at else None,
        "read_at": report.read_at.isoformat() if report.read_at else None,
        "parts": report.parts,
        "price": str(report.price) if report.price is not None else None,
        "currency": report.currency,
        "network": report.network,
        "channel": report.channel,
        "group_id": report.group_id,
    }
    if report.failure:
        facts |= {"code": report.failure.code, "klass": str(report.failure.klass), "reason": report.failure.reason}
    return {name: value for name, value in facts.items() if value is not None}


def report_of(row: DeliveryReport) -> Report:
    """The report as the adapter gave it."""
    facts = row.details
    failure = None
    if "code" in facts:
        failure = Failure(facts["code"], FailureClass(facts["klass"]), facts["reason"])
    return Report(
        dedupe=row.dedupe,
        state=row.state,
        provider_id=row.provider_id,
        ref=row.ref,
        msisdn=row.msisdn,
        raw_status=row.raw_status,
        failure=failure,
        at=_time(facts.get("at")),
        parts=facts.get("parts"),
        price=Decimal(facts["price"]) if "price" in facts else None,
        currency=facts.get("currency"),
        network=facts.get("network"),
        channel=facts.get("channel"),
        read_at=_time(facts.get("read_at")),
        group_id=facts.get("group_id"),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


# --- reports to messages ---------------------------------------------------------------------------------------------


def _due_reports(session: Session, now: datetime) -> Sequence[DeliveryReport]:
    query = (
        select(DeliveryReport)
        .where(DeliveryReport.applied_at.is_(None), DeliveryReport.next_try_at <= now)
        .order_by(DeliveryReport.next_try_at, DeliveryReport.id)
        .limit(REPORTS)
        .with_for_update(skip_locked=True)
    )
    return session.execute(query).scalars().all()


def apply_reports(session: Session, rows: Sequence[DeliveryReport], now: datetime) -> int:
    """Apply reports in the order they came; the number of messages that moved."""
    owners = match(session, rows)
    states = _states(session, set(owners.values()))
    moved = 0
    while rows:
        this_round, rows = _one_per_message(rows, owners)
        moves = [_plan(row, owners.get(row.id), states, now) for row in this_round]
        for done in apply_moves(session, [move for move in moves if move], now):
            states[done.message_id] = done.new
            moved += 1
    return moved


def _one_per_message(
    rows: Sequence[DeliveryReport], owners: Mapping[int, UUID]
) -> tuple[list[DeliveryReport], list[DeliveryReport]]:
    """Two reports of one message are applied one after the other."""
    taken: set[UUID] = set()
    now_rows: list[DeliveryReport] = []
    later: list[DeliveryReport] = []
    for row in rows:
        owner = owners.get(row.id)
        (later if owner in taken else now_rows).append(row)
        if owner is not None:
            taken.add(owner)
    return now_rows, later


def match(session: Session, rows: Sequence[DeliveryReport]) -> dict[int, UUID]:
    """Which message each report belongs to: by the provider's id within the account, else by our reference."""
    owners: dict[int, UUID] = {}
    by_account: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        if row.provider_id:
            by_account.setdefault(row.account, {}).setdefault(row.provider_id, []).append(row.id)
    for account, wanted in by_account.items():
        for message_id, provider_id in _by_provider_id(session, account, list(wanted)):
            owners |= dict.fromkeys(wanted[provider_id], message_id)
    by_ref = {row.id: ref for row in rows if row.id not in owners and (ref := message_id_of(row.ref or ""))}
    known = _existing(session, {row.account for row in rows}, list(by_ref.values()))
    accounts = {row.id: row.account for row in rows}
    return owners | {row_id: ref for row_id, ref in by_ref.items() if (accounts[row_id], ref) in known}


def _by_provider_id(session: Session, account: str, ids: list[str]) -> list[tuple[UUID, str]]:
    found: list[tuple[UUID, str]] = []
    for start in range(0, len(ids), 500):
        query = select(Message.id, Message.provider_id).where(
            Message.account == account, Message.provider_id.in_(ids[start : start + 500])
        )
        found += [(message_id, provider_id) for message_id, provider_id in session.execute(query) if provider_id]
    return found


def _existing(session: Session, accounts: set[str], ids: list[UUID]) -> set[tuple[str, UUID]]:
    found: set[tuple[str, UUID]] = set()
    for start in range(0, len(ids), 500):
        query = select(Message.account, Message.id).where(Message.id.in_(ids[start : start + 500]))
        found |= {(account, message_id) for account, message_id in session.execute(query) if account in accounts}
    return found


def _states(session: Session, ids: set[UUID]) -> dict[UUID, MessageState]:
    listed = sorted(ids)
    found: dict[UUID, MessageState] = {}
    for start in range(0, len(listed), 500):
        query = select(Message.id, Message.state).where(Message.id.in_(listed[start : start + 500]))
        found |= dict(session.execute(query).tuples().all())
    return found


def _plan(row: DeliveryReport, owner: UUID | None, states: Mapping[UUID, MessageState], now: datetime) -> Move | None:
    """Mark the report applied (or waiting) and say the move that follows, if one does."""
    if owner is None:
        _wait_on(row, now)
        return None
    row.message_id = owner
    row.applied_at = now
    row.effect = effect_of(states.get(owner), row.state)
    if row.effect in {"moved", "facts"}:
        return report_move(owner, report_of(row))
    return None


def effect_of(current: MessageState | None, new: MessageState | None) -> str:
    """What a report does to a message in this state. Pure."""
    if new is None:
        return "no word for it"
    if current is None or current is new:
        return "repeated"
    if may(current, new):
        return "moved"
    return "late" if current in FINAL else "behind"


def _wait_on(row: DeliveryReport, now: datetime) -> None:
    row.tries += 1
    wait = min(RETRY_FIRST * 2 ** (row.tries - 1), RETRY_MOST)
    row.next_try_at = now + timedelta(seconds=wait) if row.tries < GIVE_UP_TRIES else None
    row.effect = "unmatched"


def report_move(message_id: UUID, report: Report) -> Move:
    """The move a report asks for, with every fact it brings."""
    if report.state is None:
        raise ValueError("a report without a state moves nothing")
    values: dict[str, Any] = {
        "provider_at": report.at,
        "parts": report.parts,
        "price": report.price,
        "currency": report.currency,
        "network": _short(report.network, 64),
        "channel": _short(report.channel, 16),
        "read_at": report.read_at,
        "provider_id": report.provider_id,
    }
    known = {name: value for name, value in values.items() if value is not None}
    if report.failure:
        known |= {
            "code": report.failure.code[:64],
            "klass": str(report.failure.klass),
            "reason": report.failure.reason[:300],
        }
    if report.state is MessageState.DELIVERED:
        known |= {"code": None, "klass": None, "reason": None}
    known["not_before"] = None
    return Move(message_id, report.state, f"report {report.raw_status}".strip(), known)


def read_receipts(session: Session, rows: Sequence[DeliveryReport]) -> None:
    """A read receipt moves no state; it is a fact about a delivered message."""
    for row in rows:
        if row.message_id and (read_at := _time(row.details.get("read_at"))):
            session.execute(update(Message).where(Message.id == row.message_id).values(read_at=read_at))
