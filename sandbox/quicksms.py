"""QuickSMS API 2.0: POST /v1/messages, GET /v1/health, signed DLR webhooks; the legacy V1 is in quicksms_v1.py.

Readings where the document is silent: only 202 answers are cached under an Idempotency-Key; the fields of OUT_OF_HOURS
and DUPLICATE_MESSAGE are `window`, `resumes_at` and `original_message_id`; every webhook attempt has a fresh timestamp;
a read receipt is a second webhook.
"""

import hmac
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import orjson

from sandbox.clock import iso
from sandbox.core import Provider, Route, Routes, World
from sandbox.exchange import Call, Reply, json_reply
from sandbox.idempotency import KeyCache, Match
from sandbox.ledger import Entry
from sandbox.lockout import Lockout
from sandbox.outcomes import Outcome, Refusal
from sandbox.quicksms_account import AccountRules, Draft
from sandbox.quicksms_rules import MAX_KEY, Problem, check
from sandbox.quicksms_settings import QuickSmsSettings
from sandbox.quicksms_v1 import LegacyDetails, LegacyV1
from sandbox.reports import Push, Wire
from sandbox.settings import Settings
from sandbox.text import encoding_and_parts

TEST_NOTE = "This is a QuickSMS test message"
SANDBOX_TRUTH = {"0000": Outcome.UNDELIVERED, "9999": Outcome.EXPIRED}
STATUS_CODE = {"DELIVERED": 0, "UNDELIVERED": 27, "EXPIRED": 255, "REJECTED": 13, "PENDING": 0}
ERROR_TYPE = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    409: "idempotency_error", 422: "validation_error", 429: "rate_limit_error",
}  # fmt: skip


@dataclass(slots=True, eq=False)
class Details:
    """What QuickSMS knows of a message beyond the ledger."""

    channel: str
    encoding: str | None
    sandbox: bool
    metadata: Any = None
    held_until: float | None = None
    final_channel: str = "SMS"
    final_parts: int = 1
    read_at: float | None = None


