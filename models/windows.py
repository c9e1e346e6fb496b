"""Sending windows: at what hours, by the recipient's own clock, a message may leave. Pure.

A number may belong to several time zones (a German one to one, an Australian mobile to eight). Then the window must be
open in all of them at once: better late for some than at night for anybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

HORIZON = timedelta(days=15)
"""How far ahead an opening is sought; a weekly window with any common hour opens well within it."""
EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = timedelta(days=1)
_HOURS = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)").fullmatch


class WindowError(ValueError):
    """A window that cannot be. The text says what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class Window:
    """Open from `opens` (inclusive) to `closes` (exclusive), minutes of the day, on `days` (ISO, Monday is 1).

    `closes` before `opens` ends on the next day, which needs not be one of `days`. `zone` fixes one clock for
    everybody instead of each recipient's own.
    """

    opens: int
    closes: int
    days: tuple[int, ...] = EVERY_DAY
    zone: str | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.opens < 1440 and 0 < self.closes <= 1440) or self.opens == self.closes:
            raise WindowError("window: expected two different times of a day, as 09:00-20:00")
        if not self.days or not set(self.days) <= set(EVERY_DAY):
            raise WindowError("window: found no days of the week, expected some of mon to sun")
        if self.zone is not None:
            check_zone(self.zone)

    def as_json(self) -> dict[str, Any]:
        return {"from": clock(self.opens), "to": clock(self.closes), "days": list(self.days), "zone": self.zone}

    def __str__(self) -> str:
        days = "" if self.days == EVERY_DAY else " " + ",".join(DAYS[day - 1] for day in self.days)
        return f"{clock(self.opens)}-{clock(self.closes)}{days}{f' {self.zone}' if self.zone else ''}"


def window_of(found: Mapping[str, Any]) -> Window:
    """From `{"from": "09:00", "to": "20:00", "days": [1, 2], "zone": null}`. Raises WindowError."""
    days = tuple(sorted({int(day) for day in found.get("days") or EVERY_DAY}))
    return Window(minutes(str(found["from"])), minutes(str(found["to"])) or 1440, days, found.get("zone"))


def parse_window(text: str, zone: str | None = None) -> Window:
    """From `09:00-20:00`, or `09:00-20:00 mon-fri,sun`. Raises WindowError."""
    hours, _, named = text.strip().lower().partition(" ")
    opens, mark, closes = hours.partition("-")
    if not mark:
        raise WindowError(f"window: found {text!r}, expected hours as 09:00-20:00")
    return Window(minutes(opens), minutes(closes) or 1440, _days(named) if named.strip() else EVERY_DAY, zone)


def parse_quiet(text: str, zone: str | None = None) -> Window:
    """Quiet hours `21:00-08:00`: the window is the rest of the day."""
    quiet = parse_window(text, zone)
    return Window(quiet.closes % 1440, quiet.opens or 1440, quiet.days, zone)


def minutes(text: str) -> int:
    """Minutes of the day of `HH:MM`; `24:00` is 0, the same moment."""
    found = _HOURS(text.strip())
    value = int(found[1]) * 60 + int(found[2]) if found else 1441
    if value > 1440:
        raise WindowError(f"window: found {text.strip()!r}, expected a time as 09:00")
    return value % 1440


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def check_zone(name: str) -> str:
    """The name of a time zone that exists. Raises WindowError."""
    try:
        _zone(name)
    except (KeyError, ValueError, OSError):
        raise WindowError(f"zone: unknown time zone {name!r}, expected one like Europe/Berlin") from None
    return name


def zones_key(zones: Iterable[str]) -> str:
    """Zones as a batch keeps them."""
    return " ".join(sorted(set(zones)))


def zones_from(key: str | None) -> tuple[str, ...]:
    return tuple((key or "").split())


def next_open(window: Window, zones: tuple[str, ...], moment: datetime) -> datetime | None:
    """The first moment from `moment` on at which the window is open in every zone; `moment` itself if it is open now.
    None: in these zones it is never open at once. Zones that are not known count as UTC."""
    places = _places(window, zones)
    candidate = moment
    while candidate <= moment + HORIZON:
        later = max(_next_in(window, place, candidate)[0] for place in places)
        if later == candidate:
            return candidate
        candidate = later
    return None


def closing(window: Window, zones: tuple[str, ...], moment: datetime) -> datetime:
    """When a window that is open at `moment` closes in the first of its zones."""
    return min(_next_in(window, place, moment)[1] for place in _places(window, zones))


def _places(window: Window, zones: tuple[str, ...]) -> tuple[str, ...]:
    if window.zone is not None:
        return (window.zone,)
    return zones or ("UTC",)


def _next_in(window: Window, zone: str, moment: datetime) -> tuple[datetime, datetime]:
    """The opening that holds `moment` or follows it, as (from when on, until when)."""
    # Openings go on for ever, so there always is one.
    return next((max(opens, moment), closes) for opens, closes in _openings(window, zone, moment) if moment < closes)


def _openings(window: Window, zone: str, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
    place = _zone(zone)
    day = moment.astimezone(place).date() - _DAY  # yesterday's may last beyond midnight
    while True:
        if day.isoweekday() in window.days:
            ends = day if window.closes > window.opens else day + _DAY
            opens, closes = _moment(day, window.opens, place), _moment(ends, window.closes, place)
            if opens < closes:  # a window within the hour that a clock change leaves out does not open that day
                yield opens, closes
        day += _DAY


def _moment(day: date, minute: int, zone: ZoneInfo) -> datetime:
    """A wall clock's moment in UTC; one that a clock change leaves out is the moment of the change or after it."""
    if minute == 1440:
        day, minute = day + _DAY, 0
    return datetime.combine(day, time(minute // 60, minute % 60), zone).astimezone(UTC)


def _days(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, mark, last = part.partition("-")
        start, end = _day(first), _day(last if mark else first)
        found |= {(start - 1 + step) % 7 + 1 for step in range((end - start) % 7 + 1)}
    return tuple(sorted(found))


def _day(text: str) -> int:
    if text[:3] not in DAYS:
        raise WindowError(f"window: found {text!r}, expected a day as mon, or days as mon-fri")
    return DAYS.index(text[:3]) + 1


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
