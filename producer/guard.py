"""Auto-pause: too many errors among the last outcomes of a running campaign. Pure, fed from the campaign's counters.

The counters only say how many outcomes and errors there are in all. Marks of earlier totals make them a window: the
newest mark that lies at least `last` outcomes back is where the window begins. So no message is ever read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.states import MessageState
from models.steering import GuardRule

ERRORS = frozenset({MessageState.REJECTED, MessageState.UNDELIVERED, MessageState.EXPIRED, MessageState.FAILED})
OUTCOMES = ERRORS | {MessageState.DELIVERED}
MARKS = 10  # marks in a window: it is exact to a tenth


@dataclass(frozen=True, slots=True)
class Tally:
    """Outcomes and errors so far."""

    outcomes: int
    errors: int

    def since(self, earlier: Tally) -> Tally:
        return Tally(max(0, self.outcomes - earlier.outcomes), max(0, self.errors - earlier.errors))


@dataclass(frozen=True, slots=True)
class Watch:
    """The marks to keep, and why to pause, if so."""

    marks: tuple[Tally, ...]
    reason: str | None = None


def tally(states: Mapping[MessageState, int]) -> Tally:
    return Tally(
        sum(n for state, n in states.items() if state in OUTCOMES),
        sum(n for state, n in states.items() if state in ERRORS),
    )


def watch(rule: GuardRule, marks: Sequence[Tally], now: Tally) -> Watch:
    """Judge the outcomes since the oldest mark. No marks: the watch begins here."""
    if not marks:
        return Watch((now,))
    kept = _trimmed(rule, marks, now)
    seen = now.since(kept[0])
    # Few outcomes may decide already: so many errors that the rest of the window cannot make up for them.
    if seen.errors >= rule.share * max(rule.last, seen.outcomes) > 0:
        reason = (
            f"paused by the guard: {seen.errors} of the last {seen.outcomes} outcomes are errors; "
            f"it pauses at {rule.share:.0%} of {rule.last}"
        )
        return Watch(kept, reason)
    step = max(1, rule.last // MARKS)
    return Watch((*kept, now) if now.outcomes - kept[-1].outcomes >= step else kept)


def _trimmed(rule: GuardRule, marks: Sequence[Tally], now: Tally) -> tuple[Tally, ...]:
    """Without the marks before the newest one that is a whole window back."""
    old = [at for at, mark in enumerate(marks) if now.outcomes - mark.outcomes >= rule.last]
    return tuple(marks[old[-1] :] if old else marks)


def marks_of(stored: Sequence[Sequence[int]] | None) -> tuple[Tally, ...]:
    return tuple(Tally(outcomes, errors) for outcomes, errors in stored or ())


def stored(marks: Sequence[Tally]) -> list[list[int]]:
    return [[mark.outcomes, mark.errors] for mark in marks]
