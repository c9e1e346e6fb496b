"""Delivery reports: from the inbox to the messages, each counted once.

Pull and push both end in the inbox as raw pages. `apply_inbox` parses them into reports (unique by account and dedupe
key), matches each to its message, and moves the message forward only. A report whose message is not known yet waits:
it can beat our own commit of the provider's id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func, literal, or_, select, update
from sqlalchemy.orm import Session

from models.database import LASTING_ERRORS, PASSING_ERRORS
from models.moves import Move, apply_moves
from models.msisdn import Msisdn, parse_msisdn
from models.queries import insert_new
from models.states import ACCEPTED_ONCE, FINAL, MessageState, may
from models.tables import DeliveryReport, InboundMessage, InboxPage, Message, Suppression, message_id_of, ref_round_of
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
    try:
        with session.begin_nested():
            moved = apply_reports(session, reports, now)
    except PASSING_ERRORS:
        raise
    except LASTING_ERRORS:
        moved = _apply_alone(session, reports, now)
    return Effect(pages, len(reports), moved, sum(1 for report in reports if report.applied_at is None))


# --- pages to reports ------------------------------------------------------------------------------------------------


def parse_pages(session: Session, provider_of: Callable[[str], Provider | None], now: datetime) -> int:
    """Turn raw pages into reports. A page that cannot be read keeps its error and its bytes."""
    query = select(InboxPage).where(InboxPage.parsed_at.is_(None)).order_by(InboxPage.id).limit(PAGES)
    pages = session.execute(query.with_for_update(skip_locked=True)).scalars().all()
    read = [(page, _parse(page, provider_of(page.account))) for page in pages]
    try:
        with session.begin_nested():
            for page, parsed in read:
                _store(session, page, parsed, now)
    except PASSING_ERRORS:
        raise
    except LASTING_ERRORS:
        for page, parsed in read:
            _store_alone(session, page, parsed, now)
    for page in pages:
        page.parsed_at = now
    return len(pages)


def _parse(page: InboxPage, provider: Provider | None) -> Parsed:
    """What the page holds; what cannot be read leaves its reason on the page and never stops the others."""
    if provider is None:
        page.error = "this account is not configured any more"
        return Parsed()
    raw = Raw(page.body, page.content_type, page.query, page.kind, page.received_at)
    try:
        parsed = provider.parse_reports(raw)
    except (BadBody, *LASTING_ERRORS) as error:
        log.error("report_page_unreadable", account=page.account, page=page.id, error=repr(error))
        page.error = str(error)[:2000] or repr(error)
        return Parsed()
    if parsed.bad:
        page.error = "; ".join(f"{where}: {why}" for where, why in parsed.bad)[:2000]
        log.warning("report_items_unreadable", account=page.account, page=page.id, items=len(parsed.bad))
    return parsed


def _store_alone(session: Session, page: InboxPage, parsed: Parsed, now: datetime) -> None:
    """One page by itself: whatever the database will not take stays in the page, with the reason."""
    try:
        with session.begin_nested():
            _store(session, page, parsed, now)
    except PASSING_ERRORS:
        raise
    except LASTING_ERRORS as error:
        log.error("report_page_not_stored", account=page.account, page=page.id, error=type(error).__name__)
        page.error = f"could not be stored: {type(error).__name__}"


def _store(session: Session, page: InboxPage, parsed: Parsed, now: datetime) -> None:
    insert_new(session, DeliveryReport, [_report_row(page, report, now) for report in parsed.reports])
    insert_new(session, Suppression, [row for opt_out in parsed.opt_outs if (row := suppression_row(opt_out, now))])
    insert_new(
        session,
        InboundMessage,
        [
            {
                "account": page.account,
                "inbound_id": inbound.inbound_id,
                "msisdn": inbound.msisdn,
                "to": inbound.to,
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
    return {"msisdn": str(number), "sender": opt_out.sender or "", "source": opt_out.source, "created_at": now}


def _report_row(page: InboxPage, report: Report, now: datetime) -> dict[str, Any]:
    return {
        "account": page.account,
        "dedupe": report.dedupe,
        "inbox_id": page.id,
        "received_at": page.received_at,
        "provider_id": report.provider_id,
        "ref": report.ref,
        "msisdn": report.msisdn,
        "state": report.state,
        "raw_status": report.raw_status,
        "details": _details(report),
        "tries": 0,
        "next_try_at": now,
    }


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
    """Apply reports in the order they came, one for each message; the rest stay due. The number that moved one.

    Messages are locked first, in the order in which everybody locks them: so what a report does is decided on the row
    as it is, and two transactions never wait for each other.
    """
    owners = match(session, rows)
    standings = _standings(session, set(owners.values()))
    taken: set[UUID] = set()
    moves: list[Move] = []
    for row in rows:
        owner = owners.get(row.id)
        if owner in taken:
            continue
        if owner is None:
            _wait_on(row, now)
            continue
        taken.add(owner)
        moves += _apply_one(session, row, standings[owner], now)
    return len(apply_moves(session, moves, now))


def _apply_alone(session: Session, rows: Sequence[DeliveryReport], now: datetime) -> int:
    """Each report by itself: one that cannot be applied is set aside for the operator, the others go on."""
    moved = 0
    for row in rows:
        try:
            with session.begin_nested():
                moved += apply_reports(session, [row], now)
        except PASSING_ERRORS:
            raise
        except LASTING_ERRORS as error:
            log.error("report_not_applied", report=row.id, error=repr(error))
            row.effect = "cannot be applied"
            row.next_try_at = None
    return moved


def match(session: Session, rows: Sequence[DeliveryReport]) -> dict[int, UUID]:
    """Which message each report belongs to: by our own reference, else by the provider's id within the account."""
    by_ref = {row.id: ref for row in rows if (ref := message_id_of(row.ref or ""))}
    known = _existing(session, list(by_ref.values()))
    owners = {row.id: by_ref[row.id] for row in rows if (row.account, by_ref.get(row.id)) in known}
    by_account: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        if row.provider_id and row.id not in owners:
            by_account.setdefault(row.account, {}).setdefault(row.provider_id, []).append(row.id)
    for account, wanted in by_account.items():
        for message_id, provider_id in _by_provider_id(session, account, list(wanted)):
            owners |= dict.fromkeys(wanted[provider_id], message_id)
    return owners


