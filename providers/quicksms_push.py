"""What QuickSMS pushes: V2 delivery webhooks, V1 receipts, V1 "seen" receipts and (V1) incoming messages.

All come to the same URL and are told apart by their fields. V2 is JSON; V1 is JSON or a form.
Source: QuickSMS API 2.0, "Delivery Webhooks (DLR)", "Message Lifecycle", "Webhook Security", "Receiving Incoming
Messages V1", "V1 Delivery Receipts", "V1 RCS Seen Receipts".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from enum import StrEnum
from urllib.parse import parse_qsl

import orjson

from models.states import MessageState
from providers.base import Failure, FailureClass, Inbound, Parsed, Push, Raw, Report
from providers.quicksms_codes import DLR_STATES, GSM_CODES, V1_OPT_OUTS, V1_STATES, V1_SUBSTATUS
from providers.shared import flag, same_secret, tell_once, text, timestamp, whole
from providers.wire import BadBody

Item = Mapping[str, object]


class Kind(StrEnum):
    DLR = "dlr"
    SEEN = "seen"
    RECEIPT = "receipt"
    INBOUND = "inbound"
    OTHER = "other"


_SHAPES: tuple[tuple[Kind, frozenset[str]], ...] = (
    (Kind.DLR, frozenset({"message_status"})),
    (Kind.DLR, frozenset({"quicksms_id"})),
    (Kind.SEEN, frozenset({"reference", "seentime"})),
    (Kind.RECEIPT, frozenset({"reference", "status"})),
    (Kind.INBOUND, frozenset({"msisdn", "message", "number"})),
)
"""Fields (lower case: V1 writes `cid` and `CID`) that tell what a push is; the first that fits."""


def kind_of(item: Item) -> Kind:
    return next((kind for kind, needed in _SHAPES if needed <= item.keys()), Kind.OTHER)


def items_of(body: bytes) -> Sequence[Item]:
    """The objects of a push with lower-case names. Raises BadBody when there are none."""
    found = _form(body) if body.lstrip()[:1] not in (b"{", b"[") else _json(body)
    items = [{str(name).lower(): value for name, value in item.items()} for item in found]
    if not items:
        raise BadBody("neither a JSON object nor a form")
    return items


def _json(body: bytes) -> Sequence[Mapping[str, object]]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadBody(f"not JSON: {error}") from error
    return [item for item in (found if isinstance(found, list) else [found]) if isinstance(item, dict)]


def _form(body: bytes) -> Sequence[Mapping[str, object]]:
    if b"=" not in body:
        return []
    try:
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100))
    except ValueError as error:
        raise BadBody(f"not a form: {error}") from error
    return [fields] if fields else []


# --- who sent it -----------------------------------------------------------------------------------------------------


def signature_fault(push: Push, secret: str, now: datetime, window: int) -> str | None:
    """Why this push is not signed by QuickSMS, or None. `window` in seconds; 0 takes any age."""
    stamp, given = push.headers.get("x-quicksms-timestamp", ""), push.headers.get("x-quicksms-signature", "")
    if not given:
        return "no signature"
    signed = stamp.encode("utf-8", "surrogatepass") + b"." + push.body
    expected = "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    if not same_secret(given.strip(), expected):
        return "wrong signature"
    sent_at = whole(stamp)
    if window and (sent_at is None or abs(now.timestamp() - sent_at) > window):
        return f"signed, but its timestamp is more than {window} s away"
    return None


# --- what it says ----------------------------------------------------------------------------------------------------


def parse(raw: Raw, naive: tzinfo) -> Parsed:
    """Every report and incoming message of a push; `naive` is the zone of V1 times. Raises BadBody."""
    reports: list[Report] = []
    inbound: list[Inbound] = []
    bad: list[tuple[str, str]] = []
    for index, item in enumerate(items_of(raw.body)):
        found = _READERS[kind_of(item)](item, raw, naive)
        match found:
            case Report():
                reports.append(found)
            case Inbound():
                inbound.append(found)
            case _:
                bad.append((f"item {index}", found))
    return Parsed(reports=reports, inbound=inbound, bad=bad)


def _dlr(item: Item, raw: Raw, naive: tzinfo) -> Report | str:
    status, code = text(item, "message_status") or "", whole(item, "status_code")
    provider_id, ref = text(item, "quicksms_id"), text(item, "customer_id")
    if provider_id is None and ref is None:
        return "neither quicksms_id nor customer_id"
    state, read = DLR_STATES.get(status.upper()), flag(item, "read_receipt")
    if state is None:
        tell_once("quicksms", "message_status", status)
    done = timestamp(item.get("done_time"))
    parts = whole(item, "message_parts")
    return Report(
        dedupe=_dedupe(provider_id or ref, status, code, item.get("done_time"), read),
        state=state,
        provider_id=provider_id,
        ref=ref,
        raw_status=status if code is None else f"{status}/{code}",
        failure=_gsm_failure(state, code),
        at=done or timestamp(item.get("delivery_receipt_time")) or timestamp(item.get("message_sent_time")),
        parts=parts if parts and parts > 0 else None,
        channel=text(item, "channel"),
        read_at=(timestamp(item.get("read_receipt_timestamp")) or done or raw.received_at) if read else None,
    )


def _dedupe(*parts: object) -> str:
    """QuickSMS advises its id alone, but one id has several reports: PENDING, the end, the read receipt."""
    return "|".join("" if part is None else str(part)[:64] for part in parts)


_FAILED = (MessageState.UNDELIVERED, MessageState.EXPIRED, MessageState.REJECTED)


def _gsm_failure(state: MessageState | None, code: int | None) -> Failure | None:
    if state not in _FAILED:
        return None
    if not code:  # 0 means delivered and explains no failure
        return Failure(str(state), FailureClass.UNSPECIFIED, "no reason was given")
    if code not in GSM_CODES:
        tell_once("quicksms", "GSM status code", code)
    return Failure(str(code), *GSM_CODES.get(code, (FailureClass.UNSPECIFIED, f"undocumented status code {code}")))


def _receipt(item: Item, raw: Raw, naive: tzinfo) -> Report | str:
    status, sub = whole(item, "status"), whole(item, "substatus")
    state = V1_STATES.get(status) if status is not None else None
    if state is None:
        tell_once("quicksms", "V1 status", item.get("status"))
    written = text(item, "status") or ""
    return _v1(
        item, f"{written[:40]}/{'' if sub is None else sub}", state, "deliverytime", naive, _v1_failure(state, sub)
    )


def _v1_failure(state: MessageState | None, sub: int | None) -> Failure | None:
    if state not in _FAILED:
        return None
    known = V1_SUBSTATUS.get(-1 if sub is None else sub, (FailureClass.UNSPECIFIED, "no documented reason"))
    return Failure(str(state) if sub is None else str(sub), *known, opt_out=sub in V1_OPT_OUTS)


def _seen(item: Item, raw: Raw, naive: tzinfo) -> Report | str:
    """Who has read it has got it, so a seen receipt also proves delivery."""
    found = _v1(item, "SEEN", MessageState.DELIVERED, "seentime", naive, None)
    if isinstance(found, str):
        return found
    read_at = found.at or raw.received_at
    return replace(found, read_at=read_at, channel="RCS")


def _v1(
    item: Item, status: str, state: MessageState | None, when: str, naive: tzinfo, failure: Failure | None
) -> Report | str:
    reference, ref = text(item, "reference"), text(item, "cid")
    if reference is None and ref is None:
        return "neither reference nor cid"
    return Report(
        dedupe=_dedupe("v1", reference or ref, status, item.get(when)),
        state=state,
        provider_id=reference,
        ref=ref,
        msisdn=text(item, "msisdn"),
        raw_status=status,
        failure=failure,
        at=timestamp(item.get(when), naive),
    )


def _inbound(item: Item, raw: Raw, naive: tzinfo) -> Inbound | str:
    sender, to, said = text(item, "msisdn"), text(item, "number"), item.get("message")
    if sender is None or to is None or not isinstance(said, str):
        return "an incoming message without MSISDN, Number or Message"
    at = item.get("daterecieved", item.get("datereceived"))  # the document writes "DateRecieved"
    given = text(item, "id") or hashlib.sha256(f"{sender}|{to}|{at}|{said}".encode("utf-8", "replace")).hexdigest()
    return Inbound(given, sender, to, said, timestamp(at, naive) or raw.received_at)


def _unknown(item: Item, raw: Raw, naive: tzinfo) -> str:
    return "unknown fields " + ", ".join(sorted(str(name)[:30] for name in item)[:12])


_READERS: dict[Kind, Callable[[Item, Raw, tzinfo], Report | Inbound | str]] = {
    Kind.DLR: _dlr,
    Kind.SEEN: _seen,
    Kind.RECEIPT: _receipt,
    Kind.INBOUND: _inbound,
    Kind.OTHER: _unknown,
}
