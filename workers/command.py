"""A runtime for a command: the same limits, breaker and records as the workers', and no tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from config.accounts import load_accounts
from config.logging import configure_logging
from config.settings import settings
from models.database import Database
from workers.runtime import Runtime


@contextmanager
def command_runtime() -> Iterator[Runtime]:
    """From the settings. Raises AccountsError, SettingsError, DatabaseError."""
    configured = settings()
    configure_logging(configured.log_format, "ERROR")
    configured.broker_url()  # says what to do where there is no Redis: without one nothing may leave
    accounts, database = load_accounts(configured.accounts_file), Database(configured.database_url)
    database.check()
    runtime = Runtime(configured, accounts, database, send_nothing)
    try:
        yield runtime
    finally:
        runtime.close()


def send_nothing(*_: object, **__: object) -> None:
    """A command starts no tasks."""
