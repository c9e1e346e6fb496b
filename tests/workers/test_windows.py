"""The windows between commit and send, one by one: what each late or stale word may and may not do."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import select

from models.states import BatchState, MessageState
from models.tables import Batch, Message
from tests.workers.test_protocol import Protocol


@pytest.fixture
def play() -> Iterator[Protocol]:
    """A campaign of three messages whose every step is called by the test; at the end it must come to its end."""
    machine = Protocol()
    machine.a_campaign()
    yield machine
    machine.teardown()


def state_of(play: Protocol, message_id: UUID) -> MessageState:
    with play.database.read() as session:
        return session.execute(select(Message.state).where(Message.id == message_id)).scalar_one()


def batch_state(play: Protocol) -> BatchState:
    with play.database.read() as session:
        return session.execute(select(Batch.state)).scalar_one()


def leave(play: Protocol, worker: int, most: int = 1) -> UUID:
    """A worker takes the lease and commits intents; the first message of them."""
    play.dispatch()
    play.take_the_lease(worker)
    play.commit_intents(worker, most)
    return play.workers[worker].flights[-1].message_id


def prove_absent(play: Protocol, looks: int = 3) -> None:
    for _ in range(looks):
        play.time_passes(25.0)
        play.look()
        if play.looks:
            play.apply_what_was_seen(0)


def test_what_a_dead_worker_held_is_unknown_and_never_queued_again_unasked(play: Protocol) -> None:
    message = leave(play, 0)
    play.send(0, 0, accepts=True, answers=False)
    play.die(0)
    play.time_passes(25.0)
    play.sweep()
    assert state_of(play, message) is MessageState.UNKNOWN


def test_a_worker_that_slept_past_its_lease_sends_nothing(play: Protocol) -> None:
    message = leave(play, 0)
    play.time_passes(12.0)
    play.sweep()
    play.send(0, 0, accepts=True, answers=True)
    assert play.accepted[message] == 0


def test_a_late_answer_is_believed_after_the_sweep_said_unknown(play: Protocol) -> None:
    message = leave(play, 0)
    play.send(0, 0, accepts=True, answers=True)
    play.time_passes(12.0)
    play.sweep()
    play.record(0, 0)
    assert state_of(play, message) is MessageState.SUBMITTED


def test_a_late_not_sent_reopens_the_batch_that_was_closed_meanwhile(play: Protocol) -> None:
    """The message would otherwise be queued for ever in a batch that nobody takes."""
    message = leave(play, 0, most=3)
    play.time_passes(12.0)
    play.send(0, 0, accepts=True, answers=True)  # too late: it does not leave
    play.send(0, 0, accepts=True, answers=True)
    play.send(0, 0, accepts=True, answers=True)
    play.sweep()
    assert batch_state(play) is BatchState.DONE
    for _ in range(3):
        play.record(0, 0)
    assert state_of(play, message) is MessageState.QUEUED
    assert batch_state(play) is BatchState.PLANNED


def test_what_a_look_up_saw_of_one_attempt_says_nothing_about_the_next(play: Protocol) -> None:
    """Absent at the first attempt, sent again by somebody else, unknown again: the sleeper's proof is stale."""
    message = leave(play, 0)
    play.die(0)
    play.time_passes(12.0)
    play.sweep()
    for _ in range(2):
        play.time_passes(25.0)
        play.look()
        play.apply_what_was_seen(0)
    play.time_passes(25.0)
    play.look()  # the proof, in the hands of somebody who falls asleep now
    play.time_passes(25.0)
    play.look()
    play.apply_what_was_seen(1)  # another one looks as well, and acts
    assert state_of(play, message) is MessageState.QUEUED
    again = leave(play, 1)
    assert again == message
    play.send(1, 0, accepts=True, answers=False)
    play.record(1, 0)
    play.apply_what_was_seen(0)
    assert state_of(play, message) is MessageState.UNKNOWN
    assert play.accepted[message] == 1


def test_an_unclear_answer_that_was_overtaken_by_a_proof_changes_nothing(play: Protocol) -> None:
    message = leave(play, 0)
    play.send(0, 0, accepts=False, answers=False)
    play.time_passes(12.0)
    play.sweep()
    prove_absent(play)
    assert state_of(play, message) is MessageState.QUEUED
    play.record(0, 0)  # an unclear answer, long overtaken
    assert state_of(play, message) is MessageState.QUEUED


def test_a_former_owner_can_neither_extend_nor_finish(play: Protocol) -> None:
    leave(play, 0)
    play.workers[0].flights.clear()
    play.time_passes(12.0)
    play.sweep()
    play.dispatch()
    play.take_the_lease(1)
    play.finish(0)
    play.extend_the_lease(0)
    assert play.workers[0].lease is None
    assert batch_state(play) is BatchState.LEASED


def test_a_job_delivered_twice_finds_the_lease_taken(play: Protocol) -> None:
    play.dispatch()
    play.take_the_lease(0)
    play.take_the_lease(1)
    assert play.workers[0].lease is not None
    assert play.workers[1].lease is None
