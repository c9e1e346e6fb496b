"""One batch worked off: what is committed when, what is sent, and what becomes of every message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from config.own_keys import suppression_key
from models.forgotten import WrongKey, forget
from models.queries import insert_new
from models.states import BatchState, CampaignState
from models.states import MessageState as S
from models.steering import Caps
from models.tables import Campaign, Suppression
from providers.base import Accepted, Failure, FailureClass, Misconfigured, Outcome, Outgoing, Refused, Throttle, Unclear
from providers.wire import NotSent, OutcomeUnknown, Reply, Request
from tests.support.rows import ACCOUNT, number
from tests.support.scripted import OK, Scripted
from tests.support.world import World
from tests.workers.conftest import MakeWorld
from workers.intents import take
from workers.submit import Ended


def refuse(klass: FailureClass, **more: Any) -> Refused:
    return Refused(Failure("E1", klass, "said no"), **more)


def raising(error: Exception) -> Callable[[Request], Reply]:
    def answer(request: Request) -> Reply:
        raise error

    return answer


def set_state(world: World, campaign: UUID, state: CampaignState) -> None:
    with world.database.write() as session:
        session.get_one(Campaign, campaign).state = state


# --- the straight way ------------------------------------------------------------------------------------------------


def test_a_batch_is_submitted_in_row_order_and_done(make_world: MakeWorld) -> None:
    world = make_world(max_connections=1)
    sent = world.campaign(7)
    assert world.submit(sent.batch) is Ended.DONE
    assert world.states() == [S.SUBMITTED] * 7
    assert world.line.ids() == [str(message) for message in sent.messages]
    assert world.batch(sent.batch).state is BatchState.DONE
    assert {row.provider_id for row in world.messages()} == {f"p-{message}" for message in sent.messages}
    world.check_counters(sent.id)


def test_the_intent_is_committed_before_the_request_leaves(world: World) -> None:
    seen: list[tuple[S, UUID | None, int]] = []

    def look(request: Request) -> Reply:
        (row,) = world.messages()
        seen.append((row.state, row.attempt_id, len(world.attempts())))
        return OK

    world.line.answer = look
    sent = world.campaign(1)
    world.submit(sent.batch)
    (attempt,) = world.attempts()
    assert seen == [(S.SUBMITTING, attempt.id, 1)]
    assert (attempt.kind, attempt.status, attempt.outcome, attempt.messages) == ("submit", 200, "accepted", 1)


def test_one_request_carries_as_many_as_the_provider_takes(make_world: MakeWorld) -> None:
    world = make_world({ACCOUNT: Scripted(max_recipients=4)})
    sent = world.campaign(10)
    world.submit(sent.batch)
    assert [attempt.messages for attempt in world.attempts()] == [4, 4, 2]
    assert sorted(world.line.ids()) == sorted(str(message) for message in sent.messages)


def test_never_more_requests_at_once_than_the_account_has_connections(make_world: MakeWorld) -> None:
    world = make_world(max_connections=3)
    sent = world.campaign(12)
    world.submit(sent.batch)
    assert world.line.most_at_once <= 3
    assert world.states() == [S.SUBMITTED] * 12


def test_the_same_job_delivered_twice_sends_once(make_world: MakeWorld) -> None:
    world = make_world()
    sent = world.campaign(4)
    other = world.new_runtime()

    async def both() -> list[Ended]:
        from workers.submit import submit_batch

        there = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(submit_batch(other, sent.batch), other.loop))
        return list(await asyncio.gather(submit_batch(world.runtime, sent.batch), there))

    try:
        assert sorted(world.run(both())) == sorted([Ended.DONE, Ended.NOT_OURS])
    finally:
        other.close()
    assert sorted(world.line.ids()) == sorted(str(message) for message in sent.messages)


# --- what the provider says ------------------------------------------------------------------------------------------


def test_a_partly_refused_request_settles_each_message_by_its_own_word(make_world: MakeWorld) -> None:
    world = make_world({ACCOUNT: Scripted(max_recipients=10)})
    words: dict[str, Outcome] = {
        number(1): Accepted("id-1", S.HELD),
        number(2): refuse(FailureClass.RECIPIENT),
        number(3): refuse(FailureClass.TEMPORARY, retry_after=40.0),
        number(4): Unclear("not in the answer"),
        number(5): Accepted("id-5", parts=2),
    }
    world.provider.outcome = lambda message: words[message.msisdn]
    sent = world.campaign(5)
    world.submit(sent.batch)
    assert world.states() == [S.HELD, S.REJECTED, S.QUEUED, S.UNKNOWN, S.SUBMITTED]
    rows = world.messages()
    assert (rows[1].code, rows[1].klass, rows[1].reason) == ("E1", "recipient", "said no")
    assert (rows[2].tries, rows[2].not_before) == (1, world.clock() + timedelta(seconds=40))
    assert world.batch(sent.batch).state is BatchState.PLANNED
    assert world.batch(sent.batch).not_before == rows[2].not_before
    world.check_counters(sent.id)


def test_a_throttled_account_waits_and_no_try_is_spent(make_world: MakeWorld) -> None:
    provider = Scripted()
    provider.outcome = lambda message: refuse(FailureClass.THROTTLED, retry_after=30.0)
    provider.signal = Throttle(30.0, "slow down")
    world = make_world({"throttled": provider}, max_connections=1)
    sent = world.campaign(3)
    assert world.submit(sent.batch) is Ended.WAITING
    assert len(world.line.sent) == 1, "the first 429 stops everybody"
    assert [(row.state, row.tries) for row in world.messages()] == [(S.QUEUED, 0)] * 3
    assert 25 < world.parked_for("throttled") <= 31, "said of the account, which may be opened again sooner"
    assert world.batch(sent.batch).not_before <= world.clock() + timedelta(seconds=1)


def test_an_account_that_is_misconfigured_stops_and_its_messages_wait_uncharged(make_world: MakeWorld) -> None:
    provider = Scripted()
    provider.outcome = lambda message: refuse(FailureClass.ACCOUNT)
    provider.signal = Misconfigured("401", "wrong password")
    world = make_world({"misconfigured": provider}, max_connections=1)
    sent = world.campaign(3)
    assert world.submit(sent.batch) is Ended.WAITING
    assert len(world.line.sent) == 1
    assert [(row.state, row.tries) for row in world.messages()] == [(S.QUEUED, 0)] * 3


def test_what_was_not_sent_is_queued_again_and_no_try_is_spent(world: World) -> None:
    world.line.answer = raising(NotSent("connect_failed", "nobody there"))
    sent = world.campaign(2)
    world.submit(sent.batch)
    assert [(row.state, row.tries) for row in world.messages()] == [(S.QUEUED, 0)] * 2
    assert {attempt.outcome for attempt in world.attempts()} == {"not_sent"}
    world.line.answer = lambda request: OK
    world.clock.advance(10)
    world.step()
    assert world.states() == [S.SUBMITTED] * 2


def test_what_came_back_is_sent_by_the_same_work_once_all_the_rest_has_left(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look goes on where the last one ended; the last one begins anew."""
    monkeypatch.setattr("workers.submit.FIRST_SLICE", 2)
    monkeypatch.setattr("workers.submit.SLICE", 2)
    world = make_world(max_connections=1)
    refusals = {2: refuse(FailureClass.TEMPORARY, retry_after=0.0)}
    world.provider.outcome = lambda message: refusals.pop(len(world.line.sent), Accepted(f"p-{message.id}"))
    world.line.answer = lambda request: (world.clock.advance(1), OK)[1]
    sent = world.campaign(7)
    assert world.submit(sent.batch) is Ended.DONE
    ids = [str(message) for message in sent.messages]
    assert world.line.ids() == [*ids, ids[1]]
    assert world.states() == [S.SUBMITTED] * 7


