"""What an account of the generic provider says about its API: templates, paths and maps, checked when it is built.

A template is a text with placeholders such as `{to}`; they are filled with escaped values, and what a value contains
is never read as a placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape as xml_escape
from urllib.parse import quote, quote_plus

import orjson

from models.states import MessageState
from providers.base import FailureClass
from providers.shared import Options, dig

OUT_OF_CREDIT = "out_of_credit"
_METHODS = ("GET", "POST", "PUT")
STATES = tuple(state.value for state in (
    MessageState.SUBMITTED, MessageState.HELD, MessageState.SENT, MessageState.DELIVERED, MessageState.UNDELIVERED,
    MessageState.EXPIRED, MessageState.REJECTED, MessageState.FAILED,
))  # fmt: skip
CLASSES = (*(klass.value for klass in FailureClass), OUT_OF_CREDIT)
FIELDS = ("id", "ref", "to", "status", "code", "reason", "at", "parts", "price", "currency")

# --- templates -------------------------------------------------------------------------------------------------------

_SLOT = re.compile(r"\{([a-z_]+)(?:\.([a-z0-9_]+))?\}")
_SLOTS = frozenset({"to", "digits", "text", "sender", "ref", "bulk", "validity", "oldest", "page"})
_NAMED_SLOTS = frozenset({"credential", "option"})

Values = Mapping[str, str]


def _as_json(value: str) -> str:
    return orjson.dumps(value).decode()[1:-1]


# body format → (how a value is escaped in a text template, content type)
FORMATS: dict[str, tuple[Callable[[str], str], str]] = {
    "json": (_as_json, "application/json"),
    "form": (quote_plus, "application/x-www-form-urlencoded"),
    "xml": (xml_escape, "application/xml"),
}


def fill(template: str, values: Values, escape: Callable[[str], str] = str) -> str:
    """The template with every slot replaced by its escaped value. What a value contains is never read as a slot."""
    return _SLOT.sub(lambda m: escape(values.get(m[0][1:-1], "")), template)


def fill_all(template: object, values: Values) -> object:
    """The same in every text of nested tables and lists; other values stay as they are."""
    match template:
        case str():
            return fill(template, values)
        case Mapping():
            return {key: fill_all(value, values) for key, value in template.items()}
        case list():
            return [fill_all(value, values) for value in template]
    return template


def slots(template: object) -> set[str]:
    """Every slot of a template, as `to` or `credential.token`."""
    match template:
        case str():
            return {m[0][1:-1] for m in _SLOT.finditer(template)}
        case Mapping():
            return set().union(*map(slots, template.values()))
        case list():
            return set().union(*map(slots, template))
    return set()


def _known_slot(slot: str) -> bool:
    name, _, _ = slot.partition(".")
    return slot in _SLOTS or (name in _NAMED_SLOTS and "." in slot)


def at(body: object, path: str) -> object:
    """The value at a dotted path (`messages.0.id`); the empty path is the body itself."""
    steps = [int(step) if step.isdigit() else step for step in path.split(".")] if path else []
    return dig(body, *steps)


_PRINTABLE = "".join(map(chr, range(32, 127)))


def header_safe(value: str) -> str:
    """Header values are one line of ASCII: anything else in a value could end the header and start another."""
    return quote(value, safe=_PRINTABLE)


# --- what the accounts file says -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of request: `body` is a text template, a table, or nothing."""

    method: str
    path: str
    query: Mapping[str, object]
    headers: Mapping[str, object]
    body: object
    format: str


@dataclass(frozen=True, slots=True)
class Success:
    """What proves acceptance: all that is given must hold, and something beyond the status must be given."""

    pattern: re.Pattern[str] | None
    path: str
    values: tuple[str, ...]
    id_path: str
    id_pattern: re.Pattern[str] | None


def call_of(options: Options) -> Call:
    format_ = options.choice("format", tuple(FORMATS), "json")
    call = Call(
        options.choice("method", _METHODS, "POST"),
        options.text("path"),
        options.table("query"),
        options.table("headers"),
        options.any("body"),
        format_,
    )
    unknown = {slot for part in (call.path, call.query, call.headers, call.body) for slot in slots(part)}
    for slot in sorted(unknown):
        if not _known_slot(slot):
            raise options.fault("body", "{" + slot + "}", "one of " + ", ".join(sorted(_SLOTS)) + " as a placeholder")
    if call.body is not None and not isinstance(call.body, str | Mapping):
        raise options.fault("body", call.body, "a text or a table")
    if isinstance(call.body, str) and call.format == "json":
        _proven_json(call.body, options)
    return call


def _proven_json(template: str, options: Options) -> None:
    try:
        orjson.loads(fill(template, dict.fromkeys(slots(template), 'a"b\n'), _as_json))
    except orjson.JSONDecodeError as error:
        raise options.fault("body", template, f"JSON once filled in ({error})") from error


def pattern_of(options: Options, name: str) -> re.Pattern[str] | None:
    given = options.text(name)
    try:
        return re.compile(given) if given else None
    except re.error as error:
        raise options.fault(name, given, f"a regular expression ({error})") from error


def success_of(options: Options) -> Success:
    found = Success(
        pattern_of(options, "pattern"),
        options.text("path"),
        options.texts("values"),
        options.text("id_path"),
        pattern_of(options, "id_pattern"),
    )
    options.done()
    if not (found.pattern or found.values or found.id_path or found.id_pattern):
        raise options.fault("pattern", "nothing", "a pattern, values or an id: a status alone proves nothing")
    return found


def words_of(options: Options, name: str, allowed: Sequence[str]) -> dict[str, str]:
    """A map of the provider's words (in any case) to ours."""
    given = options.table(name)
    for word, ours in given.items():
        if ours not in allowed:
            raise options.fault(f"{name}.{word}", ours, "one of " + ", ".join(allowed))
    return {word.lower(): str(ours) for word, ours in given.items()}


@dataclass(frozen=True, slots=True)
class Webhook:
    """The header that carries the secret, or with `hmac` the hex HMAC-SHA256 of the body under it."""

    header: str
    hmac: bool
    prefix: str
