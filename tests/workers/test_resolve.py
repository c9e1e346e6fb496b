"""What became of messages whose outcome is unknown: every way of asking, and what is never guessed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from config.accounts import Limit
from models.states import BatchState
from models.states import MessageState as S
from providers.base import (
    Accepted,
    Failure,
    FailureClass,
    Found,
    LookUpBy,
    LookUpPolicy,
    NoAnswer,
    NotThere,
    Outgoing,
    Refused,
    Report,
    Sighting,
    Sought,
    Unclear,
)
from providers.wire import OutcomeUnknown, Reply, Request
from tests.support.rows import ACCOUNT
from tests.support.scripted import OK, Scripted
from tests.support.world import Sent, World
from tests.workers.conftest import MakeWorld
from workers.resolve import resolve_unknown

AFTER = (5.0, 30.0, 120.0)


def policy(by: LookUpBy, *, proof: bool = True) -> LookUpPolicy:
    return LookUpPolicy(by, AFTER, proof, 3600.0)


def lost(request: Request) -> Reply:
    raise OutcomeUnknown("read_timeout")


def unknown_world(make_world: MakeWorld, by: LookUpBy, many: int = 1, *, proof: bool = True, **more: Any) -> Unknown:
    world = make_world({ACCOUNT: Scripted(policy=policy(by, proof=proof))})
    world.line.answer = lost
    sent = world.campaign(many, **more)
    world.submit(sent.batch)
    assert world.states() == [S.UNKNOWN] * many
    world.line.answer = lambda request: OK
    return Unknown(world, sent)


class Unknown:
    def __init__(self, world: World, sent: Sent) -> None:
        self.world = world
        self.sent = sent

    def look(self, after: float = 0.0) -> int:
        self.world.clock.advance(after)
        return self.world.run(resolve_unknown(self.world.runtime, ACCOUNT))

    def sees(self, sight: Callable[[Sought], Sighting]) -> None:
        self.world.provider.sightings = sight

    @property
    def row(self) -> Any:
        return self.world.message(self.sent.message)


def found(provider_id: str | None = "x-1", state: S | None = S.SUBMITTED, **more: Any) -> Found:
    return Found([Report("d", state, provider_id=provider_id, **more)])


# --- asking ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [LookUpBy.QUERY, LookUpBy.EVIDENCE])
def test_found_at_the_provider_its_id_is_adopted_and_nothing_is_sent(make_world: MakeWorld, by: LookUpBy) -> None:
    case = unknown_world(make_world, by)
    case.sees(lambda sought: found(group_id="g-1"))
    assert case.look(6) == 1
    assert (case.row.state, case.row.provider_id, case.row.group_id) == (S.SUBMITTED, "x-1", "g-1")
    assert case.row.deadline is not None
    assert len(case.world.line.sent) == 1


@pytest.mark.parametrize("state", [S.SENT, S.DELIVERED, S.UNDELIVERED, S.EXPIRED, S.REJECTED])
def test_what_the_look_up_already_shows_is_taken_over(make_world: MakeWorld, state: S) -> None:
    case = unknown_world(make_world, LookUpBy.QUERY)
    failure = Failure("27", FailureClass.RECIPIENT, "absent") if state is not S.DELIVERED else None
    case.sees(lambda sought: found(state=state, failure=failure, at=case.world.clock()))
    case.look(6)
    assert (case.row.state, case.row.provider_id, case.row.provider_at) == (state, "x-1", case.world.clock())
    assert case.row.code == (None if failure is None else "27")
    case.world.check_counters(case.sent.id)


def test_absence_is_no_proof_before_the_last_planned_look(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.QUERY)
    case.sees(lambda sought: NotThere())
    for at in (6, 25):
        assert case.look(at) == 1
        assert case.row.state is S.UNKNOWN
    assert case.look(90) == 1
    assert case.row.state is S.QUEUED
    assert case.world.batch(case.sent.batch).state is BatchState.PLANNED
    case.world.step()
    assert case.world.states() == [S.SUBMITTED]
    assert len(case.world.line.sent) == 2


def test_looks_follow_the_schedule_and_none_is_made_early(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.QUERY)
    case.sees(lambda sought: NotThere())
    start = case.world.clock()
    assert case.look(4) == 0
    assert case.look(2) == 1
    assert case.row.not_before == start + timedelta(seconds=AFTER[1])
    assert case.look(10) == 0
    assert case.row.looks == 1


def test_absence_proves_nothing_where_the_provider_only_gives_evidence(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.EVIDENCE, proof=False)
    case.sees(lambda sought: NotThere())
    for _ in range(12):
        case.look(150)
        assert case.row.state is S.UNKNOWN
    assert len(case.world.line.sent) == 1


def test_a_look_without_an_answer_costs_no_look_and_is_repeated_soon(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.QUERY)
    case.sees(lambda sought: NoAnswer("timeout"))
    for _ in range(3):
        assert case.look(case.world.settings.look_up_retry_seconds + 1) == 1
        assert (case.row.state, case.row.looks) == (S.UNKNOWN, 0)


def test_looks_without_an_answer_become_rarer_with_the_age_of_what_they_are_about(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.QUERY)
    case.sees(lambda sought: NoAnswer("timeout"))
    soon = case.world.settings.look_up_retry_seconds + 1
    assert case.look(1200) == 1
    assert [case.look(seconds) for seconds in (soon, 200, 100)] == [0, 0, 1]  # a quarter of twenty minutes


def test_a_message_the_look_up_left_out_stays_unknown(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.QUERY)

    async def nothing(sought: Any, send: Any) -> dict[str, Sighting]:
        return {}

    case.world.provider.look_up = nothing  # type: ignore[method-assign]  # an adapter that forgets one
    case.look(6)
    assert case.row.state is S.UNKNOWN


def test_one_candidate_is_never_adopted_twice(make_world: MakeWorld) -> None:
    """Two unknown messages to one number: the provider shows the same two entries for both."""
    case = unknown_world(make_world, LookUpBy.QUERY, 3)
    both = Found([Report("a", S.SUBMITTED, provider_id="x-1"), Report("b", S.SUBMITTED, provider_id="x-2")])
    case.sees(lambda sought: both)
    case.look(6)
    assert case.world.states() == [S.SUBMITTED, S.SUBMITTED, S.UNKNOWN]
    assert [row.provider_id for row in case.world.messages()] == ["x-1", "x-2", None]
    case.look(25)
    assert case.world.states()[2] is S.UNKNOWN, "linked to others already: that is no sighting of this one"


def test_what_belongs_to_no_message_of_ours_may_be_this_one_and_it_is_never_sent_again(make_world: MakeWorld) -> None:
    """The provider changed the text: nothing it shows looks like ours, and what it shows is nobody's."""
    case = unknown_world(make_world, LookUpBy.QUERY)
    case.sees(lambda sought: NotThere(frozenset({"x-7"})))
    for _ in range(11):
        case.look(300)
        assert case.row.state is S.UNKNOWN
    assert len(case.world.line.sent) == 1


