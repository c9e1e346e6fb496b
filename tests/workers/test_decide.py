"""From an outcome to the next state: one table, no clock and no chance of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.states import MessageState as S
from models.states import may
from providers.base import Accepted, Failure, FailureClass, Outcome, Refused, Unclear
from providers.wire import NotSent
from workers.decide import FOLLOWS, Follow, Position, Rules, decide, decide_each

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
AT = Position(tries=0, looks=0, ref_round=1, validity=None)
RULES = Rules(max_tries=3, backoff=lambda spent: 10.0 * spent, first_look=5.0, report_deadline=100.0)


def refused(klass: FailureClass, retry_after: float | None = None, *, new_ref: bool = False) -> Refused:
    return Refused(Failure("E1", klass, "because"), retry_after, new_ref)


@pytest.mark.parametrize("klass", list(FailureClass))
def test_every_failure_class_has_one_consequence(klass: FailureClass) -> None:
    found = decide(refused(klass), AT, NOW, RULES)
    final = FOLLOWS[klass] is Follow.FINAL
    assert found.state is (S.REJECTED if final else S.QUEUED)
    assert may(S.SUBMITTING, found.state)
    assert (found.values.get("tries") == 1) is (FOLLOWS[klass] is Follow.RETRY)


@pytest.mark.parametrize("klass", [k for k, follow in FOLLOWS.items() if follow is Follow.WAIT])
def test_waiting_never_spends_a_try_however_often(klass: FailureClass) -> None:
    tired = Position(tries=2, looks=0, ref_round=1, validity=None)
    found = decide(refused(klass), tired, NOW, RULES)
    assert found.state is S.QUEUED
    assert "tries" not in found.values


def test_the_last_try_ends_in_failed() -> None:
    found = decide(refused(FailureClass.TEMPORARY), Position(2, 0, 1, None), NOW, RULES)
    assert (found.state, found.values["tries"], found.values["code"]) == (S.FAILED, 3, "E1")


def test_the_providers_own_time_wins_over_the_backoff() -> None:
    named = decide(refused(FailureClass.TEMPORARY, 77.0), AT, NOW, RULES)
    ours = decide(refused(FailureClass.TEMPORARY), AT, NOW, RULES)
    assert named.values["not_before"] == NOW + timedelta(seconds=77)
    assert ours.values["not_before"] == NOW + timedelta(seconds=10)


def test_a_time_in_the_past_means_at_once() -> None:
    assert decide(refused(FailureClass.THROTTLED, -5.0), AT, NOW, RULES).values["not_before"] == NOW


@pytest.mark.parametrize("klass", [FailureClass.TEMPORARY, FailureClass.DEFERRED])
def test_only_a_remembered_refusal_gets_a_new_reference(klass: FailureClass) -> None:
    assert decide(refused(klass, new_ref=True), AT, NOW, RULES).values["ref_round"] == 2
    assert "ref_round" not in decide(refused(klass), AT, NOW, RULES).values


@pytest.mark.parametrize("state", [S.SUBMITTED, S.HELD, S.SENT])
def test_an_acceptance_wipes_the_refusals_before_it(state: S) -> None:
    found = decide(Accepted("x", state), AT, NOW, RULES)
    assert (found.state, found.values["code"], found.values["reason"]) == (state, None, None)
    if state is not S.HELD:
        assert found.values["deadline"] == RULES.deadline(NOW, None)


def test_a_message_held_until_nobody_knows_when_is_watched_a_week_longer() -> None:
    found = decide(Accepted("x", S.HELD), AT, NOW, RULES)
    assert found.values["deadline"] == RULES.deadline(NOW + timedelta(days=7), None)


def test_a_release_beyond_all_reason_is_no_release() -> None:
    far = datetime.max.replace(tzinfo=UTC)
    found = decide(Accepted("x", S.HELD, held_until=far), AT, NOW, RULES)
    assert found.values["deadline"] < NOW + timedelta(days=500)


def test_a_held_message_has_until_its_release_and_then_the_usual_time() -> None:
    until = NOW + timedelta(hours=9)
    found = decide(Accepted("x", S.HELD, held_until=until), Position(0, 0, 1, 60), NOW, RULES)
    assert found.values["deadline"] == until + timedelta(seconds=160)


@pytest.mark.parametrize("price", ["NaN", "sNaN", "Infinity"])
def test_a_price_that_is_no_amount_is_left_out(price: str) -> None:
    assert "price" not in decide(Accepted("x", price=Decimal(price)), AT, NOW, RULES).values


def test_no_answer_is_unknown_and_looked_for_at_the_first_planned_time() -> None:
    found = decide(Unclear("timeout"), AT, NOW, RULES)
    planned = {"not_before": NOW + timedelta(seconds=5), "looks": 0}
    assert (found.state, found.values) == (S.UNKNOWN, {**planned, "code": None, "klass": None, "reason": None})


def test_nothing_sent_is_queued_again_for_free() -> None:
    found = decide(NotSent("pool_timeout"), AT, NOW, RULES)
    assert found.state is S.QUEUED
    assert "tries" not in found.values


_OUTCOMES = st.one_of(
    st.builds(
        Accepted,
        provider_id=st.sampled_from([None, "a", "b"]),
        state=st.sampled_from([S.SUBMITTED, S.HELD, S.SENT]),
        parts=st.sampled_from([None, 1, 2]),
        held_until=st.sampled_from([None, NOW + timedelta(hours=1)]),
        note=st.sampled_from([None, "used before"]),
    ),
    st.sampled_from([refused(FailureClass.RECIPIENT), refused(FailureClass.TEMPORARY), Unclear("odd")]),
    st.just(NotSent("connect")),
)
_PLACES = st.builds(Position, st.integers(0, 2), st.just(0), st.just(1), st.sampled_from([None, 60]))


@given(st.lists(st.tuples(_OUTCOMES, _PLACES), max_size=8))
@example([(Accepted("a", price=Decimal(price)), AT) for price in ("Infinity", "sNaN", "NaN")])
def test_the_messages_of_a_request_are_decided_as_each_would_be_alone(pairs: list[tuple[Outcome, Position]]) -> None:
    outcomes, places = [one for one, _ in pairs], [place for _, place in pairs]
    alone = [decide(outcome, at, NOW, RULES) for outcome, at in pairs]
    assert decide_each(outcomes, places, NOW, RULES) == alone
