"""What each provider's documents list, as canned answers: what the contract test holds every adapter to.

Written from the documents, not from the adapters' tables, so that a code forgotten there is missed here.
A provider without an entry is held to everything else in the contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from providers.base import Raw
from providers.wire import Reply
from tests.support.cases import answer

Case = tuple[str, Reply]
Word = tuple[str, Raw]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`options` build the account. `refusals` are documented refusals, `words` documented reports that move a message;
    the unknown ones are made up: they must be survived, taken by a safe default and told in the log."""

    options: Mapping[str, object] = field(default_factory=dict)
    sender: str = "MyStore"
    refusals: Sequence[Case] = ()
    words: Sequence[Word] = ()
    unknown_refusal: Reply | None = None
    unknown_word: Raw | None = None


REF = "0198c0de-0000-7000-8000-000000000001"


def _raw(body: object, kind: str = "pull") -> Raw:
    return Raw(orjson.dumps(body), "application/json", kind=kind)


# --- Qikli: manual, Status groups; public registry of the platform it is built on ------------------------------------


def _qikli_row(group: int, number: int, error: int = 0) -> Raw:
    status = {"groupId": group, "id": number, "name": "N", "description": "D"}
    return _raw({"results": [{"messageId": REF, "to": "447700900001", "status": status, "error": {"id": error}}]})


def _qikli_answer(group: int, number: int) -> Reply:
    status = {"groupId": group, "id": number, "name": "N", "description": "D"}
    return answer(200, {"messages": [{"to": "447700900001", "messageId": REF, "status": status}]})


_QIKLI_IDS = {
    0: [0], 1: [1, 3, 7, 26], 2: [4, 9, 31], 3: [2, 5], 4: [15, 22, 29, 87],
    5: [6, 8, 10, 11, 12, 13, 14, 16, 17, 18, 19, 20, 21, 24, 25, 51, 52, 87, 100],
}  # fmt: skip
_QIKLI_ERRORS = [
    1, 2, 5, 6, 7, 8, 9, 11, 12, 13, 21, 27, 31, 32, 33, 34, 35, 36, 255, 256, 257, 258, 259, 260, 261, 262, 500, 502,
    503, 504, 507, 508, 509, 511, 565, 573, 581, 628, 629, 72, *range(1024, 1032), *range(1152, 1167),
    *range(1281, 1285), *range(1536, 1542), *range(1792, 1797), 323, 351, 352, 355, 368, 433, 541, 542, 572, 577, 578,
    579, 580, 594, 597, 598, 601, 603, 604, 607, 608, 609, 2049, 2052, 2053, 3041, 4096, 4099, 4100, 4101, 4102, 4103,
    4104, 4202, 10, 15, 20, 24, 51, 71, 345, 375, 488, 501, 560, 561, 562, 563, 564, 566, 568, 569, 571, 574, 592, 630,
    631, 632, 633, 810, 811, 815, 2048, 2050, 2051, 4097, 4098, 5492, *range(4106, 4145), *range(4146, 4152),
    *range(4153, 4159),
]  # fmt: skip
_QIKLI_ENVELOPES = {
    400: "BAD_REQUEST", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 429: "TOO_MANY_REQUESTS",
}  # fmt: skip


def _exception(code: str) -> object:
    return {"requestError": {"serviceException": {"messageId": code, "text": "no"}}}


QIKLI = Vocabulary(
    refusals=[
        *((f"status {n}", _qikli_answer(g, n)) for g in (2, 5) for n in _QIKLI_IDS[g]),
        *((code, answer(status, _exception(code))) for status, code in _QIKLI_ENVELOPES.items()),
        ("E429", answer(429, {"errorCode": "E429", "description": "slow", "action": "wait"})),
    ],
    words=[
        *((f"status {g}/{n}", _qikli_row(g, n)) for g, ids in _QIKLI_IDS.items() for n in ids),
        *((f"error {n}", _qikli_row(2, 9, n)) for n in _QIKLI_ERRORS),
    ],
    unknown_refusal=_qikli_answer(5, 7777),
    unknown_word=_qikli_row(9, 7777),
)

