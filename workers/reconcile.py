"""Delivery reports: from the inbox to the messages, each counted once.

Pull and push both end in the inbox as raw pages. `apply_inbox` reads them into reports (unique by account and dedupe
key), matches each to its message, and moves the message forward only. What a message's reports say together does not
depend on their order (see `workers.fold`). A report whose message is not known yet waits: it can beat our own commit
of the provider's id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Table, select, update
from sqlalchemy.orm import Session

from models.bulk import among, insert_missing, update_by_id
from models.database import LASTING_ERRORS, PASSING_ERRORS
from models.moves import Locked, Move, apply_moves, lock_messages, set_facts
from models.queries import insert_new
from models.states import FINAL, MessageState
from models.stopwords import StopWords
from models.tables import DeliveryReport, InboxPage, Message, Suppression, message_id_of
from models.tallies import Tally, tally, tally_value
from models.types import storable
from providers.base import Provider, Report
from workers.fold import Verdict, fold, is_older_try, is_simple
from workers.inbox import Arrived, read_pages
from workers.report_rows import dedupe_of, report_of, row_of
from workers.suppress import Policy, suppression_of

log = structlog.get_logger("drumline.reconcile")

REPORTS = 2000  # waiting reports tried again in one transaction
RETRY_FIRST = 2.0  # seconds until an unmatched report is tried again; doubles
RETRY_MOST = 3600.0
GIVE_UP_TRIES = 20  # then it is only listed for the operator (about half a day)
UNMATCHED = "unmatched"
BROKEN = "cannot be applied"

_REPORTS: Table = DeliveryReport.__table__  # type: ignore[assignment]  # declared as FromClause, is a Table
_INSERTED = (
    "account", "dedupe", "inbox_id", "received_at", "provider_id", "ref", "msisdn", "state", "raw_status", "details",
    "message_id", "applied_at", "effect", "tries", "next_try_at",
)  # fmt: skip
_SETTLED = ("message_id", "applied_at", "effect", "tries", "next_try_at")


@dataclass(frozen=True, slots=True)
class Effect:
    """What one run did."""

    pages: int = 0
    reports: int = 0
    moved: int = 0
    waiting: int = 0

    def __bool__(self) -> bool:
        return bool(self.pages or self.reports)


@dataclass(frozen=True, slots=True)
class Item:
    """One report to be settled. `row_id`: its row, if it waited there already; `tries` so far."""

    account: str
    report: Report
    row_id: int | None = None
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one report. `message_id` None: it belongs to no message that we know."""

    item: Item
    message_id: UUID | None
    effect: str


def apply_inbox(
    session: Session, provider_of: Callable[[str], Provider | None], now: datetime, policy: Policy | None = None
) -> Effect:
    """One round: read some pages and settle their reports, try some that wait. Call again while it did something."""
    policy = policy or Policy(StopWords.of(()))
    pages, arrived = read_pages(session, provider_of, now, policy.words)
    new = _settle_new(session, arrived, now, policy)
    again = _settle_waiting(session, now, policy)
    settled = [*new, *again]
    moved = sum(1 for one in settled if one.effect == "moved")
    return Effect(pages, len(settled), moved, sum(1 for one in settled if one.message_id is None))


# --- new reports -----------------------------------------------------------------------------------------------------


def _settle_new(session: Session, arrived: Sequence[Arrived], now: datetime, policy: Policy) -> list[Settled]:
    """Reports that were never seen before. Two workers may see the same one: the second finds it does nothing."""
    first = {(one.account, dedupe_of(one.report)): one for one in reversed(arrived)}
    known = _known(session, first)
    fresh = [one for key, one in reversed(first.items()) if key not in known]
    settled = _settle_safely(session, [Item(one.account, one.report) for one in fresh], now, policy)
    _tally(session, fresh, settled, now)
    rows = [_new_row(one, done, now) for one, done in zip(fresh, settled, strict=True)]
    _keep(session, rows)
    return settled


def _tally(session: Session, fresh: Sequence[Arrived], settled: Sequence[Settled], now: datetime) -> None:
    """What the metrics tell of reports: what each did, and how long after its arrival."""
    kinds = Counter(
        (one.account, str(one.report.state or "none"), done.effect) for one, done in zip(fresh, settled, strict=True)
    )
    for (account, state, effect), n in kinds.items():
        tally(session, Tally.REPORTS, account, (state, effect.replace(" ", "_")), n)
    for (account, received_at), n in Counter((one.account, one.received_at) for one in fresh).items():
        tally_value(session, Tally.REPORT_DELAY, account, max(0.0, (now - received_at).total_seconds()), n)


