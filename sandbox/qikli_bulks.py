"""Scheduled bulks of Qikli: sendAt, and GET/PUT /sms/1/bulks and /sms/1/bulks/status (public specification).

A message with a sendAt in the future is accepted at once and stays pending. When its time comes the steps of its report
are planned; until then the bulk can be moved, paused or cancelled.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sandbox.exchange import Call, Reply, json_reply
from sandbox.ledger import Entry
from sandbox.outcomes import Outcome
from sandbox.qikli_box import Bulk, ticket_of
from sandbox.qikli_request import Invalid, Order, read_stamp, stamp

if TYPE_CHECKING:
    from sandbox.qikli import Qikli

CANCELED: Final = "31:4100"
_CHANGES: Final = {"PENDING": {"PAUSED", "CANCELED"}, "PAUSED": {"PENDING", "CANCELED"}}


class Bulks:
    def __init__(self, provider: Qikli) -> None:
        self._provider = provider

    def schedule(self, bulk: Bulk, orders: list[Order]) -> None:
        """Plan the release of what has a sendAt; a pause may have outlasted it."""
        world = self._provider.world
        for order in orders:
            if order.send_at is not None:
                due = world.clock.now() + order.send_at - world.clock.wall()
                world.agenda.add(due, partial(self._release, bulk, order, order.epoch))

    def _release(self, bulk: Bulk, order: Order, epoch: int) -> None:
        if order.epoch != epoch:
            return  # moved, paused or cancelled meanwhile
        order.send_at = None
        bulk.state = "PROCESSING" if _waiting(bulk) else "FINISHED"
        for entry in bulk.entries:
            if ticket_of(entry).order is order:
                self._start(entry)

    def _start(self, entry: Entry) -> None:
        provider = self._provider
        low, high = provider.settings.dlr_delay
        delay = provider.world.rng.uniform(low, high)
        for share, status in provider.progress(entry):
            due = provider.world.clock.now() + delay * share
            provider.world.agenda.add(due, partial(provider.step, entry, status, share >= 1.0))

    # -- the API ------------------------------------------------------------------------------------------------------

    def show(self, call: Call) -> Reply:
        bulk = self._find(call)
        at = _send_at(bulk) if bulk else None
        if bulk is None or at is None:
            return self._provider.refuse(404)
        return json_reply(200, {"bulkId": bulk.id, "sendAt": stamp(at)})

    def move(self, call: Call) -> Reply:
        bulk = self._find(call)
        if bulk is None or _send_at(bulk) is None:
            return self._provider.refuse(404)
        try:
            at = read_stamp(_field(call, "sendAt"), "sendAt", self._provider.world.clock.wall())
        except Invalid as wrong:
            return self._provider.refuse(400, fields=wrong.errors)
        for order in _waiting(bulk):
            order.send_at = at
            order.epoch += 1
        if bulk.state != "PAUSED":
            self.schedule(bulk, _waiting(bulk))
        return json_reply(200, {"bulkId": bulk.id, "sendAt": stamp(at)})

    def show_state(self, call: Call) -> Reply:
        bulk = self._find(call)
        if bulk is None or (bulk.state == "PENDING" and _send_at(bulk) is None):
            return self._provider.refuse(404)
        return json_reply(200, {"bulkId": bulk.id, "status": bulk.state})

    def change_state(self, call: Call) -> Reply:
        bulk = self._find(call)
        if bulk is None or _send_at(bulk) is None:
            return self._provider.refuse(404)
        wanted = str(_field(call, "status"))
        if wanted not in _CHANGES.get(bulk.state, ()):
            return self._provider.refuse(400, fields={"status": [f"cannot change {bulk.state} to {wanted}"]})
        bulk.state = wanted
        for order in _waiting(bulk):
            order.epoch += 1
        self._follow(bulk, wanted)
        return json_reply(200, {"bulkId": bulk.id, "status": wanted})

    def _follow(self, bulk: Bulk, wanted: str) -> None:
        if wanted == "PENDING":
            self.schedule(bulk, _waiting(bulk))
        elif wanted == "CANCELED":
            for entry in bulk.entries:
                if ticket_of(entry).order.send_at is not None:
                    self._cancel(entry)

    def _cancel(self, entry: Entry) -> None:
        entry.truth = Outcome.UNDELIVERED
        ticket_of(entry).final = CANCELED
        self._provider.step(entry, CANCELED, final=True)

    def _find(self, call: Call) -> Bulk | None:
        return self._provider.box(call.account).bulks.get(call.query.get("bulkId", ""))


def _waiting(bulk: Bulk) -> list[Order]:
    return [order for order in bulk.orders if order.send_at is not None]


def _send_at(bulk: Bulk) -> float | None:
    return min((order.send_at for order in bulk.orders if order.send_at is not None), default=None)


def _field(call: Call, name: str) -> Any:
    body = call.json()
    return body.get(name) if isinstance(body, dict) else None
