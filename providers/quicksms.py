"""QuickSMS: one recipient per request, replays under an Idempotency-Key, reports by push only.

`api = "v2"` (the default) is the documented V2 API; `api = "v1"` the legacy one. Both report to the same webhook.
Source: QuickSMS API Documentation, version 2.0 (March 2026).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from providers.base import (
    AccountSettings,
    Allowance,
    Failure,
    Forged,
    Genuine,
    LookUpPolicy,
    Misconfigured,
    NoAnswer,
    OpenWork,
    Outgoing,
    Page,
    Parsed,
    Push,
    Raw,
    ReadLimit,
    ServerTrouble,
    Sighting,
    Signal,
    Sought,
    Submission,
    Throttle,
    Unclear,
    Verdict,
)
from providers.extras import Question
from providers.quicksms_push import Kind, items_of, kind_of, parse, signature_fault
from providers.quicksms_v1 import V1Send
from providers.quicksms_v2 import Clock, V2Send, utc_now
from providers.shared import Options, all_alike, endpoint_base, join_url, json_or_none, same_secret, text
from providers.wire import BadBody, Reply, Request, Send

_V1_ANSWER = Genuine(body=b"RECEIVED", content_type="text/plain")  # V1 wants this word, within about a second


class _SendApi(Protocol):
    """What V1 and V2 have in common: one message out, one answer in."""

    policy: LookUpPolicy

    def check(self, message: Outgoing) -> Failure | None: ...
    def warnings(self, message: Outgoing) -> Sequence[str]: ...
    def request(self, message: Outgoing) -> Request: ...
    def read(self, message: Outgoing, reply: Reply) -> Submission: ...
    def signal(self, reply: Reply) -> Signal | None: ...
    def allowance(self, reply: Reply) -> Allowance | None: ...


class QuickSms:
    """One QuickSMS account. Options and credentials are listed in docs/providers/quicksms.md.

    Reports carry our client reference (`customer_id`, V1 `cid`), the same as the Idempotency-Key: so they tell the try.
    """

    name: ClassVar[str] = "quicksms"
    credential_names: ClassVar[Sequence[str]] = ("api_key",)  # with api = "v1": username, password
    max_recipients = 1
    pulls = False
    pushes: bool
    report_deadline = 7200.0
    shares_poll_budget = False
    read_limits: Sequence[ReadLimit] = ()

    def __init__(self, settings: AccountSettings, clock: Clock = utc_now) -> None:
        # the document prints base URL and endpoint as one in its samples
        settings = replace(settings, base_url=endpoint_base(settings.base_url, "/v1/messages", "/v1", "/rcs/v2/api"))
        options = Options(settings.options)
        self._legacy = options.choice("api", ("v2", "v1"), "v2") == "v1"
        self._window = options.whole("webhook_window", 300, 0, 86_400)
        self._zone = _zone(options)
        self._api: _SendApi = V1Send(settings, options) if self._legacy else V2Send(settings, options, clock)
        options.done()
        self._settings = settings
        self.pushes = bool(settings.webhook_token or (settings.webhook_secret and not self._legacy))
        self.look_up_policy = self._api.policy
        self.no_report_note = _no_report_note(settings)

    # --- submit ---

    def check(self, message: Outgoing) -> Failure | None:
        return self._api.check(message)

    def warnings(self, message: Outgoing) -> Sequence[str]:
        return self._api.warnings(message)

    def submit_request(self, chunk: Sequence[Outgoing], bulk_ref: str) -> Request:
        """`bulk_ref` is not used: the Idempotency-Key is the message's own. Raises ValueError for several messages."""
        (message,) = chunk
        return self._api.request(message)

    def read_submit(self, chunk: Sequence[Outgoing], reply: Reply) -> Submission:
        if len(chunk) != 1:  # no such request was ever made
            return all_alike(chunk, Unclear("an answer is about one message"))
        return self._api.read(chunk[0], reply)

    def read_signal(self, reply: Reply) -> tuple[Signal | None, Allowance | None]:
        return self._api.signal(reply), self._api.allowance(reply)

    # --- reports: push only ---

    def first_pages(self, work: OpenWork) -> Sequence[Page]:
        return ()

    def page_request(self, page: Page) -> Request:
        raise ValueError("QuickSMS has no reports to pull")

    def following(self, page: Page, reply: Reply) -> Page | None:
        return None

    def parse_reports(self, raw: Raw) -> Parsed:
        return parse(raw, self._zone)

    def verify(self, push: Push, now: datetime) -> Verdict:
        """V2 webhooks by their signature; what V1 pushes (never signed) and accounts without a secret by the token."""
        if push.method.upper() != "POST":
            return Forged(f"method {push.method[:10]}")
        legacy = self._legacy or _is_inbound(push.body)
        secret = self._settings.webhook_secret
        if secret and not legacy:
            fault = signature_fault(push, secret, now, self._window)
        else:
            fault = None if same_secret(push.path_token, self._settings.webhook_token) else "wrong or missing token"
        if fault:
            return Forged(fault)
        return _V1_ANSWER if legacy else Genuine()

    # --- unknown outcomes, probe ---

    async def look_up(self, sought: Sequence[Sought], send: Send) -> Mapping[str, Sighting]:
        """Nothing to ask: V2 is replayed, V1 waits for its receipt."""
        return {one.message.id: NoAnswer("QuickSMS cannot be asked about a message") for one in sought}

    def probe_request(self) -> Request:
        """The health page, without credentials: a wrong login counts towards the lock-out of our whole address, and the
        contract of a probe allows no more than one request. Whether the key is right, `questions` asks."""
        url = join_url(self._settings.base_url, "/v1/health")
        return Request("GET", url, {"Accept": "application/json"}, timeout=self._settings.timeout)

    def read_probe(self, reply: Reply) -> str:
        said = text(json_or_none(reply), "status") or "unreadable"
        if reply.status != 200 or said != "healthy":
            raise BadBody(f"health page: HTTP {reply.status}, {said[:40]}")
        unproven = "; whether the login is right shows only when a message is sent" if self._legacy else ""
        return f"reachable and healthy{unproven}"

    def questions(self) -> Sequence[Question]:
        """V2: a send without recipient, text and sender. It can only be refused; what for tells whether the key is
        right. V1 numbers the missing field before the wrong password, so there it would prove nothing."""
        if self._legacy:
            return ()
        empty = self._api.request(Outgoing("probe", "probe", "", "", ""))
        headers = {name: value for name, value in empty.headers.items() if name != "Idempotency-Key"}
        request = Request("POST", empty.url, headers, b'{"sandbox":true}', empty.timeout)
        return (Question("API key", request, self._read_empty_send),)

    def _read_empty_send(self, reply: Reply) -> str:
        signal = self._api.signal(reply)
        if isinstance(signal, Misconfigured | Throttle | ServerTrouble):
            raise BadBody(f"HTTP {reply.status}, {signal.reason}")
        if reply.status not in (400, 422):
            raise BadBody(f"HTTP {reply.status} to an empty request, expected 400 or 422")
        return "the API key is accepted"


def _is_inbound(body: bytes) -> bool:
    try:
        return all(kind_of(item) is Kind.INBOUND for item in items_of(body))
    except BadBody:
        return False


def _zone(options: Options) -> ZoneInfo:
    given = options.text("time_zone", "UTC")
    try:
        return ZoneInfo(given)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise options.wrong("time_zone", given, "a zone such as Europe/London") from error


def _no_report_note(settings: AccountSettings) -> str | None:
    if settings.webhook_url:
        return None
    return "no webhook_url is set: reports come only if the portal has a connection-level URL"