@pytest.mark.parametrize("reason", ["read_timeout", "disconnected"])
def test_a_request_without_an_answer_is_unknown_and_never_sent_again(world: World, reason: str) -> None:
    world.line.answer = raising(OutcomeUnknown(reason, "may have arrived", 200))
    sent = world.campaign(2)
    world.submit(sent.batch)
    assert world.states() == [S.UNKNOWN] * 2
    assert world.batch(sent.batch).state is BatchState.DONE
    world.clock.advance(600)
    assert world.sweep().stranded == 0
    assert world.step() == []
    assert len(world.line.sent) == 2


def test_an_adapter_sees_its_options_and_none_of_the_campaigns_own(world: World) -> None:
    seen: dict[str, Outgoing] = {}
    world.provider.outcome = lambda message: Accepted(seen.setdefault(message.id, message).id)
    sent = world.campaign(1, options={"entity_id": "7", "max_parts": 25})
    world.submit(sent.batch)
    assert seen[str(sent.message)].options == {"entity_id": "7"}


def test_an_unknown_outcome_does_not_keep_the_refusal_of_an_earlier_attempt(world: World) -> None:
    world.provider.outcome = lambda message: refuse(FailureClass.THROTTLED, retry_after=1.0)
    sent = world.campaign(1)
    world.submit(sent.batch)
    assert (world.message(sent.message).state, world.message(sent.message).code) == (S.QUEUED, "E1")
    world.line.answer = raising(OutcomeUnknown("disconnected", "may have arrived", None))
    world.clock.advance(2)
    world.step()
    row = world.message(sent.message)
    assert (row.state, row.code, row.klass, row.reason) == (S.UNKNOWN, None, None, None)


