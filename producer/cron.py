"""Cron expressions of five fields: minute, hour, day of the month, month, day of the week. Pure.

    0 9 * * mon-fri      */15 8-20 * * *      30 6 1,15 * *

Lists, ranges, steps, and the names of months and days; 0 and 7 are Sunday. As in Vixie cron, where both days are
restricted either is enough. On the day a clock goes forward, a time that is left out comes at the end of the gap; on
the day it goes back, a time that comes twice counts the first time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

FURTHEST = timedelta(days=366 * 8 + 2)
"""29 February may be eight years ahead."""
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class CronError(ValueError):
    """No cron expression, or one that never comes. The text says which field, what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    def parse(self, text: str) -> frozenset[int]:
        return frozenset(value for part in text.split(",") for value in self._part(part))

    def _part(self, text: str) -> range:
        span, mark, step = text.partition("/")
        every = self._step(step) if mark else 1
        if span == "*":
            return range(self.least, self.most + 1, every)
        first, dash, last = span.partition("-")
        low = self._value(first)
        high = self._value(last) if dash else self.most if mark else low
        if high < low:
            raise self._wrong(text, "a range that goes up")
        return range(low, high + 1, every)

    def _step(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and 0 < int(text) <= self.most):
            raise self._wrong(text, f"a step from 1 to {self.most}")
        return int(text)

    def _value(self, text: str) -> int:
        if text in self.names:
            return self.names.index(text) + self.least
        if not (text.isascii() and text.isdigit() and len(text) <= 2 and self.least <= int(text) <= self.most):
            named = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
            raise self._wrong(text, f"{self.least} to {self.most}{named}")
        return int(text)

    def _wrong(self, found: str, expected: str) -> CronError:
        return CronError(f"cron: {self.name}: found {found!r}, expected {expected}")


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    _Field("day of the week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression. `weekdays` count from Sunday as 0."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def matches(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_date, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_date or by_week if self.either_day else by_date and by_week

    def after(self, moment: datetime, zone: str) -> datetime:
        """The next time, in UTC, strictly after `moment` by the clocks of `zone`. Raises CronError if none comes."""
        place = ZoneInfo(zone)
        for candidate in self._times(moment.astimezone(place).date() - timedelta(days=1), place):
            if candidate > moment:
                return candidate
        raise CronError("cron: this day never comes, as 30 February")

    def _times(self, day: date, place: ZoneInfo) -> Iterator[datetime]:
        last = day + FURTHEST
        while day <= last:
            if self.matches(day):
                found = {_real(datetime.combine(day, time(h, m), place)) for h in self.hours for m in self.minutes}
                yield from sorted(found)
            day += timedelta(days=1)


def parse_cron(text: str) -> Cron:
    """Raises CronError."""
    words = MACROS.get(text.strip().lower(), text.strip().lower()).split()
    if len(words) != len(_FIELDS):
        raise CronError(f"cron: found {len(words)} fields in {text!r}, expected five, as 0 9 * * mon-fri")
    minutes, hours, days, months, weekdays = (field.parse(word) for field, word in zip(_FIELDS, words, strict=True))
    either = not words[2].startswith("*") and not words[4].startswith("*")
    cron = Cron(tuple(sorted(minutes)), tuple(sorted(hours)), days, months, frozenset(d % 7 for d in weekdays), either)
    cron.after(datetime(2000, 1, 1, tzinfo=UTC), "UTC")
    return cron


def _real(local: datetime) -> datetime:
    """In UTC. A wall clock's time inside a gap is moved to the gap's end."""
    utc = local.astimezone(UTC)
    if utc.astimezone(local.tzinfo).replace(tzinfo=None) == local.replace(tzinfo=None):
        return utc
    after = local.replace(fold=1).astimezone(UTC)  # inside a gap fold 1 takes the offset behind it: before the gap
    return _gap_end(after, utc, local.tzinfo)


def _gap_end(low: datetime, high: datetime, zone: object) -> datetime:
    """The moment in between at which the zone's offset changes, to the minute."""
    assert isinstance(zone, ZoneInfo)  # noqa: S101 - made by `_times`
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(minutes=1):
        middle = low + timedelta(minutes=(high - low) // timedelta(minutes=2))
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    return high
