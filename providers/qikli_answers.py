"""How Qikli answers a submit request: one status for every destination, or an error envelope for all of them.

Both envelopes are read: `requestError.serviceException` of the classic platform and `errorCode` of its newer releases.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from models.states import MessageState
from providers.base import (
    Accepted,
    Failure,
    FailureClass,
    Misconfigured,
    Outcome,
    Outgoing,
    OutOfCredit,
    Refused,
    ServerTrouble,
    Signal,
    Submission,
    Throttle,
    Unclear,
)
from providers.qikli_codes import FLOODED_FOR, GROUPS, PENDING, STATUSES, Status, failure_of, status_of
from providers.shared import (
    all_alike,
    bare_refusal,
    dig,
    digits,
    json_or_none,
    mapping,
    retry_after,
    rows,
    showable,
    tell_once,
    text,
    whole,
)
from providers.wire import Reply

_F = FailureClass
_S = MessageState

Secrets = tuple[str, ...]
Places = Callable[[], Mapping[str, tuple[int, int]]]
"""Where each reference stood in the request, as (element of messages, element of its destinations)."""


def read_answer(chunk: Sequence[Outgoing], reply: Reply, secrets: Secrets, places: Places) -> Submission:
    """What became of every message of the chunk. Never raises."""
    if 200 <= reply.status < 300:
        return _read_statuses(chunk, reply, secrets)
    if 400 <= reply.status < 500:
        return _read_refusal(chunk, reply, secrets, places)
    return all_alike(chunk, Unclear(f"http_{reply.status}"), signal_of(reply, secrets))


def signal_of(reply: Reply, secrets: Secrets) -> Signal | None:
    """What any answer says about the account."""
    if 200 <= reply.status < 300:
        return None
    if 400 <= reply.status < 500:
        return _refusal(reply, secrets)[1]
    envelope = _envelope(json_or_none(reply), secrets)
    return ServerTrouble(reply.status, envelope.reason if envelope else f"HTTP {reply.status}")


# --- 2xx: a status for every destination -----------------------------------------------------------------------------


def _read_statuses(chunk: Sequence[Outgoing], reply: Reply, secrets: Secrets) -> Submission:
    body = json_or_none(reply)
    entries = [row for row in rows(body, "messages") if isinstance(row, dict)]
    if not entries:
        reason = "the answer holds no message statuses"
        return all_alike(chunk, Unclear(reason), ServerTrouble(reply.status, reason))
    bulk_id = text(body, "bulkId")
    claimed = _claims(chunk, entries)
    outcomes = {m.id: _agreed([_outcome(e, bulk_id, secrets) for e in claimed.get(m.id, ())]) for m in chunk}
    plain = all(type(outcome) is Accepted for outcome in outcomes.values())
    return Submission(outcomes, None if plain else _credit(entries))


def _claims(chunk: Sequence[Outgoing], entries: Sequence[dict[str, object]]) -> dict[str, list[dict[str, object]]]:
    """Whose entry is whose: by our messageId; without it by the number, where only one of each is left."""
    by_ref = {message.ref: message.id for message in chunk}
    claimed: dict[str, list[dict[str, object]]] = {}
    left: dict[str, list[dict[str, object]]] = {}
    for entry in entries:
        owner = by_ref.get(text(entry, "messageId") or "")
        home, key = (claimed, owner) if owner else (left, digits(dig(entry, "to")))
        home.setdefault(key, []).append(entry)
    unnamed = [message for message in chunk if message.id not in claimed]
    waiting = Counter(digits(message.msisdn) for message in unnamed)
    for message in unnamed:
        number = digits(message.msisdn)
        if waiting[number] == 1 and len(left.get(number, ())) == 1:
            claimed[message.id] = left[number]
    if len(chunk) == len(entries) == 1 and not claimed and _names_nobody(entries[0]):
        claimed[chunk[0].id] = [entries[0]]  # one asked, one answered, and nothing in it speaks of another
    return claimed


def _names_nobody(entry: Mapping[str, object]) -> bool:
    """Neither a number nor an id of ours; an id of the provider's own is no contradiction."""
    return entry.get("to") is None and isinstance(entry.get("messageId"), str | None)


