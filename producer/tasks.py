"""Celery's doorways into this room. Each calls one use case that is testable without Celery. Only ids travel."""

from __future__ import annotations

import threading

import structlog
from celery import shared_task

from config import names
from config.accounts import Account, load_accounts
from config.celery_app import app
from config.settings import settings
from models.database import Database
from producer import campaigns
from producer.dispatch import dispatch

log = structlog.get_logger("drumline.producer")

MISSED_GRACE = 900.0  # seconds: a schedule missed by more is not fired blindly

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
    database, accounts = shared()
    now = database.now()
    with database.write() as session:
        started = campaigns.start_due(session, now, MISSED_GRACE)
    if started:
        log.info("campaigns_started", campaigns=len(started))
        dispatch(database, accounts, app.send_task, now)
