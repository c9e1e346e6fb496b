"""Qikli: many recipients in one request, our own ids on every one of them, reports that can be read only once.

Source: the Qikli manual. What its printed samples lost (nesting, optional fields, status and error lists) is filled
from the public specification of the platform Qikli is built on; docs/providers/qikli.md says which is which.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import ClassVar
from uuid import uuid4

import orjson

from models.states import MessageState
from providers.base import (
    AccountSettings,
    Allowance,
    Failure,
    FailureClass,
    Forged,
    Found,
    Genuine,
    LookUpBy,
    LookUpPolicy,
    NoAnswer,
    NotThere,
    OpenWork,
    Outgoing,
    Page,
    Parsed,
    Push,
    Raw,
    ReadLimit,
    Report,
    Sighting,
    Signal,
    Sought,
    Submission,
    Verdict,
)
from providers.bodies import parse_json, rows_before_break
from providers.qikli_answers import read_answer, signal_of
from providers.qikli_codes import failure_of, status_of
from providers.shared import (
    Options,
    Remembered,
    basic_auth,
    credential,
    dig,
    digits,
    endpoint_base,
    join_url,
    json_or_none,
    money,
    rows,
    same_secret,
    showable,
    text,
    timestamp,
    whole,
)
from providers.wire import BadBody, Reply, Request, Send, WireError

SEND = "/sms/2/text/advanced"
REPORTS = "/sms/1/reports"
LOGS = "/sms/1/logs"

MAX_BULK_ID = 100
MAX_MESSAGE_ID = 200
MAX_PARTS = 25
MAX_BYTES = 4000
MAX_VALIDITY = 2880  # minutes; more is silently cut to this
DEFAULT_ROWS = 50  # of a page of reports that names no limit
MAX_ROWS = 1000  # of a page of reports or logs
MAX_REQUEST = 1000  # recipients: with texts of 4000 bytes a request stays under about 5 MB
LOGS_AT_ONCE = 50  # message ids in one look-up: keeps the URL under 2 KB
DAY = 86_400.0

TRANSLITERATIONS = (
    "TURKISH", "GREEK", "CYRILLIC", "SERBIAN_CYRILLIC", "CENTRAL_EUROPEAN", "BALTIC", "NON_UNICODE", "ALL",
)  # fmt: skip
LANGUAGES = ("TR", "ES", "PT", "AUTODETECT")

PAGE_BODY = 16 * 1_048_576
"""A page of reports can be read once only: it must never be thrown away for its size."""

_NUMERIC_SENDER = re.compile(r"\+?[0-9]{3,14}")
_NAMED_SENDER = re.compile(r"[A-Za-z0-9 .&_+-]+")


class Qikli:
    """One Qikli account. See docs/providers/qikli.md for its options."""

    name: ClassVar[str] = "qikli"
    hands_out_once = True
    credential_names: ClassVar[Sequence[str]] = ("username", "password")
    pushes: bool
    no_report_note: str | None = None
    report_deadline = 2 * DAY  # reports are kept for 48 hours
    shares_poll_budget = False
    read_limits: Sequence[ReadLimit] = ()

    def __init__(self, settings: AccountSettings) -> None:
        user, password = credential(settings, "username"), credential(settings, "password")
        if ":" in user:
            raise ValueError("credentials.username: holds a colon, which HTTP Basic cannot carry")
        # the manual prints the send endpoint as its "Base URL"
        self._settings = replace(settings, base_url=endpoint_base(settings.base_url, SEND, REPORTS, LOGS))
        self.pushes = bool(settings.webhook_token)
        self._secrets = (user, password, basic_auth(user, password).removeprefix("Basic "))
        self._headers = {
            "Authorization": basic_auth(user, password),
            # without Content-Type the API answers a "General error", with nothing wrong on either side
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        self._read_options(Options(settings.options))
        self.max_recipients = _within("request_cap", settings.request_cap or 200, MAX_REQUEST)
        self._limit = _within("poll_limit", settings.poll_limit or 500, MAX_ROWS)
        self.look_up_policy = LOOK_UP_IN_LOGS if self._has_logs else WAIT_FOR_REPORTS

    def _read_options(self, options: Options) -> None:
        tracking = options.part("tracking")
        self._tracking = {"track": tracking.text("track", "SMS"), "type": tracking.text("type")}
        self._tracked = bool(options.table("tracking"))
        tracking.done()
        self.pulls = options.flag("pull", True)
        self._intermediate = options.flag("intermediate_reports", True)
        self._validity = options.whole("validity", 0, 0, MAX_VALIDITY)
        self._has_logs = options.flag("include_logs")
        self._named_length = options.whole("sender_length", 11, 3, 16)
        self._defaults = {
            "entity_id": options.text("entity_id"),
            "template_id": options.text("template_id"),
            "telemarketer_id": options.text("telemarketer_id"),
            "transliteration": options.choice("transliteration", TRANSLITERATIONS),
            "language": options.choice("language", LANGUAGES),
        }
        self._choices = Remembered(self._choose)
        self._faults = Remembered(self._fault)
        options.done()
        if not self.pulls and not self._settings.webhook_url:
            raise ValueError("options.pull: found false, expected true unless reports are pushed to a webhook URL")

    # --- before the wire ---------------------------------------------------------------------------------------------

    def check(self, message: Outgoing) -> Failure | None:
        """What Qikli would refuse: number, sender, length, ids, options; the codes are Qikli's where it has one."""
        return (
            _check_number(message)
            or self._check_sender(message)
            or _check_text(message)
            or _check_ref(message)
            or self._faults.of(message.options)
        )

    def _check_sender(self, message: Outgoing) -> Failure | None:
        return _sender_failure(message.sender, self._named_length)

    def _fault(self, options: Mapping[str, str]) -> Failure | None:
        chosen = self._choices.of(options)
        if chosen["transliteration"] not in ("", *TRANSLITERATIONS):
            return Failure("transliteration", FailureClass.CONTENT, "unknown transliteration")
        if chosen["language"] not in ("", *LANGUAGES):
            return Failure("language", FailureClass.CONTENT, "unknown language")
        if (chosen["template_id"] or chosen["telemarketer_id"]) and not chosen["entity_id"]:
            return Failure("entity_id", FailureClass.CONTENT, "a DLT template needs its entity id")
        return None

    def _chosen(self, message: Outgoing) -> dict[str, str]:
        """The message's own options over the account's defaults."""
        return self._choices.of(message.options)

    def _choose(self, options: Mapping[str, str]) -> dict[str, str]:
        return {name: options.get(name) or default for name, default in self._defaults.items()}

    def warnings(self, message: Outgoing) -> Sequence[str]:
        if (message.validity or 0) > MAX_VALIDITY * 60:
            return (f"Qikli keeps a message for {MAX_VALIDITY // 60} hours at most: the validity is cut to that",)
        return ()

    # --- submit ------------------------------------------------------------------------------------------------------

    def submit_request(self, chunk: Sequence[Outgoing], bulk_ref: str) -> Request:
        body: dict[str, object] = {"bulkId": bulk_ref[:MAX_BULK_ID], "messages": self._grouped(chunk)}
        if self._tracked:
            body["tracking"] = {key: value for key, value in self._tracking.items() if value}
        url = join_url(self._settings.base_url, SEND)
        return Request("POST", url, self._headers, orjson.dumps(body), self._settings.timeout, PAGE_BODY)

    def _grouped(self, chunk: Sequence[Outgoing]) -> list[dict[str, object]]:
        """One element for every distinct text (with its sender and options), in the order of their first message."""
        elements: dict[bytes, dict[str, object]] = {}
        destinations: dict[bytes, list[dict[str, str]]] = {}
        before, key = None, b""
        for message in chunk:
            shared = (message.sender, message.text, message.validity, message.options)
            if shared != before:  # what is for everybody is made once
                element = self._element(message)
                before, key = shared, orjson.dumps(element)
                elements[key] = element
            to = {"to": digits(message.msisdn), "messageId": message.ref[:MAX_MESSAGE_ID]}
            destinations.setdefault(key, []).append(to)
        return [{**element, "destinations": destinations[key]} for key, element in elements.items()]

    def _element(self, message: Outgoing) -> dict[str, object]:
        chosen = self._chosen(message)
        fields: dict[str, object | None] = {
            "from": message.sender.removeprefix("+") or None,
            "text": message.text,
            "validityPeriod": self._minutes(message.validity),
            "transliteration": chosen["transliteration"] or None,
            "language": {"languageCode": chosen["language"]} if chosen["language"] else None,
            "regional": {"indiaDlt": _dlt(chosen)} if chosen["entity_id"] else None,
            **self._push_fields(),
        }
        return {key: value for key, value in fields.items() if value is not None}

    def _minutes(self, validity: int | None) -> int | None:
        """Whole minutes, rounded up: a message may live a little longer than asked, never shorter."""
        minutes = math.ceil(validity / 60) if validity else self._validity
        return min(max(minutes, 1), MAX_VALIDITY) if minutes else None

    def _push_fields(self) -> dict[str, object | None]:
        url = self._settings.webhook_url
        if not url:
            return {}
        return {"notifyUrl": url, "notifyContentType": "application/json", "intermediateReport": self._intermediate}

    def read_submit(self, chunk: Sequence[Outgoing], reply: Reply) -> Submission:
        return read_answer(chunk, reply, self._secrets, lambda: self._places(chunk))

    def _places(self, chunk: Sequence[Outgoing]) -> dict[str, tuple[int, int]]:
        """Where each reference stands in the request of this chunk: how an error names the fields it objects to."""
        return {
            text(destination, "messageId") or "": (element, place)
            for element, group in enumerate(self._grouped(chunk))
            for place, destination in enumerate(rows(group, "destinations"))
        }

    def read_signal(self, reply: Reply) -> tuple[Signal | None, Allowance | None]:
        return signal_of(reply, self._secrets), None

    # --- reports -----------------------------------------------------------------------------------------------------

    def first_pages(self, work: OpenWork) -> Sequence[Page]:
        return (Page(),) if self.pulls else ()

    def page_request(self, page: Page) -> Request:
        return self._get(REPORTS, {**page.query, "limit": str(self._limit)})

    def following(self, page: Page, reply: Reply) -> Page | None:
        """The same question again while pages come full. Strictly one after the other: every answer is read once.

        A page of the documented default counts as full, too: a server may give less at once than it was asked for.
        """
        count = len(_results(json_or_none(reply)) or ()) if reply.status == 200 else 0
        full = count >= min(self._limit, DEFAULT_ROWS)
        return Page(page.query, page.number + 1, page.seen + count) if full else None

    def parse_reports(self, raw: Raw) -> Parsed:
        try:
            results, broken = _results(parse_json(raw.body)), None
        except BadBody as error:
            # This page will not come again: what stands before the break counts.
            results, broken = [*rows_before_break(raw.body, _OPENING)] or None, error
        if results is None:
            raise broken or BadBody("no list of results")
        read = [(f"results[{place}]", self._report(row)) for place, row in enumerate(results)]
        bad = [(where, found) for where, found in read if isinstance(found, str)]
        if broken is not None:
            bad.append(("body", f"{broken}; {len(results)} results before that were read"))
        return Parsed(reports=[found for _, found in read if isinstance(found, Report)], bad=bad)

    def _report(self, row: object) -> Report | str:
        """The report in one row, or why there is none."""
        message_id = text(row, "messageId")
        if message_id is None:
            return "no messageId"
        status, error = dig(row, "status"), dig(row, "error")
        if not isinstance(status, dict):
            return "no status"
        state, parts = status_of(status).state, _parts(row)
        ids = f"{whole(status, 'id')}:{whole(error, 'id')}"
        return Report(
            dedupe=f"{message_id}:{ids}:{text(row, 'doneAt') or ''}"[:400],
            state=state,
            provider_id=message_id,
            ref=message_id,
            msisdn=digits(dig(row, "to")) or None,
            raw_status=showable(text(status, "name"), self._secrets, 100)
            or f"{whole(status, 'groupId')}/{whole(status, 'id')}",
            failure=failure_of(status, error, self._secrets),
            at=timestamp(dig(row, "doneAt")) or timestamp(dig(row, "sentAt")),
            parts=parts,
            price=_price(row, parts),
            currency=(text(row, "price", "currency") or "")[:3] or None,
            network=(text(row, "mccMnc") or text(row, "mccmnc") or "")[:10] or None,
            group_id=text(row, "bulkId"),
        )

    def verify(self, push: Push, now: datetime) -> Verdict:
        """Pushes carry no signature: the unguessable token in the URL is all there is, so TLS must keep it secret."""
        if not self._settings.webhook_token:
            return Forged("no webhook token is set up for this account")
        if not same_secret(push.path_token, self._settings.webhook_token):
            return Forged("wrong token")
        return Genuine() if push.method == "POST" else Forged(f"method {push.method[:10]}")

    # --- unknown outcomes --------------------------------------------------------------------------------------------

    async def look_up(self, sought: Sequence[Sought], send: Send) -> Mapping[str, Sighting]:
        """Ask the message logs by our messageIds. A row in any state proves acceptance; no row proves nothing."""
        sightings: dict[str, Sighting] = {}
        for start in range(0, len(sought), LOGS_AT_ONCE):
            some = sought[start : start + LOGS_AT_ONCE]
            sightings |= await self._look_at(some, send)
        return sightings

    async def _look_at(self, sought: Sequence[Sought], send: Send) -> Mapping[str, Sighting]:
        ids = ",".join(s.message.ref for s in sought)
        request = self._get(LOGS, {"messageId": ids, "limit": str(MAX_ROWS)})
        try:
            reply = await send(request)
        except WireError as error:
            return {s.message.id: NoAnswer(error.reason) for s in sought}
        results = _results(json_or_none(reply)) if reply.status == 200 else None
        if results is None:
            missing = NoAnswer(f"message logs answered HTTP {reply.status}", self._logs_signal(reply))
            return {s.message.id: missing for s in sought}
        found = self._candidates(results)
        return {s.message.id: Found(found[s.message.ref]) if s.message.ref in found else NotThere() for s in sought}

    def _logs_signal(self, reply: Reply) -> Signal | None:
        """403 and 404 only say that this account has no logs: no reason to stop sending."""
        return None if reply.status in (403, 404) else signal_of(reply, self._secrets)

    def _candidates(self, results: Sequence[object]) -> dict[str, list[Report]]:
        by_ref: dict[str, list[Report]] = {}
        for report in filter(None, map(self._log_row, results)):
            by_ref.setdefault(report.ref or "", []).append(report)
        for found in by_ref.values():
            found.sort(key=lambda report: report.at or datetime.max.replace(tzinfo=UTC))
        return by_ref

    def _log_row(self, row: object) -> Report | None:
        report = self._report(row)
        if isinstance(report, str):
            return None
        # a row in any state, even one we have no word for, proves that the message was taken
        return replace(report, state=report.state or MessageState.SUBMITTED)

    # --- probe -------------------------------------------------------------------------------------------------------

    def probe_request(self) -> Request | None:
        """Reports of a message that never was: proves the login and consumes nobody's report."""
        return self._get(REPORTS, {"messageId": f"probe-{uuid4()}", "limit": "1"})

    def read_probe(self, reply: Reply) -> str:
        signal = signal_of(reply, self._secrets)
        if signal is not None:
            raise BadBody(signal.reason)
        results = _results(json_or_none(reply)) if reply.status == 200 else None
        if results is None:
            raise BadBody(f"HTTP {reply.status} without a list of results: is the base URL right?")
        if results:
            return f"ok, but the messageId filter was ignored and {len(results)} report was consumed by this probe"
        return "ok, login accepted"

    def _get(self, path: str, query: Mapping[str, str]) -> Request:
        # generous: a page whose answer is lost on the way is lost for good
        timeout = max(self._settings.timeout, 60.0)
        return Request("GET", join_url(self._settings.base_url, path, query), self._headers, b"", timeout, PAGE_BODY)