def _agreed(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome of the entries of one message: there should be exactly one, but a repeat that agrees is harmless."""
    if len(outcomes) == 1:
        return outcomes[0]
    if not outcomes:
        return Unclear("not in the answer")
    if len({type(outcome) for outcome in outcomes}) > 1:
        return Unclear("the answer contradicts itself")
    return outcomes[0]


def _outcome(entry: Mapping[str, object], bulk_id: str | None, secrets: Secrets) -> Outcome:
    payload = dig(entry, "status")
    if not isinstance(payload, dict):
        return Unclear("no status in the answer")
    meaning = status_of(payload)
    if meaning.klass is _F.DUPLICATE:
        note = "this messageId was used before: an earlier attempt was accepted"
        return _accepted(entry, None, _S.SUBMITTED, note)  # it was accepted in another request than this
    if meaning.state in (_S.REJECTED, _S.UNDELIVERED):
        return _refused(payload, meaning, secrets)
    if meaning.state is None or meaning.klass is not None:
        return Unclear(f"status {whole(payload, 'groupId')}/{whole(payload, 'id')} in the answer")
    return _accepted(entry, bulk_id, _at_submit(meaning))


def _at_submit(meaning: Status) -> MessageState:
    """The state an answer proves. "Forwarded to the next hop" says in an answer no more than that it was accepted."""
    if meaning is STATUSES[7] or meaning is GROUPS[PENDING]:
        return _S.SUBMITTED
    return _S.SENT if meaning.state is _S.DELIVERED else meaning.state or _S.SUBMITTED


def _accepted(
    entry: Mapping[str, object], bulk_id: str | None, state: MessageState, note: str | None = None
) -> Accepted:
    parts = whole(entry, "smsCount")
    return Accepted(text(entry, "messageId"), state, bulk_id, parts if parts and 0 < parts <= 1000 else None, note=note)


def _refused(payload: object, meaning: Status, secrets: Secrets) -> Refused:
    """Refused after the platform took note of our messageId: whether it remembers it is undocumented, so a later try
    carries a new one, lest its refusal as a duplicate be read as an earlier acceptance."""
    failure = failure_of(payload, None, secrets) or Failure("?", _F.UNSPECIFIED, meaning.name)
    return Refused(failure, FLOODED_FOR if failure.klass is _F.DEFERRED else None, new_ref=True)


def _credit(entries: Sequence[dict[str, object]]) -> OutOfCredit | None:
    for entry in entries:
        payload = dig(entry, "status")
        meaning = status_of(payload) if isinstance(payload, dict) else None
        if meaning and meaning.klass is _F.ACCOUNT:
            return OutOfCredit(str(whole(payload, "id")), f"{meaning.name}: {meaning.gloss}")
    return None


# --- 4xx: an error envelope for the whole request --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Envelope:
    """`fields` are the request's fields that the provider objects to."""

    code: str
    reason: str
    fields: tuple[str, ...] = ()


# Qikli manual (General error) and the platform's specification, Exceptions.
_CODES: dict[str, FailureClass] = {
    "BAD_REQUEST": _F.CONTENT,
    "UNAUTHORIZED": _F.ACCOUNT,
    "FORBIDDEN": _F.ACCOUNT,
    "NOT_FOUND": _F.ACCOUNT,
    "TOO_MANY_REQUESTS": _F.THROTTLED,
    # what a missing Content-Type is answered with: a proxy of ours eats headers, no message is at fault
    "GENERAL_ERROR": _F.ACCOUNT,
    "E400": _F.CONTENT,
    "E401": _F.ACCOUNT,
    "E403": _F.ACCOUNT,
    "E404": _F.ACCOUNT,
    "E429": _F.THROTTLED,
}

_STATUSES: dict[int, FailureClass] = {
    401: _F.ACCOUNT,
    402: _F.ACCOUNT,
    403: _F.ACCOUNT,
    404: _F.ACCOUNT,
    405: _F.ACCOUNT,
    429: _F.THROTTLED,
}


def _read_refusal(chunk: Sequence[Outgoing], reply: Reply, secrets: Secrets, places: Places) -> Submission:
    outcome, signal, fields = _refusal(reply, secrets)
    blamed = _blamed(chunk, fields, places) if isinstance(outcome, Refused) and signal is None else set()
    if not blamed or len(blamed) == len(chunk):
        return all_alike(chunk, outcome, signal)
    spared = Refused(Failure("http_400", _F.TEMPORARY, "refused together with another message of its request"))
    return Submission({m.id: outcome if m.id in blamed else spared for m in chunk}, signal)


def _refusal(reply: Reply, secrets: Secrets) -> tuple[Refused | Unclear, Signal | None, tuple[str, ...]]:
    envelope = _envelope(json_or_none(reply), secrets)
    if envelope is None or reply.status == 408:
        return *bare_refusal(reply), ()
    if envelope.code not in _CODES:
        tell_once("qikli", "error code", envelope.code)
    klass = _STATUSES.get(reply.status) or _CODES.get(envelope.code, _F.CONTENT)
    failure = Failure(envelope.code, klass, envelope.reason)
    if klass is _F.THROTTLED:
        wait = retry_after(reply)
        return Refused(failure, wait), Throttle(wait, envelope.reason), ()
    return Refused(failure), _account_signal(reply.status, failure), envelope.fields


def _account_signal(status: int, failure: Failure) -> Signal | None:
    if failure.klass is not _F.ACCOUNT:
        return None
    return (OutOfCredit if status == 402 else Misconfigured)(failure.code, failure.reason)


def _envelope(body: object, secrets: Secrets) -> _Envelope | None:
    classic = mapping(body, "requestError", "serviceException") or mapping(body, "requestError", "policyException")
    code = text(classic, "messageId") or text(body, "errorCode")
    if code is None:
        return None
    objections = [*_validation_errors(classic), *_violations(body)]
    said = text(classic, "text") or text(body, "description") or ""
    details = "; ".join(f"{field}: {why}" if why else field for field, why in objections[:3])
    reason = ": ".join(part for part in (said, details) if part)
    fields = tuple(field for field, _ in objections)
    return _Envelope(showable(code, secrets, 60), showable(reason, secrets, 300) or "no reason given", fields)


def _validation_errors(exception: object) -> list[tuple[str, str]]:
    """`{"messages[0].from": ["too long"]}`; a list or text in its place is tolerated and names no field."""
    return [
        (field, ", ".join(why for why in told if isinstance(why, str)) if isinstance(told, list) else "")
        for field, told in mapping(exception, "validationErrors").items()
    ]


def _violations(body: object) -> list[tuple[str, str]]:
    """`[{"property": "messages[0].from", "violation": "too long"}]` of the newer envelope."""
    named = ((text(row, "property"), text(row, "violation") or "") for row in rows(body, "violations"))
    return [(field, why) for field, why in named if field]


_PLACE = re.compile(r"messages\[([0-9]{1,6})\](?:\.destinations\[([0-9]{1,6})\])?")


def _blamed(chunk: Sequence[Outgoing], fields: Sequence[str], places: Places) -> set[str]:
    """Ids of the messages whose own fields were objected to; empty if any objection is to the request itself."""
    found = [_PLACE.match(field) for field in fields]
    if not found or not all(found):
        return set()
    named = {(int(m[1]), int(m[2]) if m[2] else None) for m in found if m}
    where = places()
    return {m.id for m in chunk if m.ref in where and _hit(where[m.ref], named)}


def _hit(place: tuple[int, int], named: set[tuple[int, int | None]]) -> bool:
    return place in named or (place[0], None) in named
