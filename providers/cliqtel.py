"""Cliqtel: one recipient per request, no client reference, a list to poll that shares the budget of the submits.

Source: Cliqtel SMS API Reference.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import orjson

from providers.base import (
    AccountSettings,
    Allowance,
    Failure,
    FailureClass,
    Forged,
    Genuine,
    LookUpBy,
    LookUpPolicy,
    NoAnswer,
    OpenWork,
    Outgoing,
    Page,
    Parsed,
    Push,
    Raw,
    ReadLimit,
    Sighting,
    Signal,
    Sought,
    Submission,
    Unclear,
    Verdict,
)
from providers.cliqtel_answers import CODES, allowance_of, judge_send, problem, signal_of
from providers.cliqtel_lookup import Window, clock_drift, sighting
from providers.cliqtel_reports import ID, parse
from providers.cliqtel_signature import signed
from providers.shared import (
    Options,
    all_alike,
    bearer,
    credential,
    dig,
    digits,
    endpoint_base,
    flag,
    join_url,
    json_or_none,
    rows,
    same_secret,
    text,
    timestamp,
    whole,
)
from providers.wire import BadBody, Reply, Request, Send, WireError

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_MOST_CHARACTERS = 1600
_MOST_ROWS = 100
_OVERLAP = timedelta(seconds=120)  # `since` may be exclusive, and clocks differ
_APART = 60.0  # seconds: less than that the overlap covers
_MOST_APART = 86_400.0  # a clock that is a day off is no clock: believed, the whole list would be read at each poll
_STRAGGLERS = 10  # so few old messages are asked for one by one instead of reading the list since the oldest
_OLD = timedelta(hours=1)
_MOST_PAGES = 5000
_LOOK_UP_PAGES = 10
_LIST_BYTES = 4_194_304  # 100 rows of 1,600 characters, every one written as \uXXXX\uXXXX

Clock = Callable[[], datetime]


def behind(drift: float) -> timedelta:
    """How much earlier `since` has to be, because rows bear the times of a clock that runs behind ours. Never later:
    what is asked for in vain costs a request, what is left out stays open."""
    return timedelta(seconds=min(-drift, _MOST_APART) if drift < -_APART else 0.0)


@dataclass(frozen=True, slots=True)
class Sender:
    """A number of the account that may send. `id` is what `from_number_id` takes."""

    id: int
    number: str


class Cliqtel:
    """One Cliqtel account. Options and credentials are listed in docs/providers/cliqtel.md."""

    name: ClassVar[str] = "cliqtel"
    credential_names: ClassVar[Sequence[str]] = ("api_key",)
    max_recipients = 1
    pulls = True
    pushes: bool
    no_report_note: str | None = None
    report_deadline = 259_200.0
    shares_poll_budget = True
    read_limits: Sequence[ReadLimit] = ()

    def __init__(self, settings: AccountSettings, clock: Clock = lambda: datetime.now(UTC)) -> None:
        options = Options(settings.options)
        self._key = credential(settings, "api_key")
        self._settings = replace(settings, base_url=_base(settings.base_url))
        self._clock = clock
        self._drift = 0.0  # seconds by which the provider's clock was ahead of ours at its last answer
        self._number_id = options.whole("from_number_id", 0, 1, 10**12) or None
        self._senders = frozenset(_e164(one) for one in options.text("senders").split(",") if one.strip())
        self._by_token = options.choice("webhook_auth", ("signature", "token"), "signature") == "token"
        self.pushes = bool(settings.webhook_token) if self._by_token else True  # signed with the API key at the least
        self._tolerance = options.whole("webhook_tolerance", 0, 0, 604_800)
        self._window = Window(options.whole("clock_skew", 120, 10, 3600), settings.timeout)
        options.done()
        self._per_page = min(max(settings.poll_limit or _MOST_ROWS, 1), _MOST_ROWS)
        last_look = max(120.0, settings.timeout + 90.0)
        self.look_up_policy = LookUpPolicy(LookUpBy.QUERY, (8, 30, last_look), True, self.report_deadline)

    # --- before the wire ---

    def check(self, message: Outgoing) -> Failure | None:
        return self._number_failure(message) or self._text_failure(message) or self._sender_failure(message)

    @staticmethod
    def _number_failure(message: Outgoing) -> Failure | None:
        if _NUMBER.fullmatch(message.msisdn):
            return None
        return Failure("validation_error", FailureClass.RECIPIENT, "to: not a number in E.164 form")

    @staticmethod
    def _text_failure(message: Outgoing) -> Failure | None:
        # "characters" is not defined: code points and UTF-16 units both have to fit
        length = max(len(message.text), len(message.text.encode("utf-16-le", "surrogatepass")) // 2)
        if 1 <= length <= _MOST_CHARACTERS:
            return None
        return Failure("validation_error", FailureClass.CONTENT, f"body: not 1 to {_MOST_CHARACTERS} characters")

    def _sender_failure(self, message: Outgoing) -> Failure | None:
        given = message.options.get("from_number_id")
        if given is not None and (whole(given) or 0) < 1:
            return Failure("validation_error", FailureClass.SENDER, "from_number_id: not a whole number above 0")
        if self._number_id_of(message) is not None:
            return None
        sender = _e164(message.sender)
        if _NUMBER.fullmatch(sender) and (not self._senders or sender in self._senders):
            return None
        return Failure("number_not_found", FailureClass.SENDER, CODES["number_not_found"][1])

    def warnings(self, message: Outgoing) -> Sequence[str]:
        said = []
        if self._number_id_of(message) is not None:
            said.append("from_number_id decides the sender; the campaign's sender ID is not sent")
        if message.validity is not None:
            said.append("Cliqtel knows no validity: it is not sent")
        if message.text != message.text.strip():
            said.append("blanks around the text may be cut off")
        return said

    def _number_id_of(self, message: Outgoing) -> int | None:
        return whole(message.options.get("from_number_id")) or self._number_id

    # --- submit ---

    def submit_request(self, chunk: Sequence[Outgoing], bulk_ref: str) -> Request:
        """`bulk_ref` is not used: the API has no client reference. Raises ValueError for several messages."""
        (message,) = chunk
        number_id = self._number_id_of(message)
        sender = {"from": _e164(message.sender)} if number_id is None else {"from_number_id": number_id}
        fields = {**sender, "to": message.msisdn, "body": message.text}
        if self._settings.webhook_url:
            fields["status_callback_url"] = self._settings.webhook_url
        headers = {**self._headers(), "Content-Type": "application/json"}
        url = join_url(self._settings.base_url, "/messages")
        return Request("POST", url, headers, orjson.dumps(fields), self._settings.timeout)

    def read_submit(self, chunk: Sequence[Outgoing], reply: Reply) -> Submission:
        if len(chunk) != 1:  # no such request was ever made
            return all_alike(chunk, Unclear("an answer is about one message"))
        self._drift = clock_drift(reply, self._clock())
        outcome, signal = judge_send(reply, (self._key,))
        return Submission({chunk[0].id: outcome}, signal, allowance_of(reply))

    def read_signal(self, reply: Reply) -> tuple[Signal | None, Allowance | None]:
        self._drift = clock_drift(reply, self._clock())
        return signal_of(reply, (self._key,)), allowance_of(reply)

    def _headers(self) -> dict[str, str]:
        # without Accept the back end may answer an error with a page or a redirect
        return {"Authorization": bearer(self._key), "Accept": "application/json"}

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> Request:
        url = join_url(self._settings.base_url, path, query)
        return Request("GET", url, self._headers(), timeout=self._settings.timeout, max_body=_LIST_BYTES)

    # --- reports: pulled ---

    def first_pages(self, work: OpenWork) -> Sequence[Page]:
        """The list since the oldest open message; a few old ones (their ids come as groups) are asked for singly,
        because some routes stop at `sent` for ever and the list since then would be the whole budget."""
        old = work.now is not None and work.now - work.oldest > _OLD
        if old and len(work.groups) <= _STRAGGLERS and (work.groups or work.all_grouped):
            return [Page({"id": group}) for group in work.groups if re.fullmatch(ID, group)]
        return [Page(self._since(work.oldest - _OVERLAP - behind(self._drift)))]

    def _since(self, at: datetime) -> dict[str, str]:
        since = at.astimezone(UTC).isoformat(timespec="seconds")
        return {"direction": "outbound", "since": since, "per_page": str(self._per_page)}

    def page_request(self, page: Page) -> Request:
        if "id" in page.query:
            return self._get(f"/messages/{page.query['id']}")
        return self._get("/messages", {**page.query, "page": str(page.number)})

    def following(self, page: Page, reply: Reply) -> Page | None:
        """The next page. `Page.seen` carries the list's total as the page before told it.

        Rows that appear meanwhile only push others onto later pages (newest first) or stand at the end (oldest
        first): reading forward meets every old row. Rows that vanish pull others onto pages already read, so as
        many pages as may have slipped are read again. Repeats do no harm.
        """
        body = json_or_none(reply)
        found, total, last = rows(body, "data"), whole(body, "meta", "total"), whole(body, "meta", "total_pages")
        if "id" in page.query or reply.status != 200 or page.number >= _MOST_PAGES:
            return None
        vanished = page.seen - total if page.seen and total is not None else 0
        if vanished > 0 and page.number > 1:
            back = math.ceil(vanished / self._per_page)
            return Page(page.query, max(1, page.number - back), total or 0)
        if not found or (page.number >= last if last is not None else len(found) < self._per_page):
            return None
        return Page(page.query, page.number + 1, total or 0)

    def parse_reports(self, raw: Raw) -> Parsed:
        return parse(raw)

    # --- reports: pushed ---

    def verify(self, push: Push, now: datetime) -> Verdict:
        """Always by signature (ids are guessable), save where the account says that only the token counts."""
        if push.method.upper() != "POST":
            return Forged(f"method {push.method[:10]}")
        if self._by_token:
            known = same_secret(push.path_token, self._settings.webhook_token)
            return Genuine() if known else Forged("wrong or missing token")
        signature = push.headers.get("x-cliqtel-signature", "")
        if not signature or not signed(push.body, signature, self._settings.webhook_secret or self._key):
            return Forged("wrong or missing signature")
        return Forged("signed, but too old") if self._stale(push.body, now) else Genuine()

    def _stale(self, body: bytes, now: datetime) -> bool:
        if not self._tolerance:
            return False
        sent_at = timestamp(dig(json_or_none(Reply(200, {}, body)), "timestamp"))
        return sent_at is None or abs((now - sent_at).total_seconds()) > self._tolerance

    # --- unknown outcomes ---

    async def look_up(self, sought: Sequence[Sought], send: Send) -> Mapping[str, Sighting]:
        """One list per pair of sender and recipient. After a failure nobody else is asked in this round.

        Identical messages get the same candidates: each must take one that no other message has taken.
        """
        sightings: dict[str, Sighting] = {}
        stop: NoAnswer | None = None
        for group in self._pairs(sought).values():
            seen = stop or await self._rows_for(group, send)
            if isinstance(seen, NoAnswer):
                stop = seen
            for one in group:
                sightings[one.message.id] = seen if isinstance(seen, NoAnswer) else self._sight(one, *seen)
        return sightings

    def _pairs(self, sought: Sequence[Sought]) -> Mapping[tuple[str, str], list[Sought]]:
        pairs: dict[tuple[str, str], list[Sought]] = {}
        for one in sought:
            number_id = self._number_id_of(one.message)
            sender = _e164(one.message.sender) if number_id is None else f"#{number_id}"
            pairs.setdefault((sender, one.message.msisdn), []).append(one)
        return pairs

    def _sight(self, one: Sought, found: Sequence[object], drift: float) -> Sighting:
        known = self._number_id_of(one.message) is None
        return sighting(one, found, digits(one.message.sender) if known else None, self._window, drift)

    async def _rows_for(self, group: Sequence[Sought], send: Send) -> tuple[list[object], float] | NoAnswer:
        page = Page(self._look_up_query(group))
        found: list[object] = []
        for _ in range(_LOOK_UP_PAGES):
            try:
                reply = await send(self.page_request(page))
            except WireError as error:
                return NoAnswer(error.reason)
            if reply.status != 200 or not isinstance(dig(json_or_none(reply), "data"), list):
                return NoAnswer(problem(reply, (self._key,)), signal_of(reply, (self._key,)))
            found += rows(json_or_none(reply), "data")
            after = self.following(page, reply)
            if after is None:
                return found, clock_drift(reply, self._clock())
            page = after
        return NoAnswer(f"more than {_LOOK_UP_PAGES} pages between the same two numbers")

    def _look_up_query(self, group: Sequence[Sought]) -> dict[str, str]:
        first = group[0].message
        number_id = self._number_id_of(first)
        sender = {"from": _e164(first.sender)} if number_id is None else {"number_id": str(number_id)}
        since = self._since(self._window.since(min(one.attempted_at for one in group)))
        return {**since, **sender, "to": first.msisdn}

    # --- senders, probe ---

    def senders_request(self) -> Request:
        return self._get("/numbers")

    def read_senders(self, reply: Reply) -> Sequence[Sender]:
        """The active SMS numbers of the account. Raises BadBody with what is wrong."""
        body = json_or_none(reply)
        if reply.status != 200 or not isinstance(dig(body, "data"), list):
            raise BadBody(problem(reply, (self._key,)))
        return [
            Sender(number_id, number)
            for row in rows(body, "data")
            if (number_id := whole(row, "id")) and (number := text(row, "number")) and flag(row, "sms_enabled")
        ]

    def sender_ids(self, reply: Reply) -> frozenset[str]:
        """The numbers a campaign may name as its sender."""
        return frozenset(_e164(one.number) for one in self.read_senders(reply))

    def probe_request(self) -> Request:
        return self.senders_request()

    def read_probe(self, reply: Reply) -> str:
        """Lists the senders. Raises BadBody when the account's own choice is not among them."""
        senders, numbers = self.read_senders(reply), self.sender_ids(reply)
        if self._number_id is not None and self._number_id not in {one.id for one in senders}:
            raise BadBody(f"from_number_id {self._number_id} is no active SMS number of the account")
        if missing := self._senders - numbers:
            raise BadBody(f"options.senders: {len(missing)} of them are no active SMS numbers of the account")
        if not numbers:
            raise BadBody("the key is accepted, but the account has no active SMS number")
        return "ok, senders " + ", ".join(sorted(numbers))


_PATH = "/api/v1/sms"


def _base(given: str) -> str:
    """The documented base URL, whether it was written with an endpoint or, for Cliqtel's own host, without its path."""
    bare = endpoint_base(given, "/messages", "/numbers")
    return f"{bare}{_PATH}" if re.fullmatch(r"https?://(www\.)?cliqtel\.com", bare) else bare


def _e164(number: str) -> str:
    """A number as this API wants it; anything that is not one stays as it is."""
    bare = number.strip().removeprefix("+")
    return f"+{bare}" if re.fullmatch(r"[0-9]+", bare) else number
