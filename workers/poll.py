"""Pulling delivery reports: one poller per account at a time, every page stored as it came before anybody parses it.

At most once, where a provider hands out each report only once (Qikli): a crash between the answer's arrival and the
commit of its page loses that page. See docs/reliability.md for how small that window is and what closes it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from redis.asyncio.lock import Lock
from redis.exceptions import LockError, RedisError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.queries import account_status
from models.states import OPEN_AT_PROVIDER, MessageState
from models.tables import InboxPage, Message
from providers.base import OpenWork, Page
from providers.wire import NotSent, OutcomeUnknown, Reply
from workers.resolve import charged_send
from workers.runtime import AccountRuntime, Runtime

log = structlog.get_logger("drumline.poll")

MOST_PAGES = 2000  # in one run: the next run goes on
MOST_GROUPS = 200
LOCK_SECONDS = 60.0  # beyond the request's timeout; extended page by page

# How much slower to poll as what is open gets older: (age in seconds, factor).
CADENCE: Sequence[tuple[float, float]] = ((600.0, 1.0), (3600.0, 4.0), (6 * 3600.0, 20.0), (float("inf"), 60.0))


def poll_every(age: float, base: float) -> float:
    """Seconds between polls for messages of this age. Pure."""
    return base * next(factor for limit, factor in CADENCE if age < limit)


async def poll_reports(runtime: Runtime, account_name: str) -> int:
    """Pull what there is for an account; the number of pages stored."""
    account = await runtime.account(account_name)
    lock = runtime.redis.lock(f"drumline:poll:{account_name}", timeout=account.account.timeout + LOCK_SECONDS)
    try:
        if not await lock.acquire(blocking=False):
            return 0
    except RedisError as error:
        log.warning("poll_without_lock_refused", account=account_name, error=type(error).__name__)
        return 0
    try:
        return await _poll(runtime, account, lock)
    finally:
        try:
            await lock.release()
        except (LockError, RedisError) as error:
            # It ends by itself; a second poller meanwhile would get other reports, not the same ones.
            log.warning("poll_lock_not_released", account=account_name, error=type(error).__name__)


async def _poll(runtime: Runtime, account: AccountRuntime, lock: Lock) -> int:
    work = await runtime.read(open_work, account.name, runtime.now())
    if work is None:
        return 0
    work = OpenWork(work.oldest, _due_groups(account, work), work.now)
    stored = 0
    for first in account.provider.first_pages(work):
        page: Page | None = first
        while page is not None and not runtime.stopping and stored < MOST_PAGES:
            reply = await _pull(runtime, account, page)
            if reply is None:
                break  # the next list may still be had
            stored += 1
            if not await _still_ours(lock, account.name):
                return stored
            page = account.provider.following(page, reply)
    return stored


async def _still_ours(lock: Lock, account: str) -> bool:
    """Extend the lock before the next page. Lost: somebody else polls by now, or Redis is away."""
    try:
        return bool(await lock.reacquire())
    except (LockError, RedisError) as error:
        log.warning("poll_lock_lost", account=account, error=type(error).__name__)
        return False


async def _pull(runtime: Runtime, account: AccountRuntime, page: Page) -> Reply | None:
    """One page into the inbox. None: no usable answer, try again at the next poll."""
    try:
        reply = await charged_send(runtime, account, account.provider.page_request(page), "poll")
    except (NotSent, OutcomeUnknown) as error:
        log.warning("poll_failed", account=account.name, error=error.reason)
        return None
    if not 200 <= reply.status < 300:
        log.warning("poll_refused", account=account.name, status=reply.status)
        return None
    await runtime.insist(
        store_page, account.name, "pull", reply.body, reply.header("content-type") or "", runtime.now()
    )
    return reply


def store_page(session: Session, account: str, kind: str, body: bytes, content_type: str, now: datetime) -> None:
    session.add(
        InboxPage(account=account, kind=kind, body=body, content_type=content_type[:100], query="", received_at=now)
    )


def _due_groups(account: AccountRuntime, work: OpenWork) -> list[str]:
    """Groups are polled one by one, so each at the pace of its own age; the pace is this process's own memory."""
    now = time.monotonic()
    due = [group for group in work.groups if account.group_due.get(group, 0.0) <= now]
    for place, group in enumerate(work.groups):
        if group in due:
            # The groups come youngest first: the further back, the older.
            slower = 1.0 if place < 20 else 4.0
            account.group_due[group] = now + account.account.poll.every * slower * 0.9
    for group in set(account.group_due) - set(work.groups):
        del account.group_due[group]
    return due


def open_work(session: Session, account: str, now: datetime) -> OpenWork | None:
    """What waits for reports at an account; None: nothing does, so there is nothing to poll for."""
    span = open_span(session, account)
    if span is None:
        return None
    query = (
        select(Message.group_id)
        .where(
            Message.account == account,
            Message.state.in_(tuple(OPEN_AT_PROVIDER)),
            Message.group_id.is_not(None),
        )
        .group_by(Message.group_id)
        .order_by(func.max(Message.submitted_at).desc())
        .limit(MOST_GROUPS)
    )
    groups = [group for group in session.execute(query).scalars() if group]
    return OpenWork(span[0], groups, now)


def open_span(session: Session, account: str) -> tuple[datetime, datetime] | None:
    """When the oldest and the youngest message that waits for a report left; unknown outcomes wait too."""
    accepted = session.execute(
        select(func.min(Message.submitted_at), func.max(Message.submitted_at)).where(
            Message.account == account, Message.state.in_(tuple(OPEN_AT_PROVIDER))
        )
    ).one()
    unknown = session.execute(
        select(func.min(Message.attempted_at), func.max(Message.attempted_at)).where(
            Message.account == account, Message.state == MessageState.UNKNOWN
        )
    ).one()
    oldest = [time for time in (accepted[0], unknown[0]) if time is not None]
    youngest = [time for time in (accepted[1], unknown[1]) if time is not None]
    return (min(oldest), max(youngest)) if oldest else None


def due_polls(session: Session, bases: dict[str, float], now: datetime) -> list[str]:
    """Accounts whose next poll is due, and their next time set; only those with something open. `bases`: seconds."""
    due: list[str] = []
    for account, base in bases.items():
        status = account_status(session, account)
        if status.next_poll_at is not None and status.next_poll_at > now:
            continue
        span = open_span(session, account)
        if span is None:
            continue
        age = max(0.0, (now - span[1]).total_seconds())
        status.next_poll_at = now + timedelta(seconds=poll_every(age, base))
        due.append(account)
    return due
