"""What became of a request without an answer: asked of Qikberry by our reference.

`GET sms/status?cid=<ref>`: "Your custom ID". That `cid` finds what was sent as `custom` is the documented intent, so
a found row proves acceptance. That nothing was found proves nothing, unless the account's owner has tried it and says
so (`absence_proves`); even then only a well-formed empty answer counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from providers.base import Found, LookUpBy, LookUpPolicy, NoAnswer, NotThere, Report, Sighting, Sought
from providers.qikberry_answers import Envelope, read_envelope, signal_of
from providers.qikberry_items import Item, fits_mask
from providers.qikberry_options import Account
from providers.qikberry_reports import days, reports_in
from providers.qikberry_requests import get
from providers.shared import digits, json_or_none, rows, timestamp
from providers.wire import Reply, Send, WireError

_AFTER = (12.0, 60.0, 300.0, 900.0)
_GIVE_UP = 7200.0
"""Seconds: after the last look only a late push can still tell, and those are retried for 90 minutes at most."""

_BEFORE, _LATER = timedelta(minutes=2), timedelta(minutes=30)
"""How far the provider's time of a row without our reference may lie from our request."""


def policy(account: Account) -> LookUpPolicy:
    by = LookUpBy.QUERY if account.absence_proves else LookUpBy.EVIDENCE
    return LookUpPolicy(by, _AFTER, account.absence_proves, _GIVE_UP)


async def look_up(account: Account, sought: Sequence[Sought], send: Send) -> Mapping[str, Sighting]:
    """One question each; after an answer that concerns the whole account nobody is asked about any more."""
    seen: dict[str, Sighting] = {}
    stopped: str | None = None
    for one in sought:
        sighting = NoAnswer(stopped) if stopped else await _seek(account, one, send)
        if isinstance(sighting, NoAnswer) and sighting.signal is not None:
            stopped = sighting.reason
        seen[one.message.id] = sighting
    return seen


async def _seek(account: Account, one: Sought, send: Send) -> Sighting:
    sighting = await _ask(_Question(account, one, {"cid": one.message.ref}, by_reference=True), send)
    if isinstance(sighting, NotThere) and account.cross_check:
        return await _cross_check(account, one, send)
    return sighting


async def _cross_check(account: Account, one: Sought, send: Send) -> Sighting:
    """By number, on the provider's day of the request and the day it may have been filed under instead."""
    for day in days(account, one.attempted_at, one.attempted_at):
        query = {"mobile": digits(one.message.msisdn), "date": day}
        sighting = await _ask(_Question(account, one, query, by_reference=False), send)
        if not isinstance(sighting, NotThere):
            return sighting
    return NotThere()


@dataclass(frozen=True, slots=True)
class _Question:
    account: Account
    sought: Sought
    query: Mapping[str, str]
    by_reference: bool


async def _ask(question: _Question, send: Send) -> Sighting:
    try:
        reply = await send(get(question.account, "status", question.query))
    except WireError as error:
        return NoAnswer(error.reason)
    return _read(question, reply)


def _read(question: _Question, reply: Reply) -> Sighting:
    account = question.account
    envelope = read_envelope(json_or_none(reply), (account.token,))
    signal = signal_of(reply, (account.token,))
    if signal is not None or envelope is None:
        return NoAnswer(f"http_{reply.status}", signal)
    if 200 <= reply.status < 300 and envelope.ok:
        return _among(question, envelope)
    return _no_record(account, reply, envelope)


def _no_record(account: Account, reply: Reply, envelope: Envelope) -> Sighting:
    """404 and 422 may mean "no record", but a wrong path says the same: never taken as a proof."""
    status = reply.status if reply.status >= 400 else envelope.status
    if envelope.ok is None and reply.status < 300:
        return NoAnswer("answer_without_status")
    return NotThere() if status in (0, 404, 422) and not account.absence_proves else NoAnswer(f"http_{status}")


def _among(question: _Question, envelope: Envelope) -> Sighting:
    values = _values(envelope.data)
    if values is None:
        return NoAnswer("unreadable_rows")
    ours = [(item, report) for item, report in reports_in(question.account, values) if _is_ours(question, item)]
    if ours:
        return Found(_oldest_first(question.account, ours))
    if values and question.by_reference:  # asked for one reference, answered with others: the filter was not heard
        return NoAnswer("rows_of_others")
    return NotThere()


def _values(data: object) -> list[object] | None:
    match data:
        case list():
            return data
        case {"data": list()}:
            return rows(data, "data")
        case _:
            return None


def _is_ours(question: _Question, item: Item) -> bool:
    """Our reference, or no reference at all but our number (as far as it is shown) at the time of our request."""
    message = question.sought.message
    if item.references:
        return message.ref in item.references
    number = digits(message.msisdn)
    submitted = _submitted(question.account, item)
    if submitted is None or not (item.full_number == number or fits_mask(item.number, number)):
        return False
    return -_BEFORE <= submitted - question.sought.attempted_at <= _LATER


def _submitted(account: Account, item: Item) -> datetime | None:
    keys = ("sent_at", "submitted_at", "sent_time", "created_at")
    times = (timestamp(item.fields.get(key), account.zone) for key in keys)
    return next((found for found in times if found is not None), None)


def _oldest_first(account: Account, ours: Sequence[tuple[Item, Report]]) -> Sequence[Report]:
    last = datetime.max.replace(tzinfo=UTC)
    return [report for _, report in sorted(ours, key=lambda pair: _submitted(account, pair[0]) or last)]
