"""Celery's doorways into this room. Each calls one use case that is testable without Celery. Only ids travel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import structlog
from celery import shared_task
from celery.signals import worker_process_shutdown, worker_shutdown, worker_shutting_down
from sqlalchemy.orm import Session

from config import names, tracing
from config.accounts import load_accounts
from config.celery_app import app
from config.nudges import Nudges
from config.settings import settings
from models.database import Database
from workers import closing, sweep
from workers.events import deliver_events, forget_old
from workers.failover import Failover
from workers.in_turn import submit_in_turn
from workers.overdue import ask_overdue, overdue_accounts, under_way
from workers.poll import due_polls, poll_reports
from workers.reconcile import apply_inbox
from workers.resolve import due_accounts, resolve_unknown
from workers.runtime import Runtime, look_up_policy
from workers.snapshot import take_snapshot
from workers.suppress import policy_of

T = TypeVar("T")
log = structlog.get_logger("drumline.tasks")

ROUNDS = 50  # inbox rounds in one task: others on the queue get their turn

_lock = threading.Lock()
_runtime: Runtime | None = None


def runtime() -> Runtime:
    """The process's runtime, made on first use (after any fork)."""
    global _runtime  # one per process is the point
    with _lock:
        if _runtime is None:
            configured = settings()
            _runtime = Runtime(
                configured,
                load_accounts(configured.accounts_file),
                Database(configured.database_url),
                Nudges(app),
            )
        return _runtime


@worker_shutting_down.connect
def _stop(**_: object) -> None:
    if _runtime is not None:
        _runtime.stop()


@worker_shutdown.connect
@worker_process_shutdown.connect
def _close(**_: object) -> None:
    if _runtime is not None:
        _runtime.close()


@shared_task(name=names.SUBMIT_BATCH)
def submit(batch_id: str) -> None:
    here = runtime()
    here.run(submit_in_turn(here, UUID(batch_id)))


@shared_task(name=names.POLL_REPORTS)
def poll(account: str) -> None:
    here = runtime()
    if here.run(poll_reports(here, account)):
        here.send_later(names.APPLY_REPORTS, names.REPORTS_QUEUE)


@shared_task(name=names.RESOLVE_UNKNOWN)
def resolve(account: str) -> None:
    here = runtime()
    if here.run(resolve_unknown(here, account)):
        here.wake_dispatcher()
    here.run(ask_overdue(here, account))


@shared_task(name=names.SNAPSHOT)
def snapshot(account: str) -> None:
    here = runtime()
    here.run(take_snapshot(here, account))


@shared_task(name=names.APPLY_REPORTS)
def apply_reports() -> None:
    """Rounds until the inbox is empty. Two at once do no harm: pages are locked, reports are unique."""
    here = runtime()
    provider_of = here.adapter
    policy = policy_of(here.settings)
    for _ in range(ROUNDS):
        began = time.time_ns()
        effect = here.in_write(apply_inbox, provider_of, here.now(), policy)
        if not effect:
            return
        with tracing.span("apply reports", begin_ns=began, pages=effect.pages, reports=effect.reports) as span:
            span.set_attribute("drumline.moved", effect.moved)


@shared_task(name=names.DELIVER_EVENTS)
def deliver() -> None:
    """Endpoints are claimed: two at once serve different ones."""
    here = runtime()
    here.run(deliver_events(here))


@shared_task(name=names.PLAN_POLLS)
def plan_polls() -> None:
    """Ask for the polls and look-ups that are due."""
    here = runtime()
    provider_of = here.adapter
    bases = {
        name: account.poll.every
        for name, account in here.accounts.items()
        if (provider := provider_of(name)) is not None and provider.pulls
    }
    now = here.now()
    with here.database.write() as session:
        polls = due_polls(session, bases, now)
        looks = due_accounts(session, now) | overdue_accounts(session, _overdue_after(here), now)
    for account in polls:
        here.send_later(names.POLL_REPORTS, names.account_queue(account), account)
    for account in looks & here.accounts.keys():
        here.send_later(names.RESOLVE_UNKNOWN, names.account_queue(account), account)


def _overdue_after(here: Runtime) -> dict[str, float]:
    return {
        name: policy.overdue
        for name, account in here.accounts.items()
        if (provider := here.adapter(name)) is not None
        and (policy := look_up_policy(account, provider)).overdue is not None
    }


@shared_task(name=names.SWEEP)
def sweep_all() -> None:
    """Every step in a transaction of its own: one that fails does not undo the others."""
    here = runtime()
    now = here.now()
    provider_of = here.adapter
    notes = {name: getattr(provider_of(name), "no_report_note", None) for name in here.accounts}
    looks, waits = first_looks(here), report_waits(here)
    asked = dict.fromkeys(_overdue_after(here), under_way(here.settings))
    found = sweep.Swept(
        *_in_own(here, lambda s: sweep.end_leases(s, now, looks)),
        jobs_lost=_in_own(here, lambda s: sweep.requeue_lost_jobs(s, now, here.settings.job_lost_seconds)),
        orphans=_in_own(here, lambda s: sweep.free_orphans(s, now, here.lease_seconds, looks)),
        stranded=_in_own(here, lambda s: sweep.reopen_stranded(s, now)),
        expired=_in_own(here, lambda s: sweep.expire_queued(s, now)) + closing.expire_all(here.database.write, now),
        no_report=_in_own(here, lambda s: sweep.close_unreported(s, now, notes, asked)),
        cancelled=closing.cancel_all(here.database.write, now) + _in_own(here, lambda s: sweep.cancel_queued(s, now)),
        completed=_in_own(here, lambda s: sweep.complete_campaigns(s, now)),
    )
    _in_own(here, lambda s: sweep.give_deadlines(s, now, waits))
    _in_own(here, lambda s: forget_old(s, now))
    _in_own(here, lambda s: sweep.fail_dead_imports(s, now))
    moved = _in_own(here, lambda s: Failover(s, here.accounts, provider_of, here.settings.batch_seconds, now).run())
    if found or moved:
        steps = {name: getattr(found, name) for name in found.__slots__ if getattr(found, name)}
        log.info("swept", moved=moved, **steps)
        here.wake_dispatcher()


def first_looks(here: Runtime) -> dict[str, float]:
    """Seconds by account from a worker's death to the first look for what it held."""
    return {
        name: policy.after[0]
        for name, account in here.accounts.items()
        if (provider := here.adapter(name)) is not None and (policy := look_up_policy(account, provider)).after
    }


def report_waits(here: Runtime) -> dict[str, float]:
    """Seconds by account that a report is waited for, where the answer to the submit did not say."""
    default, grace = 172_800.0, here.settings.no_report_grace
    return {
        name: account.report_wait or default + provider.report_deadline + grace
        for name, account in here.accounts.items()
        if (provider := here.adapter(name)) is not None
    }


def _in_own(here: Runtime, step: Callable[[Session], T]) -> T:
    """Again where another transaction got in the way."""
    return here.in_write(step)
