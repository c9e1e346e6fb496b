"""How QuickSMS V2 is asked to send, and what its answers mean (`POST /v1/messages`; the product is V2, the path /v1).

Source: QuickSMS API 2.0, "Send a Message", "Understanding Responses", "Error Handling", "Idempotency", "Rate Limits".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache

import orjson

from providers.base import (
    Accepted,
    AccountSettings,
    Allowance,
    Failure,
    FailureClass,
    LookUpBy,
    LookUpPolicy,
    Outcome,
    Outgoing,
    Refused,
    ServerTrouble,
    Signal,
    Submission,
    Unclear,
)
from providers.quicksms_codes import CODES, PARAM_CLASSES, SEND_STATES, UNCLEAR_CODES, Rule, refused
from providers.quicksms_scan import original_id, resume_at
from providers.retry_after import parse_http_date
from providers.shared import (
    Options,
    Remembered,
    bare_refusal,
    basic_auth,
    bearer,
    credential,
    flag,
    join_url,
    json_or_none,
    mapping,
    showable,
    tell_once,
    text,
    timestamp,
    whole,
)
from providers.wire import Reply, Request

NUMBER = re.compile(r"[1-9][0-9]{6,14}")
MOST_CHARACTERS = 1530
EXPIRY = (60, 259_200)
_MOST_KEYS, _MOST_VALUE, _MOST_REFERENCE, _MOST_URL = 10, 256, 128, 2048
_METADATA = "metadata."
_SWITCHES = ("smart_routing", "sandbox")

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


# Five quick tries as "Recommended Backoff" (1, 2, 4, 8, 16 s apart), then slowly while the key is remembered (24 h).
# The two middle ones are for requests that timed out: their quick tries are due all at once.
_KEY_WINDOW, _MARGIN, _SLOW = 86_400, 1_800, 900
REPLAY = LookUpPolicy(
    by=LookUpBy.REPLAY,
    after=(1, 3, 7, 15, 31, 120, 300, *range(_SLOW, _KEY_WINDOW - _MARGIN, _SLOW)),
    proves_absence=False,
    give_up_after=_KEY_WINDOW - _MARGIN,
)


# --- what may be sent ------------------------------------------------------------------------------------------------


def characters(written: str) -> int:
    """The larger of code points and UTF-16 units: the document does not say which it counts."""
    return max(len(written), len(written.encode("utf-16-le", "surrogatepass")) // 2)


@lru_cache(maxsize=1024)
def wire_sender(sender: str) -> str:
    """A numeric sender goes out as digits, as numbers do everywhere in this API."""
    return sender[1:] if re.fullmatch(r"\+[0-9]+", sender) else sender


@lru_cache(maxsize=1024)
def sender_fault(sender: str, most: int) -> str | None:
    """Why this sender ID has no allowed form, or None. `most`: characters allowed for one with letters."""
    written = wire_sender(sender)
    if re.fullmatch(r"[0-9]+", written):
        return None if len(written) <= 15 else "a numeric sender has at most 15 digits"
    if not any(ch.isalpha() for ch in written):
        return "a sender that is no number holds at least one letter"
    return None if len(written) <= most else f"this sender has at most {most} characters"


def number_failure(message: Outgoing) -> Failure | None:
    if NUMBER.fullmatch(message.msisdn.removeprefix("+")):
        return None
    return _failure("INVALID_PHONE_NUMBER", "7 to 15 digits, the first not zero")


def _failure(code: str, reason: str, klass: FailureClass | None = None) -> Failure:
    return Failure(code, klass or CODES[code].klass, reason)


@dataclass(frozen=True, slots=True)
class _Wants:
    """What the account's and the campaign's options ask of one message; the campaign's win."""

    smart_routing: bool
    failover: str
    sandbox: bool
    metadata: Mapping[str, str]


