"""GET sms/status of Qikberry: which messages a query means, a hundred on a page, in the newer and the older envelope.

Qikberry reference, "Pull DLR Status". Reads are repeatable. Page links come only with group_id or date, and without the
filters: a client that follows them as they are loses its query.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from sandbox.ledger import Entry, Ledger
from sandbox.qikberry_codes import LONG_FORM, OPEN, SCHEDULED
from sandbox.qikberry_request import Batch, Invalid, local

if TYPE_CHECKING:
    from sandbox.qikberry_hooks import Hook
    from sandbox.qikberry_settings import QikberrySettings

PER_PAGE: Final = 100
FILTERS: Final = ("id", "group_id", "cid", "mobile", "date")


@dataclass(slots=True, eq=False)
class Ticket:
    """What Qikberry knows of a message beyond the ledger's entry (`entry.extra`)."""

    batch: Batch
    length: int
    hook: Hook | None
    final: str | None = None
    operator_at: float | None = None


def ticket_of(entry: Entry) -> Ticket:
    if not isinstance(entry.extra, Ticket):
        raise TypeError("a message of another provider")
    return entry.extra


class Archive:
    """The messages of all accounts by what a status query can ask for."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.groups: dict[str, list[Entry]] = {}
        # One entry for the usual case of one custom id per message: a million lists of one would be a waste.
        self._by_custom: dict[str, Entry | list[Entry]] = {}

    def add(self, group: list[Entry], entry: Entry) -> None:
        group.append(entry)
        if entry.ref is None:
            return
        known = self._by_custom.setdefault(entry.ref, entry)
        if isinstance(known, list):
            known.append(entry)
        elif known is not entry:
            self._by_custom[entry.ref] = [known, entry]

    def clear(self) -> None:
        self.groups.clear()
        self._by_custom.clear()

    def find(self, query: Mapping[str, str], account: str, zone: str) -> list[Entry]:
        """Every given filter must match. Errors: Invalid when none is given."""
        given = [name for name in FILTERS if query.get(name)]
        if not given:
            raise Invalid("id", "The id field is required when mobile, cid, date and group_id are not present.")
        found = self._narrowest(given[0], query, zone)
        return [entry for entry in found if entry.account == account and _matches(entry, given[1:], query, zone)]

    def _narrowest(self, name: str, query: Mapping[str, str], zone: str) -> Iterable[Entry]:
        value = query[name]
        if name == "id":
            entry = self._ledger.by_id.get(value)
            return (entry,) if entry else ()
        if name == "group_id":
            return self.groups.get(value, ())
        if name == "cid":
            known = self._by_custom.get(value, [])
            return known if isinstance(known, list) else (known,)
        if name == "mobile":
            return (entry for entry in self._ledger.entries if entry.msisdn == value)
        return self._of_day(value, zone)

    def _of_day(self, day: str, zone: str) -> Sequence[Entry]:
        """Accepted on this day of the provider's calendar; entries stand in order of acceptance."""
        try:
            start = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=ZoneInfo(zone))
        except ValueError:
            raise Invalid("date", "The date does not match the format Y-m-d.") from None
        accepted_at = attrgetter("accepted_at")
        entries = self._ledger.entries
        low = bisect_left(entries, start.timestamp(), key=accepted_at)
        high = bisect_left(entries, (start + timedelta(days=1)).timestamp(), key=accepted_at)
        return entries[low:high]


def _matches(entry: Entry, names: Sequence[str], query: Mapping[str, str], zone: str) -> bool:
    have = {"group_id": entry.key, "cid": entry.ref, "mobile": entry.msisdn}
    day = local(int(entry.accepted_at), zone)[:10] if "date" in names else None
    return all(query[name] == (day if name == "date" else have[name]) for name in names)


def shown(entry: Entry, settings: QikberrySettings, now: float) -> str:
    """The status as the provider would say it now: a schedule that has come is no longer SCHEDULED."""
    due = ticket_of(entry).batch.due
    status = OPEN if entry.status == SCHEDULED and due is not None and due <= now else entry.status
    return LONG_FORM.get(status, status) if settings.status_words == "long" else status