LOOK_UP_IN_LOGS = LookUpPolicy(
    by=LookUpBy.EVIDENCE,
    after=(20.0, 120.0, 600.0, 3600.0),
    proves_absence=False,
    give_up_after=2 * DAY + 7200,
    overdue=1800.0,  # a page of reports that was lost on the way is never given out again; the logs still know
)
WAIT_FOR_REPORTS = LookUpPolicy(by=LookUpBy.NONE, after=(), proves_absence=False, give_up_after=2 * DAY + 7200)
"""Logs and reports reach back 48 hours: two hours later nothing more can be learnt."""


def _within(name: str, value: int, most: int) -> int:
    if not 1 <= value <= most:
        raise ValueError(f"{name}: found {value}, expected a whole number from 1 to {most}")
    return value


@lru_cache(maxsize=1024)
def _sender_failure(sender: str, named_length: int) -> Failure | None:
    """Remembered: a campaign has one sender, and an import asks for every row."""
    if not sender or _NUMERIC_SENDER.fullmatch(sender):
        return None
    if _NAMED_SENDER.fullmatch(sender) and not sender.lstrip("+").isdigit() and 3 <= len(sender) <= named_length:
        return None
    reason = f"the sender must be 3 to {named_length} letters and digits, or 3 to 14 digits"
    return Failure("from", FailureClass.SENDER, reason)


