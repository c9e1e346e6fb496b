"""The price table: what a message part costs, by account and country. Only for estimates; providers tell the truth.

currency = "EUR"

[default]            # accounts without a table of their own, and countries that those lack
GB = 0.039
"*" = 0.08           # every other country

[accounts.qikli]
currency = "USD"     # else the file's
GB = 0.035
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

EVERYWHERE = "*"
_CURRENCY = re.compile(r"[A-Z]{3}").fullmatch
_COUNTRY = re.compile(r"[A-Z]{2}|\*").fullmatch


class PricesError(Exception):
    """The price table is wrong. The text says file, key, what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class Price:
    """Of one message part."""

    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Prices:
    """`tables`: by account, "" for the default; in each by country, `*` for all others."""

    tables: Mapping[str, Mapping[str, Price]] = field(default_factory=dict)

    def of(self, account: str, country: str) -> Price | None:
        """The price of a part; None: the table does not say. A country is looked for before `*`, an account before the
        default."""
        tables = (self.tables.get(account, {}), self.tables.get("", {}))
        places = ((table, key) for key in (country, EVERYWHERE) for table in tables)
        own_first = sorted(places, key=lambda place: place[0] is not tables[0])
        return next((table[key] for table, key in own_first if key in table), None)


def load_prices(path: Path) -> Prices:
    """An absent file is an empty table: nothing is priced. Raises PricesError."""
    try:
        document = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except FileNotFoundError:
        return Prices()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PricesError(f"{path}: cannot be read as TOML: {error}") from error
    return _read(path, document)


def _read(path: Path, document: Mapping[str, object]) -> Prices:
    for key in document:
        if key not in ("currency", "default", "accounts"):
            raise PricesError(f"{path}: unknown key {key!r}, expected currency, default or accounts")
    currency = _currency(path, "currency", document.get("currency", ""))
    accounts = _table(path, "accounts", document.get("accounts", {}))
    named = {"": ("default", document.get("default", {}))}
    named |= {name: (f"accounts.{name}", table) for name, table in accounts.items()}
    return Prices({name: _prices(path, at, _table(path, at, value), currency) for name, (at, value) in named.items()})


def _prices(path: Path, at: str, table: Mapping[str, object], currency: str) -> dict[str, Price]:
    own = _currency(path, f"{at}.currency", table.get("currency", currency))
    return {country: _price(path, at, country, value, own) for country, value in table.items() if country != "currency"}


def _price(path: Path, at: str, country: str, value: object, currency: str) -> Price:
    if not _COUNTRY(country):
        raise PricesError(f"{path}: {at}: found {country!r}, expected a country as GB, or *")
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not _is_price(Decimal(value)):
        raise PricesError(f"{path}: {at}.{country}: found {value!r}, expected a price per part, as 0.039")
    if not currency:
        raise PricesError(f"{path}: {at}: expected currency, as EUR, here or at the top of the file")
    return Price(Decimal(value), currency)


def _is_price(amount: Decimal) -> bool:
    return amount.is_finite() and 0 <= amount < 1_000_000


def _currency(path: Path, at: str, value: object) -> str:
    if not isinstance(value, str) or (value and not _CURRENCY(value)):
        raise PricesError(f"{path}: {at}: found {value!r}, expected three capitals, as EUR")
    return value


def _table(path: Path, at: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise PricesError(f"{path}: {at}: found {value!r}, expected a table")
    return value
