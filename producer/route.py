"""Routes: which account carries a message, by weights, by rules on the number, and in which order others step in.

    route = Route.parse({
        "accounts": {"qikli": 70, "quicksms": 30},          # everybody no rule speaks of
        "rules": [{"countries": ["IN"], "accounts": {"qikberry": 1}},
                  {"prefixes": ["+4479"], "accounts": {"quicksms": 1}}],
        "failover": ["cliqtel"],                            # asked in this order when none of those takes it
        "senders": {"cliqtel": "+12025550123"},             # sender ID of this campaign, by account
        "allow": [], "deny": ["KP"],                        # countries; allow empty: all
    }, known_accounts)

The first rule that fits decides: its accounts, then the failover. Pure: no I/O, no clock.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.msisdn import Msisdn
from producer.plan import Rota, RouteError, check_route, parse_route

_KEYS = ("accounts", "rules", "failover", "senders", "allow", "deny")
_RULE_KEYS = ("countries", "prefixes", "accounts")
_COUNTRY = re.compile(r"[A-Z]{2}").fullmatch
_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}").fullmatch
MOST_RULES = 200


@dataclass(frozen=True, slots=True)
class Rule:
    """Numbers of these countries, or beginning so, go to these accounts (name to weight)."""

    accounts: Mapping[str, int]
    countries: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()

    def fits(self, number: str, country: str) -> bool:
        return country in self.countries or (bool(self.prefixes) and number.startswith(self.prefixes))

    def as_dict(self) -> dict[str, Any]:
        whole = {"countries": sorted(self.countries), "prefixes": list(self.prefixes), "accounts": dict(self.accounts)}
        return {name: value for name, value in whole.items() if value}


@dataclass(frozen=True, slots=True)
class Route:
    """`accounts`: weights for numbers that no rule speaks of."""

    accounts: Mapping[str, int]
    rules: tuple[Rule, ...] = ()
    failover: tuple[str, ...] = ()
    senders: Mapping[str, str] = field(default_factory=dict)
    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, document: Mapping[str, Any] | str, known: Iterable[str]) -> Route:
        """From 'qikli=70,quicksms=30', a mapping of weights, or the whole document. RouteError names the place."""
        names = sorted(known)
        if isinstance(document, str):
            return cls(parse_route(document, names))
        if all(isinstance(weight, int) for weight in document.values()):
            return cls(check_route(document, names))
        return _Reader(names).route(document)

    @classmethod
    def stored(cls, weights: Mapping[str, Any], routing: Mapping[str, Any]) -> Route:
        """As a campaign keeps it: `campaigns.route` and `campaigns.routing`."""
        rules = tuple(
            Rule(rule["accounts"], frozenset(rule.get("countries", ())), tuple(rule.get("prefixes", ())))
            for rule in routing.get("rules", ())
        )
        return cls(
            {name: int(weight) for name, weight in weights.items() if weight},
            rules,
            tuple(routing.get("failover", ())),
            dict(routing.get("senders", {})),
            frozenset(routing.get("allow", ())),
            frozenset(routing.get("deny", ())),
        )

    @property
    def weights(self) -> dict[str, int]:
        """Every account that may carry a message, for `campaigns.route`; 0: only by a rule or as failover."""
        others = [name for rule in self.rules for name in rule.accounts] + list(self.failover)
        return dict(self.accounts) | {name: 0 for name in others if name not in self.accounts}

    @property
    def routing(self) -> dict[str, Any]:
        """The rest, for `campaigns.routing`; empty for a plain route."""
        whole: dict[str, Any] = {
            "rules": [rule.as_dict() for rule in self.rules],
            "failover": list(self.failover),
            "senders": dict(self.senders),
            "allow": sorted(self.allow),
            "deny": sorted(self.deny),
        }
        return {name: value for name, value in whole.items() if value}


def read_route(text: str, known: Iterable[str]) -> Route:
    """'qikli=70,quicksms=30', or the path of a TOML or JSON file that holds the document. Raises RouteError."""
    path = Path(text)
    if path.suffix not in (".toml", ".json"):
        return Route.parse(text, known)
    try:
        content = path.read_text("utf-8")
        document = tomllib.loads(content) if path.suffix == ".toml" else json.loads(content)
    except (OSError, ValueError) as error:
        raise RouteError(f"route: {path}: {error}") from error
    if not isinstance(document, dict):
        raise RouteError(f"route: {path}: expected a table with the key accounts")
    return Route.parse(document, known)


class Chooser:
    """Takes turns between the accounts of a route: one rota for each rule and one for the rest."""

    def __init__(self, route: Route) -> None:
        self._rotas = [(rule, Rota(rule.accounts)) for rule in route.rules]
        self._rest = Rota(route.accounts)
        self._failover = route.failover

    def offers(self, number: Msisdn, country: str) -> Iterator[str]:
        """Accounts in the order in which they are to be asked; whoever takes the message ends the iteration.

        An account that refused keeps its turn: the next message that it takes is its.
        """
        name = self.first(number, country)
        yield name
        yield from self.others(number, country, name)

    def first(self, number: Msisdn, country: str) -> str:
        """The account whose turn it is, for nearly every row; `others` goes on where it refuses."""
        return self._rota(number, country).next()

    def others(self, number: Msisdn, country: str, name: str) -> Iterator[str]:
        """The offers after the first, `name`, which is given its turn back."""
        rota = self._rota(number, country)
        rota.give_back(name)
        open_to = frozenset(rota.weights) - {name}
        asked = {name}
        while open_to:
            name = rota.next(open_to)
            yield name
            rota.give_back(name, open_to)
            asked.add(name)
            open_to -= {name}
        yield from (name for name in self._failover if name not in asked)

    def _rota(self, number: Msisdn, country: str) -> Rota:
        if not self._rotas:
            return self._rest
        return next((rota for rule, rota in self._rotas if rule.fits(number, country)), self._rest)


class _Reader:
    """Walks the document and names the place of whatever is wrong."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def route(self, document: Mapping[str, Any]) -> Route:
        self._known("route", document, _KEYS)
        rules = self._list("route.rules", document.get("rules", []))
        if len(rules) > MOST_RULES:
            raise RouteError(f"route.rules: {len(rules)} rules, expected at most {MOST_RULES}")
        return Route(
            self._weights("route.accounts", document.get("accounts")),
            tuple(self._rule(f"route.rules[{at}]", rule) for at, rule in enumerate(rules)),
            tuple(self._accounts("route.failover", document.get("failover", []))),
            self._senders(document.get("senders", {})),
            self._countries("route.allow", document.get("allow", [])),
            self._countries("route.deny", document.get("deny", [])),
        )

    def _rule(self, at: str, value: object) -> Rule:
        table = self._table(at, value)
        self._known(at, table, _RULE_KEYS)
        countries = self._countries(f"{at}.countries", table.get("countries", []))
        prefixes = self._list(f"{at}.prefixes", table.get("prefixes", []))
        for prefix in prefixes:
            if not isinstance(prefix, str) or not _PREFIX(prefix):
                raise self._wrong(f"{at}.prefixes", prefix, "the beginning of an international number, as +4479")
        if not countries and not prefixes:
            raise RouteError(f"{at}: expected countries or prefixes")
        return Rule(self._weights(f"{at}.accounts", table.get("accounts")), countries, tuple(prefixes))

    def _weights(self, at: str, value: object) -> dict[str, int]:
        table = self._table(at, value)
        for name, weight in table.items():
            if isinstance(weight, bool) or not isinstance(weight, int):
                raise self._wrong(f"{at}.{name}", weight, "a whole number of at least 1")
        try:
            return check_route(table, self._names)
        except RouteError as error:
            raise RouteError(f"{at}{str(error).removeprefix('route')}") from None

    def _senders(self, value: object) -> dict[str, str]:
        table = self._table("route.senders", value)
        self._accounts("route.senders", list(table))
        for name, sender in table.items():
            if not isinstance(sender, str) or not 0 < len(sender) <= 64:
                raise self._wrong(f"route.senders.{name}", sender, "a sender ID")
        return table

    def _accounts(self, at: str, value: object) -> list[str]:
        found = self._list(at, value)
        for name in found:
            if name not in self._names:
                raise RouteError(f"{at}: unknown account {name!r}, expected one of {', '.join(self._names)}")
        if len(set(found)) < len(found):
            raise RouteError(f"{at}: an account is named twice")
        return found

    def _countries(self, at: str, value: object) -> frozenset[str]:
        found = self._list(at, value)
        for country in found:
            if not isinstance(country, str) or not _COUNTRY(country):
                raise self._wrong(at, country, "countries as two capitals, as GB")
        return frozenset(found)

    def _known(self, at: str, table: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
        for key in table:
            if key not in allowed:
                raise RouteError(f"{at}: unknown key {key!r}, expected one of {', '.join(allowed)}")

    def _table(self, at: str, value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(at, value, "a table")
        return value

    def _list(self, at: str, value: object) -> list[Any]:
        if not isinstance(value, list):
            raise self._wrong(at, value, "a list")
        return value

    @staticmethod
    def _wrong(at: str, found: object, expected: str) -> RouteError:
        return RouteError(f"{at}: found {found!r}, expected {expected}")
