"""Past requests, as the database knows them, in the shape of the limiter's log."""

from collections.abc import Iterable, Sequence

from workers.rate_clock import MICROSECOND
from workers.rate_permits import PastCost

Row = tuple[int, int, int, int]


def rows(past: Sequence[PastCost], *, slack: float, span: float, grain: float) -> list[Row]:
    """(age µs, requests, messages, segments), oldest first, at most one row per `grain` seconds.

    Every request is made younger, never older, than it is: by `slack`, for its intent was committed before it left,
    and to the young edge of its grain. Too young only costs a moment of throughput; too old would break a limit.
    """
    grains: dict[int, PastCost] = {}
    for cost in past:
        age = max(0.0, cost.age - slack)
        if age <= span:
            number = int(age / grain)
            grains[number] = _sum(grains.get(number, PastCost(number * grain, 0, 0, 0)), cost)
    return list(_as_rows(grains[number] for number in sorted(grains, reverse=True)))


def _sum(total: PastCost, more: PastCost) -> PastCost:
    return PastCost(
        total.age, total.requests + more.requests, total.messages + more.messages, total.segments + more.segments
    )


def _as_rows(costs: Iterable[PastCost]) -> Iterable[Row]:
    return ((int(cost.age * MICROSECOND), cost.requests, cost.messages, cost.segments) for cost in costs)
