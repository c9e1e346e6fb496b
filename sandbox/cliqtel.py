"""Cliqtel SMS API: POST /messages, GET /messages, GET /messages/{id}, GET /numbers, status webhooks.

Readings where the document is silent: an unknown failure is `server_error` (only `send_failed` is a known refusal);
webhooks are tried three times; an unreadable body is a validation_error.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from sandbox.cliqtel_list import BadQuery, Record, find
from sandbox.cliqtel_settings import CliqtelSettings
from sandbox.cliqtel_webhook import render
from sandbox.clock import iso
from sandbox.core import Provider, Route, Routes, World
from sandbox.exchange import Call, Reply, json_reply
from sandbox.ledger import Entry
from sandbox.outcomes import Outcome, Refusal
from sandbox.reports import Push, Wire
from sandbox.settings import Settings
from sandbox.text import encoding_and_parts

MAX_BODY = 1600
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_ERROR_CODE = {401: "unauthenticated", 403: "insufficient_scope", 404: "not_found", 405: "method_not_allowed"}


class Invalid(ValueError):
    """A request parameter that is missing or wrong."""


@dataclass(frozen=True, slots=True)
class Draft:
    number: dict[str, Any]
    to: str
    body: str
    callback_url: str | None


class Cliqtel(Provider):
    name: ClassVar[str] = "cliqtel"
    mount: ClassVar[str] = "/api/v1/sms"
    retry_delays: ClassVar[tuple[float, ...]] = (0.0, 10.0, 60.0)
    settings: CliqtelSettings

    def __init__(self, world: World, settings: Settings | None = None) -> None:
        self._records: list[Record] = []
        self._by_id: dict[str, Record] = {}
        super().__init__(world, settings)

    @classmethod
    def default_settings(cls) -> CliqtelSettings:
        return CliqtelSettings()

    def routes(self) -> Routes:
        return {
            ("POST", "messages"): Route(self.send),
            ("GET", "messages"): Route(self._list),
            ("GET", "messages/{id}"): Route(self._get),
            ("GET", "numbers"): Route(self._numbers),
        }

    def reset(self) -> None:
        super().reset()
        self._records.clear()
        self._by_id.clear()

    # -- answers ------------------------------------------------------------------------------------------------------

    def error(self, status: int, message: str) -> Reply:
        return _error(status, _ERROR_CODE.get(status, "server_error"), message)

    def throttled(self, retry_after: str | None) -> Reply:
        reply = _error(429, "rate_limited", "Too many requests")
        if retry_after is not None:
            reply.headers["Retry-After"] = retry_after
        return reply

    def unauthorized(self, call: Call) -> Reply:
        return self.error(401, "Missing or invalid API key")

    def authenticate(self, call: Call) -> Reply | None:
        key = call.bearer() or ""
        scopes = self.settings.keys.get(key)
        if scopes is None:
            return self.unauthorized(call)
        call.account = key
        needed = "sms:write" if call.method == "POST" else "sms:read"
        return None if needed in scopes else self.error(403, f"The API key lacks the scope {needed}")

    def decorate(self, call: Call, reply: Reply) -> None:
        standing = self.limiter(call.account).standing(call.now)
        if standing is not None:
            reply.headers["X-RateLimit-Limit"] = str(standing.limit)
            reply.headers["X-RateLimit-Remaining"] = str(standing.remaining)

    # -- sending ------------------------------------------------------------------------------------------------------

    def numbers_in(self, call: Call) -> Iterable[str]:
        payload = call.json()
        to = payload.get("to") if isinstance(payload, dict) else None
        return (to.lstrip("+"),) if isinstance(to, str) else ()

    def send(self, call: Call) -> Reply:
        try:
            draft = self._draft(call.json())
        except Invalid as error:
            return self._refuse(422, "validation_error", str(error))
        if draft is None:
            message = "From number not found, inactive, or SMS not enabled"
            return self._refuse(422, "number_not_found", message)
        return self._carry(call, draft)

    def _refuse(self, status: int, code: str, message: str) -> Reply:
        self.ledger.counts.rejected += 1
        return _error(status, code, message)

    def _draft(self, payload: Any) -> Draft | None:
        """The request's values; None when the sending number is not ours. Errors: Invalid."""
        if not isinstance(payload, dict):
            raise Invalid("The request body must be a JSON object.")
        to, body, url = payload.get("to"), payload.get("body"), payload.get("status_callback_url")
        if not isinstance(to, str) or not _E164.fullmatch(to) or self.refusal(to) is Refusal.INVALID_NUMBER:
            raise Invalid("The to field must be a phone number in E.164 format.")
        if not isinstance(body, str) or not 1 <= len(body) <= MAX_BODY:
            raise Invalid(f"The body field must be a text of 1 to {MAX_BODY} characters.")
        if url is not None and not (isinstance(url, str) and url.startswith(("http://", "https://"))):
            raise Invalid("The status_callback_url field must be a valid URL.")
        number = self._own_number(payload)
        return None if number is None else Draft(number, to, body, url)

    def _own_number(self, payload: dict[str, Any]) -> dict[str, Any] | None:
        sender, number_id = payload.get("from"), payload.get("from_number_id")
        if (sender is None) == (number_id is None):
            raise Invalid("Provide either from or from_number_id, not both.")
        if sender is not None and not (isinstance(sender, str) and _E164.fullmatch(sender)):
            raise Invalid("The from field must be a phone number in E.164 format.")
        if number_id is not None and (not isinstance(number_id, int) or isinstance(number_id, bool)):
            raise Invalid("The from_number_id field must be an integer.")
        field, wanted = ("number", sender) if sender is not None else ("id", number_id)
        usable = (item for item in self.settings.numbers if item[field] == wanted and item["sms_enabled"])
        return next(usable, None)

    def _carry(self, call: Call, draft: Draft) -> Reply:
        """What wallet and carrier say to a valid request."""
        _, parts = encoding_and_parts(draft.body)
        cost = parts * self.settings.price
        if self.settings.wallet is not None and self.settings.wallet < cost:
            message = "Wallet balance too low to send this message"
            return self._refuse(self.settings.balance_status, "insufficient_balance", message)
        if self._carrier_refuses(draft):
            return self._refuse(500, "send_failed", "Carrier rejected the message")
        if self.settings.wallet is not None:
            self.settings.wallet -= cost
        return json_reply(201, {"data": self._json_of(self._enter(call, draft, parts))})

    def _carrier_refuses(self, draft: Draft) -> bool:
        share = self.settings.send_failed_share
        return self.refusal(draft.to) is Refusal.BLOCKED or (share > 0 and self.world.rng.random() < share)

    def _enter(self, call: Call, draft: Draft, parts: int) -> Record:
        number_id = len(self._records) + 42
        entry = self.accept(
            call, id=str(number_id), msisdn=draft.to[1:], sender=draft.number["number"], text=draft.body, parts=parts,
            callback_url=draft.callback_url,
        )  # fmt: skip
        return self._keep("outbound", draft.number["number"], draft.to, draft.number["id"], entry)

    def _keep(self, direction: str, sender: str, to: str, number_id: int, entry: Entry) -> Record:
        record = Record(int(entry.id), direction, sender, to, number_id, entry)
        self._records.append(record)
        self._by_id[entry.id] = record
        return record

    # -- looking ------------------------------------------------------------------------------------------------------

    def _list(self, call: Call) -> Reply:
        try:
            page = find(self._records, call.query)
        except BadQuery as error:
            return _error(422, "validation_error", str(error))
        for record in page.records:
            self._note_pull(record.entry)
        return json_reply(200, {"data": [self._json_of(record) for record in page.records], "meta": page.meta()})

    def _get(self, call: Call) -> Reply:
        record = self._by_id.get(call.params["id"])
        if record is None:
            return self.error(404, "Message not found")
        self._note_pull(record.entry)
        return json_reply(200, {"data": self._json_of(record)})

    def _note_pull(self, entry: Entry) -> None:
        if entry.final_at is not None:
            self.pulled(entry)

    def _numbers(self, call: Call) -> Reply:
        return json_reply(200, {"data": [item for item in self.settings.numbers if item["sms_enabled"]]})

    def _json_of(self, record: Record) -> dict[str, object]:
        entry = record.entry
        return {
            "id": record.id,
            "from": record.sender,
            "to": record.to,
            "body": entry.text,
            "direction": record.direction,
            "status": entry.status,
            "segments": entry.parts,
            "cost": self._cost(record),
            "currency": self.settings.currency,
            "carrier": self.settings.carrier,
            "created_at": iso(entry.accepted_at),
        }

    def _cost(self, record: Record) -> float:
        return round(record.entry.parts * self.settings.price, 6) if record.direction == "outbound" else 0.0

    # -- reports ------------------------------------------------------------------------------------------------------

    def initial_status(self, entry: Entry) -> str:
        return "queued"

    def status_of(self, entry: Entry) -> str:
        return "delivered" if entry.truth is Outcome.DELIVERED else "failed"

    def stale_status(self, entry: Entry) -> str | None:
        return "sent"

    def progress(self, entry: Entry) -> tuple[tuple[float, str], ...]:
        """Some routes never report: such a message stays at sent for ever."""
        return ((0.3, "sent"), *super().progress(entry))

    def push_of(self, entry: Entry, status: str) -> Push | None:
        if entry.callback_url is None or status not in self.settings.push_statuses:
            return None
        shown = self._json_of(self._by_id[entry.id])
        data = {name: value for name, value in shown.items() if name not in ("body", "carrier")}
        at = iso(entry.status_at)
        data |= {"status": status, "updated_at": at}
        payload = {"event": "sms.status_updated", "data": data, "timestamp": at}
        body, headers = render(payload, self.settings.signature, self.settings.webhook_secret)
        wire = Wire("POST", entry.callback_url, headers, body)
        return Push(self, partial(_same, wire), entry, final=status != "sent")

    def inbound(self, fields: dict[str, Any]) -> None:
        """`{"from": …, "to": one of the account's numbers, "body": …}`: only visible in GET /messages."""
        numbers = {item["number"]: item["id"] for item in self.settings.numbers}
        to = str(fields.get("to", next(iter(numbers), "")))
        if to not in numbers:
            raise ValueError(f"to must be one of {', '.join(numbers)}")
        sender, text = str(fields.get("from", "+447700900123")), str(fields.get("body", "STOP"))
        wall = self.world.clock.wall()
        entry = Entry(
            self.name, str(len(self._records) + 42), sender.lstrip("+"), to, text, encoding_and_parts(text)[1], wall,
            Outcome.DELIVERED, "delivered", status_at=wall,
        )  # fmt: skip
        self._keep("inbound", sender, to, numbers[to], entry)


def _error(status: int, code: str, message: str) -> Reply:
    return json_reply(status, {"error": {"code": code, "message": message}})


def _same(wire: Wire, attempt: int) -> Wire:
    return wire
