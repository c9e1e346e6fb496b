"""The audit finds what the counters, the rows and the histories do not agree on, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import update

from models.database import Database
from models.moves import Move, add_counts, apply_moves
from models.plain import trail_line
from models.segments import Encoding
from models.states import BatchState, CampaignState, MessageState
from models.tables import Attempt, Base, Batch, Campaign, CampaignCount, Message
from models.trails import moved_note, without_notes
from models.types import new_id
from producer.audit import audit, history, trail_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STATES = MessageState


class World:
    """A campaign of three messages, two of them delivered and one undelivered, told as it happened."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.campaign, self.batch, self.attempt = new_id(), new_id(), new_id()
        self.messages = [new_id() for _ in range(3)]
        with database.write() as session:
            session.add(
                Campaign(
                    id=self.campaign, name="c", state=CampaignState.COMPLETED, sender="s", template="t",
                    common_text="t", route={"acme": 1}, created_at=NOW, rows_accepted=3,
                )
            )  # fmt: skip
            session.flush()
            session.add(
                Batch(
                    id=self.batch, campaign_id=self.campaign, account="acme", size=3, not_before=NOW,
                    state=BatchState.DONE,
                )
            )  # fmt: skip
            session.add_all(self._message(place, one) for place, one in enumerate(self.messages))
            session.flush()
            add_counts(session, {(self.campaign, "acme", STATES.QUEUED): 3})
            ids = [str(one) for one in self.messages]
            session.add(
                Attempt(
                    id=self.attempt, account="acme", kind="submit", batch_id=self.batch, started_at=NOW, message_ids=ids
                )
            )
        ends = (STATES.DELIVERED, STATES.DELIVERED, STATES.UNDELIVERED)
        for seconds, states in enumerate(((STATES.SUBMITTING,) * 3, (STATES.SUBMITTED,) * 3, ends), 1):
            with database.write() as session:
                moves = [Move(one, state) for one, state in zip(self.messages, states, strict=True)]
                apply_moves(session, moves, NOW + timedelta(seconds=seconds))

    def _message(self, place: int, message_id: UUID) -> Message:
        return Message(
            id=message_id, campaign_id=self.campaign, batch_id=self.batch, row_no=place, account="acme",
            msisdn=f"+44770090000{place}", sender="s", encoding=str(Encoding.GSM7), segments=1,
            trail=trail_line(STATES.QUEUED, "imported", NOW), provider_id=f"p{place}",
        )  # fmt: skip

    def change(self, **values: object) -> None:
        """Something that no code of ours does: a row changed behind the back of the moves."""
        with self.database.write() as session:
            session.execute(update(Message).where(Message.id == self.messages[0]).values(**values))

    def differences(self) -> tuple[str, ...]:
        with self.database.read() as session:
            found = audit(session, self.campaign)
            assert found is not None
            return found.differences


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = Database(f"sqlite:///{tmp_path / 'audit.db'}")
    Base.metadata.create_all(database.engine)
    yield World(database)
    database.close()


def test_a_sound_campaign_has_no_differences(world: World) -> None:
    assert world.differences() == ()


def test_a_counter_that_is_off_is_named(world: World) -> None:
    with world.database.write() as session:
        session.execute(update(CampaignCount).where(CampaignCount.state == STATES.DELIVERED).values(n=7))
    assert world.differences() == ("acme: the counter says 7 delivered, the messages 2",)


def test_a_message_too_few_is_named(world: World) -> None:
    with world.database.write() as session:
        session.execute(update(Campaign).values(rows_accepted=4))
    assert world.differences() == ("4 rows were accepted, 3 messages are there",)


def test_a_state_that_the_trail_does_not_tell_is_named(world: World) -> None:
    world.change(state=STATES.EXPIRED)
    assert any("its trail ends with delivered" in difference for difference in world.differences())


def test_an_undeclared_step_in_a_trail_is_named(world: World) -> None:
    trail = trail_line(STATES.DELIVERED, "", NOW) + trail_line(STATES.QUEUED, "", NOW)
    world.change(trail=trail + trail_line(STATES.DELIVERED, "", NOW))
    assert any("from delivered to queued, which is no declared transition" in one for one in world.differences())


def _moved(note: str) -> str:
    lines = ((STATES.QUEUED, "imported"), (STATES.QUEUED, note), (STATES.SUBMITTING, ""), (STATES.DELIVERED, ""))
    return "".join(trail_line(state, note, NOW) for state, note in lines)


def test_a_change_of_account_while_queued_is_no_fault(world: World) -> None:
    world.change(trail=_moved(moved_note("other", "credentials: why")))
    assert world.differences() == ()
    world.change(trail=without_notes(_moved(moved_note("other", "credentials: why"))))
    assert world.differences() == ()


@pytest.mark.parametrize("note", ["", "THROTTLED", "was moved from other: why"])
def test_a_second_line_of_one_state_is_a_fault_without_a_change_of_account(world: World, note: str) -> None:
    world.change(trail=_moved(note))
    [difference] = world.differences()
    assert "went from queued to queued, which is no declared transition" in difference


def test_a_change_of_account_of_an_erased_message_needs_no_note(world: World) -> None:
    world.change(trail=_moved(""), msisdn="")
    assert world.differences() == ()


def test_a_completed_campaign_with_an_open_message_is_named(world: World) -> None:
    world.change(state=STATES.SENT, final_at=None, trail=trail_line(STATES.SENT, "", NOW))
    assert "the campaign is completed, and 1 of its messages are not final" in world.differences()


def test_two_messages_with_one_id_at_the_provider_are_named(world: World) -> None:
    world.change(provider_id="p1")
    assert world.differences() == ("acme: 2 messages share the provider's id p1",)


def test_an_unreadable_trail_is_named_and_not_raised(world: World) -> None:
    world.change(trail="yesterday it was queued\n")
    assert any("its trail cannot be read" in difference for difference in world.differences())


def test_a_history_holds_trail_and_requests(world: World) -> None:
    with world.database.read() as session:
        found = history(session, world.messages[2])
        assert found is not None
        assert [step.state for step in found.trail] == ["queued", "submitting", "submitted", "undelivered"]
        assert [attempt.id for attempt in found.attempts] == [world.attempt]
        assert trail_of(found.message)[0].note == "imported"


def test_a_history_holds_the_requests_of_every_account_that_had_the_message(world: World) -> None:
    with world.database.write() as session:
        later = Batch(
            id=new_id(), campaign_id=world.campaign, account="other", size=1, not_before=NOW, state=BatchState.DONE
        )
        second = Attempt(
            id=new_id(), account="other", kind="submit", batch_id=later.id, started_at=NOW + timedelta(seconds=9),
            message_ids=[str(world.messages[0])],
        )  # fmt: skip
        session.add_all([later, second])
        session.flush()
        second_id, later_id = second.id, later.id
    trail = trail_line(STATES.SUBMITTING, str(world.attempt), NOW) + trail_line(STATES.QUEUED, "moved from acme:", NOW)
    world.change(batch_id=later_id, account="other", trail=trail)
    with world.database.read() as session:
        found = history(session, world.messages[0])
        assert found is not None
        assert [attempt.id for attempt in found.attempts] == [world.attempt, second_id]


def test_what_does_not_exist_has_neither_audit_nor_history(world: World) -> None:
    with world.database.read() as session:
        assert audit(session, new_id()) is None
        assert history(session, new_id()) is None
