"""Many rows in one statement are found by their ids, however small the table and whatever its statistics say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from models.database import Database
from models.moves import Home, apply_expected, expect
from tests.support.plans import plan, statements
from tests.support.rows import ACCOUNT, add_batch, add_campaign, add_messages, submit_moves

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MANY = 1500


@pytest.mark.parametrize("analyzed", [False, True])
def test_a_move_of_many_never_compares_each_message_with_every_row(database: Database, analyzed: bool) -> None:
    """Statistics made while all were queued say that nobody is leaving."""
    with database.write() as session:
        campaign = add_campaign(session, NOW)
        ids = add_messages(session, campaign, add_batch(session, campaign, NOW), MANY)
    if analyzed:
        with database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))
    for old, moves in submit_moves(ids, NOW):
        with database.write() as session, statements(database, "WITH", "UPDATE messages") as seen:
            assert (
                apply_expected(session, expect(database.engine.dialect, old, {Home(campaign, ACCOUNT): moves}, NOW))
                == []
            )
        assert len(seen) == 1
        steps = plan(database, *seen[0])
        assert "SCAN t" not in steps  # SQLite's words for all messages, and PostgreSQL's for each row against each
        assert "Join Filter" not in steps
