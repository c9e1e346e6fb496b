"""Qikli SMS API: POST /sms/2/text/advanced, read-once GET /sms/1/reports, GET /sms/1/logs, scheduled bulks, notifyUrl.

Paths, Basic login, bulkId, messageId and the read-once rule are the manual's; JSON shapes, limits and codes are those
of the public specification and registry of the platform Qikli is built on. Only JSON is spoken: a body declared as XML
is refused with 400.

In the ledger `id` and `ref` are the messageId, `key` the bulkId, and `status` is written as in `qikli_codes.spell`
("26", "5:0", "9:27").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, ClassVar, Final

from sandbox.core import Provider, Route, Routes, World
from sandbox.exchange import Call, Reply, json_reply
from sandbox.faults import Kind
from sandbox.ledger import Entry
from sandbox.limits import Limiter, Window, retry_after
from sandbox.outcomes import Outcome, Refusal
from sandbox.qikli_box import RETENTION_SECONDS, Box, Bulk, Refused, Report, Ticket, ticket_of
from sandbox.qikli_bulks import Bulks
from sandbox.qikli_codes import REGISTRY_NAMES, STATUS_JSON, Sid, spell
from sandbox.qikli_reports import Money, Postman, log_row, refused_row, report_row, results
from sandbox.qikli_request import Invalid, Order, SendRequest, count_of, numbers_of, read_request
from sandbox.qikli_settings import QikliSettings
from sandbox.settings import Settings

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 1000
_E164 = re.compile(r"[1-9]\d{6,14}")
_ALPHANUMERIC_MIN: Final = 3
_NUMERIC_SENDER = re.compile(r"\+?\d{3,14}")

_FINAL: Final = {
    Outcome.DELIVERED: ["5:0"],
    Outcome.UNDELIVERED: ["9:27"],
    Outcome.EXPIRED: ["15:4098"],
    Outcome.REJECTED: ["14:566"],
}
_TRUTH_OF_GROUP: Final = {
    2: Outcome.UNDELIVERED, 3: Outcome.DELIVERED, 4: Outcome.EXPIRED, 5: Outcome.REJECTED,
}  # fmt: skip
_REFUSED_BY_ENDING: Final = {Refusal.INVALID_NUMBER: Sid.INVALID_TO, Refusal.BLOCKED: Sid.DND}

# HTTP status → (messageId, text) of the classic envelope, and the code of the newer one.
_ERRORS: Final = {
    400: ("BAD_REQUEST", "Bad Request", "E400"),
    401: ("UNAUTHORIZED", "Invalid login details", "E401"),
    403: ("FORBIDDEN", "Forbidden", "E403"),
    404: ("NOT_FOUND", "Not Found", "E404"),
    405: ("METHOD_NOT_ALLOWED", "Method not allowed", "E405"),
    429: ("TOO_MANY_REQUESTS", "Too many requests", "E429"),
    500: ("GENERAL_ERROR", "Something went wrong. Please contact support.", "E500"),
}


class Qikli(Provider):
    name: ClassVar[str] = "qikli"
    # A failed push is tried again after 1 minute + n² minutes (public specification, notifyUrl).
    retry_delays: ClassVar[tuple[float, ...]] = (0.0, 60.0, 120.0, 300.0, 600.0)
    settings: QikliSettings

    def __init__(self, world: World, settings: Settings | None = None) -> None:
        self._boxes: dict[str, Box] = {}
        self._log_limits: dict[str, Limiter] = {}
        self._postman = Postman(self)
        self._bulks = Bulks(self)
        super().__init__(world, settings)

    @classmethod
    def default_settings(cls) -> QikliSettings:
        return QikliSettings()

    def routes(self) -> Routes:
        return {
            ("POST", "/sms/2/text/advanced"): Route(self.send),
            ("GET", "/sms/1/reports"): Route(self.reports),
            ("GET", "/sms/1/logs"): Route(self.logs),
            ("GET", "/sms/1/bulks"): Route(self._bulks.show),
            ("PUT", "/sms/1/bulks"): Route(self._bulks.move),
            ("GET", "/sms/1/bulks/status"): Route(self._bulks.show_state),
            ("PUT", "/sms/1/bulks/status"): Route(self._bulks.change_state),
        }

    # -- envelopes and access -----------------------------------------------------------------------------------------

    def error(self, status: int, message: str) -> Reply:
        return self.refuse(status)

    def refuse(self, status: int, text: str | None = None, fields: dict[str, list[str]] | None = None) -> Reply:
        """An error in the envelope the switch `error_form` asks for; `fields` become validationErrors."""
        word, usual, code = _ERRORS.get(status, _ERRORS[500])
        if self.settings.error_form == "code":
            violations = [
                {"property": name, "violation": line} for name, lines in (fields or {}).items() for line in lines
            ]
            return json_reply(
                status,
                {
                    "errorCode": code,
                    "description": text or usual,
                    "action": "",
                    "violations": violations,
                    "resources": [],
                },
            )
        exception: dict[str, object] = {"messageId": word, "text": text or usual}
        if fields:
            exception["validationErrors"] = fields
        return json_reply(status, {"requestError": {"serviceException": exception}})

    def throttled(self, retry_after: str | None) -> Reply:
        reply = self.refuse(429)
        if retry_after is not None and self.settings.throttle_hint:
            reply.headers["Retry-After"] = retry_after
        return reply

    def unauthorized(self, call: Call) -> Reply:
        return self.refuse(401)

    def authenticate(self, call: Call) -> Reply | None:
        login = call.basic()
        if login is None or self.settings.users.get(login[0]) != login[1]:
            return self.unauthorized(call)
        call.account = login[0]
        return None

    def messages_in(self, call: Call) -> int:
        return count_of(call.json()) if call.method == "POST" else 0

    def numbers_in(self, call: Call) -> Iterable[str]:
        return numbers_of(call.json())

    def box(self, account: str) -> Box:
        found = self._boxes.get(account)
        if found is None:
            found = self._boxes[account] = Box()
        return found

    def reset(self) -> None:
        super().reset()
        self._boxes.clear()
        self._log_limits.clear()
        self._postman.clear()

    # -- send ---------------------------------------------------------------------------------------------------------

    def send(self, call: Call) -> Reply:
        if (unreadable := self._unreadable(call)) is not None:
            return unreadable
        try:
            request = read_request(call.json(), self.world.clock.wall(), self.settings.max_destinations)
        except Invalid as wrong:
            return self.refuse(400, fields=wrong.errors)
        box = self.box(call.account)
        bulk = box.open(request.bulk_id or self._new_id())
        bulk.orders.extend(request.orders)
        items = [item for order in request.orders for item in self._take_order(call, box, bulk, order)]
        self._bulks.schedule(bulk, request.orders)
        return json_reply(200, self._answer(request, bulk, items))

    def _unreadable(self, call: Call) -> Reply | None:
        """Without a Content-Type the API answers with a General error (manual, Content-Type & Accept header)."""
        kind = call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind == "application/xml":
            return self.refuse(400, "Only JSON is simulated")
        if kind != "application/json":
            return self.refuse(500)
        return self.refuse(400, "Malformed JSON") if call.json() is None else None

    def _take_order(self, call: Call, box: Box, bulk: Bulk, order: Order) -> list[dict[str, object]]:
        whole = self._refused_order(order)
        accepted = self._status_json(self.settings.accepted_status)
        items: list[dict[str, object]] = []
        for given, message_id in order.destinations:
            to = given.removeprefix("+")
            used_id = message_id or self._new_id()
            refused = whole or self._refused(call, box, order, to, used_id)
            if refused:
                self._refuse(box, bulk, Refused(used_id, bulk.id, to, order, str(refused), self.world.clock.wall()))
            else:
                self._accept(call, box, bulk, order, to, used_id)
            items.append(
                {"to": to, "status": self._status_json(refused) if refused else accepted, "messageId": used_id}
            )
        return items

    def _refused_order(self, order: Order) -> int:
        """What is wrong with the text or the sender, the same for all destinations; 0 for nothing."""
        if order.too_long:
            return Sid.TOO_LONG
        approved = self.settings.approved_senders
        known = order.sender in approved if approved is not None else self._well_formed(order.sender)
        return 0 if known else Sid.SOURCE

    def _well_formed(self, sender: str) -> bool:
        """Numeric 3–14 digits or alphanumeric 3–11 characters; an absent sender is the account's default."""
        if not sender or _NUMERIC_SENDER.fullmatch(sender):
            return True
        return not sender.isdigit() and _ALPHANUMERIC_MIN <= len(sender) <= self.settings.sender_max

    def _refused(self, call: Call, box: Box, order: Order, to: str, message_id: str) -> int:
        """The status id this destination is refused with; 0 for none. The first reason wins."""
        if not _E164.fullmatch(to):
            return _wrong_number(to)
        if message_id in box.messages and self.settings.duplicate_guard:
            return Sid.DUPLICATE_ID
        ending = self.refusal(to)
        if ending is not None:
            return _REFUSED_BY_ENDING[ending]
        if self.faults.watches_messages and (rule := self.faults.partial_reject(to, call.now)) is not None:
            self.ledger.counts.faults[rule.kind] += 1
            return int(rule.number("status", Sid.BLOCKLISTED))
        if self.settings.flood_guard and box.floods(to, order.text, call.now):
            return Sid.FLOODING
        return self._charge(box, order)

    def _charge(self, box: Box, order: Order) -> int:
        cost = order.parts * self.settings.price
        if self.settings.credits is not None and box.spent + cost > self.settings.credits:
            return Sid.NO_CREDITS
        box.spent += cost
        return 0

    def _refuse(self, box: Box, bulk: Bulk, refused: Refused) -> None:
        self.ledger.counts.rejected += 1
        box.refused[refused.message_id] = refused
        bulk.refused.append(refused)

    def _accept(self, call: Call, box: Box, bulk: Bulk, order: Order, to: str, message_id: str) -> None:
        ticket = Ticket(order, bulk.id)
        truth = self._truth_by_ending(to, ticket)
        delay = None
        if order.validity is not None:
            delay, truth = self._within(order.validity, truth)
        entry = self.accept(
            call, id=message_id, msisdn=to, sender=order.sender, text=order.text, parts=order.parts, ref=message_id,
            key=bulk.id, callback_url=order.notify_url, extra=ticket, truth=truth, delay=delay,
        )  # fmt: skip
        box.messages[message_id] = entry
        bulk.entries.append(entry)

    def _truth_by_ending(self, to: str, ticket: Ticket) -> Outcome | None:
        endings = self.settings.suffix_statuses
        spec = next((spec for ending, spec in endings.items() if to.endswith(ending)), None) if endings else None
        if spec is None:
            return None
        ticket.final = spec
        spelled = spell(spec)
        only_on_the_way = spelled.id == Sid.TO_OPERATOR
        return Outcome.NO_REPORT if only_on_the_way else _TRUTH_OF_GROUP.get(spelled.group, Outcome.NO_REPORT)

    def _within(self, validity: float, truth: Outcome | None) -> tuple[tuple[float, float], Outcome | None]:
        """A report that would come after the validity period is an expiry at its end."""
        low, high = self.settings.dlr_delay
        delay = self.world.rng.uniform(low, high)
        return ((delay, delay), truth) if delay <= validity else ((validity, validity), Outcome.EXPIRED)

    def _answer(self, request: SendRequest, bulk: Bulk, items: list[dict[str, object]]) -> dict[str, Any]:
        settings = self.settings
        if settings.parts_in_answer or request.count_parts:
            counts = (order.parts for order in request.orders for _ in order.destinations)
            items = [item | {"smsCount": parts} for item, parts in zip(items, counts, strict=True)]
        if settings.answer_gap:
            items = [item for place, item in enumerate(items, 1) if place % settings.answer_gap]
        if settings.shuffle_answer:
            self.world.rng.shuffle(items)
        if settings.omit_bulk_id and request.bulk_id is None and len(items) == 1:
            return {"messages": items}
        return {"bulkId": bulk.id, "messages": items}

    def _status_json(self, status: int) -> dict[str, object]:
        found = STATUS_JSON.get(status) or spell(f"5.{status}").status
        if self.settings.registry_names and status in REGISTRY_NAMES:
            return found | {"name": REGISTRY_NAMES[status]}
        return found

    def _new_id(self) -> str:
        return f"{self.world.rng.getrandbits(64):020d}"

    # -- what becomes of it -------------------------------------------------------------------------------------------

    def initial_status(self, entry: Entry) -> str:
        return str(self.settings.accepted_status)

    def status_of(self, entry: Entry) -> str:
        """Drawn once and kept, since a fault may ask twice."""
        ticket = ticket_of(entry)
        if ticket.final is None:
            choices = self.settings.final_statuses.get(entry.truth) or _FINAL[entry.truth]
            ticket.final = choices[0] if len(choices) == 1 else self.world.rng.choice(choices)
        return ticket.final

    def progress(self, entry: Entry) -> tuple[tuple[float, str], ...]:
        ticket = ticket_of(entry)
        if ticket.order.send_at is not None:
            return ()  # planned when its time comes
        half_way = ((0.5, str(Sid.TO_OPERATOR)),) if self.settings.intermediate or ticket.order.intermediate else ()
        if entry.truth is Outcome.NO_REPORT:
            return ((0.5, ticket.final),) if ticket.final else half_way
        return (*half_way, (1.0, self.status_of(entry)))

    def stale_status(self, entry: Entry) -> str | None:
        return str(Sid.TO_OPERATOR)

    def publish(self, entry: Entry, status: str) -> None:
        settings, order = self.settings, ticket_of(entry).order
        final = status == ticket_of(entry).final and entry.final_at is not None
        report = Report(entry, status, entry.status_at, final)  # a report told again keeps its time
        pushed = settings.push and entry.callback_url is not None
        if pushed and entry.callback_url and (final or order.intermediate or settings.intermediate or entry.mode):
            alone = entry.mode == Kind.REPORT_EARLY
            self._postman.post(entry.callback_url, report, settings.push_size, alone=alone)
        if not pushed or settings.pull_pushed:
            self.box(entry.account).offer(report)

    # -- pull ---------------------------------------------------------------------------------------------------------

    def reports(self, call: Call) -> Reply:
        limit = self._limit(call)
        if limit is None:
            return self.refuse(400, fields={"limit": ["must be a positive number"]})
        oldest = self.world.clock.wall() - RETENTION_SECONDS
        page = self.box(call.account).take(limit, call.query.get("bulkId"), call.query.get("messageId"), oldest)
        for report in page:
            if report.final:
                self.pulled(report.entry)
        return json_reply(200, results([report_row(report, self.money) for report in page]))

    def logs(self, call: Call) -> Reply:
        if not self.settings.logs:
            return self.refuse(404)
        if (wait := self._logs_wait(call)) > 0:
            return self.throttled(retry_after(wait))
        limit = self._limit(call)
        if limit is None:
            return self.refuse(400, fields={"limit": ["must be a positive number"]})
        found = _logged(self.box(call.account), call.query.get("messageId"), call.query.get("bulkId"))
        oldest = self.world.clock.wall() - RETENTION_SECONDS
        recent = (item for item in found if _since(item) >= oldest)
        rows = [_logged_row(item, self.money) for item in islice(recent, limit)]
        return json_reply(200, results(rows))

    @property
    def money(self) -> Money:
        return Money(self.settings.price, self.settings.currency)

    def _logs_wait(self, call: Call) -> float:
        if not self.settings.logs_per_minute:
            return 0.0
        window = Window(self.settings.logs_per_minute, 60.0)
        return self._log_limits.setdefault(call.account, Limiter([window])).admit(call.now, "GET", 0)

    def _limit(self, call: Call) -> int | None:
        given = call.query.get("limit", str(DEFAULT_LIMIT))
        return min(int(given), MAX_LIMIT) if given.isdecimal() and int(given) > 0 else None


