"""Qikberry API v2: the four sends, sms/status, webhooks and subscriptions, unsubscribers, balance.

Fields and outer keys are those of Qikberry's reference, paths and items those of the public documentation of the
platform it is built on. Where both are silent the reading is a switch (qikberry_settings.py).

In the ledger `id` is `<group>:<n>`, `ref` the client's custom id, `key` the group id, and `status` the name
that clients see.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final
from uuid import UUID

from sandbox.core import Provider, Route, Routes, World
from sandbox.exchange import Call, Reply, json_reply
from sandbox.ledger import Entry
from sandbox.outcomes import Outcome, Refusal
from sandbox.qikberry_answer import Item, Writer
from sandbox.qikberry_codes import OPEN, SCHEDULED, name_of, outcome_of
from sandbox.qikberry_hooks import OPTOUT_EVENT, STATUS_EVENT, Hook, Hooks
from sandbox.qikberry_optouts import OptOuts
from sandbox.qikberry_pull import PER_PAGE, Archive, Ticket, page_of, pushed, row, ticket_of
from sandbox.qikberry_request import (
    Account,
    Batch,
    Invalid,
    Node,
    count_of,
    fields_of,
    local,
    numbers_of,
    read_channels,
    read_json,
    read_send,
    read_template,
)
from sandbox.qikberry_settings import QikberrySettings
from sandbox.reports import Push
from sandbox.settings import Settings

LIST_SIZE: Final = 15
_NUMBER = re.compile(r"[1-9]\d{6,14}")
_FINAL: Final = {
    Outcome.DELIVERED: ["000"],
    Outcome.UNDELIVERED: ["010"],
    Outcome.EXPIRED: ["021"],
    Outcome.REJECTED: ["458"],
}
_REFUSED_BY_ENDING: Final = {Refusal.INVALID_NUMBER: "INV-NUMBER", Refusal.BLOCKED: "DNDNUMB"}

Reader = Callable[[dict[str, Any], Account], Batch | None]


class Qikberry(Provider):
    name: ClassVar[str] = "qikberry"
    mount: ClassVar[str] = "/api/v2/"
    # "Retrying failed webhooks": two more attempts, 10 and 100 seconds later; an answer after 3 seconds is none.
    retry_delays: ClassVar[tuple[float, ...]] = (0.0, 10.0, 100.0)
    push_timeout: ClassVar[float] = 3.0
    settings: QikberrySettings

    def __init__(self, world: World, settings: Settings | None = None) -> None:
        self._hooks = Hooks(self)
        self._opt_outs = OptOuts(self)
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._repeats: dict[int, float] = {}
        super().__init__(world, settings)
        self._archive = Archive(self.ledger)

    @classmethod
    def default_settings(cls) -> QikberrySettings:
        return QikberrySettings()

    def routes(self) -> Routes:
        sends: dict[str, Reader] = {
            "sms/send": read_send,
            "sms/send/json": read_json,
            "sms/send/template": read_template,
            "sms/message/send": read_channels,
        }
        return {
            **{("POST", path): Route(self._sender(reader)) for path, reader in sends.items()},
            ("GET", "sms/status"): Route(self.status),
            ("GET", "finance/balance"): Route(self.balance),
            ("GET", "auth/me"): Route(self.me),
            **self._hooks.routes(),
            **self._opt_outs.routes(),
        }

    # -- envelopes and access -----------------------------------------------------------------------------------------

    def answer(self, call: Call) -> Reply:
        """`?_method=` turns a POST into a PUT or DELETE; what is invalid anywhere answers 422."""
        if call.method == "POST" and "_method" in call.query:
            call.method = call.query["_method"].upper()
        try:
            return super().answer(call)
        except Invalid as wrong:
            return self._invalid(wrong)

    def good(self, message: str, data: object) -> Reply:
        return json_reply(200, {"status": "OK", "code": 200, "message": message, "data": data})

    def listing(self, call: Call, rows: list[Item], message: str) -> Reply:
        page = page_of(call.query, len(rows), LIST_SIZE)
        head = {"status": "OK", "code": 200, "message": message, "data": rows[page.window]}
        return json_reply(200, head | page.around(self._address(call)))

    def _address(self, call: Call) -> str:
        """The absolute URL of this page, without its query: the filters are lost in every link."""
        return f"http://{call.headers.get('Host', 'localhost')}/{self.name}{call.path}"

    def missing(self) -> Reply:
        return self.error(404, "The resources cannot be found")

    def error(self, status: int, message: str) -> Reply:
        return self._refuse(status, message)

    def _refuse(self, status: int, message: object) -> Reply:
        code = {"code": status} if self.settings.error_code else {}
        return json_reply(status, {"status": "ERROR", **code, "message": message})

    def _invalid(self, wrong: Invalid) -> Reply:
        forms = {"object": {wrong.field: [wrong.sentence]}, "list": [wrong.sentence]}
        return self._refuse(422, forms.get(self.settings.validation_form, wrong.sentence))

    def throttled(self, retry_after: str | None) -> Reply:
        reply = self._refuse(429, "Too Many Requests")
        if retry_after is not None and self.settings.throttle_hint:
            reply.headers["Retry-After"] = retry_after
        return reply

    def unauthorized(self, call: Call) -> Reply:
        return json_reply(401, {"message": "Unauthenticated."})

    def authenticate(self, call: Call) -> Reply | None:
        token = call.bearer() or call.query.get("access_token") or ""
        account = self.settings.tokens.get(token)
        if account is None:
            return self.unauthorized(call)
        call.account = account
        return None

    def messages_in(self, call: Call) -> int:
        return count_of(_readable(call)) if call.method == "POST" else 0

    def numbers_in(self, call: Call) -> Iterable[str]:
        return numbers_of(_readable(call))

    def reset(self) -> None:
        super().reset()
        self._hooks.clear()
        self._opt_outs.clear()
        self._archive.clear()
        self._spent.clear()
        self._repeats.clear()

    def new_id(self) -> str:
        return str(UUID(int=self.world.rng.getrandbits(128), version=4))

    # -- send ---------------------------------------------------------------------------------------------------------

    def _sender(self, reader: Reader) -> Callable[[Call], Reply]:
        def send(call: Call) -> Reply:
            account = Account(self.world.clock.wall(), self.settings.timezone, self.settings.templates)
            batch = reader(fields_of(call), account)
            if batch is None:
                return self.error(404, "Template not found")
            return self._refused(call, batch) or self._accept_batch(call, batch)

        return send

    def _refused(self, call: Call, batch: Batch) -> Reply | None:
        """What refuses the whole request."""
        settings = self.settings
        if settings.services is not None and batch.service not in settings.services:
            raise Invalid("service", "The selected service is invalid.")
        if batch.webhook_id is not None and not self._hooks.known(batch.webhook_id):
            raise Invalid("webhook_id", "The selected webhook id is invalid.")
        if settings.max_recipients and len(batch.nodes) > settings.max_recipients:
            raise Invalid("to", f"The to may not have more than {settings.max_recipients} items.")
        cost = sum(node.units for node in batch.nodes)
        if settings.credits is not None and self._spent[call.account] + cost > settings.credits:
            return self._refuse(settings.balance_status, "Insufficient balance")
        return None

    def _accept_batch(self, call: Call, batch: Batch) -> Reply:
        group, now = self.new_id(), self.world.clock.wall()
        entries = self._archive.groups.setdefault(group, [])
        hook = self._hooks.target(batch.webhook_id)
        hold = max(0.0, batch.due - now) if batch.due else 0.0
        channels = batch.channel or (batch.template and self.settings.template_form == "channel")
        writer = Writer(self.settings, batch, group, local(int(now), self.settings.timezone), channels, [])
        for place, node in enumerate(batch.nodes, 1):
            if self.settings.drop_gap and place % self.settings.drop_gap == 0:
                self.ledger.counts.rejected += 1
                continue
            message_id = f"{group}:{place}"
            refused = self._verdict(call, batch, node)
            if refused is None:
                self._archive.add(entries, self._accept_node(call, batch, node, message_id, group, hook, hold))
            else:
                self.ledger.counts.rejected += 1
            writer.add(node, message_id, refused)
        self._spent[call.account] += sum(entry.parts for entry in entries)
        return writer.reply()

    def _verdict(self, call: Call, batch: Batch, node: Node) -> str | None:
        """The item status this recipient is refused with, or None. The first reason wins."""
        settings, to = self.settings, node.to
        if not _NUMBER.fullmatch(to):
            return "INV-NUMBER"
        if settings.notallowed and to.startswith(settings.notallowed):
            return "notallowed"
        if settings.approved_senders is not None and node.sender not in settings.approved_senders:
            return "INV-SENDER"
        ending = self.refusal(to)
        if ending is not None:
            return _REFUSED_BY_ENDING[ending]
        if self._opt_outs.blocks(to, node.sender, batch.service, batch.tags):
            return "OPTOUT-REJ"
        if self.faults.watches_messages and (rule := self.faults.partial_reject(to, call.now)) is not None:
            self.ledger.counts.faults[rule.kind] += 1
            return name_of(rule.text("status", "notallowed"))
        return "DUPLICATE" if settings.repeat_minutes and self._repeated(call, node) else None

    def _repeated(self, call: Call, node: Node) -> bool:
        """Whether the same text went from this sender to this number a short while ago (message repetition rule)."""
        content = hash((call.account, node.sender, node.to, node.text))
        before = self._repeats.get(content)
        self._repeats[content] = call.now
        return before is not None and call.now - before < self.settings.repeat_minutes * 60

    def _accept_node(
        self, call: Call, batch: Batch, node: Node, message_id: str, group: str, hook: Hook | None, hold: float
    ) -> Entry:
        ticket = Ticket(batch, len(node.text), hook)
        truth = self._truth_by_ending(node.to, ticket) if self.settings.suffix_statuses else None
        return self.accept(
            call, id=message_id, msisdn=node.to, sender=node.sender, text=node.text, parts=node.units, ref=node.custom,
            key=group, callback_url=hook.uri if hook else None, extra=ticket, truth=truth, hold=hold,
        )  # fmt: skip

    def _truth_by_ending(self, to: str, ticket: Ticket) -> Outcome | None:
        endings = self.settings.suffix_statuses.items()
        word = next((word for ending, word in endings if to.endswith(ending)), None)
        if word is None:
            return None
        ticket.final = name_of(word)
        return outcome_of(ticket.final)

    # -- what becomes of it -------------------------------------------------------------------------------------------

    def initial_status(self, entry: Entry) -> str:
        return SCHEDULED if ticket_of(entry).batch.due else OPEN

    def status_of(self, entry: Entry) -> str:
        """Drawn once and kept, since a fault may ask twice."""
        ticket = ticket_of(entry)
        if ticket.final is None:
            choices = self.settings.final_statuses.get(entry.truth) or _FINAL[entry.truth]
            ticket.final = name_of(choices[0] if len(choices) == 1 else self.world.rng.choice(choices))
        return ticket.final

    def progress(self, entry: Entry) -> tuple[tuple[float, str], ...]:
        half_way = ((0.5, "ENROUTE"),) if self.settings.enroute else ()
        if entry.truth is Outcome.NO_REPORT:
            named = ticket_of(entry).final
            return ((0.5, named),) if named else half_way
        return (*half_way, (1.0, self.status_of(entry)))

    def stale_status(self, entry: Entry) -> str | None:
        return "ENROUTE"

    def publish(self, entry: Entry, status: str) -> None:
        ticket = ticket_of(entry)
        ticket.operator_at = ticket.operator_at or self.world.clock.wall()
        super().publish(entry, status)

    def push_of(self, entry: Entry, status: str) -> Push | None:
        ticket = ticket_of(entry)
        hook = ticket.hook
        if hook is None or not hook.live:
            return None
        final = entry.final_at is not None and status == ticket.final
        return self._hooks.push(hook, STATUS_EVENT, pushed(entry, status, self.settings), entry, final=final)

    def inbound(self, fields: dict[str, Any]) -> Push:
        """A recipient opts out: {receiver, type = "all", value = ""} is listed and pushed as sms:unsubscription."""
        made = self._opt_outs.add(
            str(fields.get("receiver") or ""), str(fields.get("type", "all")), str(fields.get("value", ""))
        )
        hook = self._hooks.target(None, OPTOUT_EVENT)
        if hook is None:
            raise ValueError("no webhook: set callback_url or subscribe to sms:unsubscription")
        payload: Item = {name: getattr(made, name) for name in ("id", "receiver", "type", "value", "created_at")}
        return self._hooks.push(hook, OPTOUT_EVENT, payload | {"status": "unsubscribed"}, None, final=False)

    # -- pull ---------------------------------------------------------------------------------------------------------

    def status(self, call: Call) -> Reply:
        found = self._archive.find(call.query, call.account, self.settings.timezone)
        if not found and self.settings.no_record != 200:
            return self.error(self.settings.no_record, "No record found")
        paged = bool(call.query.get("group_id") or call.query.get("date"))
        page = page_of(call.query if paged else {}, len(found), PER_PAGE if paged else max(1, len(found)))
        now = self.world.clock.wall()
        rows = [self._row(entry, now) for entry in found[page.window]]
        if self.settings.envelope == "old":
            return json_reply(200, {"status": 200, "data": page.old(self._address(call), rows)})
        around = page.around(self._address(call)) if paged else {}
        return json_reply(200, {"status": "OK", "code": 200, "message": "OK", "data": rows, **around})

    def _row(self, entry: Entry, now: float) -> Item:
        if entry.final_at is not None:
            self.pulled(entry)
        return row(entry, self.settings, now)

    # -- account ------------------------------------------------------------------------------------------------------

    def balance(self, call: Call) -> Reply:
        limit = self.settings.credits
        left = 1_000_000.0 if limit is None else limit - self._spent[call.account]
        services = self.settings.services or ("T",)
        rows = [{"service": service, "postpaid": 0, "credits": f"{left:.4f}", "charges": 1} for service in services]
        return self.good("OK", rows if self.settings.balance_form == "list" else rows[0])

    def me(self, call: Call) -> Reply:
        return self.good("OK", {"username": call.account})


def _readable(call: Call) -> dict[str, Any]:
    try:
        return fields_of(call)
    except Invalid:
        return {}
