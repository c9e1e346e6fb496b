"""What Cliqtel says about its messages: rows of a list, single messages and status webhooks, all of one form.

Source: Cliqtel SMS API Reference, "List Messages", "Get Message", "Delivery Status Webhooks".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

import orjson

from models.states import MessageState
from providers.base import Failure, FailureClass, Inbound, Parsed, Raw, Report
from providers.shared import dig, mapping, money, tell_once, text, timestamp, whole
from providers.wire import BadBody

Row = Mapping[str, object]

_S = MessageState

# "List Messages", parameter status. The document gives no reason for `failed`, and some routes may stop at `sent`.
STATES: dict[str, MessageState] = {
    "queued": _S.SUBMITTED,
    "sent": _S.SENT,
    "delivered": _S.DELIVERED,
    "failed": _S.UNDELIVERED,
}

ID = r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}"
"""A message's id: a whole number in every sample, but other forms that are safe in a path do no harm."""

_EVENT = "sms.status_updated"


def parse(raw: Raw) -> Parsed:
    """Every report of a list, a single message or a webhook. Raises BadBody when there is no `data`."""
    body = _body(raw.body)
    data, event = dig(body, "data"), text(body, "event")
    if not isinstance(data, list | dict):
        raise BadBody("data: neither a list nor an object")
    if event not in (None, _EVENT):
        tell_once("cliqtel", "event", event)
    stamp = timestamp(dig(body, "timestamp"))
    found = [_read(row, stamp, raw.received_at) for row in (data if isinstance(data, list) else [data])]
    return Parsed(
        reports=[item for item in found if isinstance(item, Report)],
        inbound=[item for item in found if isinstance(item, Inbound)],
        bad=[(f"data[{index}]", item) for index, item in enumerate(found) if isinstance(item, str)],
    )


def _body(raw: bytes) -> Mapping[str, object]:
    try:
        body = orjson.loads(raw.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise BadBody(f"not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadBody("not a JSON object")
    return body


def _read(row: object, stamp: datetime | None, received_at: datetime | None) -> Report | Inbound | str:
    if not isinstance(row, dict):
        return "not an object"
    return _inbound(row, received_at) if row.get("direction") == "inbound" else read_row(row, stamp)


def read_row(row: Row, stamp: datetime | None = None) -> Report | str:
    """One outbound message, or why it cannot be read. `stamp`: the webhook's time, for rows without `updated_at`."""
    number, status = text(row, "id") or "", text(row, "status") or ""
    if not re.fullmatch(ID, number):
        return "no readable id"
    state, parts, price = STATES.get(status.lower()), whole(row, "segments"), money(row.get("cost"))
    if state is None:
        tell_once("cliqtel", "status", status)
    return Report(
        dedupe="|".join([number, status[:40], str(parts), "" if price is None else f"{price.normalize():f}"]),
        state=state,
        provider_id=number,
        msisdn=text(row, "to"),
        raw_status=status[:100],
        failure=_failure(state),
        at=timestamp(row.get("updated_at")) or stamp or _created(row, state),
        parts=parts if parts and parts > 0 else None,
        price=price,
        currency=text(row, "currency"),
        group_id=number,
    )


def _created(row: Row, state: MessageState | None) -> datetime | None:
    """A list tells when a message was made, which is the time of its first status only."""
    return timestamp(row.get("created_at")) if state is _S.SUBMITTED else None


def _failure(state: MessageState | None) -> Failure | None:
    if state is not _S.UNDELIVERED:
        return None
    return Failure("failed", FailureClass.UNSPECIFIED, "failed; the provider gives no reason")


def _inbound(row: Row, received_at: datetime | None) -> Inbound | str:
    number, sender, to, said = text(row, "id"), text(row, "from"), text(row, "to"), row.get("body")
    if number is None or sender is None or to is None or not isinstance(said, str):
        return "an incoming message without id, from, to or body"
    return Inbound(number, sender, to, said, timestamp(mapping(row).get("created_at")) or received_at)