_INTERNATIONAL = re.compile(r"\+[1-9][0-9]{6,14}")


def _check_number(message: Outgoing) -> Failure | None:
    if _INTERNATIONAL.fullmatch(message.msisdn):
        return None
    return Failure("to", FailureClass.RECIPIENT, "not an international number of 7 to 15 digits")


def _check_text(message: Outgoing) -> Failure | None:
    if not message.text:
        return Failure("text", FailureClass.CONTENT, "the text is empty")
    try:
        size = len(message.text.encode())
    except UnicodeEncodeError:
        return Failure("text", FailureClass.CONTENT, "the text is not valid Unicode")
    if message.segments > MAX_PARTS or size > MAX_BYTES:
        return Failure("25", FailureClass.CONTENT, f"longer than {MAX_PARTS} parts or {MAX_BYTES} bytes")
    return None


def _check_ref(message: Outgoing) -> Failure | None:
    if 0 < len(message.ref) <= MAX_MESSAGE_ID and "," not in message.ref:
        return None
    return Failure("messageId", FailureClass.CONTENT, f"our reference must have 1 to {MAX_MESSAGE_ID} characters")


def _dlt(chosen: Mapping[str, str]) -> dict[str, str]:
    given = {
        "principalEntityId": chosen["entity_id"],
        "contentTemplateId": chosen["template_id"],
        "telemarketerId": chosen["telemarketer_id"],
    }
    return {key: value for key, value in given.items() if value}


_OPENING = re.compile(r'\s*(?:\{\s*"results"\s*:\s*)?\[\s*')


def _results(body: object) -> list[object] | None:
    """The rows of a page, push or log: `{"results": […]}`, a bare list, or one bare report."""
    match body:
        case {"results": list() as found}:
            return found
        case list() as found:
            return found
        case {"messageId": _, "status": _}:
            return [body]
    return None


def _parts(row: object) -> int | None:
    parts = whole(row, "smsCount")
    return parts if parts is not None and 0 < parts <= 1000 else None


def _price(row: object, parts: int | None) -> Decimal | None:
    """The price of the whole message: the platform names it per part, so without their number nobody knows."""
    each = money(dig(row, "price", "pricePerMessage"))
    return None if each is None or parts is None else each * parts