class V2Send:
    """The V2 send API of one account. Options are listed in docs/providers/quicksms.md."""

    policy = REPLAY

    def __init__(self, settings: AccountSettings, options: Options, clock: Clock) -> None:
        self._key = credential(settings, "api_key")
        self._url = join_url(settings.base_url, "/v1/messages")
        self._timeout = settings.timeout
        self._callback = _callback(settings.webhook_url)
        self._clock = clock
        basic = options.choice("auth", ("bearer", "basic"), "bearer") == "basic"
        self._authorization = basic_auth(self._key, "") if basic else bearer(self._key)
        self._wants = _Wants(
            options.flag("smart_routing"),
            options.text("sms_failover_sender"),
            options.flag("sandbox"),
            _metadata(options),
        )
        self._read = Remembered(self._want)
        self._faults = Remembered(self._fault)
        self._hours_delay = options.whole("out_of_hours_delay", 3600, 60, 604_800)

    # --- before the wire ---

    def check(self, message: Outgoing) -> Failure | None:
        return (
            number_failure(message)
            or self._text_failure(message)
            or self._sender_failure(message)
            or self._options_failure(message)
        )

    @staticmethod
    def _text_failure(message: Outgoing) -> Failure | None:
        if not message.text:
            return _failure("MISSING_FIELD", "the text is empty")
        if characters(message.text) > MOST_CHARACTERS:
            return _failure("CONTENT_TOO_LONG", f"the text is longer than {MOST_CHARACTERS} characters")
        return None

    def _sender_failure(self, message: Outgoing) -> Failure | None:
        if not message.sender:
            return _failure("MISSING_FIELD", "the sender is empty", FailureClass.SENDER)
        wants = self._of(message)
        why = sender_fault(message.sender, 25 if wants.smart_routing else 11)
        if why is None and wants.failover:
            why = sender_fault(wants.failover, 11)
        return _failure("VALIDATION_ERROR", why, FailureClass.SENDER) if why else None

    def _options_failure(self, message: Outgoing) -> Failure | None:
        why = self._faults.of(message.options)
        if why is None and len(message.ref) > _MOST_REFERENCE:
            why = f"a reference has at most {_MOST_REFERENCE} characters"
        return _failure("VALIDATION_ERROR", why) if why else None

    def warnings(self, message: Outgoing) -> Sequence[str]:
        said = []
        if message.validity is not None and not EXPIRY[0] <= message.validity <= EXPIRY[1]:
            said.append(f"validity {message.validity} s is taken as {_expiry(message.validity)} s")
        if self._key.startswith("sk_test_"):
            said.append("test key: nothing is delivered, and a test notice is appended to the text")
        if not re.fullmatch(r"[A-Za-z0-9]+", wire_sender(message.sender)):
            said.append("the sender holds more than letters and digits")
        return said

    # --- the request ---

    def request(self, message: Outgoing) -> Request:
        """The same message gives the same bytes: a replay under its Idempotency-Key must be identical."""
        headers = {
            "Authorization": self._authorization,
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Idempotency-Key": message.ref,
        }
        return Request("POST", self._url, headers, orjson.dumps(self._fields(message)), self._timeout)

    def _fields(self, message: Outgoing) -> dict[str, object]:
        wants = self._of(message)
        required = {
            "MSISDN": message.msisdn.removeprefix("+"),
            "msg": message.text,
            "sender": wire_sender(message.sender),
        }
        optional = {
            "smart_routing": wants.smart_routing or None,
            "sms_failover_sender": wire_sender(wants.failover) if wants.smart_routing and wants.failover else None,
            "expiry": None if message.validity is None else _expiry(message.validity),
            "customer_id": message.ref,
            "metadata": dict(sorted(wants.metadata.items())) or None,
            "sandbox": wants.sandbox or None,
            "callback_url": self._callback,
        }
        return required | {name: value for name, value in optional.items() if value is not None}

    def _of(self, message: Outgoing) -> _Wants:
        return self._read.of(message.options)

    def _want(self, options: Mapping[str, str]) -> _Wants:
        given = dict(options)
        own = {name.removeprefix(_METADATA): value for name, value in given.items() if name.startswith(_METADATA)}
        smart, sandbox = (flag(given, name) for name in _SWITCHES)
        return replace(
            self._wants,
            smart_routing=self._wants.smart_routing if smart is None else smart,
            failover=given.get("sms_failover_sender", self._wants.failover),
            sandbox=self._wants.sandbox if sandbox is None else sandbox,
            metadata={**self._wants.metadata, **own},
        )

    def _fault(self, options: Mapping[str, str]) -> str | None:
        for name in _SWITCHES:
            if name in options and flag(dict(options), name) is None:
                return f"option {name} is neither true nor false"
        return metadata_fault(self._read.of(options).metadata)

    # --- the answer ---

    def read(self, message: Outgoing, reply: Reply) -> Submission:
        body = json_or_none(reply)
        outcome, signal = self._judge(message, reply, body)
        return Submission({message.id: outcome}, signal, self.allowance(reply), request_id(reply, body))

    def signal(self, reply: Reply) -> Signal | None:
        return None if reply.status < 400 else self._refusal(reply, json_or_none(reply))[1]

    def allowance(self, reply: Reply) -> Allowance | None:
        """`X-RateLimit-*`; the reset is a unix time and only a hint beside a sliding window."""
        limit = whole(reply.header("x-ratelimit-limit"))
        remaining = whole(reply.header("x-ratelimit-remaining"))
        if limit is None or remaining is None or limit <= 0 or remaining < 0:
            return None
        return Allowance(limit, remaining, self._reset_in(reply))

    def _reset_in(self, reply: Reply) -> float | None:
        """Measured against the answer's own `Date`: the clock of this machine may be wrong."""
        at = timestamp(reply.header("x-ratelimit-reset"))
        clock = self._clock()
        now = parse_http_date(reply.header("date"), clock) or clock
        wait = (at - now).total_seconds() if at else None
        return max(0.0, wait) if wait is not None and abs(wait) <= 3600 else None

    def _judge(self, message: Outgoing, reply: Reply, body: object) -> tuple[Outcome, Signal | None]:
        if 200 <= reply.status < 300:
            return self._judge_success(message, reply, body)
        return self._refusal(reply, body)

    def _judge_success(self, message: Outgoing, reply: Reply, body: object) -> tuple[Outcome, Signal | None]:
        entry = mapping(body, "messages", 0)
        status, given_id = text(entry, "status"), text(entry, "quicksms_id")
        if text(entry, "customer_id") not in (None, message.ref):
            return Unclear("the answer is about another message"), None
        if status == "REJECTED" and given_id is None:
            return self._rejected(reply, error_of(body))
        if status not in SEND_STATES and given_id is None:
            return Unclear(f"HTTP {reply.status} without a readable status"), None
        return _accepted(entry, status or "", given_id), None

    def _rejected(self, reply: Reply, error: Mapping[str, object]) -> tuple[Refused | Unclear, Signal | None]:
        if text(error, "code"):
            return self._by_code(reply, error)
        return Refused(Failure("REJECTED", FailureClass.UNSPECIFIED, self._said("rejected", error))), None

    def _refusal(self, reply: Reply, body: object) -> tuple[Refused | Unclear, Signal | None]:
        error = error_of(body)
        if reply.status >= 500:
            reason = self._said(self._shown(text(error, "code")) or f"http_{reply.status}", error)
            return Unclear(reason), ServerTrouble(reply.status, reason)
        if reply.status < 400:
            return Unclear(f"http_{reply.status}"), None
        return self._by_code(reply, error)

    def _by_code(self, reply: Reply, error: Mapping[str, object]) -> tuple[Refused | Unclear, Signal | None]:
        code = text(error, "code") or ""
        if code in UNCLEAR_CODES or (reply.status == 409 and code not in CODES):
            return Unclear(self._said(UNCLEAR_CODES.get(code, "http_409"), error)), None
        if code in CODES:
            return self._known(code, reply, error)
        if code:
            tell_once("quicksms", "error code", self._shown(code))
        if not code or reply.status in (401, 403, 404, 405, 408, 429):
            return bare_refusal(reply)
        reason = self._said("the provider refused it", error)
        return Refused(Failure(self._shown(code), FailureClass.UNSPECIFIED, reason)), None

    def _known(self, code: str, reply: Reply, error: Mapping[str, object]) -> tuple[Refused, Signal | None]:
        rule = _with_param(code, CODES[code], text(error, "param"))
        reason = self._said(rule.reason, error)
        if code == "DUPLICATE_MESSAGE" and (first := original_id(error)):
            reason = f"{reason} (the first was {first})"
        outcome, signal = refused(code, rule, reason, reply)
        if code == "OUT_OF_HOURS":
            outcome = replace(outcome, retry_after=self._resume_in(error, outcome.retry_after))
        return outcome, signal

    def _resume_in(self, error: Mapping[str, object], header: float | None) -> float:
        now = self._clock()
        at = resume_at(error, now)
        if at is not None:
            return (at - now).total_seconds()
        return self._hours_delay if header is None else header

    def _shown(self, foreign: str | None) -> str:
        return showable(foreign, (self._key,), 60)

    def _said(self, ours: str, error: Mapping[str, object]) -> str:
        theirs = showable(error.get("message"), (self._key,))
        return f"{ours}: {theirs}" if theirs else ours