def test_doubt_that_stays_is_looked_into_ever_more_rarely(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.QUERY)
    case.sees(lambda sought: NotThere(frozenset({"x-7"})))
    looks = sum(case.look(20) for _ in range(170))
    assert looks <= 9
    assert case.row.not_before <= case.world.clock() + timedelta(hours=1)


def test_other_texts_of_known_messages_do_not_stand_in_the_way_of_absence(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.QUERY)
    other = case.world.campaign(1)
    case.world.submit(other.batch)
    known = case.world.message(other.message).provider_id or ""
    case.sees(lambda sought: NotThere(frozenset({known})))
    for at in (6, 25, 90):
        case.look(at)
    assert case.row.state is S.QUEUED


def test_candidates_of_others_and_one_more_row_of_nobody_prove_nothing(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.QUERY)
    other = case.world.campaign(1)
    case.world.submit(other.batch)
    known = case.world.message(other.message).provider_id or ""
    taken = [Report("d", S.SUBMITTED, provider_id=known)]
    case.sees(lambda sought: Found(taken, NotThere(frozenset({known, "x-7"}))))
    for at in (6, 25, 90):
        case.look(at)
        assert case.row.state is S.UNKNOWN
    case.sees(lambda sought: Found(taken, NotThere(frozenset({known}))))
    case.look(300)
    assert case.row.state is S.QUEUED


def test_what_one_message_takes_is_no_doubt_of_another_in_the_same_look(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.QUERY, 2)
    second = case.sent.messages[1]
    case.sees(
        lambda sought: (
            found("x-1")
            if sought.message.id == str(second) and sought.looks == 2
            else NotThere(frozenset({"x-1"}) if sought.looks == 2 else frozenset())
        )
    )
    for at in (6, 25, 90):
        case.look(at)
    assert case.world.states() == [S.QUEUED, S.SUBMITTED]


def test_a_message_is_looked_for_by_one_worker_at_a_time(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.QUERY)
    asked: list[int] = []

    def sight(sought: Sought) -> Sighting:
        asked.append(case.world.database.dialect == "sqlite" or 1)
        return NoAnswer("later")

    case.sees(sight)
    from workers.resolve import claim

    case.world.clock.advance(6)
    with case.world.database.write() as session:
        assert len(claim(session, ACCOUNT, case.world.clock(), 120.0, 10)) == 1
    assert case.look() == 0
    assert asked == []


# --- the end of the provider's memory --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "state", "code"), [("give_up", S.FAILED, "outcome_unknown"), ("resend", S.SUBMITTED, None)]
)
@pytest.mark.parametrize("by", list(LookUpBy))
def test_what_can_never_be_proven_ends_as_the_campaign_says(
    make_world: MakeWorld, by: LookUpBy, wanted: str, state: S, code: str | None
) -> None:
    case = unknown_world(make_world, by, proof=False, on_unknown=wanted)
    case.world.clock.advance(3601)
    case.look()
    case.world.step()
    assert (case.row.state, case.row.code) == (state, code)
    assert len(case.world.line.sent) == (2 if wanted == "resend" else 1)
    case.world.check_counters(case.sent.id)