def _wrong_number(to: str) -> int:
    if not to:
        return Sid.MISSING_TO
    return Sid.PREFIX_MISSING if to.isdecimal() else Sid.INVALID_TO


Row = Entry | Refused


def _logged(box: Box, message_ids: str | None, bulk_ids: str | None) -> Iterator[Row]:
    """Matching rows; without a filter all of them, newest first."""
    if message_ids is not None:
        wanted = bulk_ids.split(",") if bulk_ids is not None else None
        named = _named(box, message_ids.split(","))
        return (row for row in named if wanted is None or _bulk_of(row) in wanted)
    if bulk_ids is not None:
        bulks = (bulk for name in bulk_ids.split(",") if (bulk := box.bulks.get(name)) is not None)
        return chain.from_iterable(chain[Row](bulk.entries, bulk.refused) for bulk in bulks)
    return chain[Row](reversed(box.messages.values()), reversed(box.refused.values()))


def _named(box: Box, names: list[str]) -> Iterator[Row]:
    for name in names:
        row = box.messages.get(name) or box.refused.get(name)
        if row is not None:
            yield row


def _bulk_of(item: Row) -> str:
    return item.bulk_id if isinstance(item, Refused) else ticket_of(item).bulk_id


def _since(item: Row) -> float:
    return item.at if isinstance(item, Refused) else item.accepted_at


def _logged_row(item: Row, money: Money) -> dict[str, object]:
    return refused_row(item, money) if isinstance(item, Refused) else log_row(item, money)