def test_retries_are_spent_one_by_one_and_end_in_failed(world: World) -> None:
    world.provider.outcome = lambda message: refuse(FailureClass.TEMPORARY, retry_after=1.0)
    sent = world.campaign(1)
    world.submit(sent.batch)
    most = world.account().rules.max_tries
    for spent in range(1, most):
        assert (world.message(sent.message).state, world.message(sent.message).tries) == (S.QUEUED, spent)
        world.clock.advance(2)
        world.step()
    row = world.message(sent.message)
    assert (row.state, row.tries, row.code) == (S.FAILED, most, "E1")
    assert len(world.line.sent) == most


def test_a_refusal_that_is_remembered_is_tried_again_under_a_new_reference(world: World) -> None:
    refs: list[str] = []

    def outcome(message: Outgoing) -> Refused | Accepted:
        refs.append(message.ref)
        return Accepted("x") if len(refs) > 1 else refuse(FailureClass.TEMPORARY, retry_after=1.0, new_ref=True)

    world.provider.outcome = outcome
    sent = world.campaign(1)
    world.submit(sent.batch)
    world.clock.advance(2)
    world.step()
    assert refs == [str(sent.message), f"{sent.message}-r2"]


@pytest.mark.parametrize("text", ["x" * 5000, "a\x00b", "half \ud800 of a pair"])
def test_whatever_a_provider_writes_the_answer_is_recorded(world: World, text: str) -> None:
    world.provider.outcome = lambda message: (
        Accepted(text, group_id=text, currency=text, parts=10**9)
        if message.msisdn == number(1)
        else Refused(Failure(text, FailureClass.CONTENT, text))
    )
    sent = world.campaign(2)
    world.submit(sent.batch)
    assert world.states() == [S.SUBMITTED, S.REJECTED]
    first, second = world.messages()
    assert first.provider_id is not None
    assert len(first.provider_id) <= 128
    assert first.parts is None
    assert second.reason is not None
    assert "\x00" not in second.reason


