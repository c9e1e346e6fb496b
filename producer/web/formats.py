"""How figures, times and words read on a page. Pure."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal

THIN = "\N{NARROW NO-BREAK SPACE}"
DASH = "\N{EN DASH}"
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def count(n: float | None) -> str:
    """12,345; a dash where nothing is known."""
    return DASH if n is None else f"{n:,.0f}"


def percent(part: float, whole: float) -> str:
    """98.4 %. Never rounded to 0 or 100 when it is neither: an operator acts on the difference."""
    if not whole:
        return DASH
    share = 100 * part / whole
    if 0 < share < 0.1:
        return f"<{THIN}0.1{THIN}%"
    shown = min(share, 99.9) if share < 100 else share
    return f"{math.floor(shown * 10) / 10:.1f}{THIN}%".replace(f".0{THIN}", THIN)


def per_minute(rate: float | None) -> str:
    """A rate in messages a second, as 812/min (or 3.4/min below ten)."""
    if rate is None:
        return DASH
    each = rate * 60
    return f"{each:,.1f}/min" if 0 < each < 9.95 else f"{each:,.0f}/min"


def span(seconds: float | None) -> str:
    """About how long: 'less than a second', '45 seconds', '14 minutes', '3 hours 20 minutes', '2 days'."""
    if seconds is None:
        return DASH
    whole = max(0, round(seconds))
    if whole == 0:
        return "less than a second"
    size, name = next(unit for unit in _UNITS if whole >= unit[0])
    first = _named(whole // size, name)
    if size == 3_600 and (rest := whole % size // 60):
        return f"{first} {_named(rest, 'minute')}"
    return first


def _named(n: int, name: str) -> str:
    return f"{n:,} {name}" if n == 1 else f"{n:,} {name}s"


def ago(then: datetime | None, now: datetime) -> str:
    """'14 minutes ago', 'in 3 hours', 'now', 'never'."""
    if then is None:
        return "never"
    seconds = (now - then).total_seconds()
    if abs(seconds) < 2:
        return "now"
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(-seconds)}"


def day(at: datetime | None) -> str:
    """12 Mar 2026, 09:00 UTC"""
    return DASH if at is None else f"{at.day} {at:%b %Y, %H:%M} UTC"


def brief(at: datetime | None) -> str:
    """12 Mar 09:00, where the year is known and the whole date is a hint."""
    return DASH if at is None else f"{at.day} {at:%b %H:%M}"


def clock(at: datetime | None) -> str:
    """09:00:17, for things of the same day."""
    return DASH if at is None else f"{at:%H:%M:%S}"


def iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def money(amount: Decimal | None, currency: str | None = None) -> str:
    """1,234.50 EUR; four digits below one."""
    if amount is None:
        return DASH
    text = f"{amount:,.4f}" if 0 < abs(amount) < 1 else f"{amount:,.2f}"
    return f"{text}{THIN}{currency}" if currency else text


def window(seconds: float) -> str:
    """The span of a limit: 'second', 'minute', '10 seconds'."""
    if seconds < 1:
        return f"{seconds * 1000:g} ms"
    size, name = next((size, name) for size, name in _UNITS if seconds % size == 0 or size == 1)
    n = seconds / size
    return name if n == 1 else f"{n:g} {name}s"