def _callback(url: str | None) -> str | None:
    if url is not None and len(url) > _MOST_URL:
        raise ValueError(f"webhook_url: found {len(url)} characters, expected at most {_MOST_URL}")
    return url


def metadata_fault(given: Mapping[str, str]) -> str | None:
    """Why this metadata would be refused, or None."""
    if len(given) > _MOST_KEYS:
        return f"metadata has {len(given)} keys, at most {_MOST_KEYS} are allowed"
    long = [name for name, value in given.items() if characters(value) > _MOST_VALUE]
    return f"metadata {long[0]!r} is longer than {_MOST_VALUE} characters" if long else None


def _metadata(options: Options) -> Mapping[str, str]:
    given = options.table("metadata")
    texts = {str(name): value for name, value in given.items() if isinstance(value, str)}
    if len(texts) < len(given) or metadata_fault(texts):
        raise options.wrong("metadata", dict(given), metadata_fault(texts) or "texts as values")
    return texts


def _expiry(validity: int) -> int:
    return min(max(validity, EXPIRY[0]), EXPIRY[1])


# --- reading pieces of an answer -------------------------------------------------------------------------------------


def error_of(body: object) -> Mapping[str, object]:
    """The error object of either documented shape: the message's own first, then the request's; else empty."""
    return mapping(body, "messages", 0, "error") or mapping(body, "error")


def request_id(reply: Reply, body: object) -> str | None:
    found = text(mapping(body, "error"), "request_id") or reply.header("x-request-id")
    return showable(found, limit=80) or None


def _accepted(entry: Mapping[str, object], status: str, given_id: str | None) -> Accepted:
    known = SEND_STATES.get(status)
    if known is None:
        tell_once("quicksms", "send status", status)
    parts = whole(entry, "message_parts")
    return Accepted(
        given_id,
        known or SEND_STATES["ACCEPTED"],
        parts=parts if parts and parts > 0 else None,
        held_until=timestamp(entry.get("scheduled_send_at")),
        # only accepted messages get an id, so an id is evidence whatever the status says
        note=None if known else f"answered with an id and status {showable(status, limit=40)!r}",
    )


def _with_param(code: str, rule: Rule, param: str | None) -> Rule:
    if code in ("VALIDATION_ERROR", "MISSING_FIELD") and param in PARAM_CLASSES:
        return replace(rule, klass=PARAM_CLASSES[param])
    return rule
