"""Small tools every adapter may use: URLs, headers, JSON that never raises, money, times, numbers, options.

Nothing here knows a vendor. Readers of foreign values answer None (or an empty value) for whatever they cannot read:
an adapter must survive every body, so a wrong type is an ordinary case and never an exception.
"""

from __future__ import annotations

import base64
import hmac
import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Generic, TypeVar
from urllib.parse import urlencode

from providers.base import (
    AccountSettings,
    Failure,
    FailureClass,
    Misconfigured,
    Outgoing,
    OutOfCredit,
    Refused,
    Signal,
    Submission,
    Throttle,
    Unclear,
)
from providers.retry_after import parse_http_date, parse_retry_after
from providers.wire import BadBody, Reply

log = logging.getLogger("drumline.providers")

T = TypeVar("T")

# --- requests --------------------------------------------------------------------------------------------------------


def join_url(base: str, path: str, query: Mapping[str, str] | None = None) -> str:
    """`base` (with or without a trailing slash or path prefix) + `path` + the encoded query."""
    url = f"{base.rstrip('/')}/{path.lstrip('/')}" if path else base
    return f"{url}?{urlencode(query)}" if query else url


def endpoint_base(base: str, *endpoints: str) -> str:
    """The base URL without an endpoint that was configured along with it: documents print base and endpoint as one."""
    bare = base.rstrip("/")
    for endpoint in sorted(endpoints, key=len, reverse=True):
        bare = bare.removesuffix(f"/{endpoint.strip('/')}").rstrip("/")
    return bare


