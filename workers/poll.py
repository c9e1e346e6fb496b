"""Pulling delivery reports: one poller per account at a time, every page stored as it came before anybody parses it.

At most once, where a provider hands out each report only once (Qikli): a crash between the answer's arrival and the
commit of its page loses that page. See docs/reliability.md for how small that window is and what closes it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from redis.asyncio.lock import Lock
from redis.exceptions import LockError, RedisError
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from config import tracing
from models.queries import account_status
from models.states import OPEN_AT_PROVIDER, MessageState
from models.tables import AccountStatus, InboxPage, Message
from providers.base import OpenWork, Page
from providers.extras import HandsOutOnce
from providers.wire import NotSent, OutcomeUnknown, Reply
from workers.charged import charged_send
from workers.runtime import AccountRuntime, Runtime

log = structlog.get_logger("drumline.poll")

MOST_PAGES = 10_000  # in one run: the next run goes on
MOST_GROUPS = 500  # asked for one by one in one run
LISTS_AT_ONCE = 5

# How much slower to poll as what is open gets older: (age in seconds, factor).
CADENCE: Sequence[tuple[float, float]] = ((600.0, 1.0), (3600.0, 4.0), (6 * 3600.0, 20.0), (float("inf"), 60.0))


def poll_every(age: float, base: float) -> float:
    """Seconds between polls for messages of this age. Pure."""
    return base * next(factor for limit, factor in CADENCE if age < limit)


async def poll_reports(runtime: Runtime, account_name: str) -> int:
    """Pull what there is for an account; the number of pages stored."""
    account = await runtime.account(account_name)
    patience = account.account.timeout + runtime.settings.poll_lock_seconds
    lock = runtime.redis.lock(f"drumline:poll:{account_name}", timeout=patience)
    try:
        if not await lock.acquire(blocking=False):
            return 0
    except RedisError as error:
        log.warning("poll_without_lock_refused", account=account_name, error=type(error).__name__)
        return 0
    try:
        with tracing.span("poll", account=account_name) as span:
            stored = await _poll(runtime, account, lock)
            span.set_attribute("drumline.pages", stored)
            return stored
    finally:
        try:
            await lock.release()
        except (LockError, RedisError) as error:
            # It ends by itself; a second poller meanwhile would get other reports, not the same ones.
            log.warning("poll_lock_not_released", account=account_name, error=type(error).__name__)


async def _poll(runtime: Runtime, account: AccountRuntime, lock: Lock) -> int:
    work = await runtime.read(open_work, account.name, account.account.poll.every, runtime.now())
    if work is None:
        return 0
    run = _Run(runtime, account, lock)
    firsts = deque(account.provider.first_pages(work))
    drains = (_drain(run, firsts) for _ in range(min(LISTS_AT_ONCE, len(firsts))))
    # None is cancelled for another's failure: it may hold a page that is given out only once.
    for error in await asyncio.gather(*drains, return_exceptions=True):
        if isinstance(error, BaseException):
            raise error
    if run.complete:
        await runtime.write(_note_polled, account.name, work.now)
    return run.stored


async def _drain(run: _Run, firsts: deque[Page]) -> None:
    """One list after the other, each to its end. Several at once share the lists: what takes a second to answer would
    otherwise be asked for once a second, however much the allowance gives."""
    while firsts and not run.ended:
        await run.list_from(firsts.popleft())


@dataclass
class _Run:
    """One poll: every list from its first page on. A page without an answer ends its list, not the others."""

    runtime: Runtime
    account: AccountRuntime
    lock: Lock
    stored: int = 0
    failed: int = 0
    lost: bool = False

    async def list_from(self, first: Page) -> None:
        page: Page | None = first
        while page is not None and not self.ended:
            reply = await _pull(self.runtime, self.account, page)
            if reply is None:
                self.failed += 1
                return
            self.stored += 1
            if not await _still_ours(self.lock, self.account.name):
                self.lost = True
            page = self.account.provider.following(page, reply)

    @property
    def ended(self) -> bool:
        return self.lost or self.runtime.stopping or self.stored >= MOST_PAGES

    @property
    def complete(self) -> bool:
        """Whether what was due has been asked for. A list that failed alone comes again in its own rhythm; a poll that
        got nothing at all is repeated as a whole."""
        return not self.ended and (self.stored > 0 or self.failed == 0)


async def _still_ours(lock: Lock, account: str) -> bool:
    """Extend the lock before the next page. Lost: somebody else polls by now, or Redis is away."""
    try:
        return bool(await lock.reacquire())
    except (LockError, RedisError) as error:
        log.warning("poll_lock_lost", account=account, error=type(error).__name__)
        return False


async def _pull(runtime: Runtime, account: AccountRuntime, page: Page) -> Reply | None:
    """One page into the inbox. None: no usable answer, try again at the next poll."""

    async def keep(reply: Reply) -> None:
        """Before anything else is done with the answer: it may never be given out again."""
        if 200 <= reply.status < 300:
            content_type = reply.header("content-type") or ""
            await runtime.insist(store_page, account.name, "pull", reply.body, content_type, runtime.now())

    try:
        reply = await charged_send(runtime, account, account.provider.page_request(page), "poll", keep=keep)
    except (NotSent, OutcomeUnknown) as error:
        log.warning("poll_failed", account=account.name, error=error.reason)
        if isinstance(error, OutcomeUnknown) and error.received and isinstance(account.provider, HandsOutOnce):
            await keep(Reply(error.partial or 0, {}, error.received))
        return None
    if not 200 <= reply.status < 300:
        log.warning("poll_refused", account=account.name, status=reply.status)
        return None
    return reply


def store_page(session: Session, account: str, kind: str, body: bytes, content_type: str, now: datetime) -> None:
    session.add(
        InboxPage(account=account, kind=kind, body=body, content_type=content_type[:100], query="", received_at=now)
    )


def _note_polled(session: Session, account: str, began: datetime | None) -> None:
    account_status(session, account).polled_at = began


# --- what is open, and what of it is due -----------------------------------------------------------------------------


def group_due(left: datetime, last: datetime | None, now: datetime, base: float) -> bool:
    """Whether a group whose messages left at `left` is due again; `last` is the last complete poll. Pure.

    Each group has a rhythm of its own, counted from when it left, slower as it gets older. A beat that falls between
    the last poll and now is due, however many were missed: nothing needs to be remembered for each group.
    """
    if last is None:
        return True
    every = poll_every((now - left).total_seconds(), base)
    return (last - left).total_seconds() // every != (now - left).total_seconds() // every


def open_work(session: Session, account: str, base: float, now: datetime) -> OpenWork | None:
    """What waits for reports at an account; None: nothing does, so there is nothing to poll for."""
    span = open_span(session, account)
    if span is None:
        return None
    status = session.get(AccountStatus, account)
    last = status.polled_at if status else None
    groups = _open_groups(session, account)
    loose = _loose(session, account)
    due = [group for group, left in groups if group_due(left, last, now, base)]
    oldest = min(_oldest_attempt(session, account, span[0]), span[0])
    if len(due) > MOST_GROUPS:
        # So many lists cost more requests than one of everything.
        return OpenWork(oldest, (), now, oldest)
    ungrouped = loose[0] if loose and group_due(loose[1], last, now, base) else None
    return OpenWork(oldest, due, now, ungrouped, all_grouped=loose is None)


def _open_groups(session: Session, account: str) -> list[tuple[str, datetime]]:
    """Groups with messages that wait for a report, the youngest first, and when each left."""
    left = func.max(Message.submitted_at)
    query = (
        select(Message.group_id, left)
        .where(*_open_at(account), Message.group_id.is_not(None))
        .group_by(Message.group_id)
        .order_by(left.desc(), Message.group_id)
        .limit(MOST_GROUPS * 10)
    )
    return [(group, at) for group, at in session.execute(query) if group and at]


def _loose(session: Session, account: str) -> tuple[datetime, datetime] | None:
    """When the oldest and the youngest left that no group will find: it was never told, or their answer is unknown."""
    spans = [
        _span(session, Message.submitted_at, *_open_at(account), Message.group_id.is_(None)),
        _span(session, Message.attempted_at, Message.account == account, Message.phase == MessageState.UNKNOWN),
    ]
    return _widest(spans)


def _oldest_attempt(session: Session, account: str, oldest: datetime) -> datetime:
    """The provider had the oldest message before its answer was recorded here; by how much, the attempt tells."""
    near = Message.submitted_at <= oldest + timedelta(minutes=10)
    found = session.execute(select(func.min(Message.attempted_at)).where(*_open_at(account), near)).scalar_one()
    return found or oldest


def open_span(session: Session, account: str) -> tuple[datetime, datetime] | None:
    """When the oldest and the youngest message that waits for a report left; unknown outcomes wait too."""
    return _widest(
        [
            _span(session, Message.submitted_at, *_open_at(account)),
            _span(session, Message.attempted_at, Message.account == account, Message.phase == MessageState.UNKNOWN),
        ]
    )


def _open_at(account: str) -> tuple[ColumnElement[bool], ...]:
    known = Message.submitted_at.is_not(None)  # the sweep tells those without
    return Message.account == account, Message.phase.in_(tuple(OPEN_AT_PROVIDER)), known


def _span(
    session: Session, column: InstrumentedAttribute[datetime | None], *which: ColumnElement[bool]
) -> tuple[datetime, datetime] | None:
    # Each by itself: SQLite takes the end of an index for one of them, and for both it reads all of it.
    first = session.execute(select(func.min(column)).where(*which)).scalar_one()
    if first is None:
        return None
    return first, session.execute(select(func.max(column)).where(*which)).scalar_one() or first


def _widest(spans: Sequence[tuple[datetime, datetime] | None]) -> tuple[datetime, datetime] | None:
    known = [span for span in spans if span is not None]
    return (min(first for first, _ in known), max(last for _, last in known)) if known else None


def due_polls(session: Session, bases: dict[str, float], now: datetime) -> list[str]:
    """Accounts whose next poll is due, and their next time set; only those with something open. `bases`: seconds.

    A time that was set for old messages is brought forward as soon as younger ones have left."""
    due: list[str] = []
    for account, base in bases.items():
        status = account_status(session, account)
        span = open_span(session, account)
        if span is None:
            continue
        coming = _next_poll(session, account, span[1], base, now)
        if status.next_poll_at is None or status.next_poll_at <= now:
            status.next_poll_at = coming
            due.append(account)
        elif coming < status.next_poll_at:
            status.next_poll_at = coming
    return due


def _next_poll(session: Session, account: str, youngest: datetime, base: float, now: datetime) -> datetime:
    """At the pace of what left (or was let go) last, and when the next held message is let go."""
    released, coming = _releases(session, account, now)
    age = (now - max(youngest, released or youngest)).total_seconds()
    regular = now + timedelta(seconds=poll_every(max(0.0, age), base))
    return regular if coming is None else min(regular, coming + timedelta(seconds=base))


def _releases(session: Session, account: str, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Of held messages: the last time of release that has passed, and the next one to come."""
    until = Message.held_until
    held = (Message.account == account, Message.phase == MessageState.HELD)
    past = session.execute(select(func.max(until)).where(*held, until <= now)).scalar_one()
    coming = session.execute(select(func.min(until)).where(*held, until > now)).scalar_one()
    return past, coming
