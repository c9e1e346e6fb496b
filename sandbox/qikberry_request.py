"""Reading Qikberry's four send requests into one form: a batch of nodes, one per recipient.

Fields and rules: Qikberry reference, "Send Message", "Send Template Message", "Send Text Message", "Schedule Message".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from math import ceil
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

from sandbox.exchange import Call
from sandbox.text import encoding_and_parts

MAX_TAGS: Final = 3
MAX_CHANNEL_TEXT: Final = 4096
SOONEST_SECONDS: Final = 5 * 60
LATEST_SECONDS: Final = 30 * 86_400
_TYPES: Final = ("U", "N", "A")
# What `type: N` lets through; every other character becomes a question mark ("Send SMS with normal text").
_NORMAL: Final = re.compile(r"[^\sA-Za-z0-9@£$€¥èéùìòÇØøÅå_FÆæßÉ!\"#¤%&'()*+,\-./:;<=>?¡ÖÑÜ§¿öñüàäÄ\\{}~\[\]]")
_VARIABLE: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class Invalid(Exception):
    """422: `field` is wrong in the way `sentence` says."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field
        self.sentence = sentence


class Node(NamedTuple):
    """One message to one recipient."""

    to: str
    sender: str
    text: str
    units: int
    custom: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """`due` is unix seconds of a schedule, `channel` and `template` which form was used."""

    nodes: list[Node]
    service: str
    webhook_id: str | None = None
    due: float | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    channel: bool = False
    template: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """What reading needs to know of the account: its clock, its time zone and its templates."""

    now: float
    zone: str
    templates: Mapping[str, Mapping[str, Any]]


def fields_of(call: Call) -> dict[str, Any]:
    """The body as a table, from JSON or a form. Errors: Invalid."""
    if "form-urlencoded" in call.headers.get("Content-Type", ""):
        return _form(call.body)
    body = call.json()
    if not isinstance(body, dict):
        raise Invalid("body", "The request body must be a JSON object.")
    return body


def read_send(body: Mapping[str, Any], account: Account) -> Batch:
    """`sms/send`: one text and one `custom` for everybody in `to`."""
    nodes = [node for to in recipients(_need(body, "to")) for node in _nodes({"to": to}, body)]
    return _batch(body, nodes, account)


def read_json(body: Mapping[str, Any], account: Account) -> Batch:
    """`sms/send/json`: `root` holds defaults, `nodes` override all but webhook_id, service and time."""
    root, nodes = body.get("root"), body.get("nodes")
    if not isinstance(root, dict):
        raise Invalid("root", "The root field is required.")
    if not isinstance(nodes, list) or not nodes or not all(isinstance(node, dict) for node in nodes):
        raise Invalid("nodes", "The nodes field is required.")
    return _batch(root, [made for node in nodes for made in _nodes(node, root)], account)


def read_template(body: Mapping[str, Any], account: Account) -> Batch | None:
    """`sms/send/template`; None when the account has no such template."""
    template = _template(body, account)
    if template is None:
        return None
    meta, data = _table(body.get("meta")), _table(body.get("data"))
    text = _VARIABLE.sub(lambda found: str(data.get(found[1], "")), str(template["body"]))
    root = {"sender": template["sender"], "service": template["service"], "message": text, "meta": meta}
    root |= {"custom": meta.get("foreign_id"), "webhook_id": meta.get("webhook_id")}
    to = _need(_table(body.get("recipient")), "to", "recipient.to")
    nodes = [node for one in recipients(to) for node in _nodes({"to": one}, root)]
    return replace(_batch(root, nodes, account), template=True)


def read_channels(body: Mapping[str, Any], account: Account) -> Batch:
    """`sms/message/send`: the channels form; only the SMS channel is simulated."""
    channels = body.get("channels")
    first = _table(channels[0]) if isinstance(channels, list) and channels else {}
    if first.get("name") != "sms":
        raise Invalid("channels", "The channels field is required.")
    meta = _table(first.get("meta"))
    text = _table(_table(body.get("message")).get("payload")).get("text")
    if not isinstance(text, str) or not 0 < len(text) <= MAX_CHANNEL_TEXT:
        raise Invalid("message.payload.text", f"The text must be 1 to {MAX_CHANNEL_TEXT} characters.")
    root = {"sender": first.get("from"), "message": text, "custom": meta.get("foreign_id"), "meta": meta}
    root |= {name: meta.get(name) for name in ("service", "type", "max_units", "webhook_id")}
    to = _need(_table(first.get("recipient") or body.get("recipient")), "to", "recipient.to")
    nodes = [node for one in recipients(to) for node in _nodes({"to": one}, root)]
    return replace(_batch(root, nodes, account), channel=True)


