"""The accounts file: one TOML table per set of credentials at one provider.

Secrets are never in the file: it names environment variables (or files in the secrets directory) that hold them.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from dotenv import dotenv_values


class AccountsError(Exception):
    """The accounts file is wrong. The text says file, key, what was found and what was expected."""


class Counts(StrEnum):
    REQUESTS = "requests"
    MESSAGES = "messages"
    SEGMENTS = "segments"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `limit` of `counts` in any `per` seconds."""

    limit: int
    per: float
    counts: Counts = Counts.REQUESTS


@dataclass(frozen=True, slots=True)
class Webhook:
    """`secret` signs or authenticates pushes, `token` is the unguessable end of the URL. Names are resolved values."""

    push: bool = False
    secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Poll:
    every: float = 15.0  # seconds while reports are expected
    limit: int | None = None  # rows per page


@dataclass(frozen=True, slots=True)
class LookUp:
    """Instead of the adapter's own schedule for unknown outcomes. Seconds after the attempt; None: the adapter's.

    Shorter than the provider needs is dangerous where absence counts as a proof: what is not filed yet is sent again.
    """

    after: tuple[float, ...] | None = None
    give_up_after: float | None = None
    overdue: float | None = None  # ask for a message by itself when its report has not come after this


@dataclass(frozen=True, slots=True)
class Account:
    """One set of credentials at one provider."""

    name: str
    provider: str
    base_url: str
    credentials: Mapping[str, str] = field(repr=False, default_factory=dict)
    limits: tuple[Limit, ...] = ()
    poll_limits: tuple[Limit, ...] | None = None  # None: polls share `limits` where the provider shares them
    sender_limits: tuple[Limit, ...] = ()  # for each sender ID apart, on top of `limits`
    max_connections: int = 50
    request_cap: int | None = None
    timeout: float = 30.0
    group: str = ""
    senders: tuple[str, ...] = ()  # empty: not checked by us
    sender: str | None = None  # used instead of the campaign's sender ID
    poll: Poll = Poll()
    look_up: LookUp = LookUp()
    report_wait: float | None = None  # seconds from submit to `expired (no_dlr)`; None: by validity and provider
    webhook: Webhook = Webhook()
    options: Mapping[str, object] = field(default_factory=dict)
    ca_file: Path | None = None

    @property
    def worker_group(self) -> str:
        return self.group or self.name

    def sender_for(self, wanted: str) -> str:
        """The sender ID used for a campaign that wants this one: the account's own, where it has one."""
        return self.sender or wanted


_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_PATH_TOKEN = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~-]+")  # RFC 3986's unreserved characters; `.` and `..` are no names
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
LEAST_SECONDS, MOST_SECONDS = 0.001, 36_500 * 86_400.0
MOST_COUNT = 10**12  # beyond it a rate is no number any more
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_ACCOUNT_KEYS = {
    "provider", "base_url", "credentials", "limits", "poll_limits", "sender_limits", "max_connections",
    "request_cap", "timeout", "group", "senders", "sender", "poll", "look_up", "report_wait", "webhook", "options",
    "ca_file",
}  # fmt: skip


def load_accounts(
    path: Path, environment: Mapping[str, str] | None = None, *, secrets: bool = True
) -> dict[str, Account]:
    """Every account by name, in file order. `secrets=False` leaves credentials empty (a process that needs none).

    Raises AccountsError.
    """
    env = _environment() if environment is None else environment
    return _Reader(path, env, secrets).accounts(_document(path))


def load_each(path: Path, environment: Mapping[str, str] | None = None) -> dict[str, Account | AccountsError]:
    """Every account by name, or what is wrong with it: one wrong account hides no other.

    Raises AccountsError for a file that cannot be read at all.
    """
    env = _environment() if environment is None else environment
    return _Reader(path, env, True).each(_document(path))