def row(entry: Entry, settings: QikberrySettings, now: float) -> dict[str, object]:
    """One message as GET sms/status shows it."""
    ticket, zone = ticket_of(entry), settings.timezone
    return {
        "id": entry.id,
        "mobile": entry.msisdn,
        "status": shown(entry, settings, now),
        "units": number(entry.parts, settings),
        "service": ticket.batch.service,
        "length": number(ticket.length, settings),
        "charges": number(entry.parts, settings),
        "custom": entry.ref or "",
        "custom1": "",
        "location": "",
        "provider": "",
        "submitted_at": local(int(entry.accepted_at), zone),
        "delivered_at": "" if entry.final_at is None else local(int(entry.final_at), zone),
        "sender": entry.sender,
    }


def number(value: int, settings: QikberrySettings) -> int | str:
    return str(value) if settings.numbers_as_text else value


def pushed(entry: Entry, status: str, settings: QikberrySettings) -> dict[str, object]:
    """The fields of a sms:message:status event; sent_* is the arrival here, submit_* the hand-over to the operator."""
    zone, final_at = settings.timezone, entry.final_at
    operator_at = ticket_of(entry).operator_at or entry.accepted_at
    own = entry.ref or ""
    payload: dict[str, object] = {
        "id": entry.id,
        "mobile": entry.msisdn,
        "status": LONG_FORM.get(status, status) if settings.status_words == "long" else status,
        "credits": f"{entry.parts:.4f}",
        "units": number(entry.parts, settings),
        "deliv_time": "" if final_at is None else local(int(final_at), zone),
        "sent_time": local(int(entry.accepted_at), zone),
        "submit_time": local(int(operator_at), zone),
        "cid": own if settings.push_custom != "custom" else "",
        "custom": own if settings.push_custom != "cid" else "",
    }
    payload |= dict.fromkeys(_UNFILLED, "")
    if settings.epoch_fields:
        moments = {"deliv_at": final_at, "sent_at": entry.accepted_at, "submit_at": operator_at}
        payload |= {name: "" if at is None else str(int(at)) for name, at in moments.items()}
    return payload


_UNFILLED: Final = (
    "custom1", "custom2", "location", "region", "provider", "location_code", "region_code", "provider_code",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """Where a page lies in its list. A page after the last is empty, as any Laravel list answers it."""

    number: int
    total: int
    size: int

    @property
    def last(self) -> int:
        return max(1, -(-self.total // self.size))

    @property
    def window(self) -> slice:
        return slice((self.number - 1) * self.size, self.number * self.size)

    def around(self, path: str) -> dict[str, Any]:
        """`links` and `meta` of the newer envelope."""
        count = len(range(self.total)[self.window])
        start = (self.number - 1) * self.size
        return {
            "links": {
                "first": f"{path}?page=1",
                "last": f"{path}?page={self.last}",
                "prev": f"{path}?page={self.number - 1}" if self.number > 1 else None,
                "next": self.next_link(path),
            },
            "meta": {
                "current_page": self.number,
                "from": start + 1 if count else None,
                "last_page": self.last,
                "path": path,
                "per_page": self.size,
                "to": start + count if count else None,
                "total": self.total,
            },
        }

    def next_link(self, path: str) -> str | None:
        return f"{path}?page={self.number + 1}" if self.number < self.last else None

    def old(self, path: str, rows: list[dict[str, object]]) -> dict[str, Any]:
        """The older envelope: rows, counters and link inside `data`."""
        return {
            "current_page": self.number,
            "data": rows,
            "last_page": self.last,
            "next_page_url": self.next_link(path),
            "per_page": self.size,
            "total": self.total,
        }


def page_of(query: Mapping[str, str], total: int, size: int) -> Page:
    given = query.get("page", "1")
    return Page(max(1, int(given)) if given.isdecimal() else 1, total, size)