class QuickSms(Provider):
    name: ClassVar[str] = "quicksms"
    retry_delays: ClassVar[tuple[float, ...]] = (0.0, 30.0, 120.0, 600.0, 3600.0)
    settings: QuickSmsSettings

    def __init__(self, world: World, settings: Settings | None = None) -> None:
        self._keys = KeyCache()
        self._lockout = Lockout()
        self._account = AccountRules(self)
        self.legacy = LegacyV1(self)
        super().__init__(world, settings)

    @classmethod
    def default_settings(cls) -> QuickSmsSettings:
        return QuickSmsSettings()

    @classmethod
    def fast(cls) -> dict[str, object]:
        return super().fast() | {"sandbox_dlr_delay": 0.05, "sandbox_read_delay": 0.05, "read_delay": 0.05}

    def routes(self) -> Routes:
        return {
            ("POST", "/v1/messages"): Route(self.send),
            ("GET", "/v1/health"): Route(self._health, auth=False, limited=False),
            **self.legacy.routes(),
        }

    def reset(self) -> None:
        super().reset()
        self._keys.clear()
        self._lockout.clear()
        self._account.clear()

    # -- answers ------------------------------------------------------------------------------------------------------

    def problem(self, problem: Problem, **headers: str) -> Reply:
        error = {
            "type": ERROR_TYPE.get(problem.status, "api_error"),
            "code": problem.code,
            "message": problem.message,
            "param": problem.param,
            "request_id": f"req_{self.world.rng.getrandbits(32):08x}",
        }
        return json_reply(problem.status, {"error": {k: v for k, v in error.items() if v is not None}}, **headers)

    def error(self, status: int, message: str) -> Reply:
        return self.problem(Problem(status, "INTERNAL_ERROR" if status >= 500 else "NOT_FOUND", message))

    def throttled(self, retry_after: str | None) -> Reply:
        return self._too_many("RATE_LIMITED", "Too many requests.", retry_after)

    def unauthorized(self, call: Call) -> Reply:
        return self.problem(Problem(401, "UNAUTHORIZED", "Invalid or missing API key."))

    def decorate(self, call: Call, reply: Reply) -> None:
        standing = self.limiter(call.account).standing(call.now)
        if standing is not None:
            reply.headers["X-RateLimit-Limit"] = str(standing.limit)
            reply.headers["X-RateLimit-Remaining"] = str(standing.remaining)
            reply.headers["X-RateLimit-Reset"] = str(math.ceil(self.world.clock.wall() + standing.reset_in))

    def _too_many(self, code: str, message: str, retry_after: str | None) -> Reply:
        headers = {} if retry_after is None else {"Retry_After": retry_after}
        return self.problem(Problem(429, code, message), **headers)

    def _health(self, call: Call) -> Reply:
        return (
            json_reply(503, {"status": "degraded"})
            if self.settings.degraded
            else json_reply(200, {"status": "healthy"})
        )

    # -- who may send -------------------------------------------------------------------------------------------------

    def authenticate(self, call: Call) -> Reply | None:
        if (left := self.locked(call)) > 0:
            return self._too_many("AUTH_RATE_LIMITED", "Too many failed attempts.", str(math.ceil(left)))
        basic = call.basic()
        key = call.bearer() or (basic[0] if basic else "")
        status = self.settings.keys.get(key)
        if status is None:
            self.login_failed(call)
            return self.unauthorized(call)
        self._lockout.succeeded(call.remote)
        call.account = key
        return self._forbidden(call, status)

    def _forbidden(self, call: Call, status: str) -> Reply | None:
        if self.settings.allowed_ips is not None and call.remote not in self.settings.allowed_ips:
            return self.problem(Problem(403, "IP_NOT_ALLOWED", "Your IP address is not on the allowlist."))
        if status != "active":
            return self.problem(Problem(403, "ACCOUNT_INACTIVE", f"The API connection is {status}."))
        return None

    def locked(self, call: Call) -> float:
        return self._lockout.remaining(call.remote, call.now)

    def login_failed(self, call: Call) -> None:
        settings = self.settings
        self._lockout.failures = settings.lock_failures
        self._lockout.per_seconds, self._lockout.lock_seconds = settings.lock_window, settings.lock_seconds
        self._lockout.failed(call.remote, call.now)

    # -- sending ------------------------------------------------------------------------------------------------------

    def numbers_in(self, call: Call) -> Iterable[str]:
        payload = call.json()
        number = payload.get("MSISDN") if isinstance(payload, dict) else None
        return (number,) if isinstance(number, str) else ()

    def send(self, call: Call) -> Reply:
        key = call.headers.get("Idempotency-Key")
        if key is not None and (len(key) > MAX_KEY or not key.isascii()):
            return self._refuse(Problem(422, "VALIDATION_ERROR", "The Idempotency-Key exceeds 128 ASCII characters."))
        payload = call.json()
        if key and (known := self._known(call, key, payload)) is not None:
            return known
        if (problem := check(payload)) is not None:
            return self._refuse(problem)
        reply, entry = self._take(call, payload, key)
        if key and entry is not None:
            self._keys.remember(call.account, key, payload, entry, call.now + self.settings.idempotency_ttl)
        return reply

    def _known(self, call: Call, key: str, payload: Any) -> Reply | None:
        """The answer to a key that was used before, or None."""
        match, entry = self._keys.find(call.account, key, payload, call.now)
        if match is Match.OTHER:
            return self._refuse(
                Problem(409, "IDEMPOTENCY_CONFLICT", "This Idempotency-Key was used with a different payload.")
            )
        if entry is None:
            return None
        self.ledger.counts.replays += 1
        return self._accepted(entry)

    def _refuse(self, problem: Problem) -> Reply:
        self.ledger.counts.rejected += 1
        return self.problem(problem)

    def _take(self, call: Call, payload: dict[str, Any], key: str | None) -> tuple[Reply, Entry | None]:
        draft = self._draft(call, payload)
        if not draft.sandbox and self.refusal(draft.msisdn) is Refusal.INVALID_NUMBER:
            invalid = Problem(422, "INVALID_PHONE_NUMBER", "The MSISDN is not valid international format.", "MSISDN")
            return self._refuse(invalid), None
        if (rejected := self._account.rejection(call, draft)) is not None:
            self.ledger.counts.rejected += 1
            return rejected, None
        entry = self._enter(call, draft, key)
        return self._accepted(entry), entry

    def _draft(self, call: Call, payload: dict[str, Any]) -> Draft:
        test_key = call.account.startswith("sk_test_")
        text = f"{payload['msg']} {TEST_NOTE}" if test_key else payload["msg"]
        sandbox = test_key or bool(payload.get("sandbox")) or self.settings.environment == "test"
        rcs = bool(payload.get("smart_routing")) and payload["sender"] in self.settings.rcs_agents
        encoding, parts = encoding_and_parts(text)
        return Draft(payload["MSISDN"], text, payload["sender"], sandbox, test_key, rcs, encoding, parts, payload)

    def _enter(self, call: Call, draft: Draft, key: str | None) -> Entry:
        settings, payload = self.settings, draft.payload
        hold = settings.hours_resume_in if settings.out_of_hours == "hold" and not draft.sandbox else 0.0
        details = Details("RCS" if draft.rcs else "SMS", None if draft.rcs else draft.encoding, draft.sandbox)
        details.metadata = payload.get("metadata")
        details.held_until = self.world.clock.wall() + hold if hold else None
        self._route(draft, details)
        entry = self.accept(
            call, id=f"msg_{self.world.rng.getrandbits(64):016x}", msisdn=draft.msisdn, sender=draft.sender,
            text=draft.text, parts=1 if draft.rcs else draft.parts, ref=payload.get("customer_id"), key=key,
            callback_url=payload.get("callback_url"), extra=details, hold=hold,
            truth=SANDBOX_TRUTH.get(draft.msisdn[-4:], Outcome.DELIVERED) if draft.sandbox else None,
            delay=settings.sandbox_dlr_delay if draft.sandbox else None,
        )  # fmt: skip
        self._account.enter(call, draft, entry, details.final_parts)
        return entry

    def _route(self, draft: Draft, details: Details) -> None:
        """RCS, or the SMS that it falls back to."""
        stays = draft.rcs and (self.settings.rcs_reach >= 1 or self.world.rng.random() < self.settings.rcs_reach)
        details.final_channel, details.final_parts = ("RCS", 1) if stays else ("SMS", draft.parts)

    def _accepted(self, entry: Entry) -> Reply:
        """The 202 of an accepted message; the same for the first answer and for every replay."""
        details: Details = entry.extra  # type: ignore[assignment]  # set by _enter
        if details.held_until is not None:
            held = {"quicksms_id": entry.id, "status": "HELD", "scheduled_send_at": iso(details.held_until)}
            return json_reply(202, {"sandbox": details.sandbox, "messages": [held]})
        message = {
            "quicksms_id": entry.id,
            "MSISDN": entry.msisdn,
            "sender": entry.sender,
            "status": "ACCEPTED",
            "channel": details.channel,
            "encoding": details.encoding,
            "message_parts": entry.parts,
        }
        if entry.ref is not None:
            message["customer_id"] = entry.ref
        totals = {"sandbox": details.sandbox, "total": 1, "accepted": 1, "rejected": 0}
        return json_reply(202, totals | {"messages": [message], "created_at": iso(entry.accepted_at)})

    # -- reports ------------------------------------------------------------------------------------------------------

    def initial_status(self, entry: Entry) -> str:
        return "ACCEPTED"

    def status_of(self, entry: Entry) -> str:
        return entry.truth.upper()

    def stale_status(self, entry: Entry) -> str | None:
        return "PENDING"

    def progress(self, entry: Entry) -> tuple[tuple[float, str], ...]:
        pending = ((0.3, "PENDING"),) if self.settings.pending_webhook else ()
        return pending + super().progress(entry)

    def publish(self, entry: Entry, status: str) -> None:
        super().publish(entry, status)
        if status == "DELIVERED" and _is_rcs(entry) and self.world.rng.random() < self.settings.read_share:
            sandbox = isinstance(entry.extra, Details) and entry.extra.sandbox
            delay = self.settings.sandbox_read_delay if sandbox else self.settings.read_delay
            self.world.agenda.add(self.world.clock.now() + self.world.rng.uniform(*delay), partial(self._read, entry))

    def _read(self, entry: Entry) -> None:
        """The handset has shown an RCS message: a second webhook, or V1's seen receipt."""
        if isinstance(entry.extra, Details):
            entry.extra.read_at = self.world.clock.wall()
            push = self.push_of(entry, "DELIVERED")
        else:
            push = self.legacy.seen(entry)
        if self.settings.push and push is not None:
            push.final = False
            self.world.pusher.submit(push)

    def push_of(self, entry: Entry, status: str) -> Push | None:
        if not isinstance(entry.extra, Details):
            return self.legacy.push_of(entry, status)
        if entry.callback_url is None:
            return None
        body = orjson.dumps(self._report(entry, entry.extra, status))
        return Push(self, partial(self._wire, entry.callback_url, body), entry, final=status != "PENDING")

    def _report(self, entry: Entry, details: Details, status: str) -> dict[str, object]:
        rcs = details.final_channel == "RCS"
        at = iso(entry.status_at)
        return {
            "quicksms_id": entry.id,
            "customer_id": entry.ref,
            "channel": details.final_channel,
            "message_status": status,
            "status_code": STATUS_CODE[status],
            "message_parts": details.final_parts,
            "message_sent_time": iso(details.held_until or entry.accepted_at),
            "delivery_receipt_time": at,
            "read_receipt": details.read_at is not None if rcs else None,
            "read_receipt_timestamp": iso(details.read_at) if details.read_at is not None else None,
            "done_time": at,
            "metadata": details.metadata,
        }

    def _wire(self, url: str, body: bytes, attempt: int) -> Wire:
        stamp = str(int(self.world.clock.wall()))
        headers = {
            "Content-Type": "application/json",
            "X-QuickSMS-Timestamp": stamp,
            "X-QuickSMS-Event": "dlr",
            "X-QuickSMS-Delivery-Attempt": str(attempt),
        }
        if secret := self.settings.webhook_secret:
            digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, "sha256").hexdigest()
            headers["X-QuickSMS-Signature"] = f"sha256={digest}"
        return Wire("POST", url, headers, body)

    def inbound(self, fields: dict[str, Any]) -> Push:
        return self.legacy.inbound(fields)


def _is_rcs(entry: Entry) -> bool:
    details = entry.extra
    return (
        details.final_channel == "RCS"
        if isinstance(details, Details)
        else isinstance(details, LegacyDetails) and details.rcs
    )
