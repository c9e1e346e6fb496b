"""How a campaign is steered: window, pace, canary, guard and caps, as one JSON column and as values. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from models.windows import Window, WindowError, window_of

T = TypeVar("T")
MOST_SECONDS = 366 * 86_400
MOST_MESSAGES = 10_000_000
_SPAN = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*(s|m|min|h|d)?").fullmatch
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


class SteeringError(ValueError):
    """A way of steering that cannot be. `field` is the place, the text says what was expected."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(f"{field}: {text}")
        self.field = field


@dataclass(frozen=True, slots=True)
class Spread:
    """Evenly over `seconds` from the start."""

    seconds: int

    def __post_init__(self) -> None:
        _between("spread", self.seconds, 1, MOST_SECONDS)

    def offset(self, position: int, total: int) -> float:
        """Seconds after the start at which the message at `position` (from 0) is to leave."""
        return self.seconds * position / max(total, 1)

    def due(self, elapsed: float, total: int) -> int:
        """How many messages are to have left strictly before `elapsed` seconds."""
        return min(total, max(0, -int(-elapsed * total // self.seconds)))


@dataclass(frozen=True, slots=True)
class Slices:
    """`size` messages every `every` seconds; the first slice at the start."""

    size: int
    every: int

    def __post_init__(self) -> None:
        _between("slices", self.size, 1, MOST_MESSAGES)
        _between("slices", self.every, 1, MOST_SECONDS)

    def offset(self, position: int, total: int) -> float:
        """As `Spread.offset`."""
        return float(position // self.size * self.every)

    def due(self, elapsed: float, total: int) -> int:
        """As `Spread.due`."""
        return min(total, max(0, -int(-elapsed // self.every)) * self.size)


Pacing = Spread | Slices


@dataclass(frozen=True, slots=True)
class CanaryRule:
    """Send `size` messages first; go on only when `share` of them is delivered and none failed with one of `codes`.

    Their reports are waited for at most `wait` seconds after the last of them left. A code may end in `*`.
    """

    size: int
    share: float = 0.8
    wait: int = 1800
    codes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _between("canary", self.size, 1, MOST_MESSAGES)
        _between("canary", self.share, 0.0, 1.0)
        _between("canary", self.wait, 1, MOST_SECONDS)


@dataclass(frozen=True, slots=True)
class GuardRule:
    """Pause when `share` of the last `last` outcomes are errors."""

    share: float
    last: int = 200

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise SteeringError("guard", f"found a share of {self.share:g}, expected more than 0 and at most 1")
        _between("guard", self.last, 10, MOST_MESSAGES)


@dataclass(frozen=True, slots=True)
class Caps:
    """At most `most` messages per number in `period` seconds over all campaigns (0: no cap); the same text to the same
    number not again within `repeat` seconds (0: always allowed). None: as the settings say."""

    most: int | None = None
    period: int | None = None
    repeat: int | None = None

    def __post_init__(self) -> None:
        _between("caps", self.most or 0, 0, 1_000_000)
        _between("caps", self.period if self.period is not None else 1, 1, MOST_SECONDS)
        _between("caps", self.repeat or 0, 0, MOST_SECONDS)

    def over(self, default: Caps) -> Caps:
        """These caps, with the default's where nothing is said."""
        return Caps(
            default.most if self.most is None else self.most,
            default.period if self.period is None else self.period,
            default.repeat if self.repeat is None else self.repeat,
        )

    def __bool__(self) -> bool:
        return bool(self.most or self.repeat)


@dataclass(frozen=True, slots=True)
class Steering:
    """Everything a client may say about when and how far a campaign runs."""

    window: Window | None = None
    pacing: Pacing | None = None
    canary: CanaryRule | None = None
    guard: GuardRule | None = None
    caps: Caps | None = None

    @property
    def planned(self) -> bool:
        """Whether batches wait for the planner to say when they leave."""
        return self.window is not None or self.pacing is not None or self.canary is not None

    def as_json(self) -> dict[str, Any]:
        """For the column and for the API: only what was said."""
        return {name: write(value) for name, write in _WRITERS.items() if (value := getattr(self, name)) is not None}


def steering_of(found: Mapping[str, Any] | None) -> Steering:
    """From the column's or the API's JSON. Raises SteeringError or WindowError."""
    given = {name: value for name, value in (found or {}).items() if value is not None}
    if unknown := sorted(given.keys() - _READERS.keys()):
        raise SteeringError("steering", f"found {', '.join(unknown)}, expected {', '.join(_READERS)}")
    return Steering(**{name: _read(name, _READERS[name], value) for name, value in given.items()})


def _read(name: str, reader: Callable[[Mapping[str, Any]], T], value: Any) -> T:
    if not isinstance(value, Mapping):
        raise SteeringError(name, f"found {value!r}, expected an object")
    try:
        return reader(value)
    except WindowError as error:
        raise SteeringError(name, str(error).removeprefix("window: ")) from error
    except SteeringError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise SteeringError(name, f"found {dict(value)!r}; {type(error).__name__}: {error}") from error


def _pacing(found: Mapping[str, Any]) -> Pacing:
    if "spread" in found:
        return Spread(int(found["spread"]))
    return Slices(int(found["slice"]), int(found["every"]))


def _write_pacing(pacing: Pacing) -> dict[str, int]:
    match pacing:
        case Spread(seconds):
            return {"spread": seconds}
        case Slices(size, every):
            return {"slice": size, "every": every}


def _canary(found: Mapping[str, Any]) -> CanaryRule:
    given = dict(found)
    return CanaryRule(**{**given, "codes": tuple(str(code) for code in given.get("codes") or ())})


def _write_canary(rule: CanaryRule) -> dict[str, Any]:
    return {"size": rule.size, "share": rule.share, "wait": rule.wait, "codes": list(rule.codes)}


def _write_guard(rule: GuardRule) -> dict[str, Any]:
    return {"share": rule.share, "last": rule.last}


def _write_caps(caps: Caps) -> dict[str, Any]:
    said = {"most": caps.most, "period": caps.period, "repeat": caps.repeat}
    return {name: value for name, value in said.items() if value is not None}


_READERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "window": window_of,
    "pacing": _pacing,
    "canary": _canary,
    "guard": lambda found: GuardRule(**found),
    "caps": lambda found: Caps(**found),
}
_WRITERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "window": Window.as_json,
    "pacing": _write_pacing,
    "canary": _write_canary,
    "guard": _write_guard,
    "caps": _write_caps,
}


def planned_for(steering: Steering, anchor: datetime, position: int, total: int) -> datetime:
    """When the message at `position` is to leave, windows aside."""
    if steering.pacing is None:
        return anchor
    return anchor + timedelta(seconds=steering.pacing.offset(position, total))


def overdue(steering: Steering, anchor: datetime, total: int, validity: int, now: datetime) -> int | None:
    """Messages up to this position (exclusive) are worthless by now; None: all of them. A message's validity begins
    when it was planned to leave; a window does not lengthen it."""
    elapsed = (now - anchor).total_seconds() - validity
    if steering.pacing is None:
        return None if elapsed > 0 else 0
    return steering.pacing.due(elapsed, total) if elapsed > 0 else 0


def seconds_of(field: str, text: str) -> int:
    """A span of time: `90` or `90s`, `15m`, `6h`, `2d`. Raises SteeringError."""
    found = _SPAN(text.strip().lower())
    if found is None:
        raise SteeringError(field, f"found {text!r}, expected a time as 90s, 15m, 6h or 2d")
    return round(float(found[1]) * _UNITS[found[2] or "s"])


def _between(field: str, value: float, least: float, most: float) -> None:
    given: object = value  # JSON may hold anything
    if isinstance(given, bool) or not isinstance(given, int | float) or not least <= given <= most:
        raise SteeringError(field, f"found {value!r}, expected a number from {least:g} to {most:g}")
