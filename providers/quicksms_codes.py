"""The vendor words of QuickSMS: what every documented code means for a message and for the account.

Source: QuickSMS API Documentation, version 2.0 (March 2026), with its "Full V1 API documentation".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from models.states import MessageState
from providers.base import Failure, FailureClass, Misconfigured, OutOfCredit, Refused, Signal, Throttle
from providers.shared import retry_after
from providers.wire import Reply

_F = FailureClass
_S = MessageState


class About(StrEnum):
    """Whom a refusal concerns: the message alone, or the whole account (and then how)."""

    MESSAGE = "message"
    SETUP = "setup"  # credentials, address list, status of the connection
    CREDIT = "credit"
    PACE = "pace"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a code means. `new_ref`: a later try needs another Idempotency-Key."""

    klass: FailureClass
    reason: str
    about: About = About.MESSAGE
    new_ref: bool = False


# "Message Rejection Codes": the body holds messages[].error
MESSAGE_CODES: dict[str, Rule] = {
    "SENDER_NOT_REGISTERED": Rule(_F.SENDER, "the sender ID is not approved"),
    # a gap of the test account's allowlist: neither evidence against the number nor a fault that stops the account
    "TEST_NUMBER_NOT_APPROVED": Rule(_F.UNSPECIFIED, "the test account's allowlist lacks this number"),
    "COUNTRY_NOT_ALLOWED": Rule(_F.COUNTRY, "the account may not send to this country"),
    "INSUFFICIENT_CREDITS": Rule(_F.ACCOUNT, "the account's credits are used up", About.CREDIT, new_ref=True),
    "CONTENT_BLOCKED": Rule(_F.CONTENT, "blocked by the provider's content filter"),
    "OUT_OF_HOURS": Rule(_F.DEFERRED, "outside the account's business hours", new_ref=True),
    "DUPLICATE_MESSAGE": Rule(_F.DUPLICATE, "same text to the same number within the anti-flood window"),
}

# "Request-Level Error Codes": the body holds error; the class follows the code, not the HTTP status
REQUEST_CODES: dict[str, Rule] = {
    "MISSING_FIELD": Rule(_F.CONTENT, "a required field is missing"),
    "BAD_REQUEST": Rule(_F.CONTENT, "the request is malformed"),
    "INVALID_PHONE_NUMBER": Rule(_F.RECIPIENT, "the number is not in valid international form"),
    "CONTENT_TOO_LONG": Rule(_F.CONTENT, "the text is longer than 1,530 characters"),
    "VALIDATION_ERROR": Rule(_F.CONTENT, "a field is invalid"),
    "UNAUTHORIZED": Rule(_F.ACCOUNT, "the API key is not accepted", About.SETUP),
    "IP_NOT_ALLOWED": Rule(_F.ACCOUNT, "our address is not on the account's IP allowlist", About.SETUP),
    "ACCOUNT_INACTIVE": Rule(_F.ACCOUNT, "the account or API connection is not active", About.SETUP),
    "RATE_LIMITED": Rule(_F.THROTTLED, "too many requests", About.PACE),
    "AUTH_RATE_LIMITED": Rule(_F.ACCOUNT, "our address is locked out after failed logins", About.SETUP),
}

CODES: dict[str, Rule] = {**MESSAGE_CODES, **REQUEST_CODES}

UNCLEAR_CODES: dict[str, str] = {
    # a first request under this key may be in flight or accepted: a new key could send twice
    "IDEMPOTENCY_CONFLICT": "another request holds this Idempotency-Key",
    "INTERNAL_ERROR": "the provider failed inside",
}

# a VALIDATION_ERROR or MISSING_FIELD that names its field says whose fault it is
PARAM_CLASSES: dict[str, FailureClass] = {
    "MSISDN": _F.RECIPIENT,
    "sender": _F.SENDER,
    "sms_failover_sender": _F.SENDER,
}

# "Send Response Statuses"
SEND_STATES: dict[str, MessageState] = {"ACCEPTED": _S.SUBMITTED, "HELD": _S.HELD}

# "Delivery Statuses (via Webhook)"
DLR_STATES: dict[str, MessageState] = {
    "PENDING": _S.SENT,
    "DELIVERED": _S.DELIVERED,
    "UNDELIVERED": _S.UNDELIVERED,
    "EXPIRED": _S.EXPIRED,
    "REJECTED": _S.REJECTED,
}

# "GSM Status Codes": they explain, message_status decides
GSM_CODES: dict[int, tuple[FailureClass, str]] = {
    0: (_F.UNSPECIFIED, "delivered successfully"),
    1: (_F.RECIPIENT, "invalid destination number"),
    13: (_F.UNSPECIFIED, "rejected by the operator"),
    27: (_F.TEMPORARY, "absent subscriber: phone off or out of range"),
    32: (_F.TEMPORARY, "network error"),
    255: (_F.UNSPECIFIED, "unknown or expired"),
}

# "V1 Error Codes". 200 and 201 are printed as faults of the request, but only the account's base URL can cause them.
V1_ERRORS: dict[int, Rule] = {
    200: Rule(_F.ACCOUNT, "the request did not come by HTTPS", About.SETUP),
    201: Rule(_F.ACCOUNT, "the request did not come by POST", About.SETUP),
    202: Rule(_F.ACCOUNT, "user name or password missing or malformed", About.SETUP),
    203: Rule(_F.CONTENT, "request type not set"),
    204: Rule(_F.CONTENT, "invalid request type"),
    205: Rule(_F.CONTENT, "a required field is missing"),
    206: Rule(_F.ACCOUNT, "wrong user name or password", About.SETUP),
    207: Rule(_F.RECIPIENT, "invalid number"),
    208: Rule(_F.ACCOUNT, "not enough credits", About.CREDIT),
    209: Rule(_F.CONTENT, "the text is too long"),
    210: Rule(_F.SENDER, "the sender ID is too long"),
    220: Rule(_F.ACCOUNT, "the API is temporarily disabled after failed logins", About.SETUP),
    221: Rule(_F.ACCOUNT, "the API is permanently disabled after failed logins", About.SETUP),
}

# "V1 Delivery Receipts"
V1_STATES: dict[int, MessageState] = {2: _S.UNDELIVERED, 3: _S.DELIVERED, 4: _S.EXPIRED, 5: _S.REJECTED}

# public API reference of QuickSMS: V1 substatus values
V1_SUBSTATUS: dict[int, tuple[FailureClass, str]] = {
    5: (_F.UNSPECIFIED, "reported by the handset"),
    9: (_F.RECIPIENT, "invalid number"),
    10: (_F.RECIPIENT, "the number is on a do-not-disturb list"),
    14: (_F.RECIPIENT, "the number is on a block list"),
}
V1_OPT_OUTS = frozenset({10, 14})
"""Lists a person is on by saying no."""


def refused(code: str, rule: Rule, reason: str, reply: Reply) -> tuple[Refused, Signal | None]:
    """The refusal a rule makes of an answer, and what it says about the account."""
    wait = retry_after(reply)
    outcome = Refused(Failure(code, rule.klass, reason), wait, rule.new_ref)
    signals: dict[About, Signal] = {
        About.SETUP: Misconfigured(code, reason, wait),
        About.CREDIT: OutOfCredit(code, reason),
        About.PACE: Throttle(wait, code),
    }
    return outcome, signals.get(rule.about)
