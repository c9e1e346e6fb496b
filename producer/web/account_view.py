"""An account's limits, breaker and queue as an operator reads them. Pure: from the snapshot that its workers wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from producer.limits import Standing
from producer.web.formats import span

RAMPED = 0.995  # below this share the rate still climbs after a block


@dataclass(frozen=True, slots=True)
class Window:
    """One limit: `used` of `limit` in the last `per` seconds, `foreign` of them by others on the same account."""

    purpose: str
    counts: str
    per: float
    limit: int
    used: int
    remaining: int
    foreign: int

    @property
    def tone(self) -> str:
        return "warn" if self.remaining <= 0 else "busy"


@dataclass(frozen=True, slots=True)
class Health:
    """`word` is one of: works, climbs, blocked, stopped, trial, silent, unknown."""

    word: str
    tone: str
    text: str


def windows(one: Standing) -> list[Window]:
    """Those of submitting first, then those that polls have for themselves."""
    return [*_windows(one, "submit", "sending"), *_windows(one, "poll", "asking for reports")]


def _windows(one: Standing, part: str, purpose: str) -> Iterator[Window]:
    for found in _part(one, part).get("windows", ()):
        yield Window(
            purpose, str(found["counts"]), float(found["per"]), int(found["limit"]), int(found["used"]),
            int(found["remaining"]), int(found.get("foreign", 0)),
        )  # fmt: skip


def health(one: Standing) -> Health:
    """The one thing to know first."""
    if one.age is None:
        return Health("unknown", "quiet", "no worker has spoken of it yet; is one running?")
    if one.stale:
        return Health("silent", "bad", f"its workers have been silent for {span(one.age)}")
    if error := one.snapshot.get("error"):
        return Health("silent", "bad", str(error))
    if found := _breaker(one):
        return found
    return _limiter(one)


def _breaker(one: Standing) -> Health | None:
    found = one.breaker
    match found.get("state"):
        case "open":
            hand = "; it stays so until somebody closes it" if found.get("needs_operator") else _probe(found)
            return Health("stopped", "bad", f"stopped for {span(found.get('for', 0))}: {_why(found)}{hand}")
        case "half_open":
            return Health("trial", "warn", f"on trial, one request first: {_why(found)}")
        case _:
            return None


def _why(found: Mapping[str, Any]) -> str:
    return ": ".join(str(text).replace("_", " ") for text in (found.get("kind"), found.get("reason")) if text) or "-"


def _probe(found: Mapping[str, Any]) -> str:
    wait = float(found.get("probe_in") or 0)
    return f"; one request is tried in {span(wait)}" if wait > 0 else "; one request is tried now"


def _limiter(one: Standing) -> Health:
    submit = _part(one, "submit")
    blocked, ramp = float(submit.get("blocked_for", 0)), float(submit.get("ramp", 1))
    if blocked > 0:
        why = f": {submit['reason']}" if submit.get("reason") else ""
        return Health("blocked", "warn", f"blocked for {span(max(blocked, 1))}{why}")
    if ramp < RAMPED:
        return Health("climbs", "busy", f"at {ramp:.0%} of its rate, climbing after a block")
    return Health("works", "good", "works")


def rate(one: Standing) -> float:
    """Messages a second."""
    return float(_part(one, "submit").get("messages_per_second", 0))


def blocked_for(one: Standing) -> float:
    return float(_part(one, "submit").get("blocked_for", 0))


def trouble(one: Standing) -> str | None:
    """What keeps it from sending, in a clause; None: nothing does."""
    found = health(one)
    return f"{one.account}{_TROUBLES[found.word]}{found.text}" if found.word in _TROUBLES else None


_TROUBLES: Mapping[str, str] = {"stopped": " is ", "blocked": " is ", "silent": ": ", "unknown": ": "}


def _part(one: Standing, name: str) -> Mapping[str, Any]:
    found = one.snapshot.get(name)
    return found if isinstance(found, Mapping) else {}