def test_where_nobody_can_be_asked_a_report_still_settles_it(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.NONE, proof=False)
    case.look(6)
    assert case.row.state is S.UNKNOWN
    case.world.report(Report("r", S.DELIVERED, provider_id="x-9", ref=str(case.sent.message)))
    assert (case.row.state, case.row.provider_id) == (S.DELIVERED, "x-9")
    assert case.look(300) == 0


# --- replaying -------------------------------------------------------------------------------------------------------


def test_a_replay_is_identical_to_the_byte_even_after_the_account_changed(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.REPLAY)
    case.world.provider.flavour = "another option now"
    case.look(6)
    first, second = case.world.line.sent
    assert (first.body, first.headers, first.url) == (second.body, second.headers, second.url)
    assert case.row.state is S.SUBMITTED


def test_a_replay_without_an_answer_is_made_again_under_the_same_key(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.REPLAY)
    case.world.line.answer = lost
    for _ in range(3):
        case.look(130)
        assert case.row.state is S.UNKNOWN
    case.world.line.answer = lambda request: OK
    case.look(130)
    assert case.row.state is S.SUBMITTED
    assert len({(request.body, request.headers["Idempotency-Key"]) for request in case.world.line.sent}) == 1
    kinds = [attempt.kind for attempt in case.world.attempts()]
    assert kinds == ["submit", "replay", "replay", "replay", "replay"]


@pytest.mark.parametrize(
    "klass",
    [
        FailureClass.DUPLICATE,
        FailureClass.THROTTLED,
        FailureClass.ACCOUNT,
        FailureClass.TEMPORARY,
        FailureClass.DEFERRED,
    ],
)
def test_a_refusal_that_says_nothing_of_the_first_try_leaves_it_unknown(
    make_world: MakeWorld, klass: FailureClass
) -> None:
    case = unknown_world(make_world, LookUpBy.REPLAY)
    case.world.provider.outcome = lambda message: Refused(Failure("E", klass, "no"))
    case.look(6)
    assert (case.row.state, case.row.tries) == (S.UNKNOWN, 0)


def test_replays_keep_the_limit_of_their_sender(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.REPLAY, 2)
    opened = case.world.run(case.world.runtime.account(ACCOUNT))
    opened.account = replace(opened.account, sender_limits=(Limit(1, 120.0),))
    before = len(case.world.line.sent)
    case.look(130)
    assert len(case.world.line.sent) == before + 1
    assert sorted(case.world.states()) == [S.SUBMITTED, S.UNKNOWN]


def test_a_replay_that_is_refused_for_good_rejects_the_message(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.REPLAY)
    case.world.provider.outcome = lambda message: Refused(Failure("E", FailureClass.RECIPIENT, "no such number"))
    case.look(6)
    assert (case.row.state, case.row.code) == (S.REJECTED, "E")


def test_a_replay_refused_after_a_report_changes_nothing(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.REPLAY)

    def reported_meanwhile(message: Outgoing) -> Refused:
        case.world.change(case.sent.message, state=S.SUBMITTED)
        return Refused(Failure("E", FailureClass.CONTENT, "no"))

    case.world.provider.outcome = reported_meanwhile
    case.look(6)
    assert case.row.state is S.SUBMITTED


def test_an_unclear_replay_is_looked_for_again(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.REPLAY)
    case.world.provider.outcome = lambda message: Unclear("half an answer")
    case.look(6)
    assert (case.row.state, case.row.looks) == (S.UNKNOWN, 1)
    case.world.provider.outcome = lambda message: Accepted("x-1")
    case.look(30)
    assert (case.row.state, case.row.provider_id) == (S.SUBMITTED, "x-1")


def test_the_bytes_for_a_replay_are_kept_only_while_they_may_be_needed(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.REPLAY)
    assert [attempt.body is not None for attempt in case.world.attempts()] == [True]
    clear = make_world({ACCOUNT: Scripted(policy=policy(LookUpBy.REPLAY))})
    sent = clear.campaign(1)
    clear.submit(sent.batch)
    assert clear.attempts()[-1].body is None


def test_looks_are_charged_and_kept_as_attempts(make_world: MakeWorld) -> None:
    case = unknown_world(make_world, LookUpBy.QUERY)

    async def asks(sought: Any, send: Any) -> dict[str, Sighting]:
        await send(Request("GET", "http://127.0.0.1:1/log", {}))
        return {one.message.id: NotThere() for one in sought}

    case.world.provider.look_up = asks  # type: ignore[method-assign]  # one that really asks
    case.look(6)
    assert [(a.kind, a.status, a.outcome) for a in case.world.attempts()][-1] == ("look_up", 200, "answered")
