"""Which fault happens to which request or message: rules and the decision.

What a fault does on the wire is in fault_actions.py.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from sandbox.exchange import Call


class Kind(StrEnum):
    DROP_BEFORE = "drop_before"
    STALL_BEFORE = "stall_before"
    ERROR_BEFORE = "error_before"
    THROTTLE = "throttle"
    UNAUTHORIZED = "unauthorized"
    OUTAGE = "outage"
    DROP_AFTER = "drop_after"
    STALL_AFTER = "stall_after"
    ERROR_AFTER = "error_after"
    MALFORMED = "malformed"
    SLOW_BODY = "slow_body"
    PARTIAL_REJECT = "partial_reject"
    REPORT_TWICE = "report_twice"
    REPORT_OUT_OF_ORDER = "report_out_of_order"
    REPORT_EARLY = "report_early"
    REPORT_LATE = "report_late"
    REPORT_NEVER = "report_never"


BEFORE = frozenset(
    {Kind.DROP_BEFORE, Kind.STALL_BEFORE, Kind.ERROR_BEFORE, Kind.THROTTLE, Kind.UNAUTHORIZED, Kind.OUTAGE}
)
AFTER = frozenset({Kind.DROP_AFTER, Kind.STALL_AFTER, Kind.ERROR_AFTER, Kind.MALFORMED, Kind.SLOW_BODY})
REPORTS = frozenset({
    Kind.REPORT_TWICE, Kind.REPORT_OUT_OF_ORDER, Kind.REPORT_EARLY, Kind.REPORT_LATE, Kind.REPORT_NEVER
})  # fmt: skip


class FaultError(ValueError):
    """A rule that cannot be used; the message says why."""


@dataclass(slots=True)
class Rule:
    """One switched-on fault.

    `rate` (0..1), `every` (each Nth match) and `count` (at most N times) may be combined; with none it always fires.
    `method`, `path` (shell pattern on the path after the provider's name) and `msisdn` (ending of any recipient)
    narrow it.
    """

    kind: Kind
    rate: float | None = None
    every: int | None = None
    count: int | None = None
    method: str | None = None
    path: str | None = None
    msisdn: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    started_at: float = 0.0
    matched: int = 0
    fired: int = 0

    def number(self, name: str, default: float) -> float:
        return float(self.params.get(name, default))

    def text(self, name: str, default: str) -> str:
        return str(self.params.get(name, default))

    def fires(self, rng: Random, now: float) -> bool:
        """Counts the match and decides."""
        self.matched += 1
        hit = self._due(rng, now)
        self.fired += hit
        return hit

    def _due(self, rng: Random, now: float) -> bool:
        if self.kind is Kind.OUTAGE:
            return now < self.started_at + self.number("seconds", 10)
        if self.count is not None and self.fired >= self.count:
            return False
        if self.every is not None and self.matched % self.every:
            return False
        return self.rate is None or rng.random() < self.rate


# Parameters that are a choice, whatever the kind.
CHOICES = {
    "body": ("envelope", "html", "empty"),
    "form": ("seconds", "date", "garbage", "negative", "absent"),
    "mode": ("503", "close"),
    "variant": (
        "truncated", "short", "html", "empty", "content_type", "invalid_utf8", "wrong_shape", "null", "huge",
        "gzip_bomb",
    ),
}  # fmt: skip
_MATCH_KEYS = {"method", "path", "msisdn"}
_RULE_KEYS = {"kind", "rate", "every", "count", "match", "params"}


def parse_rule(spec: Mapping[str, Any], now: float) -> Rule:
    """`{"kind": …, "rate"|"every"|"count": …, "match": {method, path, msisdn}, "params": {…}}`. Errors: FaultError."""
    match = spec.get("match", {})
    if unknown := (set(spec) - _RULE_KEYS) | (set(match) - _MATCH_KEYS):
        raise FaultError(f"unknown key {', '.join(sorted(unknown))}")
    try:
        kind = Kind(spec["kind"])
    except (KeyError, ValueError) as error:
        raise FaultError(f"kind must be one of {', '.join(Kind)}") from error
    params = dict(spec.get("params", {}))
    for name in set(params) & set(CHOICES):
        if str(params[name]) not in CHOICES[name]:
            raise FaultError(f"{name} must be one of {', '.join(CHOICES[name])}")
    shares = {name: spec[name] for name in ("rate", "every", "count") if name in spec}
    return Rule(kind, **shares, **match, params=params, started_at=now)


class FaultBook:
    """The rules of one provider. The first rule that fires wins."""

    __slots__ = ("_message", "_request", "_rng")

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._request: list[Rule] = []
        self._message: list[Rule] = []

    def load(self, specs: Iterable[Mapping[str, Any]], now: float) -> None:
        """Replace all rules. Errors: FaultError, and then nothing changed."""
        rules = [parse_rule(spec, now) for spec in specs]
        self._request = [rule for rule in rules if rule.kind in BEFORE | AFTER]
        self._message = [rule for rule in rules if rule.kind not in BEFORE | AFTER]

    def clear(self) -> None:
        self._request, self._message = [], []

    @property
    def watches_requests(self) -> bool:
        return bool(self._request)

    @property
    def watches_messages(self) -> bool:
        return bool(self._message)

    def rules(self) -> list[Rule]:
        return self._request + self._message

    def for_request(self, call: Call, numbers: Callable[[Call], Iterable[str]]) -> Rule | None:
        """The fault of this request, if any; `numbers` is asked only when a rule looks at recipients."""
        for rule in self._request:
            if _matches_request(rule, call, numbers) and rule.fires(self._rng, call.now):
                return rule
        return None

    def partial_reject(self, msisdn: str, now: float) -> Rule | None:
        """For providers that take many recipients: whether this one is refused while others pass."""
        return self._for_message(msisdn, now, frozenset({Kind.PARTIAL_REJECT}))

    def report(self, msisdn: str, now: float) -> Rule | None:
        return self._for_message(msisdn, now, REPORTS)

    def _for_message(self, msisdn: str, now: float, kinds: frozenset[Kind]) -> Rule | None:
        for rule in self._message:
            if rule.kind in kinds and _matches_number(rule, msisdn) and rule.fires(self._rng, now):
                return rule
        return None


def _matches_request(rule: Rule, call: Call, numbers: Callable[[Call], Iterable[str]]) -> bool:
    if rule.method is not None and rule.method != call.method:
        return False
    if rule.path is not None and not fnmatchcase(call.path, rule.path):
        return False
    return rule.msisdn is None or any(_matches_number(rule, number) for number in numbers(call))


def _matches_number(rule: Rule, msisdn: str) -> bool:
    return rule.msisdn is None or msisdn.endswith(rule.msisdn)
