"""From the outcome of a submit to the message's next state. Pure: the caller supplies clock and chance.

The adapter says what happened; what follows is decided here, by one table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import InvalidOperation
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from models.states import MessageState
from providers.base import Accepted, Failure, FailureClass, Outcome, Refused, Unclear
from providers.wire import NotSent

WAIT_NOT_SENT = 2.0  # seconds: the breaker decides when the account is tried again, this only spaces the messages
NOT_THE_ACCOUNT = frozenset({"too_late", "shutdown"})  # reasons of our own: somebody else may send it at once
WAIT_ACCOUNT = 15.0  # seconds: the account is parked meanwhile
WAIT_DEFERRED = 3600.0  # seconds, where the provider named no time
HELD_LONGEST = 7 * 86400.0  # seconds a held message is watched beyond all else, where the provider named no release
FURTHEST = timedelta(days=400)  # no release is planned further ahead: a date beyond it is a slip
WAIT_THROTTLED = 1.0  # seconds, where the provider named no time: the limiter knows the rest


_NO_FAILURE: Mapping[str, None] = MappingProxyType({"code": None, "klass": None, "reason": None})
"""Instead of `failure_values`, where an attempt was not refused: an earlier refusal is over."""


class Follow(StrEnum):
    """What a refusal leads to."""

    FINAL = "final"
    RETRY = "retry"  # spends a try, backs off
    WAIT = "wait"  # costs nothing: the allowance, the account or the hour was wrong, not the message


FOLLOWS: Mapping[FailureClass, Follow] = {
    FailureClass.RECIPIENT: Follow.FINAL,
    FailureClass.CONTENT: Follow.FINAL,
    FailureClass.SENDER: Follow.FINAL,
    FailureClass.COUNTRY: Follow.FINAL,
    FailureClass.DUPLICATE: Follow.FINAL,
    FailureClass.UNSPECIFIED: Follow.FINAL,
    FailureClass.TEMPORARY: Follow.RETRY,
    FailureClass.THROTTLED: Follow.WAIT,
    FailureClass.ACCOUNT: Follow.WAIT,
    FailureClass.DEFERRED: Follow.WAIT,
}

_WAITS: Mapping[FailureClass, float] = {
    FailureClass.THROTTLED: WAIT_THROTTLED,
    FailureClass.ACCOUNT: WAIT_ACCOUNT,
    FailureClass.DEFERRED: WAIT_DEFERRED,
}


class Position(NamedTuple):
    """Where a message stands when its answer comes."""

    tries: int
    looks: int
    ref_round: int
    validity: int | None  # seconds


@dataclass(frozen=True, slots=True)
class Rules:
    """What the account and the house allow. `backoff` maps the try just spent (from 1) to seconds."""

    max_tries: int
    backoff: Callable[[int], float]
    first_look: float  # seconds after the attempt
    report_deadline: float  # seconds beyond the validity
    report_wait: float | None = None  # instead of both, where the account says so
    look_again: float = 20.0  # seconds after a look that got no answer

    def deadline(self, start: datetime, validity: int | None) -> datetime:
        """When a report that has not come will not come any more. Providers default to 48 h of validity."""
        wait = (validity or 172_800) + self.report_deadline if self.report_wait is None else self.report_wait
        return start + timedelta(seconds=wait)


class Decision(NamedTuple):
    """The state to move to, the columns that go with it, and the note for the trail."""

    state: MessageState
    note: str
    values: Mapping[str, Any] = MappingProxyType({})


def decide(outcome: Outcome | NotSent, at: Position, now: datetime, rules: Rules) -> Decision:
    """What becomes of the message."""
    match outcome:
        case Accepted():
            return _accepted(outcome, at, now, rules)
        case Refused(failure=failure):
            return _REFUSED[FOLLOWS[failure.klass]](outcome, at, now, rules)
        case Unclear(reason=reason):
            return unknown(reason, now, rules.first_look)
        case NotSent(reason=reason):
            wait = 0.0 if reason in NOT_THE_ACCOUNT else WAIT_NOT_SENT
            return Decision(MessageState.QUEUED, f"not sent: {reason}", _later(now, wait))


def decide_each(
    outcomes: Sequence[Outcome | NotSent], places: Sequence[Position], now: datetime, rules: Rules
) -> list[Decision]:
    """The same for the messages of one request. Neighbours that were accepted mostly differ in their ids alone: what is
    the same is decided once."""
    decisions: list[Decision] = []
    last: tuple[Accepted, int | None, Decision] | None = None
    for outcome, at in zip(outcomes, places, strict=True):
        if type(outcome) is not Accepted:
            decisions.append(decide(outcome, at, now, rules))
        elif last is not None and at.validity == last[1] and _alike(outcome, last[0]):
            state, note, values = last[2]
            decisions.append(Decision(state, note, {**values, "provider_id": outcome.provider_id}))
        else:
            decisions.append(decide(outcome, at, now, rules))
            last = outcome, at.validity, decisions[-1]
    return decisions


def _alike(one: Accepted, other: Accepted) -> bool:
    """All but the id. Comparing a signalling NaN as a price raises, and must not keep a whole request unrecorded."""
    try:
        return one[1:] == other[1:]
    except InvalidOperation:
        return False


def unknown(reason: str, now: datetime, first_look: float) -> Decision:
    """The outcome is not known: look it up, first after `first_look` seconds. What an earlier attempt was refused for
    says nothing of this one."""
    values = {"not_before": now + timedelta(seconds=first_look), "looks": 0, **_NO_FAILURE}
    return Decision(MessageState.UNKNOWN, reason, values)


def _accepted(outcome: Accepted, at: Position, now: datetime, rules: Rules) -> Decision:
    return Decision(outcome.state, outcome.note or "", accepted_values(outcome, at.validity, now, rules))


def accepted_values(outcome: Accepted, validity: int | None, now: datetime, rules: Rules) -> dict[str, Any]:
    """The columns of an accepted message. A held one may be reported that much later."""
    released = held_until(outcome, now)
    price = outcome.price if outcome.price is not None and outcome.price.is_finite() else None
    return {
        "provider_id": outcome.provider_id,
        "group_id": outcome.group_id,
        "submitted_at": now,
        "not_before": None,
        "held_until": outcome.held_until,
        "deadline": rules.deadline(released, validity),
        **_NO_FAILURE,
        **_known(parts=outcome.parts, price=price, currency=outcome.currency),
    }


def held_until(outcome: Accepted, now: datetime) -> datetime:
    """When the message leaves the provider at the latest, as far as we know."""
    if outcome.held_until is not None:
        return max(now, min(outcome.held_until, now + FURTHEST))
    return now + timedelta(seconds=HELD_LONGEST) if outcome.state is MessageState.HELD else now


def _final(outcome: Refused, at: Position, now: datetime, rules: Rules) -> Decision:
    return Decision(MessageState.REJECTED, outcome.failure.code, failure_values(outcome.failure))


def _retry(outcome: Refused, at: Position, now: datetime, rules: Rules) -> Decision:
    spent = at.tries + 1
    values = {**failure_values(outcome.failure), "tries": spent}
    if spent >= rules.max_tries:
        return Decision(MessageState.FAILED, f"{outcome.failure.code}: {spent} tries spent", values)
    wait = outcome.retry_after if outcome.retry_after is not None else rules.backoff(spent)
    return Decision(MessageState.QUEUED, outcome.failure.code, {**values, **_again(outcome, at), **_later(now, wait)})


def _wait(outcome: Refused, at: Position, now: datetime, rules: Rules) -> Decision:
    wait = outcome.retry_after if outcome.retry_after is not None else _WAITS[outcome.failure.klass]
    values = {**failure_values(outcome.failure), **_again(outcome, at), **_later(now, wait)}
    return Decision(MessageState.QUEUED, outcome.failure.code, values)


_REFUSED: Mapping[Follow, Callable[[Refused, Position, datetime, Rules], Decision]] = {
    Follow.FINAL: _final,
    Follow.RETRY: _retry,
    Follow.WAIT: _wait,
}


def failure_values(failure: Failure) -> dict[str, Any]:
    return {"code": failure.code[:64], "klass": str(failure.klass), "reason": failure.reason[:300]}


def _again(outcome: Refused, at: Position) -> dict[str, Any]:
    return {"ref_round": at.ref_round + 1} if outcome.new_ref else {}


def _later(now: datetime, seconds: float) -> dict[str, Any]:
    return {"not_before": now + timedelta(seconds=max(0.0, seconds))}


def _known(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