def recipients(value: Any) -> Sequence[str]:
    """`to` as a list, a number or a comma-separated string."""
    if isinstance(value, str) and "," not in value:
        return (value.strip(),)
    if isinstance(value, list):
        return [one for item in value for one in recipients(item)]
    return [part.strip() for part in str(value).split(",") if part.strip()]


def count_of(body: Mapping[str, Any]) -> int:
    """How many recipients the body names, without looking at each of them closely."""
    nodes = body.get("nodes")
    if isinstance(nodes, list):
        return sum(1 + str(node.get("to", "")).count(",") for node in nodes if isinstance(node, dict))
    return sum(1 for _ in numbers_of(body))


def numbers_of(body: Mapping[str, Any]) -> Iterable[str]:
    """Every recipient, whatever form the body has."""
    places = [body.get("to"), _table(body.get("recipient")).get("to")]
    nodes = body.get("nodes")
    if isinstance(nodes, list):
        places += [node.get("to") for node in nodes if isinstance(node, dict)]
    return [number for place in places if place is not None for number in recipients(place)]


@lru_cache(maxsize=4096)
def local(second: int, zone: str) -> str:
    """`2018-07-09 16:27:35`: the provider's own time, with nothing that says so."""
    return datetime.fromtimestamp(second, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")


def _batch(root: Mapping[str, Any], nodes: list[Node], account: Account) -> Batch:
    if not nodes:
        raise Invalid("to", "The to field is required.")
    return Batch(
        nodes,
        service=str(_need(root, "service")),
        webhook_id=str(root["webhook_id"]) if root.get("webhook_id") else None,
        due=_due(root.get("time"), account),
        name=root.get("name"),
        tags=_tags(_table(root.get("meta")).get("tags")),
    )


def _nodes(node: Mapping[str, Any], root: Mapping[str, Any]) -> list[Node]:
    text = node.get("message") or _need(root, "message")
    kind = node.get("type") or root.get("type") or "A"
    if kind not in _TYPES:
        raise Invalid("type", "The selected type is invalid.")
    clean, units = _measured(str(text), str(kind))
    _within(units, node.get("max_units") or root.get("max_units"))
    sender, custom = str(node.get("sender") or _need(root, "sender")), node.get("custom") or root.get("custom")
    own = None if custom is None else str(custom)
    return [Node(to, sender, clean, units, own) for to in recipients(_need(node, "to"))]


@lru_cache(maxsize=512)
def _measured(text: str, kind: str) -> tuple[str, int]:
    """The text as it will be sent, and its units."""
    if kind == "U":
        length = len(text.encode("utf-16-le", "surrogatepass")) // 2
        return text, 1 if length <= 70 else ceil(length / 67)
    clean = _NORMAL.sub("?", text) if kind == "N" else text
    return clean, encoding_and_parts(clean)[1]


def _within(units: int, cap: Any) -> None:
    if cap not in (None, "") and units > whole(cap, "max_units"):
        raise Invalid("max_units", f"The message has {units} units, more than max_units.")


def whole(value: Any, name: str) -> int:
    """A whole number that may be written as text. Errors: Invalid."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise Invalid(name, f"The {name} must be an integer.") from None


def _due(value: Any, account: Account) -> float | None:
    """More than 5 minutes and at most 30 days ahead, in the provider's own time."""
    if value in (None, ""):
        return None
    try:
        moment = datetime.strptime(str(value), "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZoneInfo(account.zone))
    except ValueError:
        raise Invalid("time", "The time does not match the format Y-m-d H:i:s.") from None
    if not SOONEST_SECONDS < moment.timestamp() - account.now <= LATEST_SECONDS:
        raise Invalid("time", "Invalid Schedule")
    return moment.timestamp()


def _tags(value: Any) -> tuple[str, ...]:
    tags = tuple(map(str, value)) if isinstance(value, list) else ()
    if len(tags) > MAX_TAGS:
        raise Invalid("meta.tags", f"The tags may not have more than {MAX_TAGS} items.")
    return tags


def _template(body: Mapping[str, Any], account: Account) -> Mapping[str, Any] | None:
    if body.get("alias"):
        return account.templates.get(str(body["alias"]))
    wanted = str(_need(body, "id", "alias"))
    return next((found for found in account.templates.values() if str(found.get("id")) == wanted), None)


def _need(body: Mapping[str, Any], name: str, shown: str | None = None) -> Any:
    value = body.get(name)
    if value in (None, "", []):
        raise Invalid(shown or name, f"The {shown or name} field is required.")
    return value


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _form(body: bytes) -> dict[str, Any]:
    """A repeated or bracketed name is a list, any other a string."""
    fields: dict[str, Any] = {}
    for name, values in parse_qs(body.decode("utf-8", "replace")).items():
        fields[name.removesuffix("[]")] = values if name.endswith("[]") or len(values) > 1 else values[0]
    return fields
