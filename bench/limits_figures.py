"""What an arrival log says: how much of the allowance was used, and the most that any window held. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Arrival(NamedTuple):
    """One request as the provider saw it; `at` in seconds of its own monotonic clock."""

    at: float
    method: str
    messages: int
    admitted: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `limit` in any `per` seconds; `messages`: of messages, else of requests."""

    limit: int
    per: float
    messages: bool = False

    def cost(self, arrival: Arrival) -> int:
        return arrival.messages if self.messages else 1

    def __str__(self) -> str:
        return f"{self.limit} {'messages' if self.messages else 'requests'} per {self.per:g} s"


CLIQTEL = (Rule(60, 60.0), Rule(10, 1.0, messages=True))


def most_in_window(arrivals: Sequence[Arrival], rule: Rule) -> int:
    """The most that any interval (t - per, t] holds, refused requests included."""
    first = total = most = 0
    for arrival in arrivals:
        total += rule.cost(arrival)
        while arrivals[first].at <= arrival.at - rule.per:
            total -= rule.cost(arrivals[first])
            first += 1
        most = max(most, total)
    return most


def used_share(arrivals: Sequence[Arrival], rules: Sequence[Rule], start: float, end: float) -> float:
    """Use between `start` and `end` (seconds of the log) as a share of what the tightest rule allows."""
    tightest = min(rules, key=lambda rule: rule.limit / rule.per)
    used = sum(tightest.cost(arrival) for arrival in arrivals if start <= arrival.at < end and arrival.admitted)
    return used / (tightest.limit / tightest.per * (end - start))


def figures(arrivals: Sequence[Arrival], rules: Sequence[Rule], seconds: float, warm_up: float) -> dict[str, Any]:
    """`whole`: from the first request on; `steady`: without the first `warm_up` seconds."""
    if not arrivals:
        return {"requests": 0}
    start = arrivals[0].at
    end = start + seconds
    kept = [arrival for arrival in arrivals if arrival.at < end]
    return {
        "requests": len(kept),
        "refused_429": sum(not arrival.admitted for arrival in kept),
        "share_whole": round(used_share(kept, rules, start, end), 4),
        "share_steady": round(used_share(kept, rules, start + warm_up, end), 4),
        "most_in_window": {str(rule): most_in_window(kept, rule) for rule in rules},
        "never_above": all(most_in_window(kept, rule) <= rule.limit for rule in rules),
    }