def _by_provider_id(session: Session, account: str, ids: list[str]) -> list[tuple[UUID, str]]:
    found: list[tuple[UUID, str]] = []
    for start in range(0, len(ids), 500):
        query = select(Message.id, Message.provider_id).where(
            Message.account == account, Message.provider_id.in_(ids[start : start + 500])
        )
        found += [(message_id, provider_id) for message_id, provider_id in session.execute(query) if provider_id]
    return found


def _existing(session: Session, ids: list[UUID]) -> set[tuple[str, UUID]]:
    found: set[tuple[str, UUID]] = set()
    for start in range(0, len(ids), 500):
        query = select(Message.account, Message.id).where(Message.id.in_(ids[start : start + 500]))
        found |= set(session.execute(query).tuples())
    return found


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a message is when a report about it comes."""

    message_id: UUID
    state: MessageState
    ref_round: int


def _standings(session: Session, ids: set[UUID]) -> dict[UUID, Standing]:
    """The messages as they are, locked."""
    listed = sorted(ids)
    found: dict[UUID, Standing] = {}
    for start in range(0, len(listed), 500):
        query = select(Message.id, Message.state, Message.ref_round).where(Message.id.in_(listed[start : start + 500]))
        for row in session.execute(query.order_by(Message.id).with_for_update()).tuples():
            found[row[0]] = Standing(*row)
    return found


def _apply_one(session: Session, row: DeliveryReport, at: Standing, now: datetime) -> list[Move]:
    """Mark the report applied and say the move that follows, if one does."""
    round_ = ref_round_of(row.ref) if row.ref else None
    row.message_id = at.message_id
    row.applied_at = now
    row.effect = effect_of(at, row.state, round_)
    if row.effect == "moved":
        move = report_move(at.message_id, report_of(row))
        # An older try that was accepted after all is the one that counts from now on.
        values = {**move.values, "ref_round": round_} if round_ and round_ < at.ref_round else move.values
        return [replace(move, values=values)]
    if row.effect != OLDER_TRY and add_facts(session, row):
        row.effect = "facts"
    return []


OLDER_TRY = "older try"
_PROVES = frozenset({MessageState.SUBMITTED, MessageState.SENT})
"""Reports that prove an acceptance: worth something of an older try only while the new one has not left."""


def effect_of(at: Standing, new: MessageState | None, round_: int | None) -> str:
    """What a report about the try `round_` (None: it does not say) does to a message that stands so. Pure."""
    if new is None:
        return "no word for it"
    if at.state is new:
        return "repeated"
    if _about_older_try(at, new, round_):
        return OLDER_TRY
    if may(at.state, new):
        return "moved"
    return "late" if at.state in FINAL else "behind"


def _about_older_try(at: Standing, new: MessageState, round_: int | None) -> bool:
    """Whether a report speaks of a try that was refused, and so not of the present or the coming one.

    That the refused one arrived after all is news whenever it comes: nothing more has to be sent.
    """
    queued = at.state is MessageState.QUEUED
    if round_ is not None and round_ < at.ref_round:
        return new is not MessageState.DELIVERED and not (queued and new in _PROVES)
    return queued and new not in ACCEPTED_ONCE


def add_facts(session: Session, row: DeliveryReport) -> bool:
    """What a report says beyond the state: the message keeps what it lacks, whatever order reports come in."""
    known = facts_of(report_of(row))
    if not known:
        return False
    columns = {name: getattr(Message, name) for name in known}
    values = {name: func.coalesce(columns[name], literal(value, columns[name].type)) for name, value in known.items()}
    lacking = or_(*(column.is_(None) for column in columns.values()))
    here = update(Message).where(Message.id == row.message_id, lacking)
    done = session.execute(here.values(values).returning(Message.id))
    return done.first() is not None


def facts_of(report: Report) -> dict[str, Any]:
    return {name: value for name in _FACTS if (value := getattr(report, name)) is not None}


_FACTS = ("parts", "price", "currency", "network", "channel", "read_at")


def _wait_on(row: DeliveryReport, now: datetime) -> None:
    row.tries += 1
    wait = min(RETRY_FIRST * 2 ** (row.tries - 1), RETRY_MOST)
    row.next_try_at = now + timedelta(seconds=wait) if row.tries < GIVE_UP_TRIES else None
    row.effect = "unmatched"


def report_move(message_id: UUID, report: Report) -> Move:
    """The move a report asks for, with every fact it brings."""
    if report.state is None:
        raise ValueError("a report without a state moves nothing")
    links = {"provider_at": report.at, "provider_id": report.provider_id}
    known = facts_of(report) | {name: value for name, value in links.items() if value is not None}
    if report.failure:
        known |= {
            "code": report.failure.code,
            "klass": str(report.failure.klass),
            "reason": report.failure.reason,
        }
    if report.state is MessageState.DELIVERED:
        known |= {"code": None, "klass": None, "reason": None}
    known["not_before"] = None
    return Move(message_id, report.state, f"report {report.raw_status}".strip(), known)
