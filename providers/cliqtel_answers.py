"""What Cliqtel's answers mean: by their error code first, since 500 `send_failed` is a plain refusal and
`insufficient_balance` has no documented status.

Source: Cliqtel SMS API Reference, "Error Handling", "Rate Limits"; its public API pages for scopes and the flat form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.states import MessageState
from providers.base import (
    Accepted,
    Allowance,
    Failure,
    FailureClass,
    Misconfigured,
    Outcome,
    OutOfCredit,
    Refused,
    ServerTrouble,
    Signal,
    Throttle,
    Unclear,
)
from providers.cliqtel_reports import STATES, read_row
from providers.shared import (
    bare_refusal,
    dig,
    json_or_none,
    mapping,
    retry_after,
    showable,
    tell_once,
    text,
    whole,
)
from providers.wire import Reply

_F = FailureClass

# "Error Handling"; insufficient_scope from the public API pages
CODES: dict[str, tuple[FailureClass, str]] = {
    "unauthenticated": (_F.ACCOUNT, "the API key is missing or not accepted"),
    "insufficient_scope": (_F.ACCOUNT, "the API key lacks a scope (sms:read, sms:write)"),
    "not_found": (_F.ACCOUNT, "there is nothing at this address: base_url must end in /api/v1/sms"),
    "insufficient_balance": (_F.ACCOUNT, "the wallet's balance is too low"),
    "number_not_found": (_F.SENDER, "the sender is not an active SMS number of the account"),
    "validation_error": (_F.CONTENT, "a parameter is missing or invalid"),
    "rate_limited": (_F.THROTTLED, "too many requests"),
    "send_failed": (_F.UNSPECIFIED, "the carrier rejected the message"),
}

_SETUP = frozenset({"unauthenticated", "insufficient_scope", "not_found"})
_BALANCE = "insufficient_balance"
_FIELDS: dict[str, FailureClass] = {"to": _F.RECIPIENT, "from": _F.SENDER, "from_number_id": _F.SENDER}

# how the framework behind the API words a validation error that names no field of its own
_FIELD = re.compile(r"\b[Tt]he (to|from|from_number_id) field\b")


@dataclass(frozen=True, slots=True)
class _Error:
    code: str
    message: str
    fields: frozenset[str]


def error_of(reply: Reply, body: object, secrets: Sequence[str]) -> _Error | None:
    """The error of the documented form, of the flat one (`error` is the code) or of Laravel's own (`errors`)."""
    nested = mapping(body, "error")
    code = text(nested, "code") or text(body, "error")
    fields = _fields(mapping(body, "errors")) | _fields(nested.get("errors")) | _fields(nested.get("details"))
    message = showable(nested.get("message") or dig(body, "message"), secrets)
    fields |= frozenset(_FIELD.findall(message))
    if code is None and reply.status in (400, 422) and fields:
        code = "validation_error"
    return _Error(showable(code, secrets, 60), message, fields) if code else None


def _fields(value: object) -> frozenset[str]:
    return frozenset(str(name) for name in value) if isinstance(value, dict) else frozenset()


def judge_send(reply: Reply, secrets: Sequence[str]) -> tuple[Outcome, Signal | None]:
    """What became of one submitted message."""
    body = json_or_none(reply)
    accepted = _accepted(body) if 200 <= reply.status < 300 else None
    return (accepted, None) if accepted else _refusal(reply, error_of(reply, body, secrets))


def signal_of(reply: Reply, secrets: Sequence[str]) -> Signal | None:
    """What any answer says about the account. A look-up that finds nothing (404 `not_found`) says nothing."""
    error = error_of(reply, json_or_none(reply), secrets)
    if reply.status < 400 or (error and error.code == "not_found"):
        return None
    return _refusal(reply, error)[1]


def allowance_of(reply: Reply) -> Allowance | None:
    """`X-RateLimit-*`; when the window ends is never told."""
    limit, remaining = whole(reply.header("x-ratelimit-limit")), whole(reply.header("x-ratelimit-remaining"))
    if limit is None or remaining is None or limit <= 0 or remaining < 0:
        return None
    return Allowance(limit, remaining)


def _accepted(body: object) -> Accepted | None:
    row = mapping(body, "data")
    report = read_row(row)
    if isinstance(report, str):
        return None
    final = report.state in (MessageState.DELIVERED, MessageState.UNDELIVERED)
    return Accepted(
        report.provider_id,
        MessageState.SENT if report.state in (MessageState.SENT, MessageState.DELIVERED) else MessageState.SUBMITTED,
        group_id=report.group_id,
        parts=report.parts,
        price=report.price,
        currency=report.currency,
        note=f"answered with status {report.raw_status}" if final or report.raw_status not in STATES else None,
    )


def _refusal(reply: Reply, error: _Error | None) -> tuple[Refused | Unclear, Signal | None]:
    if error and error.code in CODES:
        return _known(error, reply)
    if reply.status >= 500:
        reason = f"http_{reply.status}"
        return Unclear(reason), ServerTrouble(reply.status, reason)
    if reply.status < 400:
        return Unclear(f"HTTP {reply.status} without a readable message"), None
    if reply.status == 402:
        failure = Failure("http_402", _F.ACCOUNT, "payment required")
        return Refused(failure), OutOfCredit("http_402", failure.reason)
    if error is None or reply.status in (401, 403, 404, 405, 408, 429):
        return bare_refusal(reply)
    tell_once("cliqtel", "error code", error.code)
    return Refused(_failure(error, _F.UNSPECIFIED, "the provider refused it")), None


def _known(error: _Error, reply: Reply) -> tuple[Refused, Signal | None]:
    klass, reason = CODES[error.code]
    if error.code == "validation_error":
        klass = next((_FIELDS[name] for name in sorted(error.fields) if name in _FIELDS), klass)
    failure = _failure(error, klass, reason)
    return Refused(failure, retry_after(reply)), _signal(error.code, failure.reason, reply)


def _failure(error: _Error, klass: FailureClass, reason: str) -> Failure:
    return Failure(error.code, klass, f"{reason}: {error.message}" if error.message else reason)


def _signal(code: str, reason: str, reply: Reply) -> Signal | None:
    if code in _SETUP:
        return Misconfigured(code, reason)
    if code == _BALANCE:
        return OutOfCredit(code, reason)
    return Throttle(retry_after(reply), code) if code == "rate_limited" else None


def problem(reply: Reply, secrets: Sequence[str]) -> str:
    """One line about an answer that is not what was asked for."""
    error = error_of(reply, json_or_none(reply), secrets)
    said = f"{error.code} {error.message}".strip() if error else "unreadable"
    return f"HTTP {reply.status}, {said}"
