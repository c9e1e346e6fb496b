"""The only code that changes a message's state: checked, counted, written to the trail, in one transaction."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from models.database import Database
from models.moves import Home, Move, apply_expected, apply_moves, expect
from models.plain import trail_line
from models.queries import counts, recount
from models.states import FINAL
from models.states import MessageState as S
from models.tables import Message
from tests.support.rows import ACCOUNT, add_batch, add_campaign, add_messages

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def rows(database: Database) -> tuple[UUID, list[UUID]]:
    with database.write() as session:
        campaign = add_campaign(session, NOW)
        return campaign, add_messages(session, campaign, add_batch(session, campaign, NOW), 5)


def move(database: Database, *moves: Move) -> list[S]:
    with database.write() as session:
        return [item.new for item in apply_moves(session, moves, NOW)]


def get(database: Database, message: UUID) -> Message:
    with database.read() as session:
        return session.get_one(Message, message)


def test_an_allowed_move_sets_state_columns_trail_and_counters(
    database: Database, rows: tuple[UUID, list[UUID]]
) -> None:
    campaign, (first, *_) = rows
    assert move(database, Move(first, S.SUBMITTING, "go"), Move(rows[1][1], S.SUBMITTING)) == [S.SUBMITTING] * 2
    assert move(database, Move(first, S.DELIVERED, "report", {"provider_id": "x", "parts": 2})) == [S.DELIVERED]
    row = get(database, first)
    assert (row.state, row.provider_id, row.parts, row.final_at) == (S.DELIVERED, "x", 2, NOW)
    assert row.trail == trail_line(S.SUBMITTING, "go", NOW) + trail_line(S.DELIVERED, "report", NOW)
    with database.read() as session:
        assert counts(session, campaign) == {ACCOUNT: {S.DELIVERED: 1, S.SUBMITTING: 1, S.QUEUED: 3}}
        assert counts(session, campaign) == recount(session, campaign)


def test_a_move_that_is_not_declared_does_nothing_at_all(database: Database, rows: tuple[UUID, list[UUID]]) -> None:
    _, (first, *_) = rows
    assert move(database, Move(first, S.UNKNOWN, "never", {"provider_id": "x"})) == []
    row = get(database, first)
    assert (row.state, row.provider_id, row.trail) == (S.QUEUED, None, "")


def test_a_fenced_move_only_counts_for_its_own_attempt(database: Database, rows: tuple[UUID, list[UUID]]) -> None:
    _, (first, *_) = rows
    mine, other = uuid4(), uuid4()
    move(database, Move(first, S.SUBMITTING, values={"attempt_id": mine}))
    assert move(database, Move(first, S.REJECTED, attempt=other)) == []
    assert move(database, Move(first, S.REJECTED, attempt=mine)) == [S.REJECTED]


def test_only_from_narrows_what_is_declared(database: Database, rows: tuple[UUID, list[UUID]]) -> None:
    _, (first, *_) = rows
    assert move(database, Move(first, S.SUBMITTED, only_from=frozenset({S.UNKNOWN}))) == []
    assert move(database, Move(first, S.SUBMITTED, only_from=frozenset({S.QUEUED}))) == [S.SUBMITTED]


def test_a_move_of_nobody_is_left_out(database: Database, rows: tuple[UUID, list[UUID]]) -> None:
    assert move(database, Move(uuid4(), S.SUBMITTING), Move(rows[1][0], S.SUBMITTING)) == [S.SUBMITTING]


def test_a_late_truth_replaces_our_own_giving_up_and_is_an_end_itself(
    database: Database, rows: tuple[UUID, list[UUID]]
) -> None:
    _, (first, *_) = rows
    move(database, Move(first, S.FAILED))
    assert get(database, first).final_at == NOW
    move(database, Move(first, S.SUBMITTED, "found"))
    assert get(database, first).state is S.FAILED, "what is final never becomes open again"
    move(database, Move(first, S.DELIVERED, "report"))
    assert (get(database, first).state, get(database, first).final_at) == (S.DELIVERED, NOW)


def test_a_failed_transaction_leaves_neither_state_nor_counter(
    database: Database, rows: tuple[UUID, list[UUID]]
) -> None:
    campaign, (first, *_) = rows
    with pytest.raises(IndexError), database.write() as session:
        apply_moves(session, [Move(first, S.SUBMITTING)], NOW)[1]
    assert get(database, first).state is S.QUEUED
    with database.read() as session:
        assert counts(session, campaign) == {ACCOUNT: {S.QUEUED: 5}}


def test_more_messages_than_one_list_of_ids_holds(database: Database) -> None:
    with database.write() as session:
        campaign = add_campaign(session, NOW)
        ids = add_messages(session, campaign, add_batch(session, campaign, NOW), 1234)
    assert len(move(database, *(Move(message, S.SUBMITTING) for message in ids))) == 1234
    with database.read() as session:
        assert counts(session, campaign) == {ACCOUNT: {S.SUBMITTING: 1234}}


def test_many_at_once_move_each_message_once_and_count_it_once(
    database: Database, rows: tuple[UUID, list[UUID]]
) -> None:
    campaign, ids = rows
    done: list[int] = []

    def contend(order: int) -> None:
        for state in (S.SUBMITTING, S.SUBMITTED, S.SENT, S.DELIVERED):
            with database.write() as session:
                done.append(len(apply_moves(session, [Move(m, state) for m in ids[::order]], NOW)))

    threads = [threading.Thread(target=contend, args=(order,)) for order in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 16, "no thread failed"
    with database.read() as session:
        states = session.execute(select(Message.state)).scalars().all()
        assert set(states) == {S.DELIVERED}
        assert counts(session, campaign) == recount(session, campaign)
    assert all(get(database, message).trail.count("\n") <= 4 for message in ids)
    assert S.DELIVERED in FINAL


def test_a_line_of_the_trail_is_one_line() -> None:
    assert trail_line(S.UNKNOWN, "a\nb", NOW) == f"{int(NOW.timestamp() * 1000)} unknown a b\n"


# --- without a look first --------------------------------------------------------------------------------------------


def submitting(database: Database, ids: list[UUID]) -> UUID:
    attempt = uuid4()
    move(database, *(Move(one, S.SUBMITTING, "go", {"attempt_id": attempt}) for one in ids))
    return attempt


def expected(database: Database, campaign: UUID, *moves: Move, old: S = S.SUBMITTING) -> list[UUID]:
    """The messages that were not in the state they were expected in."""
    with database.write() as session:
        ready = expect(database.engine.dialect, old, {Home(campaign, ACCOUNT): moves}, NOW)
        return [one.message_id for one in apply_expected(session, ready)]


def test_expected_moves_do_what_looked_at_ones_do(database: Database, rows: tuple[UUID, list[UUID]]) -> None:
    campaign, ids = rows
    attempt = submitting(database, ids)
    values = [{"provider_id": f"p{place}", "parts": 1, "submitted_at": NOW} for place in range(5)]
    by_look, expect = (
        [Move(one, S.SUBMITTED, "ok", given, attempt) for one, given in zip(part, values, strict=False)]
        for part in (ids[:2], ids[2:])
    )
    assert move(database, *by_look) == [S.SUBMITTED] * 2
    assert expected(database, campaign, *expect) == []
    seen = [get(database, one) for one in ids]
    assert {(row.state, row.trail, row.parts, row.submitted_at, row.final_at) for row in seen} == {
        (S.SUBMITTED, trail_line(S.SUBMITTING, "go", NOW) + trail_line(S.SUBMITTED, "ok", NOW), 1, NOW, None)
    }
    assert [row.provider_id for row in seen] == ["p0", "p1", "p0", "p1", "p2"]
    with database.read() as session:
        assert counts(session, campaign) == recount(session, campaign) == {ACCOUNT: {S.SUBMITTED: 5}}


def test_what_was_made_ready_is_written_again_where_another_transaction_got_in_the_way(
    database: Database, rows: tuple[UUID, list[UUID]]
) -> None:
    campaign, ids = rows
    attempt = submitting(database, ids)
    moves = [Move(one, S.SUBMITTED, "ok", {"submitted_at": NOW}, attempt) for one in ids]
    ready = expect(database.engine.dialect, S.SUBMITTING, {Home(campaign, ACCOUNT): moves}, NOW)
    with database.write() as session:
        assert apply_expected(session, ready) == []
        session.rollback()
    with database.write() as session:
        assert apply_expected(session, ready) == []
    assert {get(database, one).trail.count("\n") for one in ids} == {2}
    with database.read() as session:
        assert counts(session, campaign) == recount(session, campaign) == {ACCOUNT: {S.SUBMITTED: 5}}


def test_what_is_not_as_expected_stays_as_it_is_and_is_told(database: Database, rows: tuple[UUID, list[UUID]]) -> None:
    campaign, ids = rows
    attempt = submitting(database, ids[:4])
    move(database, Move(ids[1], S.DELIVERED, "the report was faster"))
    move(database, Move(ids[2], S.UNKNOWN), Move(ids[2], S.QUEUED))
    moves = [Move(one, S.REJECTED, "no", {"code": "x"}, attempt) for one in ids]
    moves[3] = Move(ids[3], S.REJECTED, "no", {"code": "x"}, uuid4())
    assert set(expected(database, campaign, *moves)) == set(ids[1:])
    assert [get(database, one).state for one in (ids[0], ids[1], ids[3], ids[4])] == [
        S.REJECTED, S.DELIVERED, S.SUBMITTING, S.QUEUED,
    ]  # fmt: skip
    with database.read() as session:
        assert counts(session, campaign) == recount(session, campaign)


def test_an_expected_move_without_an_attempt_reaches_nothing_and_an_undeclared_one_is_refused(
    database: Database, rows: tuple[UUID, list[UUID]]
) -> None:
    campaign, ids = rows
    submitting(database, ids)
    assert expected(database, campaign, Move(ids[0], S.REJECTED)) == [ids[0]]
    barred = Move(ids[0], S.SUBMITTING, only_from=frozenset({S.UNKNOWN}))
    assert expected(database, campaign, barred, old=S.QUEUED) == [ids[0]]
    with pytest.raises(ValueError, match="no transition"):
        expected(database, campaign, Move(ids[0], S.UNKNOWN), old=S.QUEUED)
