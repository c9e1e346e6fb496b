"""Messages by their batches: what waits is found by its batch, the rest by its campaign, and nothing by reading all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, select, update

from models.database import Database
from models.moves import Move, move_all
from models.phase import of_batches, phase_of
from models.queries import due_messages
from models.states import MessageState
from models.tables import Message
from tests.support.plans import plan, statements
from tests.support.rows import add_batch, add_campaign, add_messages, submit_all

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_all_of_a_batch_are_found_and_nobody_elses(database: Database) -> None:
    with database.write() as session:
        campaign, other = add_campaign(session, NOW), add_campaign(session, NOW)
        mine, beside = add_batch(session, campaign, NOW), add_batch(session, campaign, NOW)
        wanted = add_messages(session, campaign, mine, 6)
        add_messages(session, campaign, beside, 3)
        add_messages(session, other, add_batch(session, other, NOW), 3)
        submit_all(session, campaign, wanted[:4], NOW)
    with database.read() as session:
        found = session.execute(select(Message.id).where(of_batches(campaign, [mine]))).scalars().all()
    assert sorted(found) == sorted(wanted)


@pytest.mark.parametrize("state", MessageState)
def test_a_state_that_is_moved_alone_takes_its_phase_along(database: Database, state: MessageState) -> None:
    """As a worker of an earlier version moves it, which has not been replaced yet."""
    with database.write() as session:
        campaign = add_campaign(session, NOW)
        add_messages(session, campaign, add_batch(session, campaign, NOW), 2)
    for moved in (state, MessageState.SUBMITTED, state):
        with database.write() as session:
            session.execute(update(Message).values(state=moved))
        with database.read() as session:
            assert set(session.execute(select(Message.state, Message.phase)).all()) == {(moved, phase_of(moved))}


def test_an_intent_leaves_the_phase_alone_and_an_answer_moves_it(database: Database) -> None:
    """Setting it would renew its entries in the indexes, even to what it was."""
    with database.write() as session:
        campaign = add_campaign(session, NOW)
        made = add_messages(session, campaign, add_batch(session, campaign, NOW), 3)
        with statements(database, "WITH", "UPDATE messages") as seen:
            submit_all(session, campaign, made, NOW)
    ours = [statement for statement, _ in seen if "phase" in statement]
    assert len(seen) == 2, seen
    assert ours == [statement for statement, _ in seen[1:]]
    with database.read() as session:
        assert session.execute(select(Message.state, Message.phase).distinct()).all() == [
            (MessageState.SUBMITTED, MessageState.SUBMITTED)
        ]


def test_batches_are_found_by_the_index_of_what_waits(unknown_database: Database) -> None:
    with unknown_database.write() as session:
        campaign = add_campaign(session, NOW)
        batches = [add_batch(session, campaign, NOW) for _ in range(12)]
        made = [add_messages(session, campaign, batch, 300) for batch in batches]
        submit_all(session, campaign, made[0][:150], NOW)
    here = Message.batch_id.in_(batches[1:2])
    with statements(unknown_database, "SELECT", "UPDATE messages", "DELETE") as seen:
        with unknown_database.read() as session:
            assert len(due_messages(session, batches[0], NOW, 100)) == 100
        with unknown_database.write() as session:
            cancelled = Move(made[1][0], MessageState.CANCELLED, "campaign cancelled")
            assert move_all(session, here, MessageState.QUEUED, cancelled, NOW) == 300
        with unknown_database.write() as session:
            assert session.execute(delete(Message).where(of_batches(campaign, batches[2:3]))).rowcount == 300  # type: ignore[attr-defined]  # a DELETE's result has it
    ways = [(one, plan(unknown_database, *one, large=True)) for one in seen if "messages" in one[0]]
    assert len(ways) == 3, ways
    for (statement, _), way in ways:
        assert "ix_messages_batch" in way, (statement, way)
        assert "Seq Scan" not in way
        assert "SCAN messages" not in way
    assert "TEMP B-TREE" not in ways[0][1]  # in the index's own order
    assert "Sort" not in ways[0][1]