# --- QuickSMS: API 2.0, Error Codes and Delivery Receipts ------------------------------------------------------------

_QUICK_MESSAGE_CODES = (
    "SENDER_NOT_REGISTERED", "TEST_NUMBER_NOT_APPROVED", "COUNTRY_NOT_ALLOWED", "INSUFFICIENT_CREDITS",
    "CONTENT_BLOCKED", "OUT_OF_HOURS",
)  # fmt: skip
_QUICK_REQUEST_CODES = {
    "MISSING_FIELD": 400, "BAD_REQUEST": 400, "INVALID_PHONE_NUMBER": 422, "CONTENT_TOO_LONG": 422,
    "VALIDATION_ERROR": 422, "UNAUTHORIZED": 401, "IP_NOT_ALLOWED": 403, "ACCOUNT_INACTIVE": 403, "RATE_LIMITED": 429,
    "AUTH_RATE_LIMITED": 429,
}  # fmt: skip


def _quick_rejection(code: str) -> Reply:
    error = {"code": code, "message": "no"}
    return answer(422, {"messages": [{"MSISDN": "447700900001", "status": "REJECTED", "error": error}]})


def _quick_word(word: str, code: int = 0) -> Raw:
    body = {
        "quicksms_id": "msg_80fac5c752941b27", "customer_id": REF, "channel": "SMS", "message_status": word,
        "status_code": code, "message_parts": 1, "done_time": "2026-03-26T12:00:03+00:00", "read_receipt": None,
    }  # fmt: skip
    return _raw(body, "push")


QUICKSMS = Vocabulary(
    refusals=[
        *((code, _quick_rejection(code)) for code in _QUICK_MESSAGE_CODES),
        *(
            (code, answer(status, {"error": {"code": code, "message": "no", "request_id": "req_1"}}))
            for code, status in _QUICK_REQUEST_CODES.items()
        ),
    ],
    words=[
        ("PENDING", _quick_word("PENDING")),
        ("DELIVERED", _quick_word("DELIVERED")),
        *((f"UNDELIVERED {code}", _quick_word("UNDELIVERED", code)) for code in (1, 13, 27, 32)),
        ("EXPIRED", _quick_word("EXPIRED", 255)),
        ("REJECTED", _quick_word("REJECTED", 13)),
    ],
    unknown_refusal=_quick_rejection("MOON_PHASE"),
    unknown_word=_quick_word("TELEPORTED"),
)

# --- Cliqtel: SMS API, Errors and Message status ---------------------------------------------------------------------

_CLIQ_CODES = {
    "unauthenticated": 401, "insufficient_scope": 403, "number_not_found": 422, "validation_error": 422,
    "insufficient_balance": 402, "rate_limited": 429, "send_failed": 500,
}  # fmt: skip


def _cliq_word(word: str) -> Raw:
    row = {
        "id": 42, "from": "+447700900123", "to": "+447700900001", "direction": "outbound", "status": word,
        "segments": 1, "cost": 0.008, "currency": "EUR", "body": "Hello", "created_at": "2026-04-03T10:15:30+00:00",
        "updated_at": "2026-04-03T10:15:33+00:00",
    }  # fmt: skip
    return _raw({"data": [row], "meta": {"total": 1, "page": 1, "per_page": 100, "total_pages": 1}})


CLIQTEL = Vocabulary(
    sender="+447700900123",
    refusals=[
        (code, answer(status, {"error": {"code": code, "message": "no"}})) for code, status in _CLIQ_CODES.items()
    ],
    words=[(word, _cliq_word(word)) for word in ("queued", "sent", "delivered", "failed")],
    unknown_refusal=answer(422, {"error": {"code": "moon_phase", "message": "no"}}),
    unknown_word=_cliq_word("teleported"),
)

# --- Qikberry: Delivery status and Error codes -----------------------------------------------------------------------

