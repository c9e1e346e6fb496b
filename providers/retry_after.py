"""Retry-After and X-RateLimit-Reset, as providers really write them. Pure: the time is handed in, nothing raises.

Hand in the answer's own Date header as `now` where there is one (`parse_http_date`): then a worker whose clock is
wrong by an hour still waits the right time.
"""

import math
import re
from datetime import UTC, datetime

CAP = 900.0
"""No wait longer than a quarter of an hour is believed: one typing error there must not stop an account for a day."""

_UNIX_TIME = 1e9
_NUMBER = re.compile(r"[+-]?(\d{1,400}(\.\d{0,400})?|\.\d{1,400})", re.ASCII)
_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
_CLOCK = r"(?P<hour>\d{2}):(?P<minute>\d{2}):(?P<second>\d{2})"
# RFC 9110, 5.6.7: the preferred form, and the two obsolete ones that must still be understood.
_DATES = tuple(
    re.compile(form, re.IGNORECASE | re.ASCII)
    for form in (
        rf"[a-z]{{3}}, (?P<day>\d{{2}}) (?P<month>[a-z]{{3}}) (?P<year>\d{{4}}) {_CLOCK} GMT",
        rf"[a-z]{{6,9}}, (?P<day>\d{{2}})-(?P<month>[a-z]{{3}})-(?P<year>\d{{2}}) {_CLOCK} GMT",
        rf"[a-z]{{3}} (?P<month>[a-z]{{3}}) (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})",
    )
)


def parse_retry_after(value: str | None, now: datetime, cap: float = CAP) -> float | None:
    """Seconds to wait, from 0 to `cap`; None if absent or not understood.

    Takes whole and broken seconds and the three date forms. Past dates and negative figures are 0.
    """
    text = (value or "").strip()
    seconds = _number(text)
    if seconds is None:
        seconds = _until(parse_http_date(text, now), now)
    return None if seconds is None else _clamp(seconds, cap)


def parse_reset(value: str | None, now: datetime, cap: float = CAP) -> float | None:
    """Seconds until X-RateLimit-Reset, which is a Unix time (QuickSMS) or, elsewhere, a number of seconds."""
    seconds = _number((value or "").strip())
    if seconds is None:
        return None
    return _clamp(seconds - now.timestamp() if seconds >= _UNIX_TIME else seconds, cap)


def parse_http_date(value: str | None, now: datetime) -> datetime | None:
    """An HTTP date in any of its three forms, in UTC; None if it is none. `now` decides the century of two digits."""
    for form in _DATES:
        if match := form.fullmatch((value or "").strip()):
            return _date(match.groupdict(), now)
    return None


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _date(parts: dict[str, str], now: datetime) -> datetime | None:
    month = _MONTHS.get(parts["month"].lower())
    if month is None:
        return None
    try:
        # A leap second (60) is a moment all the same.
        second = min(59, int(parts["second"]))
        year = _full_year(parts["year"], now)
        return datetime(year, month, int(parts["day"]), int(parts["hour"]), int(parts["minute"]), second, tzinfo=UTC)
    except ValueError:
        return None


def _full_year(year: str, now: datetime) -> int:
    """RFC 9110: two digits that seem more than fifty years ahead mean the past century."""
    if len(year) == 4:
        return int(year)
    furthest = now.year + 50
    return furthest - (furthest - int(year)) % 100


def _until(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else (moment - now).total_seconds()


def _clamp(seconds: float, cap: float) -> float:
    # A figure of hundreds of digits reads as infinity: that too is "very long".
    return max(0.0, min(seconds, cap)) if not math.isnan(seconds) else cap
