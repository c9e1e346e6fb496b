"""What Qikberry answers to a send: one item per recipient, in the shape of sms/send or of the channels form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sandbox.exchange import Reply, json_reply
from sandbox.qikberry_codes import OPEN, SCHEDULED
from sandbox.qikberry_request import Batch, Node
from sandbox.qikberry_settings import QikberrySettings

_STATUS_FORMS: Final[dict[str, object]] = {"number": 200, "text": "200", "word": "OK"}

Item = dict[str, object]


@dataclass(slots=True)
class Writer:
    """The items of one answer as they come; `at` is the provider's local time, the same for all of them."""

    settings: QikberrySettings
    batch: Batch
    group: str
    at: str
    channels: bool
    items: list[Item]
    accepted: int = 0

    def add(self, node: Node, message_id: str, refused: str | None) -> None:
        """One recipient, accepted or refused with a status; every Nth accepted one may be left out of the answer."""
        if refused is None:
            self.accepted += 1
            if self.settings.answer_gap and self.accepted % self.settings.answer_gap == 0:
                return
        status = refused or (SCHEDULED if self.batch.due else OPEN)
        make = self._channel_item if self.channels else self._item
        self.items.append(make(node, message_id, status, 0 if refused else node.units))

    def _item(self, node: Node, message_id: str, status: str, charged: int) -> Item:
        item: Item = {
            "id": message_id,
            "mobile": node.to,
            "status": status,
            "units": node.units,
            "length": len(node.text),
            "charges": charged,
            self.settings.custom_key: node.custom,
            "iso_code": None,
            "submitted_at": self.at,
        }
        return self._as_text(item, ("units", "length", "charges")) if self.settings.numbers_as_text else item

    def _channel_item(self, node: Node, message_id: str, status: str, charged: int) -> Item:
        item: Item = {
            "id": message_id,
            "channel": "sms",
            "from": node.sender,
            "to": node.to,
            "credits": charged,
            "created_at": self.at,
            "status": status,
            "foreign_id": node.custom,
        }
        return self._as_text(item, ("credits",)) if self.settings.numbers_as_text else item

    def _as_text(self, item: Item, names: tuple[str, ...]) -> Item:
        return item | {name: str(item[name]) for name in names}

    def reply(self) -> Reply:
        settings = self.settings
        items = [item | {"id": f"{self.group}:1"} for item in self.items] if settings.repeat_ids else self.items
        data = [] if settings.empty_data else items
        body: Item = {"status": "OK", "message": "Message(s) Queued successfully", "data": data}
        if self.channels:
            return json_reply(settings.accepted_http, body)
        body |= {
            "status": _STATUS_FORMS[settings.status_form],
            "message": f"{self.accepted} numbers accepted for delivery.",
        }
        if settings.group_id == "always" or (settings.group_id == "named" and self.batch.name):
            body["group_id"] = self.group
        return json_reply(settings.accepted_http, body)
