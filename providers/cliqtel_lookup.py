"""How Cliqtel lets us learn what became of a message without an answer: search the list, compare, decide.

There is no client reference, so a message is known again by sender, recipient, text and time. Saying "not there" leads
to a second submit, so everything doubtful is said to be no answer instead. A text may be changed on its way (a line
about opting out added, letters dropped): a row of the same two numbers and the same minutes is another message only
where its id is known to be another's, which the adapter cannot know and so passes on.
Source: Cliqtel SMS API Reference, "List Messages".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from models.states import MessageState
from providers.base import Found, NoAnswer, NotThere, Report, Sighting, Sought
from providers.cliqtel_reports import read_row
from providers.shared import digits, text, timestamp, whole
from providers.wire import Reply

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Window:
    """When a message submitted at some time may have been created, by the provider's clock. Seconds."""

    skew: float
    timeout: float

    def since(self, attempted_at: datetime) -> datetime:
        return attempted_at - timedelta(seconds=self.skew)

    def holds(self, created: datetime | None, attempted_at: datetime) -> bool:
        """A row whose time cannot be read cannot be excluded either."""
        until = attempted_at + timedelta(seconds=self.timeout + self.skew)
        return created is None or self.since(attempted_at) <= created <= until


def sighting(one: Sought, rows: Sequence[object], from_number: str | None, window: Window, drift: float) -> Sighting:
    """What the rows of a list say about one message.

    `from_number`: digits of the sender, None where it is not known. `drift`: seconds between the two clocks.
    """
    near = [row for row in rows if isinstance(row, dict) and _near(one, row, from_number, window)]
    candidates = [report for row in _same_text(one, near) if (report := _candidate(row))]
    absence = _absence(rows, near, window, drift)
    if not candidates:
        return absence
    return Found([report for _, report in sorted(candidates, key=lambda found: found[0])], absence)


def _absence(rows: Sequence[object], near: Sequence[Row], window: Window, drift: float) -> NotThere | NoAnswer:
    """What it proves that no row is this message by its text."""
    if any(not isinstance(row, dict) for row in rows) or any(_unreadable(row) for row in near):
        return NoAnswer("the list holds a row that may be this message but cannot be read")
    if abs(drift) > window.skew / 2:
        return NoAnswer(f"the clocks differ by {drift:.0f} s: absence would prove nothing")
    return NotThere(frozenset(number for row in near if (number := text(row, "id"))))


def _near(one: Sought, row: Row, from_number: str | None, window: Window) -> bool:
    sender = digits(row.get("from"))
    return (
        row.get("direction") in (None, "outbound")
        and digits(row.get("to")) in ("", digits(one.message.msisdn))
        and (not from_number or sender in ("", from_number))
        and window.holds(timestamp(row.get("created_at")), one.attempted_at)
    )


def _same_text(one: Sought, near: Sequence[Row]) -> Sequence[Row]:
    """Rows with exactly our text; where there are none, rows with the same letters and digits, since a provider may
    trim blanks or replace punctuation."""
    whole_rows = [(row, body) for row in near if isinstance(body := row.get("body"), str) and digits(row.get("to"))]
    exact = [row for row, body in whole_rows if _plain(body) == _plain(one.message.text)]
    ours = _letters(one.message.text)
    return exact or [row for row, body in whole_rows if ours and _letters(body) == ours]


def _plain(said: str) -> str:
    return unicodedata.normalize("NFC", said.replace("\r\n", "\n")).strip()


def _letters(said: str) -> str:
    return "".join(ch for ch in unicodedata.normalize("NFKD", said) if ch.isalnum())


def _unreadable(row: Row) -> bool:
    """It cannot be compared, or it has no id by which it could be known as another message's."""
    return not isinstance(row.get("body"), str) or not digits(row.get("to")) or _candidate(row) is None


def _candidate(row: Row) -> tuple[tuple[datetime, int], Report] | None:
    report = read_row(row)
    if isinstance(report, str):
        return None
    created = timestamp(row.get("created_at")) or datetime.max.replace(tzinfo=UTC)
    # whatever its status says, the row proves that the message was accepted
    return (created, whole(row, "id") or 0), replace(report, state=report.state or MessageState.SUBMITTED)


def clock_drift(reply: Reply, now: datetime) -> float:
    """Seconds by which the provider's clock is ahead of ours, by its `Date` header; 0 where it has none."""
    try:
        theirs = parsedate_to_datetime(reply.header("date") or "")
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return ((theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)) - now).total_seconds()
