"""Qikberry's delivery reports, opt-outs and inbound messages, pulled or pushed.

Pull: `GET sms/status`, repeatable, 100 rows a page. The next page is built here: the links in the provider's own
sample have lost the filter that was asked for. Push: see `providers.qikberry_webhooks` for who may push.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from providers.base import Inbound, OpenWork, OptOut, Page, Parsed, Raw, Report
from providers.qikberry_bodies import Row, rows_of
from providers.qikberry_items import Item, read_item, to_report
from providers.qikberry_options import Account
from providers.shared import digits, json_or_none, mapping, rows, text, timestamp, whole
from providers.wire import Reply

log = logging.getLogger("drumline.providers")

PAGE = 100  # "The number of records per page will be limited to 100"
MOST_PAGES = 5000  # of one query: the largest campaign the platform knows has 500,000 messages
_MOST_DAYS = 4  # asked for by date: reports are waited for 72 hours, and the provider's day is not ours

Found = Report | OptOut | Inbound | str
"""What one row holds; a text says why it cannot be read."""


def parse_reports(account: Account, raw: Raw) -> Parsed:
    """Every row read by itself, so that a bad one never loses its neighbours. Raises BadBody for no rows at all."""
    found = [(row.where, _read(account, row)) for row in rows_of(raw)]
    return _sorted_out(found)


def _sorted_out(found: Sequence[tuple[str, Found | None]]) -> Parsed:
    return Parsed(
        reports=[one for _, one in found if isinstance(one, Report)],
        opt_outs=[one for _, one in found if isinstance(one, OptOut)],
        inbound=[one for _, one in found if isinstance(one, Inbound)],
        bad=[(where, one) for where, one in found if isinstance(one, str)],
    )


def _read(account: Account, row: Row) -> Found | None:
    """None: understood, and not for us."""
    event = row.event
    if event == "sms:unsubscription" or (event is None and mapping(row.value).keys() >= {"receiver", "type"}):
        return read_opt_out(account, row.value)
    if event == "vmn:message:in":
        return _read_inbound(row.value)
    if event is None or event.endswith(":message:status"):
        return _read_report(account, row)
    log.info("qikberry: event %s is not about a text we sent, nothing to do", re.sub(r"[^a-z:_-]", "?", event)[:60])
    return None


def _read_report(account: Account, row: Row) -> Report | str:
    item = read_item(row.value)
    if item is None:
        return "neither an id, a reference nor a number"
    if not item.written:
        return "no status"
    event_channel = (row.event or "sms").partition(":")[0]
    if item.channel is None and event_channel != "sms":
        item = read_item({**mapping(row.value), "channel": event_channel}) or item
    return to_report(item, account.zone, account.currency) or "neither an id nor a reference"


def _read_inbound(value: object) -> Inbound | str:
    """`vmn:message:in`: a text to one of the account's numbers (public documentation of the same platform)."""
    inbound_id, sender = text(value, "id"), text(value, "recipient", "from")
    if inbound_id is None or sender is None:
        return "an inbound message without an id or a sender"
    return Inbound(
        inbound_id=inbound_id,
        msisdn=sender,
        to=text(value, "channels", 0, "to") or "",
        text=text(value, "message", "payload", "text") or "",
        received_at=timestamp(text(value, "timestamp")),
    )


# --- opt-outs --------------------------------------------------------------------------------------------------------


def read_opt_out(account: Account, value: object) -> OptOut | str | None:
    """A person's stop. One for a tag counts for every sender: too wide is lawful, too narrow is not. One for another
    product of the provider than this account sends by does not concern it."""
    number = text(value, "receiver") or ""
    if not re.fullmatch(r"\+?[1-9][0-9]{6,14}", number.strip()):
        return "an opt-out without a whole number"
    if re.search(r"delet|remov", text(value, "status") or "", re.I):
        return None
    kind, about = (text(value, "type") or "all").lower(), text(value, "value")
    if kind in ("service", "product") and about and about.upper() not in (account.service.upper(), "*"):
        return None
    sender = about if kind == "sender" and about != "*" else None
    return OptOut(f"+{digits(number)}", sender, f"qikberry {kind}{f' {about}' if about else ''}"[:80])


def parse_opt_outs(account: Account, raw: Raw) -> Parsed:
    """A page of the provider's unsubscribers. Raises BadBody for no rows at all."""
    return _sorted_out([(row.where, read_opt_out(account, row.value)) for row in rows_of(raw)])


# --- pages -----------------------------------------------------------------------------------------------------------


def first_pages(account: Account, work: OpenWork) -> Sequence[Page]:
    """A page for each open group; by date for messages whose group was never told, and where there is no group."""
    groups = [Page({"group_id": group}) for group in dict.fromkeys(work.groups) if group]
    since = work.ungrouped
    if since is None and (account.poll_by_date or not (groups or work.all_grouped)):
        since = work.oldest
    return groups if since is None else [*groups, *(Page({"date": day}) for day in days(account, since, work.now))]


def days(account: Account, oldest: datetime, now: datetime | None) -> Sequence[str]:
    """The provider's calendar days from `oldest` to `now`, latest first, at most four.

    Both ends are widened by an hour: a message at midnight may be filed on either side of it.
    """
    hour = timedelta(hours=1)
    first = (oldest - hour).astimezone(account.zone).date()
    last = ((now or oldest) + hour).astimezone(account.zone).date()
    count = min(_MOST_DAYS, max(1, (last - first).days + 1))
    return [(last - timedelta(days=back)).isoformat() for back in range(count)]


def page_query(page: Page) -> dict[str, str]:
    return {**page.query, **({"page": str(page.number)} if page.number > 1 else {})}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a list an answer stands. `last` None: it does not say."""

    rows: int
    current: int | None
    last: int | None


def following(page: Page, reply: Reply) -> Page | None:
    """The next page by our own count. Ends at the last page, at an empty one, and where the provider stands still."""
    if not 200 <= reply.status < 300:
        return None
    place = _place(json_or_none(reply))
    if place.rows == 0 or page.number >= MOST_PAGES:
        return None
    if place.current is not None and place.current < page.number:  # it ignored the page we asked for
        return None
    more = place.rows >= PAGE if place.last is None else page.number < place.last
    return replace(page, number=page.number + 1, seen=page.seen + place.rows) if more else None


def _place(body: object) -> _Place:
    """Newer envelope: `data` a list beside `meta`; older one: everything inside `data`."""
    inner = mapping(body, "data")
    count = len(rows(inner, "data")) if inner else len(rows(body, "data"))
    meta = inner or mapping(body, "meta")
    return _Place(count, whole(meta, "current_page"), whole(meta, "last_page"))


def reports_in(account: Account, values: Sequence[object]) -> Iterator[tuple[Item, Report]]:
    """The readable rows of a status answer, with their reports."""
    for item in map(read_item, values):
        report = to_report(item, account.zone, account.currency) if item else None
        if item is not None and report is not None:
            yield item, report
