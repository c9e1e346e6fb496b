"""Words stand in the statement: only so does SQLite use the indexes that are made for some states."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from models import leases
from models.database import Database
from models.states import OPEN_AT_PROVIDER, BatchState, MessageState
from models.tables import Batch, Message
from tests.support.plans import plan, statements
from tests.support.rows import ACCOUNT, add_batch, add_campaign, add_messages
from workers import sweep

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OPEN = Message.phase.in_(OPEN_AT_PROVIDER)  # a set: in any order
QUERIES = {
    "ix_messages_open": select(func.min(Message.submitted_at)).where(
        Message.account == ACCOUNT, OPEN, Message.submitted_at.is_not(None)
    ),
    "ix_messages_deadline": select(Message.id).where(OPEN, Message.deadline < NOW),
    "ix_messages_unknown": select(Message.id).where(
        Message.account == ACCOUNT, Message.phase == MessageState.UNKNOWN, Message.not_before <= NOW
    ),
    "ix_batches_busy": select(Batch.id).where(*leases.BUSY, Batch.state == BatchState.LEASED, Batch.lease_until < NOW),
    "ix_batches_due": select(Batch.id).where(Batch.account == ACCOUNT, Batch.state == BatchState.PLANNED),
}


@pytest.mark.parametrize("index", QUERIES)
def test_sqlite_uses_its_indexes_of_some_states(tmp_path: Path, index: str) -> None:
    """PostgreSQL plans with the values of the parameters, and never needed it."""
    database = Database(f"sqlite:///{tmp_path / 'words.db'}")
    database.migrate()
    with database.read() as session:
        connection = session.connection()
        session.execute(QUERIES[index])
        statement = QUERIES[index].compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
        given = tuple(statement.params[name] for name in statement.positiontup or ())
        plain = tuple(value.isoformat(" ") if isinstance(value, datetime) else value for value in given)
        seen = list(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", plain))
    database.close()
    assert any(index in str(row) for row in seen), seen


def test_sqlite_looks_for_what_is_too_late_by_its_time(tmp_path: Path) -> None:
    """Not through all that is queued in the campaigns at work: it would hold up every writer for seconds."""
    database = Database(f"sqlite:///{tmp_path / 'late.db'}")
    database.migrate()
    with database.write() as session, statements(database, "SELECT messages.id") as looks:
        sweep.expire_queued(session, NOW)
    plans = [plan(database, *look) for look in looks]
    database.close()
    assert len(plans) == 1
    assert "ix_messages_expiring" in plans[0]


def test_words_are_compared_as_ever(database: Database) -> None:
    with database.write() as session:
        campaign = add_campaign(session, NOW)
        add_messages(session, campaign, add_batch(session, campaign, NOW), 3)
    with database.read() as session:

        def count(*which: object) -> int:
            return session.execute(select(func.count()).select_from(Message).where(*which)).scalar_one()  # type: ignore[arg-type]  # conditions

        assert count(Message.state == MessageState.QUEUED) == 3
        assert count(Message.state == "queued") == 3
        assert count(Message.state != MessageState.QUEUED) == 0
        assert count(Message.state.in_(["queued", MessageState.SENT])) == 3
        assert count(Message.state.not_in((MessageState.QUEUED,))) == 0
        assert count(Message.state.in_([])) == 0
        assert count(Message.state.not_in([])) == 3
        assert count(Message.state.is_(None)) == 0
        assert count(Message.state == None) == 0  # noqa: E711  # as SQLAlchemy reads it
        assert count(Message.state.in_(select(Message.state).where(Message.id == uuid4()))) == 0


def test_a_text_that_is_no_state_comes_into_no_statement(database: Database) -> None:
    with database.read() as session, pytest.raises(ValueError, match="is not a valid MessageState"):
        session.execute(select(Message.id).where(Message.state.in_(["'; drop table messages"])))
