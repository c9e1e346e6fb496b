"""Celery's doorways into this room. Each calls one use case that is testable without Celery. Only ids travel."""

from __future__ import annotations

import threading
from uuid import UUID

import structlog
from celery import shared_task

from config import names
from config.accounts import Account, load_accounts
from config.celery_app import app
from config.nudges import Nudges
from config.settings import settings
from models.database import Database
from producer import campaigns, control, copies, recurring, retention, samples
from producer.dispatch import dispatch
from producer.quota import QuotaExceeded
from producer.tidy import tidy_up

log = structlog.get_logger("drumline.producer")

nudge = Nudges(app)  # what gets lost, the next tick sends again

_lock = threading.Lock()
_shared: tuple[Database, dict[str, Account]] | None = None


def shared() -> tuple[Database, dict[str, Account]]:
    """The process's database and accounts, made on first use (after any fork). No secrets are needed here."""
    global _shared  # one per process is the point
    with _lock:
        if _shared is None:
            configured = settings()
            _shared = Database(configured.database_url), load_accounts(configured.accounts_file, secrets=False)
        return _shared


@shared_task(name=names.DISPATCH)
def dispatch_due() -> None:
    database, accounts = shared()
    dispatch(database, accounts, app.send_task, database.now())


@shared_task(name=names.SCHEDULE)
def start_scheduled() -> None:
    """Start what is due, and have copies filled that nobody fills yet: a job that got lost is sent again."""
    database, accounts = shared()
    now, grace = database.now(), settings().missed_grace
    with database.write() as session:
        started = campaigns.start_due(session, now, grace)
        runs = recurring.run_due(session, now, grace)
        unfilled = copies.waiting(session)
    for campaign_id in unfilled:
        nudge(names.COPY, args=[str(campaign_id)], queue=names.CONTROL_QUEUE)
    if started or runs.made or runs.missed:
        log.info("campaigns_started", campaigns=len(started), runs=len(runs.made), runs_missed=runs.missed)
        dispatch(database, accounts, app.send_task, now)


@shared_task(name=names.STEER)
def steer_running() -> None:
    """Windows, paces, canaries and guards of the running campaigns, and their totals for the charts."""
    database, accounts = shared()
    now = database.now()
    done = control.steer(database, now)
    samples.take_samples(database, now)
    if done:
        log.info("steered", planned=done.planned, canaries_passed=done.passed, halted=done.halted)
        dispatch(database, accounts, app.send_task, now)


@shared_task(name=names.COPY)
def fill_copy(campaign_id: str) -> None:
    """Fill a copy with its recipients and start it. Sent again until somebody does; only the first finds work."""
    database, accounts = shared()
    try:
        copies.fill(database, accounts, UUID(campaign_id))
    except (campaigns.CampaignError, QuotaExceeded) as error:
        log.warning("copy_failed", campaign=campaign_id, reason=str(error))  # the campaign says so too


@shared_task(name=names.PURGE)
def purge_old() -> None:
    """Some seconds of erasing what ended long enough ago; the next tick goes on."""
    database, _ = shared()
    retention.tick(database, settings())


@shared_task(name=names.TIDY)
def tidy() -> None:
    """Drop what is kept for a while only: answers of repeated requests, counts of days long past, old drafts."""
    database, _ = shared()
    tidy_up(database)