_BERRY_WORDS = (
    "SCHEDULED", "AWAITING-DLR", "AWAITING_DLR", "ENROUTE", "EN_ROUTE", "DELIVERED", "EXPIRED", "DELETED",
    "UNDELIVERABLE", "TIMEOUT-DLR", "INV-PEID", "INV-TMID", "INV-ENTITY", "INV-TEMPLATE", "DELIVRD", "INVALID-SUB",
    "ABSENT-SUB", "HANDSET-ERR", "BARRED", "NET-ERR", "MEMEXEC", "FAILED", "MOB-OFF", "HANDSET-BUSY", "SERIES-BLK",
    "UNDELIV", "SERIES-BLOCK", "NO-CREDITS", "NO-ACCOUNT", "SERVER-ERR", "INV-NUMBER", "SPAM", "DNDNUMB", "BLACKLST",
    "SNDR-BLOCK", "TEMPLATE-NOT-FOUND", "INV-SENDER", "NOT-OPTIN", "OPTOUT-REJ", "PROMO-TMOUT", "REJECTED",
    "NOTALLOWED", "DUPLICATE", "THROTTLED", "DLT-REJECTED", "REJ-MULTIPART", "DLT-INV-TMID", "DLT-INV-ENTITY",
    "DLT-INV-TM-ID", "DLT-ENTITY-NOT-FOUND", "DLT-TM-BLACKLST", "DLT-ENTITY-BLACKLST", "DLT-HEADER-INACTIVE",
    "DLT-TM-INACTIVE", "DLT-SENDER-NOT-REG-TM", "INV-PROVISION", "INV-SERVICE", "INV-SCHEDULE",
)  # fmt: skip


def _berry_word(word: str) -> Raw:
    row = {
        "id": "469ea920-0000-4000-8000-000000000000:1", "mobile": "447700900001", "status": word, "units": 1,
        "charges": 1, "custom": REF, "submitted_at": "2018-07-06 09:57:42", "delivered_at": "2018-07-06 21:57:42",
    }  # fmt: skip
    return _raw({"status": "OK", "code": 200, "message": "OK", "data": [row]})


QIKBERRY = Vocabulary(
    options={"service": "T"},
    refusals=[
        *(
            (f"HTTP {status}", answer(status, {"status": "ERROR", "code": status, "message": "no"}))
            for status in (400, 401, 403, 404, 422, 429)
        ),
        ("without code", answer(401, {"message": "Unauthenticated."})),
        ("insufficient balance", answer(400, {"status": "ERROR", "message": "Insufficient balance"})),
        ("validation as object", answer(422, {"status": "ERROR", "code": 422, "message": {"to": ["is invalid"]}})),
    ],
    words=[(word, _berry_word(word)) for word in _BERRY_WORDS],
    unknown_word=_berry_word("TELEPORTED"),
)

# --- generic: the accounts file is its document ----------------------------------------------------------------------

GENERIC = Vocabulary(
    options={
        "send": {"path": "/send", "headers": {"Authorization": "Bearer {credential.token}"}, "body": {"to": "{to}"}},
        "success": {"id_path": "id"},
        "refusal_path": "error",
        "refusals": {"NO": "content"},
        "states": {"DELIVRD": "delivered"},
        "report": {"id": "id", "status": "status"},
        "webhook": {"header": "x-secret"},
        "probe": {"method": "GET", "path": "/me"},
    },
    refusals=[("NO", answer(400, {"error": "NO"}))],
    words=[("DELIVRD", _raw({"id": "1", "status": "DELIVRD"}))],
    unknown_refusal=answer(400, {"error": "MOON"}),
    unknown_word=_raw({"id": "1", "status": "TELEPORTED"}),
)

VOCABULARIES: dict[str, Vocabulary] = {
    "qikli": QIKLI,
    "quicksms": QUICKSMS,
    "cliqtel": CLIQTEL,
    "qikberry": QIKBERRY,
    "generic": GENERIC,
}
