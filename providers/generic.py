"""A provider described wholly in the accounts file: for whoever has a plain HTTP API for single messages.

The file says how a request looks (URL, method, headers, body), what proves acceptance, which codes mean what, and
where reports come from. Nothing is guessed: an answer that matches neither success nor a listed refusal is unclear.
The options are described in docs/providers/generic.md.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar
from urllib.parse import parse_qsl, quote, quote_plus

import orjson

from models.states import MessageState
from providers.base import (
    Accepted,
    AccountSettings,
    Allowance,
    Failure,
    FailureClass,
    Forged,
    Genuine,
    LookUpBy,
    LookUpPolicy,
    Misconfigured,
    OpenWork,
    Outcome,
    Outgoing,
    OutOfCredit,
    Page,
    Parsed,
    Push,
    Raw,
    ReadLimit,
    Refused,
    Report,
    ServerTrouble,
    Sighting,
    Signal,
    Sought,
    Submission,
    Throttle,
    Unclear,
    Verdict,
)
from providers.bodies import parse_json
from providers.generic_setup import (
    CLASSES,
    FIELDS,
    FORMATS,
    OUT_OF_CREDIT,
    STATES,
    Call,
    Values,
    Webhook,
    at,
    call_of,
    fill,
    fill_all,
    header_safe,
    pattern_of,
    slots,
    success_of,
    words_of,
)
from providers.shared import (
    Options,
    bare_refusal,
    credential,
    digits,
    join_url,
    json_or_none,
    money,
    retry_after,
    same_secret,
    showable,
    tell_once,
    text,
    timestamp,
    whole,
)
from providers.wire import BadBody, Reply, Request, Send


class Generic:
    """One account of a provider that is described in its options. One message per request."""

    name: ClassVar[str] = "generic"
    credential_names: ClassVar[Sequence[str]] = ()  # whatever its templates name as {credential.…}
    max_recipients = 1
    no_report_note: str | None = None
    report_deadline = 3 * 86_400.0
    shares_poll_budget = True  # nothing says otherwise
    read_limits: Sequence[ReadLimit] = ()

    def __init__(self, settings: AccountSettings) -> None:
        self._settings = settings
        options = Options(settings.options)
        send = options.part("send")
        self._send = call_of(send)
        send.done()
        self._success = success_of(options.part("success"))
        self._read_words(options)
        self._read_reports(options)
        self._read_limits(options)
        options.done()
        self._values = self._credentials()
        if settings.request_cap not in (None, 1):
            raise ValueError(f"request_cap: found {settings.request_cap}, expected 1: one message per request")

    def _read_words(self, options: Options) -> None:
        self._states = words_of(options, "states", STATES)
        self._refusals = words_of(options, "refusals", CLASSES)
        self._refusal_path = options.text("refusal_path")
        self._reason_path = options.text("reason_path")

    def _read_reports(self, options: Options) -> None:
        self._fields = options.table("report")
        for name, path in self._fields.items():
            if name not in (*FIELDS, "list") or not isinstance(path, str):
                raise options.fault(f"report.{name}", path, "a path for one of list, " + ", ".join(FIELDS))
        poll, probe, webhook = options.part("poll"), options.part("probe"), options.part("webhook")
        self._poll = call_of(poll) if options.table("poll") else None
        self._page_size = poll.whole("page_size", 100, 1, 10_000)
        poll.done()
        self._probe = call_of(probe) if options.table("probe") else None
        probe.done()
        self._webhook = Webhook(webhook.text("header"), webhook.flag("hmac"), webhook.text("prefix"))
        webhook.done()
        self.pulls = self._poll is not None
        pushed = bool(options.table("webhook"))
        self.pushes = pushed and bool(self._settings.webhook_token or self._guarded)
        matched = "status" in self._fields and {"id", "ref"} & set(self._fields)
        if (self.pulls or pushed) and not matched:
            raise options.fault("report", dict(self._fields), "a path for status, and one for id or ref")

    def _read_limits(self, options: Options) -> None:
        self._longest = options.whole("max_length", 1600, 1, 100_000)
        self._sender = pattern_of(options, "sender_pattern")
        replayable = options.flag("idempotent")
        by = LookUpBy.REPLAY if replayable else LookUpBy.NONE
        after = (5.0, 30.0, 120.0, 600.0, 3600.0) if replayable else ()
        self.look_up_policy = LookUpPolicy(by, after, False, 86_400.0 if replayable else self.report_deadline)

    def _credentials(self) -> dict[str, str]:
        """The values of every {credential.…} slot. Raises ValueError naming a missing one."""
        calls = [call for call in (self._send, self._poll, self._probe) if call]
        used = {slot for c in calls for part in (c.path, c.query, c.headers, c.body) for slot in slots(part)}
        names = sorted(slot.removeprefix("credential.") for slot in used if slot.startswith("credential."))
        return {f"credential.{name}": credential(self._settings, name) for name in names}

    # --- submit ------------------------------------------------------------------------------------------------------

    def check(self, message: Outgoing) -> Failure | None:
        if not re.fullmatch(r"\+[1-9][0-9]{6,14}", message.msisdn):
            return Failure("to", FailureClass.RECIPIENT, "not an international number of 7 to 15 digits")
        if not message.text or len(message.text) > self._longest or not _encodable(message):
            return Failure(
                "text", FailureClass.CONTENT, f"the text must be 1 to {self._longest} characters of valid Unicode"
            )
        if self._sender and not self._sender.fullmatch(message.sender):
            return Failure("sender", FailureClass.SENDER, "the account's sender_pattern does not allow this sender")
        return None

    def warnings(self, message: Outgoing) -> Sequence[str]:
        return ()

    def submit_request(self, chunk: Sequence[Outgoing], bulk_ref: str) -> Request:
        (message,) = chunk
        values = {
            "to": message.msisdn,
            "digits": digits(message.msisdn),
            "text": message.text,
            "sender": message.sender,
            "ref": message.ref,
            "bulk": bulk_ref,
            "validity": "" if message.validity is None else str(message.validity),
            **{f"option.{name}": value for name, value in message.options.items()},
        }
        return self._request(self._send, values)

    def _request(self, call: Call, values: Values) -> Request:
        known = {**values, **self._values}
        query = {key: fill(str(value), known) for key, value in call.query.items()}
        headers = {key: fill(str(value), known, header_safe) for key, value in call.headers.items()}
        body = self._body(call, known)
        if body:
            headers = {"Content-Type": FORMATS[call.format][1], **headers}
        path = fill(call.path, known, lambda value: quote(value, safe=""))
        url = join_url(self._settings.base_url, path, query)
        return Request(call.method, url, headers, body, self._settings.timeout, 4 * 1_048_576)

    @staticmethod
    def _body(call: Call, values: Values) -> bytes:
        if isinstance(call.body, str):
            return fill(call.body, values, FORMATS[call.format][0]).encode()
        filled = fill_all(call.body, values) if call.body is not None else None
        if call.format == "form" and isinstance(filled, Mapping):
            return "&".join(f"{quote_plus(k)}={quote_plus(str(v))}" for k, v in filled.items()).encode()
        return orjson.dumps(filled) if filled is not None else b""

    def read_submit(self, chunk: Sequence[Outgoing], reply: Reply) -> Submission:
        outcome, signal = self._outcome(reply)
        return Submission({message.id: outcome for message in chunk}, signal)

    def _outcome(self, reply: Reply) -> tuple[Outcome, Signal | None]:
        body = json_or_none(reply)
        refused = self._listed_refusal(reply, body)
        if refused:
            return refused
        if 200 <= reply.status < 300:
            return self._accepted(reply, body) or (Unclear("the answer proves nothing"), None)
        if reply.status == 409:  # a conflict may well be with our own first try
            return Unclear("http_409"), None
        if 400 <= reply.status < 500:
            return bare_refusal(reply)
        return Unclear(f"http_{reply.status}"), ServerTrouble(reply.status, f"HTTP {reply.status}")

    def _accepted(self, reply: Reply, body: object) -> tuple[Accepted, None] | None:
        rule, written = self._success, reply.body.decode("utf-8", "replace")
        if rule.pattern and not rule.pattern.search(written):
            return None
        if rule.values and text(at(body, rule.path)) not in rule.values:
            return None
        matched = rule.id_pattern.search(written) if rule.id_pattern else None
        found = matched[matched.re.groups and 1] if matched else text(at(body, rule.id_path)) if rule.id_path else None
        proven = bool(rule.pattern or rule.values)
        return (Accepted(found[:200] if found else None), None) if found or proven else None

    def _listed_refusal(self, reply: Reply, body: object) -> tuple[Outcome, Signal | None] | None:
        code = text(at(body, self._refusal_path)) if self._refusal_path else None
        ours = self._refusals.get(code.lower()) if code else self._refusals.get(f"http_{reply.status}")
        if ours is None:
            if code and reply.status >= 400:
                tell_once("generic", "refusal", self._showable(code))
            return None
        shown = self._showable(code) or f"http_{reply.status}"
        reason = self._showable(text(at(body, self._reason_path)) if self._reason_path else None) or "no reason given"
        return _judged(ours, shown, reason, retry_after(reply))

    def _showable(self, value: object) -> str:
        return showable(value, self._values.values())

    def read_signal(self, reply: Reply) -> tuple[Signal | None, Allowance | None]:
        return (self._outcome(reply)[1] if not 200 <= reply.status < 300 else None), None

    # --- reports -----------------------------------------------------------------------------------------------------

    def first_pages(self, work: OpenWork) -> Sequence[Page]:
        return (Page({"oldest": work.oldest.isoformat()}),) if self._poll else ()

    def page_request(self, page: Page) -> Request:
        if self._poll is None:
            raise ValueError("options.poll: nothing is set up to pull reports from")
        return self._request(self._poll, {**page.query, "page": str(page.number)})

    def following(self, page: Page, reply: Reply) -> Page | None:
        """The next number while pages come full, if the request has a place for it."""
        numbered = self._poll is not None and "page" in slots(self._poll.path) | slots(self._poll.query)
        count = len(self._rows(json_or_none(reply))) if reply.status == 200 else 0
        if not numbered or count < self._page_size:
            return None
        return Page(page.query, page.number + 1, page.seen + count)

    def _rows(self, body: object) -> list[object]:
        found = at(body, str(self._fields.get("list", "")))
        return found if isinstance(found, list) else [found] if isinstance(found, dict) else []

    def parse_reports(self, raw: Raw) -> Parsed:
        found = self._rows(_pushed(raw))
        if not found and raw.kind == "push":
            raise BadBody("no report in it")
        read = [(f"row {place}", self._report(row)) for place, row in enumerate(found)]
        return Parsed(
            reports=[report for _, report in read if isinstance(report, Report)],
            bad=[(where, report) for where, report in read if isinstance(report, str)],
        )

    def _field(self, row: object, name: str) -> object:
        path = self._fields.get(name)
        return at(row, str(path)) if path else None

    def _report(self, row: object) -> Report | str:
        provider_id, ref = text(self._field(row, "id")), text(self._field(row, "ref"))
        word = text(self._field(row, "status"))
        if not (provider_id or ref) or word is None:
            return "no id or no status"
        state = self._states.get(word.lower())
        if state is None:
            tell_once("generic", "status", self._showable(word))
        when, code = self._field(row, "at"), text(self._field(row, "code"))
        key = ":".join((provider_id or ref or "", word, code or "", text(when) or ""))
        return Report(
            dedupe=key if len(key) <= 300 else hashlib.sha256(key.encode("utf-8", "replace")).hexdigest(),
            state=MessageState(state) if state else None,
            provider_id=provider_id,
            ref=ref,
            msisdn=digits(self._field(row, "to")) or None,
            raw_status=self._showable(word)[:100],
            failure=self._failure(state, word, code, text(self._field(row, "reason"))),
            at=timestamp(when),
            parts=whole(self._field(row, "parts")),
            price=money(self._field(row, "price")),
            currency=(text(self._field(row, "currency")) or "")[:3] or None,
        )

    def _failure(self, state: str | None, word: str, code: str | None, reason: str | None) -> Failure | None:
        if state not in ("undelivered", "expired", "rejected", "failed"):
            return None
        ours = self._refusals.get((code or word).lower(), FailureClass.UNSPECIFIED.value)
        klass = FailureClass.ACCOUNT if ours == OUT_OF_CREDIT else FailureClass(ours)
        return Failure(self._showable(code or word), klass, self._showable(reason) or "no reason given")

    def verify(self, push: Push, now: datetime) -> Verdict:
        """The URL token, the secret header, or both: whatever is set up must be right, and something must be."""
        token, secret = self._settings.webhook_token, self._settings.webhook_secret
        if not self.pushes:
            return Forged("no webhook token and no secret header is set up for this account")
        if token and not same_secret(push.path_token, token):
            return Forged("wrong token")
        if self._guarded and not self._signed(push, secret or ""):
            return Forged("wrong or missing secret header")
        return Genuine()

    @property
    def _guarded(self) -> bool:
        return bool(self._webhook.header and self._settings.webhook_secret)

    def _signed(self, push: Push, secret: str) -> bool:
        given = push.headers.get(self._webhook.header.lower(), "").removeprefix(self._webhook.prefix)
        if not self._webhook.hmac:
            return same_secret(given, secret)
        return same_secret(given.lower(), hmac.new(secret.encode(), push.body, hashlib.sha256).hexdigest())

    # --- unknown outcomes and probe ----------------------------------------------------------------------------------

    async def look_up(self, sought: Sequence[Sought], send: Send) -> Mapping[str, Sighting]:
        """Never asked: outcomes are replayed, or told by reports alone."""
        return {}

    def probe_request(self) -> Request | None:
        return self._request(self._probe, {}) if self._probe else None

    def read_probe(self, reply: Reply) -> str:
        if not 200 <= reply.status < 300:
            raise BadBody(f"HTTP {reply.status}")
        return f"ok, HTTP {reply.status}"


def _encodable(message: Outgoing) -> bool:
    """Lone surrogates have no bytes: they can be neither escaped nor sent."""
    try:
        return bool(f"{message.text}{message.sender}{message.ref}".encode())
    except UnicodeEncodeError:
        return False


def _judged(ours: str, code: str, reason: str, wait: float | None) -> tuple[Outcome, Signal | None]:
    """What a listed refusal means for the message and for the account."""
    klass = FailureClass.ACCOUNT if ours == OUT_OF_CREDIT else FailureClass(ours)
    failure = Failure(code, klass, reason)
    if ours == OUT_OF_CREDIT:
        return Refused(failure, wait), OutOfCredit(code, reason)
    if klass is FailureClass.DUPLICATE:
        return Accepted(None, note="the provider has seen this message before"), None
    if klass is FailureClass.ACCOUNT:
        return Refused(failure, wait), Misconfigured(code, reason, wait)
    return Refused(failure, wait), Throttle(wait, reason) if klass is FailureClass.THROTTLED else None


def _pushed(raw: Raw) -> object:
    """The value in a page or push: JSON, a form, or the query string of a GET. Raises BadBody for anything else."""
    if "form-urlencoded" in raw.content_type or not raw.body:
        written = raw.body.decode("utf-8", "replace") or raw.query
        pairs = dict(parse_qsl(written, keep_blank_values=True))
        if not pairs:
            raise BadBody("neither a body nor a query")
        return pairs
    return parse_json(raw.body)