def test_an_answer_that_can_never_be_written_holds_up_no_other(make_world: MakeWorld) -> None:
    world = make_world(max_connections=4)
    odd: Any = object()
    world.provider.outcome = lambda message: Accepted(odd if message.msisdn == number(2) else f"p-{message.ref}")
    sent = world.campaign(4)
    assert world.submit(sent.batch) is Ended.LEASE_LOST
    assert world.states() == [S.SUBMITTED, S.SUBMITTING, S.SUBMITTED, S.SUBMITTED]
    world.clock.advance(world.settings.lease_seconds + 1)
    world.sweep()
    assert world.states() == [S.SUBMITTED, S.UNKNOWN, S.SUBMITTED, S.SUBMITTED]


# --- what must not leave ---------------------------------------------------------------------------------------------


def test_who_opted_out_after_the_import_gets_nothing(world: World) -> None:
    sent = world.campaign(3)
    rows = [
        {"msisdn": number(1), "sender": "", "source": "", "created_at": world.clock()},
        {"msisdn": number(2), "sender": "MyStore", "source": "", "created_at": world.clock()},
        {"msisdn": number(3), "sender": "Another", "source": "", "created_at": world.clock()},
    ]
    with world.database.write() as session:
        insert_new(session, Suppression, rows)
    world.submit(sent.batch)
    assert world.states() == [S.SUPPRESSED, S.SUPPRESSED, S.SUBMITTED]
    assert world.line.ids() == [str(sent.messages[2])]


def test_who_was_erased_and_does_not_want_to_be_written_to_gets_nothing(world: World, tmp_path: Path) -> None:
    world.settings.state_dir = tmp_path
    sent = world.campaign(2)
    with world.database.write() as session:
        forget(session, number(1), partial(suppression_key, world.settings), world.clock(), add=True)
    world.submit(sent.batch)
    assert world.states() == [S.SUPPRESSED, S.SUBMITTED]


def test_without_the_key_of_erased_suppressions_nothing_leaves(world: World, tmp_path: Path) -> None:
    world.settings.state_dir = tmp_path
    sent = world.campaign(2)
    with world.database.write() as session:
        forget(session, "+447700900999", lambda: b"the key of another machine", world.clock(), add=True)
    with pytest.raises(WrongKey, match=r"restore suppression\.key"):
        world.submit(sent.batch)
    assert world.states() == [S.QUEUED, S.QUEUED]
    assert world.line.ids() == []


def test_what_could_not_leave_in_time_never_leaves(world: World) -> None:
    sent = world.campaign(2)
    world.change(sent.message, expires_at=world.clock())
    world.submit(sent.batch)
    assert world.states() == [S.EXPIRED, S.SUBMITTED]
    assert world.line.ids() == [str(sent.messages[1])]


@pytest.mark.parametrize("state", [CampaignState.PAUSED, CampaignState.CANCELLED])
def test_pause_and_cancel_take_hold_within_one_wave(make_world: MakeWorld, state: CampaignState) -> None:
    world = make_world(max_connections=2)
    sent = world.campaign(10)

    def stop(request: Request) -> Reply:
        set_state(world, sent.id, state)
        return OK

    world.line.answer = stop
    assert world.submit(sent.batch) is Ended.NOT_RUNNING
    wave = 3  # two connections, and one that may wait for them while nobody knows how fast the provider is
    assert world.states() == [S.SUBMITTED] * wave + [S.QUEUED] * (10 - wave)
    assert world.batch(sent.batch).state is BatchState.PLANNED
    assert world.dispatch() == []


def test_a_paused_campaign_goes_on_where_it_stopped(make_world: MakeWorld) -> None:
    world = make_world(max_connections=2)
    sent = world.campaign(6)

    def pause(request: Request) -> Reply:
        set_state(world, sent.id, CampaignState.PAUSED)
        return OK

    world.line.answer = pause
    world.submit(sent.batch)
    world.line.answer = lambda request: OK
    set_state(world, sent.id, CampaignState.RUNNING)
    assert world.step() == [Ended.DONE]
    assert world.line.ids() == [str(message) for message in sent.messages], "each once, none left out"


