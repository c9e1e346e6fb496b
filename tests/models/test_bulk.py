"""Many rows in one statement are found by their ids, however small the table and whatever its statistics say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from models.database import Database
from models.moves import Home, apply_expected, expect
from tests.support.plans import analyze, plan, statements
from tests.support.rows import ACCOUNT, add_batch, add_campaign, add_messages, submit_moves

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MANY = 1500


@pytest.mark.parametrize("analyzed", [False, True])
def test_a_move_of_many_never_compares_each_message_with_every_row(unknown_database: Database, analyzed: bool) -> None:
    """Statistics made while all were queued say that nobody is leaving."""
    with unknown_database.write() as session:
        campaign = add_campaign(session, NOW)
        ids = add_messages(session, campaign, add_batch(session, campaign, NOW), MANY)
    if analyzed:
        analyze(unknown_database)
    for old, moves in submit_moves(ids, NOW):
        with unknown_database.write() as session, statements(unknown_database, "WITH", "UPDATE messages") as seen:
            expected = expect(unknown_database.engine.dialect, old, {Home(campaign, ACCOUNT): moves}, NOW)
            assert apply_expected(session, expected) == []
        assert len(seen) == 1
        steps = plan(unknown_database, *seen[0])
        assert "SCAN t" not in steps  # SQLite's words for all messages, and PostgreSQL's for each row against each
        assert "Join Filter" not in steps