def basic_auth(user: str, password: str) -> str:
    """The `Authorization` value of HTTP Basic, UTF-8, on one line."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def bearer(token: str) -> str:
    return f"Bearer {token}"


def same_secret(given: str | None, expected: str | None) -> bool:
    """Whether both are the same non-empty secret, in constant time. No expected secret matches nothing."""
    if not given or not expected:
        return False
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))


# --- options ---------------------------------------------------------------------------------------------------------


class Remembered(Generic[T]):
    """What was made of a message's options the last time. A campaign's messages share one mapping, so a million checks
    read it once; another mapping is read anew. Mappings that were handed over are not changed any more."""

    __slots__ = ("_last", "_make")

    def __init__(self, make: Callable[[Mapping[str, str]], T]) -> None:
        self._make = make
        self._last: tuple[Mapping[str, str], T] | None = None

    def of(self, options: Mapping[str, str]) -> T:
        last = self._last
        if last is None or last[0] is not options:
            self._last = last = (options, self._make(options))
        return last[1]


# --- JSON access -----------------------------------------------------------------------------------------------------


def dig(value: object, *path: str | int) -> object:
    """The value at `path` of nested objects and lists, or None wherever the way ends."""
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def mapping(value: object, *path: str | int) -> dict[str, object]:
    """The object at `path`, or an empty one."""
    found = dig(value, *path)
    return found if isinstance(found, dict) else {}


def rows(value: object, *path: str | int) -> list[object]:
    """The list at `path`, or an empty one."""
    found = dig(value, *path)
    return found if isinstance(found, list) else []


def text(value: object, *path: str | int) -> str | None:
    """The non-empty text at `path`; whole numbers count as text (ids come as either), booleans do not."""
    found = dig(value, *path) if path else value
    if isinstance(found, str):
        return found or None
    return str(found) if isinstance(found, int) and not isinstance(found, bool) else None


def whole(value: object, *path: str | int) -> int | None:
    """The whole number at `path`, written as a number or as text of up to 18 digits."""
    found = dig(value, *path) if path else value
    if isinstance(found, bool):
        return None
    if isinstance(found, int):
        return found if abs(found) < 10**18 else None
    if isinstance(found, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", found.strip()):
        return int(found)
    return None


def flag(value: object, *path: str | int) -> bool | None:
    """The boolean at `path`; the words true and false count."""
    found = dig(value, *path)
    if isinstance(found, bool):
        return found
    return {"true": True, "false": False}.get(found.lower()) if isinstance(found, str) else None


def json_or_none(reply: Reply) -> object:
    """The body as JSON, or None when it is something else (a proxy's page, nothing, half of it)."""
    try:
        return reply.json()
    except BadBody:
        return None


# --- money, times, numbers -------------------------------------------------------------------------------------------

_MOST_MONEY = Decimal(10) ** 12
_LEAST_EXPONENT = -18


def money(value: object) -> Decimal | None:
    """An amount from a number or its text. None for negative, NaN, infinite, absurd or unreadable ones."""
    if type(value) is int or (type(value) is str and len(value) < 20):
        return _short_amount(value)
    return _amount(value)


def _amount(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        amount = Decimal(repr(value) if isinstance(value, float) else str(value).strip())
    except (InvalidOperation, ValueError):  # ValueError: an int beyond Python's limit of printed digits
        return None
    return amount if _sane(amount) else None


_short_amount = lru_cache(maxsize=256, typed=True)(_amount)
"""The rows of an answer name the same few prices."""


def _sane(amount: Decimal) -> bool:
    exponent = amount.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= _LEAST_EXPONENT and 0 <= amount < _MOST_MONEY


def timestamp(value: object, naive: tzinfo = UTC) -> datetime | None:
    """An aware UTC time from ISO 8601 text (`+0000`, `Z`, `+01:00`) or an epoch in seconds or milliseconds.

    `naive` is the zone of a text without one. None for what cannot be read.
    """
    epoch = _epoch(value)
    if epoch is not None:
        return _from_epoch(epoch)
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        return (found if found.tzinfo else found.replace(tzinfo=naive)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _epoch(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and re.fullmatch(r"[0-9]{9,14}(\.[0-9]{1,9})?", value.strip()):
        return float(value)
    if isinstance(value, int) and abs(value) < 10**15:
        return float(value)
    return value if isinstance(value, float) and math.isfinite(value) else None


def _from_epoch(epoch: float) -> datetime | None:
    seconds = epoch / 1000 if abs(epoch) >= 10**11 else epoch
    if seconds <= 0:  # 0 is how several platforms write "not yet"
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def digits(value: object) -> str:
    """The ASCII digits of a number as anybody wrote it; empty where there are none (or it is no number at all)."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    written = value if isinstance(value, str) else str(value) if abs(value) < 10**18 else ""
    plain = written[1:] if written.startswith("+") else written
    if plain.isdecimal() and plain.isascii():
        return plain  # as nearly every number is written
    return "".join(ch for ch in written if "0" <= ch <= "9")


# --- texts that may be shown -----------------------------------------------------------------------------------------

_LONG_NUMBER = re.compile(r"\+?[0-9]{7,}")


def showable(value: object, secrets: Iterable[str] = (), limit: int = 200) -> str:
    """A foreign text fit for errors and logs: one line, no secret, long digit runs masked, at most `limit` long.

    Secrets under four characters are not looked for: they would blank out ordinary words, and protect nothing.
    """
    shown = " ".join(value.split()) if isinstance(value, str) else ""
    for secret in sorted((s for s in secrets if len(s) >= 4), key=len, reverse=True):
        shown = shown.replace(secret, "***")
    shown = _LONG_NUMBER.sub(lambda m: f"***{m.group()[-3:]}", shown)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


_MOST_REMEMBERED = 1000
_told: set[tuple[str, str, str]] = set()


def tell_once(provider: str, kind: str, value: object) -> None:
    """Log a value the code tables do not know, once per process and value. Bounded: a hostile peer cannot fill us."""
    key = (provider, kind, showable(str(value) if isinstance(value, int | str) else type(value).__name__, limit=60))
    if key in _told or len(_told) >= _MOST_REMEMBERED:
        return
    _told.add(key)
    log.warning("%s: unknown %s %r, taken by its safe default", *key)


# --- answers any HTTP server may give --------------------------------------------------------------------------------


def retry_after(reply: Reply) -> float | None:
    """`Retry-After` in seconds (at most `providers.retry_after.CAP`), measured against the answer's own `Date`."""
    clock = datetime.now(UTC)
    now = parse_http_date(reply.header("date") or "", clock) or clock
    return parse_retry_after(reply.header("retry-after"), now)


def bare_refusal(reply: Reply) -> tuple[Refused | Unclear, Signal | None]:
    """What a 4xx without a readable envelope says (a proxy's page, an empty body).

    401, 403, 404, 405: the account is set up wrongly, 402: it cannot pay; the message goes back. 429: wait.
    408: nobody knows.
    Every other 4xx: this request is wrong and will stay so.
    """
    code = f"http_{reply.status}"
    if reply.status == 408:
        return Unclear(code), None
    if reply.status == 429:
        wait = retry_after(reply)
        return Refused(Failure(code, FailureClass.THROTTLED, "too many requests"), wait), Throttle(wait, code)
    if reply.status in (401, 402, 403, 404, 405):
        reason = f"the provider answered HTTP {reply.status}"
        signal = (OutOfCredit if reply.status == 402 else Misconfigured)(code, reason)
        return Refused(Failure(code, FailureClass.ACCOUNT, reason)), signal
    return Refused(Failure(code, FailureClass.CONTENT, f"the request was refused with HTTP {reply.status}")), None


def all_alike(chunk: Sequence[Outgoing], outcome: Refused | Unclear, signal: Signal | None = None) -> Submission:
    """The same outcome for every message of the chunk."""
    return Submission({message.id: outcome for message in chunk}, signal)


# --- account settings ------------------------------------------------------------------------------------------------


def credential(settings: AccountSettings, name: str) -> str:
    """The credential `name`. Raises ValueError naming it when it is missing or cannot stand in a header."""
    value = settings.credentials.get(name, "")
    if not value:
        raise ValueError(f"credentials.{name}: missing for account {settings.name!r}")
    if any(ord(ch) < 32 or ord(ch) == 127 for ch in value):
        raise ValueError(f"credentials.{name}: holds control characters (a line break at its end?)")
    return value


class Options:
    """Reads an account's options one by one; `done` then refuses what nobody asked for.

    Every reader raises ValueError("options.x: found …, expected …") for a wrong type or value.
    """

    def __init__(self, given: Mapping[str, object], inside: str = "") -> None:
        self._given = given
        self._inside = inside
        self._known: set[str] = set()

    def _take(self, name: str) -> object:
        self._known.add(name)
        return self._given.get(name)

    def text(self, name: str, default: str = "") -> str:
        value = self._take(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.fault(name, value, "a text")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._take(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.fault(name, value, "true or false")
        return value

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        value = self._take(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.fault(name, value, f"a whole number from {low} to {high}")
        return value

    def choice(self, name: str, allowed: Sequence[str], default: str = "") -> str:
        value = self._take(name)
        if value is None:
            return default
        if not isinstance(value, str) or value not in allowed:
            raise self.fault(name, value, "one of " + ", ".join(allowed))
        return value

    def any(self, name: str) -> object:
        """Whatever was given, or None: the caller judges its type."""
        return self._take(name)

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._take(name)
        if value is None:
            return ()
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise self.fault(name, value, "a list of texts")
        return tuple(value)

    def table(self, name: str) -> Mapping[str, object]:
        value = self._take(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.fault(name, value, "a table")
        return value

    def part(self, name: str) -> Options:
        """The options inside the table `name` (an empty one where it is not given), read in the same way."""
        return Options(self.table(name), f"{self._inside}{name}.")

    def done(self) -> None:
        """Raises ValueError for the first option that was never read."""
        for name in self._given:
            if name not in self._known:
                raise self.fault(name, self._given[name], "one of " + ", ".join(sorted(self._known)) + " as its name")

    def fault(self, name: str, value: object, expected: str) -> ValueError:
        return self.wrong(self._inside + name, value, expected)

    @staticmethod
    def wrong(name: str, value: object, expected: str) -> ValueError:
        return ValueError(f"options.{name}: found {showable(repr(value), limit=60)}, expected {expected}")
