"""What commands need: settings, accounts, adapters, database; opened late, so that help needs none of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from config.accounts import Account, AccountsError, load_accounts
from config.settings import Settings, settings
from models.database import Database
from models.numberlookup import known_region
from producer.campaigns import CampaignError
from providers.accounts import open_provider
from providers.base import Provider


@dataclass
class Context:
    """One command's view of the world."""

    settings: Settings

    @cached_property
    def accounts(self) -> dict[str, Account]:
        return load_accounts(self.settings.accounts_file)

    @cached_property
    def providers(self) -> dict[str, Provider]:
        try:
            return {name: open_provider(a, self.settings.public_url) for name, a in self.accounts.items()}
        except ValueError as error:
            raise AccountsError(f"{self.settings.accounts_file}: {error}") from error

    @cached_property
    def database(self) -> Database:
        """Reachable and at the newest schema."""
        database = Database(self.settings.database_url)
        if not database.at_head():
            database.migrate()
        return database

    def region(self, given: str | None) -> str | None:
        """The country of numbers without a country code, else the settings' own. Raises CampaignError."""
        try:
            return known_region(given or self.settings.default_region or None)
        except ValueError as error:
            raise CampaignError("region", f"region: {error}") from None

    def now(self) -> datetime:
        return self.database.now()


@contextmanager
def open_context() -> Iterator[Context]:
    context = Context(settings())
    try:
        yield context
    finally:
        if "database" in vars(context):
            context.database.close()