def test_a_worker_that_shuts_down_hands_back_what_it_holds(make_world: MakeWorld) -> None:
    world = make_world(max_connections=2)
    sent = world.campaign(6)

    def stop(request: Request) -> Reply:
        world.runtime.stopping = True
        return OK

    world.line.answer = stop
    assert world.submit(sent.batch) is Ended.STOPPING
    assert world.states() == [S.SUBMITTED] * 2 + [S.QUEUED] * 4
    assert world.batch(sent.batch).state is BatchState.PLANNED


def test_a_long_wait_for_a_permit_frees_the_worker(make_world: MakeWorld) -> None:
    world = make_world({"limited": Scripted()})
    sent = world.campaign(3)
    gate = world.account().gate
    world.run(gate.limiter.block(gate.budget, 30.0, "somebody got a 429"))
    assert world.submit(sent.batch) is Ended.WAITING
    assert world.states() == [S.QUEUED] * 3
    assert world.line.sent == []
    assert world.batch(sent.batch).state is BatchState.PLANNED
    assert world.parked_for(world.account().name) > 20


# --- a lease that is lost --------------------------------------------------------------------------------------------


def test_a_worker_that_slept_past_its_lease_sends_nothing_more_and_its_answer_still_counts(
    make_world: MakeWorld,
) -> None:
    world = make_world(max_connections=1)
    sent = world.campaign(4)

    def sleep_on(request: Request) -> Reply:
        world.clock.advance(world.settings.lease_seconds + 1)
        world.sweep()
        assert world.message(sent.message).state is S.UNKNOWN
        return OK

    world.line.answer = sleep_on
    assert world.submit(sent.batch) is Ended.LEASE_LOST
    assert len(world.line.sent) == 1
    assert world.states() == [S.SUBMITTED, S.QUEUED, S.QUEUED, S.QUEUED], "the late answer is the truth"
    world.line.answer = lambda request: OK
    world.step()
    assert world.line.ids() == [str(message) for message in sent.messages]


def test_a_late_word_that_nothing_was_sent_opens_the_batch_again(make_world: MakeWorld) -> None:
    world = make_world(max_connections=1)
    sent = world.campaign(1)

    def sleep_on(request: Request) -> Reply:
        world.clock.advance(world.settings.lease_seconds + 1)
        world.sweep()
        assert world.batch(sent.batch).state is BatchState.DONE
        raise NotSent("connect_failed")

    world.line.answer = sleep_on
    world.submit(sent.batch)
    assert world.states() == [S.QUEUED]
    world.line.answer = lambda request: OK
    world.clock.advance(10)
    assert world.step() == [Ended.DONE]
    assert world.states() == [S.SUBMITTED]


def test_a_late_answer_never_touches_a_newer_try(make_world: MakeWorld) -> None:
    """The first try is given up as absent, a second one is under way: the first one's refusal comes too late."""
    world = make_world(max_connections=1)
    sent = world.campaign(1)
    newer = UUID(int=7)

    def overtaken(request: Request) -> Reply:
        world.change(sent.message, state=S.SUBMITTING, attempt_id=newer)
        return OK

    world.line.answer = overtaken
    world.provider.outcome = lambda message: refuse(FailureClass.CONTENT)
    world.submit(sent.batch)
    assert world.message(sent.message).state is S.SUBMITTING
    assert world.message(sent.message).attempt_id == newer


def test_without_time_left_on_the_lease_nothing_leaves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.submit.SEND_MARGIN", 1000.0)
    sent = world.campaign(2)

    async def one_round() -> None:
        from workers.submit import BatchWork

        taken = await world.runtime.write(take, sent.batch, "me", world.clock(), 60.0, Caps())
        assert taken is not None
        work = BatchWork(world.runtime, await world.runtime.account(ACCOUNT), taken, 0.0)
        await work._step()
        await work._land_all()

    world.run(one_round())
    assert world.line.sent == []
    assert world.states() == [S.QUEUED] * 2
