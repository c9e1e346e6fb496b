"""The `drumline` command: the composition root. Exit codes: 0 done, 1 failed, 2 wrong input or configuration."""

from __future__ import annotations

import os
import sys

import typer
from sqlalchemy.exc import SQLAlchemyError

from config.accounts import AccountsError
from config.logging import configure_logging
from config.prices import PricesError
from config.settings import SettingsError, settings
from models.database import DatabaseError
from models.forgotten import WrongKey
from producer.campaigns import CampaignError
from producer.cli import (
    audit,
    campaigns,
    events,
    keys,
    limits,
    operations,
    reports,
    retention,
    schedule,
    send,
    services,
    suppressions,
    templates,
)
from producer.cli.output import complain
from producer.erase import EraseRefused
from producer.import_feed import ImportDied
from producer.keys import ApiKeyError
from producer.plan import RouteError
from producer.quota import QuotaExceeded
from producer.readers import FileError
from producer.rooms import WorkersError
from producer.services.redis_server import NoRedisError
from producer.services.stack import StartError
from producer.webhooks_out import EndpointError

app = typer.Typer(
    name="drumline",
    help="Bulk SMS campaigns through several providers: as fast as each allows, and the fate of every message known.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (send, campaigns, audit, schedule, limits, operations, reports, retention, services):
    module.register(app)
app.add_typer(keys.app, name="keys")
app.add_typer(templates.app, name="templates")
app.add_typer(suppressions.app, name="suppressions")
app.add_typer(schedule.times, name="schedule")
app.add_typer(schedule.repeats, name="recurring")
app.add_typer(limits.breaker, name="breaker")
app.add_typer(events.app, name="events")

WRONG_INPUT = (
    SettingsError, AccountsError, PricesError, CampaignError, RouteError, FileError, EndpointError, ApiKeyError,
    QuotaExceeded,
)  # fmt: skip
FAILED = (
    EraseRefused, WrongKey, WorkersError, ImportDied, DatabaseError, SQLAlchemyError, StartError, NoRedisError, OSError,
)  # fmt: skip


def main() -> None:
    """Run one command. What went wrong is one clear line on stderr, never a traceback."""
    os.umask(0o077)  # databases, logs, rejects, exports: numbers and texts are for whoever runs this alone
    try:
        configure_logging(settings().log_format, settings().log_level)
        app()
    except WRONG_INPUT as error:
        complain(str(error))
        sys.exit(2)
    except FAILED as error:
        complain(f"{error}")
        sys.exit(1)
