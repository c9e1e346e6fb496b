"""Qikli's rows: delivery reports and message logs as JSON, and reports pushed to notifyUrl a hundred at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

import orjson

from sandbox.core import Provider
from sandbox.ledger import Entry
from sandbox.qikli_box import Refused, Report, ticket_of
from sandbox.qikli_codes import spell
from sandbox.qikli_request import stamp
from sandbox.reports import Push, Wire

# Longest prefix first. Numbers of other countries carry no mccMnc, which reports may lack.
_NETWORKS: Final = (
    ("233", "62001"), ("353", "27201"), ("44", "23410"), ("49", "26201"), ("33", "20801"), ("46", "24001"),
    ("31", "20408"), ("61", "50501"), ("1", "310260"),
)  # fmt: skip


def network_of(msisdn: str) -> str | None:
    return _network(msisdn[:3])


@lru_cache(maxsize=1024)
def _network(head: str) -> str | None:
    return next((network for prefix, network in _NETWORKS if head.startswith(prefix)), None)


@dataclass(frozen=True, slots=True)
class Money:
    price: float
    currency: str


def report_row(report: Report, money: Money) -> dict[str, object]:
    """One element of `results` in GET /sms/1/reports and in pushes."""
    entry, order = report.entry, ticket_of(report.entry).order
    row = _row(entry, report.spec, money) | {"doneAt": stamp(report.at)}
    if order.callback_data is not None:
        row["callbackData"] = order.callback_data
    return row


def log_row(entry: Entry, money: Money) -> dict[str, object]:
    """One element of `results` in GET /sms/1/logs; without a final report it shows the pending status and no doneAt."""
    row = _row(entry, entry.status, money) | {"text": ticket_of(entry).order.text}
    if entry.final_at is not None:
        row["doneAt"] = stamp(entry.final_at)
    return row


def refused_row(refused: Refused, money: Money) -> dict[str, object]:
    spelled, order = spell(refused.spec), refused.order
    return {
        "bulkId": refused.bulk_id,
        "messageId": refused.message_id,
        "to": refused.to,
        "from": order.sender,
        "sentAt": stamp(refused.at),
        "doneAt": stamp(refused.at),
        "smsCount": order.parts,
        "text": order.text,
        "price": {"pricePerMessage": 0.0, "currency": money.currency},
        "status": spelled.status,
        "error": spelled.error,
    }


def _row(entry: Entry, spec: str, money: Money) -> dict[str, object]:
    spelled = spell(spec)
    row: dict[str, object] = {
        "bulkId": ticket_of(entry).bulk_id,
        "messageId": entry.id,
        "to": entry.msisdn,
        "from": entry.sender,
        "sentAt": stamp(entry.accepted_at),
        "smsCount": entry.parts,
        "price": {"pricePerMessage": money.price, "currency": money.currency},
        "status": spelled.status,
        "error": spelled.error,
    }
    network = network_of(entry.msisdn)
    return row if network is None else row | {"mccMnc": network}


class Postman:
    """Collects reports per URL and pushes them together. Nothing is signed: the API knows no signature.

    A batch grows until it is full or its first attempt begins, so whatever comes due in one moment travels in one POST.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._open: dict[str, list[Report]] = {}

    def post(self, url: str, report: Report, size: int, *, alone: bool = False) -> None:
        """`alone`: a report that must not wait for one that is already on its way."""
        batch = None if alone else self._open.get(url)
        if batch is None or len(batch) >= size:
            batch = []
            if not alone:
                self._open[url] = batch
            make, accepted = partial(self._wire, url, batch), partial(self._accepted, batch)
            self._provider.world.pusher.submit(Push(self._provider, make, accepted=accepted))
        batch.append(report)

    def clear(self) -> None:
        self._open.clear()

    def _wire(self, url: str, batch: list[Report], attempt: int) -> Wire:
        if self._open.get(url) is batch:
            del self._open[url]
        settings = self._provider.settings
        money = Money(settings.price, settings.currency)
        body = orjson.dumps({"results": [report_row(report, money) for report in batch]})
        return Wire("POST", url, {"Content-Type": "application/json"}, body)

    def _accepted(self, batch: list[Report], status: int, body: bytes) -> bool:
        """Counts every report of the batch, the pusher itself only the request."""
        if not 200 <= status < 300:
            return False
        for report in batch:
            report.entry.pushed += report.final
        self._provider.ledger.counts.pushed += len(batch) - 1
        return True


def results(rows: list[dict[str, object]]) -> dict[str, Any]:
    return {"results": rows}