def _document(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise AccountsError(
            f"{path}: not found. Copy config/accounts.example.toml, or set DRUMLINE_ACCOUNTS_FILE."
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AccountsError(f"{path}: cannot be read as TOML: {error}") from error


def _environment() -> Mapping[str, str]:
    """The process's environment over `.env` over the files of the secrets directory, named like the variables."""
    dotenv = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    folder = os.environ.get("DRUMLINE_SECRETS_DIR", dotenv.get("DRUMLINE_SECRETS_DIR"))
    files = [path for path in Path(folder).iterdir() if path.is_file()] if folder and Path(folder).is_dir() else []
    return {**{path.name: path.read_text("utf-8").strip() for path in files}, **dotenv, **os.environ}


def parse_duration(text: str) -> float:
    """'1s', '1m', '250ms', '2h' to seconds. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        raise ValueError(f"{text!r} is not a duration like '1s', '1m' or '250ms', from 1ms to 36500d")
    return seconds


class _Reader:
    """Walks the document and names the place of whatever is wrong."""

    def __init__(self, path: Path, env: Mapping[str, str], secrets: bool) -> None:
        self.path = path
        self.env = env
        self.secrets = secrets

    def accounts(self, document: dict[str, object]) -> dict[str, Account]:
        return {name: self._account(name, table) for name, table in self._tables(document).items()}

    def each(self, document: dict[str, object]) -> dict[str, Account | AccountsError]:
        return {name: self._or_error(name, table) for name, table in self._tables(document).items()}

    def _or_error(self, name: str, table: object) -> Account | AccountsError:
        try:
            return self._account(name, table)
        except AccountsError as error:
            return error

    def _tables(self, document: dict[str, object]) -> dict[str, object]:
        self._known("the file", document, {"accounts"})
        tables = self._table("accounts", document.get("accounts", {}))
        if not tables:
            raise AccountsError(f"{self.path}: no [accounts.NAME] table found; expected at least one")
        return tables

    def _account(self, name: str, value: object) -> Account:
        at = f"accounts.{name}"
        if not _NAME.fullmatch(name):
            raise self._wrong(at, name, "a name of lower-case letters, digits, - and _, at most 31 long")
        table = self._table(at, value)
        self._known(at, table, _ACCOUNT_KEYS)
        poll = self._table(f"{at}.poll", table.get("poll", {}))
        self._known(f"{at}.poll", poll, {"every", "limit"})
        return Account(
            name=name,
            provider=self._text(f"{at}.provider", table.get("provider")),
            base_url=self._url(f"{at}.base_url", table.get("base_url")),
            credentials=self._credentials(f"{at}.credentials", table.get("credentials", {})),
            limits=self._limits(f"{at}.limits", table.get("limits", [])),
            poll_limits=self._limits(f"{at}.poll_limits", table["poll_limits"]) if "poll_limits" in table else None,
            sender_limits=self._limits(f"{at}.sender_limits", table.get("sender_limits", [])),
            max_connections=self._count(f"{at}.max_connections", table.get("max_connections", 50)),
            request_cap=self._optional_count(f"{at}.request_cap", table.get("request_cap")),
            timeout=self._duration(f"{at}.timeout", table.get("timeout", "30s")),
            group=self._text(f"{at}.group", table.get("group", name)),
            senders=tuple(self._texts(f"{at}.senders", table.get("senders", []))),
            sender=self._optional_text(f"{at}.sender", table.get("sender")),
            poll=Poll(
                self._duration(f"{at}.poll.every", poll.get("every", "15s")),
                self._optional_count(f"{at}.poll.limit", poll.get("limit")),
            ),
            look_up=self._look_up(f"{at}.look_up", table.get("look_up", {})),
            report_wait=self._optional_duration(f"{at}.report_wait", table.get("report_wait")),
            webhook=self._webhook(f"{at}.webhook", table.get("webhook", {})),
            options=self._table(f"{at}.options", table.get("options", {})),
            ca_file=Path(self._text(f"{at}.ca_file", table["ca_file"])) if "ca_file" in table else None,
        )

    def _limits(self, at: str, value: object) -> tuple[Limit, ...]:
        if not isinstance(value, list):
            raise self._wrong(at, value, 'a list like [{limit = 60, per = "1m", counts = "requests"}]')
        return tuple(self._limit(f"{at}[{number}]", item) for number, item in enumerate(value))

    def _limit(self, at: str, value: object) -> Limit:
        table = self._table(at, value)
        self._known(at, table, {"limit", "per", "counts"})
        counts = table.get("counts", "requests")
        if counts not in [c.value for c in Counts]:
            raise self._wrong(f"{at}.counts", counts, "requests, messages or segments")
        return Limit(
            self._count(f"{at}.limit", table.get("limit")),
            self._duration(f"{at}.per", table.get("per")),
            Counts(str(counts)),
        )

    def _look_up(self, at: str, value: object) -> LookUp:
        table = self._table(at, value)
        self._known(at, table, {"after", "give_up_after", "overdue"})
        after = table.get("after")
        return LookUp(
            None if after is None else self._schedule(f"{at}.after", after),
            self._optional_duration(f"{at}.give_up_after", table.get("give_up_after")),
            self._optional_duration(f"{at}.overdue", table.get("overdue")),
        )

    def _schedule(self, at: str, value: object) -> tuple[float, ...]:
        steps = tuple(self._duration(f"{at}[{number}]", step) for number, step in enumerate(self._texts(at, value)))
        if not steps or list(steps) != sorted(set(steps)):
            raise self._wrong(at, value, 'growing durations like ["10s", "1m", "5m"]')
        return steps

    def _webhook(self, at: str, value: object) -> Webhook:
        table = self._table(at, value)
        self._known(at, table, {"push", "secret", "token"})
        push = table.get("push", False)
        if not isinstance(push, bool):
            raise self._wrong(f"{at}.push", push, "true or false")
        return Webhook(
            push, self._secret(f"{at}.secret", table.get("secret")), self._token(f"{at}.token", table.get("token"))
        )

    def _token(self, at: str, name: object) -> str | None:
        """A secret that ends the URL the provider calls: one that an address would change proves no push any more."""
        token = self._secret(at, name)
        if token is None or _PATH_TOKEN.fullmatch(token):
            return token
        raise AccountsError(
            f"{self.path}: {at}: what {name} holds cannot be the end of an address (not shown: it is a secret), so "
            f"every pushed report would be lost; expected letters from a to z, digits and . _ ~ - alone. Make one with "
            f"`openssl rand -hex 24`, set {name} to it, and tell the provider the new address"
        )

    def _credentials(self, at: str, value: object) -> dict[str, str]:
        table = self._table(at, value)
        resolved = {key: self._secret(f"{at}.{key}", name) for key, name in table.items()}
        return {key: secret for key, secret in resolved.items() if secret is not None}

    def _secret(self, at: str, name: object) -> str | None:
        """The value of the environment variable (or `NAME_FILE`) that the file names."""
        if name is None:
            return None
        variable = self._text(at, name)
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", variable):
            raise AccountsError(
                f"{self.path}: {at}: expected the NAME of an environment variable (capitals, digits, _) that holds the "
                f"secret; found something else (not shown: it may be the secret itself)"
            )
        if not self.secrets:
            return None
        if variable in self.env:
            return self.env[variable]
        if file := self.env.get(f"{variable}_FILE"):
            return Path(file).read_text("utf-8").strip()
        raise AccountsError(
            f"{self.path}: {at}: the environment variable {variable} is not set (nor {variable}_FILE, nor in .env)"
        )

    # --- small readers -----------------------------------------------------------------------------------------------

    def _wrong(self, at: str, found: object, expected: str) -> AccountsError:
        return AccountsError(f"{self.path}: {at}: found {found!r}, expected {expected}")

    def _known(self, at: str, table: Mapping[str, object], allowed: set[str]) -> None:
        for key in table:
            if key not in allowed:
                raise AccountsError(
                    f"{self.path}: {at}: unknown key {key!r}, expected one of {', '.join(sorted(allowed))}"
                )

    def _table(self, at: str, value: object) -> dict[str, object]:
        if not isinstance(value, dict):
            raise self._wrong(at, value, "a table")
        return value

    def _text(self, at: str, value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self._wrong(at, value, "a text")
        return value

    def _optional_text(self, at: str, value: object) -> str | None:
        return None if value is None else self._text(at, value)

    def _texts(self, at: str, value: object) -> list[str]:
        if not isinstance(value, list):
            raise self._wrong(at, value, "a list of texts")
        return [self._text(f"{at}[{number}]", item) for number, item in enumerate(value)]

    def _url(self, at: str, value: object) -> str:
        text = self._text(at, value)
        if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", text):
            raise self._wrong(at, text, "an address like https://api.example.com, without user, query or fragment")
        return text

    def _count(self, at: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_COUNT:
            raise self._wrong(at, value, f"a whole number of at least 1 and at most {MOST_COUNT:,}")
        return value

    def _optional_count(self, at: str, value: object) -> int | None:
        return None if value is None else self._count(at, value)

    def _optional_duration(self, at: str, value: object) -> float | None:
        return None if value is None else self._duration(at, value)

    def _duration(self, at: str, value: object) -> float:
        try:
            return parse_duration(value if isinstance(value, str) else "")
        except ValueError:
            raise self._wrong(at, value, "a duration like '1s', '1m' or '250ms', from 1ms to 36500d") from None