def _keep(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Store the reports; one that the database will not take is left in its page alone."""
    try:
        with session.begin_nested():
            insert_missing(session, _REPORTS, _INSERTED, rows)
    except PASSING_ERRORS:
        raise
    except LASTING_ERRORS as error:
        if len(rows) > 1:
            for row in rows:
                _keep(session, [row])
            return
        page, why = rows[0]["inbox_id"], f"could not be stored: {type(error).__name__}"
        log.error("report_not_stored", page=page, error=why)
        session.execute(update(InboxPage).where(InboxPage.id == page).values(error=why))


def _settle_safely(session: Session, items: Sequence[Item], now: datetime, policy: Policy) -> list[Settled]:
    """All together; if one of them cannot be applied, each by itself, and that one is set aside for the operator."""
    if not items:
        return []
    try:
        with session.begin_nested():
            return settle(session, items, now, policy)
    except PASSING_ERRORS:
        raise
    except LASTING_ERRORS as error:
        if len(items) > 1:
            return [one for item in items for one in _settle_safely(session, [item], now, policy)]
        log.error("report_not_applied", account=items[0].account, error=repr(error))
        return [Settled(items[0], None, BROKEN)]


def _known(session: Session, keys: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    by_account: dict[str, list[str]] = {}
    for account, dedupe in keys:
        by_account.setdefault(account, []).append(dedupe)
    known: set[tuple[str, str]] = set()
    for account, wanted in by_account.items():
        query = select(DeliveryReport.dedupe).where(
            DeliveryReport.account == account, among(session, DeliveryReport.dedupe, wanted)
        )
        known |= {(account, dedupe) for dedupe in session.execute(query).scalars()}
    return known


def _new_row(one: Arrived, done: Settled, now: datetime) -> dict[str, Any]:
    return {
        "account": one.account,
        "inbox_id": one.inbox_id,
        "received_at": one.received_at,
        **row_of(one.report),
        **_outcome(done, now),
    }


def _outcome(done: Settled, now: datetime) -> dict[str, Any]:
    tries = done.item.tries + (1 if done.message_id is None else 0)
    waits = done.effect == UNMATCHED
    return {
        "message_id": done.message_id,
        "applied_at": now if done.message_id else None,
        "effect": done.effect,
        "tries": tries,
        "next_try_at": _next_try(tries, now) if waits else None,
    }


def _next_try(tries: int, now: datetime) -> datetime | None:
    wait = min(RETRY_FIRST * 2.0 ** (tries - 1), RETRY_MOST)
    return now + timedelta(seconds=wait) if tries < GIVE_UP_TRIES else None


# --- reports that wait for their message -----------------------------------------------------------------------------


def _settle_waiting(session: Session, now: datetime, policy: Policy) -> list[Settled]:
    query = (
        select(DeliveryReport)
        .where(DeliveryReport.applied_at.is_(None), DeliveryReport.next_try_at <= now)
        .order_by(DeliveryReport.next_try_at, DeliveryReport.id)
        .limit(REPORTS)
        .with_for_update(skip_locked=True)
    )
    rows = session.execute(query).scalars().all()
    items, broken = _items(rows)
    settled = [*_settle_safely(session, items, now, policy), *broken]
    update_by_id(session, _REPORTS, _SETTLED, [{"id": one.item.row_id, **_outcome(one, now)} for one in settled])
    session.expire_all()
    return settled


def _items(rows: Sequence[DeliveryReport]) -> tuple[list[Item], list[Settled]]:
    """The rows as reports; one that cannot be read any more is set aside."""
    items: list[Item] = []
    broken: list[Settled] = []
    for row in rows:
        try:
            items.append(Item(row.account, report_of(row), row.id, row.tries))
        except LASTING_ERRORS as error:
            log.error("report_not_readable", report=row.id, error=repr(error))
            unread = Report(row.dedupe, row.state)
            broken.append(Settled(Item(row.account, unread, row.id, row.tries), None, BROKEN))
    return items, broken


# --- from reports to messages ----------------------------------------------------------------------------------------


def settle(session: Session, items: Sequence[Item], now: datetime, policy: Policy) -> list[Settled]:
    """Match the reports, move their messages, and say what became of each, in the order given."""
    owners, rows = match(session, items)
    groups: dict[UUID, list[Report]] = {}
    for item, owner in zip(items, owners, strict=True):
        if owner is not None:
            groups.setdefault(owner, []).append(item.report)
    verdicts = _verdicts(session, rows, groups, now)
    _carry_out(session, rows, verdicts, now)
    _suppress(session, rows, groups, policy, now)
    return [
        Settled(item, None, UNMATCHED)
        if owner is None
        else Settled(item, owner, _effect(item.report, rows[owner], verdicts[owner]))
        for item, owner in zip(items, owners, strict=True)
    ]


def _verdicts(
    session: Session, rows: Mapping[UUID, Locked], groups: Mapping[UUID, Sequence[Report]], now: datetime
) -> dict[UUID, Verdict]:
    intricate = [owner for owner, reports in groups.items() if not is_simple(rows[owner], reports)]
    earlier = _earlier(session, intricate)
    known = _known_facts(session, intricate)
    verdicts = {owner: fold(rows[owner], [*earlier.get(owner, ()), *new], now) for owner, new in groups.items()}
    return verdicts | {owner: _news(verdicts[owner], known[owner]) for owner in intricate}


def _earlier(session: Session, owners: Sequence[UUID]) -> dict[UUID, list[Report]]:
    """The reports of these messages that were applied already, save those of older tries."""
    found: dict[UUID, list[Report]] = {}
    if not owners:
        return found
    query = select(DeliveryReport).where(among(session, DeliveryReport.message_id, owners))
    for row in session.execute(query).scalars():
        if row.message_id is not None and row.effect != OLDER_TRY:
            found.setdefault(row.message_id, []).append(report_of(row))
    return found


_FACTS = (
    Message.parts, Message.price, Message.currency, Message.network, Message.channel, Message.read_at,
    Message.provider_id, Message.group_id, Message.provider_at, Message.code, Message.klass, Message.reason,
)  # fmt: skip


def _known_facts(session: Session, owners: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    if not owners:
        return {}
    rows = session.execute(select(Message.id, *_FACTS).where(among(session, Message.id, owners)))
    return {row.id: dict(row._mapping) for row in rows}


def _news(verdict: Verdict, known: Mapping[str, Any]) -> Verdict:
    """Without the facts that the message has already."""
    if verdict.state is not None:
        return verdict
    return replace(verdict, facts={name: v for name, v in verdict.facts.items() if known.get(name) != v})


def _carry_out(session: Session, rows: Mapping[UUID, Locked], verdicts: Mapping[UUID, Verdict], now: datetime) -> None:
    moves = [
        Move(owner, verdict.state, verdict.note, verdict.facts)
        for owner, verdict in verdicts.items()
        if verdict.state is not None
    ]
    apply_moves(session, moves, now, locked=rows)
    set_facts(session, {owner: verdict.facts for owner, verdict in verdicts.items() if verdict.state is None})


def _suppress(
    session: Session,
    rows: Mapping[UUID, Locked],
    groups: Mapping[UUID, Sequence[Report]],
    policy: Policy,
    now: datetime,
) -> None:
    found = [
        suppression_of(rows[owner].msisdn, rows[owner].account, report.failure, now)
        for owner, reports in groups.items()
        for report in reports
        if report.failure is not None and policy.suppress_on.covers(report.failure) and rows[owner].msisdn
    ]
    insert_new(session, Suppression, found)


def _effect(report: Report, row: Locked, verdict: Verdict) -> str:
    if is_older_try(report, row) and report.state is not row.state:
        return OLDER_TRY
    if report.state is not None and report.state is verdict.state:
        return "moved"
    return "facts" if verdict.facts and verdict.state is None else effect_of(verdict.state or row.state, report.state)


OLDER_TRY = "older try"


def effect_of(current: MessageState, new: MessageState | None) -> str:
    """What a report is to a message in this state that it neither moved nor told anything new. Pure."""
    if new is None:
        return "no word for it"
    if current is new:
        return "repeated"
    return "late" if current in FINAL else "behind"


# --- whose report is it ----------------------------------------------------------------------------------------------


def match(session: Session, items: Sequence[Item]) -> tuple[list[UUID | None], dict[UUID, Locked]]:
    """The message of each, locked: by our own reference, else by the provider's id; always within the account."""
    refs = [message_id_of(item.report.ref or "") for item in items]
    by_id = _by_provider_id(session, [item for item, ref in zip(items, refs, strict=True) if ref is None])
    likely = [ref or by_id.get(_provider_key(item)) for item, ref in zip(items, refs, strict=True)]
    rows = lock_messages(session, (owner for owner in likely if owner))
    owners = [_within(rows, item, owner) for item, owner in zip(items, likely, strict=True)]
    # A reference that is not ours, or another account's, may still come with an id that we know.
    strange = [item for item, owner in zip(items, owners, strict=True) if owner is None and item.report.ref]
    if by_id := _by_provider_id(session, strange):
        rows |= lock_messages(session, by_id.values())
        owners = [owner or by_id.get(_provider_key(item)) for item, owner in zip(items, owners, strict=True)]
    return owners, rows


def _within(rows: Mapping[UUID, Locked], item: Item, owner: UUID | None) -> UUID | None:
    row = rows.get(owner) if owner else None
    return row.message_id if row is not None and row.account == item.account else None


def _provider_key(item: Item) -> tuple[str, str]:
    return item.account, storable(item.report.provider_id or "")[:128]


def _by_provider_id(session: Session, items: Sequence[Item]) -> dict[tuple[str, str], UUID]:
    by_account: dict[str, set[str]] = {}
    for account, provider_id in map(_provider_key, items):
        if provider_id:
            by_account.setdefault(account, set()).add(provider_id)
    found: dict[tuple[str, str], UUID] = {}
    for account, ids in by_account.items():
        query = select(Message.provider_id, Message.id).where(
            Message.account == account, among(session, Message.provider_id, ids)
        )
        found |= {(account, provider_id or ""): owner for provider_id, owner in session.execute(query)}
    return found
