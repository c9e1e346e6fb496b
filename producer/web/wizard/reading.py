"""Form fields to values: what cannot be read is said beside its field. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from models.windows import WindowError, check_zone
from producer.schedule import FIRST_YEAR, LAST_YEAR, in_calendar

UNITS: Mapping[str, int] = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}


@dataclass
class Reading:
    """Reads one form; `faults` grows by field name."""

    fields: Mapping[str, str]
    faults: dict[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        return self.fields.get(name, "").strip()

    def is_on(self, name: str) -> bool:
        return self.fields.get(name) == "on"

    def number(self, name: str, least: float, most: float) -> float | None:
        """None: empty, or no such number, and then it is said."""
        text = self.text(name).replace(",", ".")
        if not text:
            return None
        try:
            found = float(text)
        except ValueError:
            found = float("nan")
        if not least <= found <= most:
            self.faults[name] = f"Expected a number from {least:,g} to {most:,g}."
            return None
        return found

    def whole(self, name: str, least: int, most: int) -> int | None:
        found = self.number(name, least, most)
        if found is not None and found != int(found):
            self.faults[name] = "Expected a whole number."
            return None
        return None if found is None else int(found)

    def span(self, name: str, most: int) -> int | None:
        """Seconds, of a number and the unit beside it (`name-unit`)."""
        unit = UNITS.get(self.text(f"{name}-unit"), 60)
        found = self.number(name, 1 / unit, most / unit)
        return None if found is None else max(1, round(found * unit))

    def needed(self, name: str, value: float | None) -> None:
        if value is None and name not in self.faults:
            self.faults[name] = "This is needed."

    def zone(self, name: str) -> str | None:
        """A time zone's name; None: empty or unknown, and then it is said."""
        text = self.text(name)
        if not text:
            return None
        try:
            check_zone(text)
        except WindowError:
            self.faults[name] = "There is no such time zone; expected a name as Europe/Berlin."
            return None
        return text

    def moment(self, name: str, zone: str) -> datetime | None:
        """A browser's local date and time (2030-06-01T09:00) on the clock of a zone, in UTC."""
        try:
            local = datetime.fromisoformat(self.text(name))
        except ValueError:
            self.faults[name] = "Expected a date and a time."
            return None
        if not in_calendar(local):
            self.faults[name] = f"Expected a time between the years {FIRST_YEAR} and {LAST_YEAR}."
            return None
        if local.tzinfo is not None:
            return local.astimezone(UTC)
        at = local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        if at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) != local:
            self.faults[name] = "The clocks are put forward then: this time does not exist on that day."
            return None
        return at
