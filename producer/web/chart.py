"""A campaign's rate over time as SVG geometry. Pure: samples in, coordinates out; the template draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from producer.samples import SLOT_SECONDS, Sample, Totals, by_step

WIDTH, HEIGHT = 1060.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 54.0, 8.0, 12.0, 26.0
MOST_COLUMNS = 60
STEPS = (1, 2, 3, 6, 12, 24, 60, 120, 180, 360, 720, 1440, 4320, 17_280, 120_960)
"""In slots of five seconds: 5 s to a week."""
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Column:
    """One span: per minute, and where it is drawn."""

    at: datetime
    sent: float
    delivered: float
    failed: float
    x: float
    width: float
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A tick: where, and what is written there."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`allowed_y`: where the allowance is drawn, None: there is none."""

    columns: tuple[Column, ...]
    seconds: int
    line: str
    across: tuple[Mark, ...]
    up: tuple[Mark, ...]
    allowed: float | None
    allowed_y: float | None

    @property
    def peak(self) -> Column:
        return max(self.columns, key=lambda column: column.sent)


def step_for(seconds: float) -> int:
    """The width of a column in slots, so that a span of so many seconds has at most sixty."""
    return next((step for step in STEPS if seconds <= step * SLOT_SECONDS * MOST_COLUMNS), STEPS[-1])


def chart(
    samples: Sequence[Sample], started: datetime, now: datetime, step: int, allowed: float | None
) -> Chart | None:
    """From the start to now, in columns of `step` slots. `allowed` in messages a second. None: nothing to draw yet."""
    width = step * SLOT_SECONDS
    spans = [span for span in by_step(samples, started, now, step) if span[0] + timedelta(seconds=width) <= now]
    spans = spans[-2 * MOST_COLUMNS :]
    if not spans or not samples:
        return None
    per_minute = 60.0 / width
    highest = max(max(max(added.gone, added.delivered) for _, added in spans) * per_minute, 1.0)
    limit = allowed * 60.0 if allowed else None
    # An allowance far above what is sent would flatten everything: then it is only told, not drawn.
    top = _nice(max(highest, limit) if limit and limit <= 4 * highest else highest)
    columns = tuple(_column(number, span, len(spans), per_minute, top) for number, span in enumerate(spans))
    return Chart(
        columns=columns,
        seconds=width,
        line=" ".join(f"{c.x + c.width / 2:.1f},{_y(c.delivered, top):.1f}" for c in columns),
        across=_across(columns, now - started),
        up=tuple(Mark(_y(top * part / 4, top), f"{top * part / 4:,.10g}") for part in range(5)),
        allowed=limit,
        allowed_y=_y(limit, top) if limit and limit <= top else None,
    )


def _column(number: int, span: tuple[datetime, Totals], many: int, per_minute: float, top: float) -> Column:
    at, added = span
    room = (WIDTH - LEFT - RIGHT) / many
    sent = max(0, added.gone) * per_minute
    y = _y(sent, top)
    return Column(
        at, sent, max(0, added.delivered) * per_minute, max(0, added.failed) * per_minute,
        LEFT + room * number + room * 0.1, room * 0.8, y, HEIGHT - BOTTOM - y,
    )  # fmt: skip


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(value, top) / top


def _nice(value: float) -> float:
    """The next round number, so that a quarter of it is readable too."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * nice for nice in _NICE if power * nice >= value * 0.999)


def _across(columns: Sequence[Column], span: timedelta) -> tuple[Mark, ...]:
    """Six times at most, with the day where it is more than one."""
    form = "%H:%M:%S" if span < timedelta(minutes=10) else "%H:%M" if span < timedelta(days=1) else "%d %b %H:%M"
    every = max(1, math.ceil(len(columns) / 6))
    return tuple(Mark(column.x, column.at.strftime(form)) for column in columns[::every])
