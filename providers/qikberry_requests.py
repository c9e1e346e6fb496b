"""The requests to Qikberry, byte for byte: the same chunk always gives the same body.

Fields: Qikberry developer documentation, "Send SMS", "Send Template Message", "Send Text Message"; the form with
`root` and `nodes`: "Send SMS via JSON" there, and the public documentation of the same platform.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import orjson

from providers.base import Outgoing
from providers.qikberry_options import Account
from providers.shared import bearer, digits
from providers.wire import Request

_TRUE = frozenset({"1", "true", "yes"})
_STATUS_BODY = 4 * 1_048_576
"""Bytes of a status page of 100 rows, with much room to spare."""


def get(account: Account, path: str, query: Mapping[str, str] | None = None) -> Request:
    """A GET with the credentials. `Accept` always goes along: without it the platform may answer with a page."""
    headers = {"Authorization": bearer(account.token), "Accept": "application/json"}
    return Request("GET", account.url(path, query), headers, timeout=account.timeout, max_body=_STATUS_BODY)


def submit(account: Account, chunk: Sequence[Outgoing], bulk_ref: str) -> Request:
    """One chunk as a request. Raises ValueError for more than one message where the endpoint takes one reference."""
    if account.mode != "json" and len(chunk) != 1:
        raise ValueError(f"mode {account.mode}: one message a request, found {len(chunk)}")
    headers = {
        "Authorization": bearer(account.token),
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    body = orjson.dumps(_BODIES[account.mode](account, chunk, bulk_ref))
    return Request("POST", account.url(account.mode), headers, body, account.timeout, _STATUS_BODY)


Body = dict[str, object]


def _fields(account: Account, message: Outgoing) -> Body:
    """What a node may say for itself: everything but service, webhook_id and time."""
    tags = account.tags(message)
    return {
        "sender": message.sender,
        "message": message.text,
        "type": account.said(message, "type"),
        **_if(account, message, "entity_id", "template_id", "port"),
        **_flash_and_units(account, message),
        **({"meta": {"tags": tags}} if tags else {}),
    }


def _if(account: Account, message: Outgoing, *names: str) -> Body:
    return {name: said for name in names if (said := account.said(message, name))}


def _flash_and_units(account: Account, message: Outgoing) -> Body:
    """Both are documented as numbers."""
    units = account.said(message, "max_units")
    return {**({"flash": 1} if _flash(account, message) else {}), **({"max_units": int(units)} if units else {})}


def _flash(account: Account, message: Outgoing) -> bool:
    return account.said(message, "flash").lower() in _TRUE


def _fixed(account: Account, bulk_ref: str) -> Body:
    """What a whole request says once. A name makes some deployments answer with a group id."""
    return {
        "service": account.service,
        **({"webhook_id": account.webhook_id} if account.webhook_id else {}),
        **({"name": bulk_ref} if account.name_requests else {}),
    }


def _json(account: Account, chunk: Sequence[Outgoing], bulk_ref: str) -> Body:
    """Root values once, and in each node its number, our reference and what differs from the root."""
    first = chunk[0]
    root = _fields(account, first)
    nodes: list[Body] = []
    for message in chunk:
        node: Body = {"to": digits(message.msisdn), "custom": message.ref}
        if not _says_the_same(message, first):
            node |= _differing(root, _fields(account, message))
        nodes.append(node)
    return {"root": {**root, **_fixed(account, bulk_ref)}, "nodes": nodes}


def _says_the_same(message: Outgoing, first: Outgoing) -> bool:
    """As most do: texts of a campaign are one object, as are its options."""
    alike = message.sender == first.sender and message.text == first.text
    return alike and (message.options is first.options or message.options == first.options)


def _differing(root: Body, own: Body) -> Body:
    """A value the root has and this node has not is emptied, so that it never reaches a neighbour."""
    return {key: own.get(key, "") for key in {**root, **own} if own.get(key, "") != root.get(key, "")}


def _send(account: Account, chunk: Sequence[Outgoing], bulk_ref: str) -> Body:
    message = chunk[0]
    return {
        **_fields(account, message),
        **_fixed(account, bulk_ref),
        # "string: an array of message destination addresses", with an array in the sample
        "to": digits(message.msisdn) if account.to_as_text else [digits(message.msisdn)],
        "custom": message.ref,
    }


def _template(account: Account, chunk: Sequence[Outgoing], bulk_ref: str) -> Body:
    """The provider fills its own template; the service, the sender and the DLT ids come with the template."""
    message = chunk[0]
    alias = account.said(message, "template_alias")
    tags = account.tags(message)
    meta = {
        "foreign_id": message.ref,
        **({"webhook_id": account.webhook_id} if account.webhook_id else {}),
        **({"tags": tags} if tags else {}),
        **({"flash": 1} if _flash(account, message) else {}),
    }
    return {
        **({"alias": alias} if alias else {"id": account.said(message, "template")}),
        "recipient": {"to": [digits(message.msisdn)]},
        "data": template_data(account, message),
        "meta": meta,
    }


def template_data(account: Account, message: Outgoing) -> dict[str, str]:
    """The variables of a provider's template: `var.<name>` of the campaign, and our text in `text_variable`.

    With no variable named at all the text goes into `message`.
    """
    fixed = {key[4:]: value for key, value in message.options.items() if key.startswith("var.") and key[4:]}
    variable = account.said(message, "text_variable") or ("" if fixed else "message")
    return {**fixed, **({variable: message.text} if variable else {})}


def _channels(account: Account, chunk: Sequence[Outgoing], bulk_ref: str) -> Body:
    message = chunk[0]
    tags = account.tags(message)
    meta = {
        "service": account.service,
        "foreign_id": message.ref,
        "type": account.said(message, "type"),
        **_if(account, message, "entity_id", "template_id"),
        **_flash_and_units(account, message),
        **({"webhook_id": account.webhook_id} if account.webhook_id else {}),
        **({"tags": tags} if tags else {}),
    }
    return {
        "channels": [{"name": "sms", "from": message.sender, "meta": meta}],
        "recipient": {"to": [digits(message.msisdn)]},
        "message": {"type": "text", "payload": {"text": message.text}},
    }


_BODIES: Mapping[str, Callable[[Account, Sequence[Outgoing], str], Body]] = {
    "json": _json,
    "send": _send,
    "template": _template,
    "channels": _channels,
}
