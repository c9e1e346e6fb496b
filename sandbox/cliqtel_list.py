"""GET /messages: filters and paging over what the account sent and received, newest first.

Readings where the document is silent: `since` is exclusive and looks at created_at in whole seconds; a value that
cannot be used is a 422 validation_error. Offsets drift when messages arrive between two pages, as with any such API.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.ledger import Entry

STATUSES = ("queued", "sent", "delivered", "failed")
MAX_PER_PAGE = 100


class BadQuery(ValueError):
    """A query parameter that cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One message of the account: `entry` holds numbers, text, status and times."""

    id: int
    direction: str
    sender: str
    to: str
    number_id: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Page:
    records: list[Record]
    total: int
    page: int
    per_page: int

    def meta(self) -> dict[str, int]:
        pages = max(1, -(-self.total // self.per_page))
        return {"total": self.total, "page": self.page, "per_page": self.per_page, "total_pages": pages}


def find(records: Sequence[Record], query: Mapping[str, str]) -> Page:
    """`records` in order of creation. Errors: BadQuery."""
    page = _whole(query, "page", 1, None)
    per_page = _whole(query, "per_page", 25, MAX_PER_PAGE)
    low = _first_after(records, query["since"]) if "since" in query else 0
    tests = _tests(query)
    kept = [record for record in reversed(records[low:]) if all(test(record) for test in tests)] if tests else None
    total = len(records) - low if kept is None else len(kept)
    start = (page - 1) * per_page
    if kept is None:
        high = len(records) - start
        kept_page = list(reversed(records[max(low, high - per_page) : max(low, high)]))
        return Page(kept_page, total, page, per_page)
    return Page(kept[start : start + per_page], total, page, per_page)


def _tests(query: Mapping[str, str]) -> list[Callable[[Record], bool]]:
    tests: list[Callable[[Record], bool]] = []
    if "direction" in query:
        direction = _one_of(query, "direction", ("inbound", "outbound"))
        tests.append(lambda record: record.direction == direction)
    if "status" in query:
        status = _one_of(query, "status", STATUSES)
        tests.append(lambda record: record.entry.status == status)
    if "number_id" in query:
        number_id = _whole(query, "number_id", 0, None)
        tests.append(lambda record: record.number_id == number_id)
    if "from" in query:
        tests.append(lambda record: record.sender == query["from"])
    if "to" in query:
        tests.append(lambda record: record.to == query["to"])
    return tests


def _first_after(records: Sequence[Record], since: str) -> int:
    try:
        at = datetime.fromisoformat(since)
    except ValueError:
        raise BadQuery("The since field must be a valid date.") from None
    unix = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return bisect_left(records, int(unix) + 1, key=lambda record: int(record.entry.accepted_at))


def _whole(query: Mapping[str, str], name: str, default: int, most: int | None) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise BadQuery(f"The {name} field must be a positive integer.")
    if most is not None and int(text) > most:
        raise BadQuery(f"The {name} field must not be greater than {most}.")
    return int(text)


def _one_of(query: Mapping[str, str], name: str, allowed: Sequence[str]) -> str:
    if query[name] not in allowed:
        raise BadQuery(f"The selected {name} is invalid.")
    return query[name]
