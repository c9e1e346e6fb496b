"""What runs every second or minute finds its few rows by their own indexes, whatever the database believes of the rest:
of ten millions each of these looks once read all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from models import leases
from models.database import Database
from models.queries import oldest_open
from tests.support.plans import plan, statements
from tests.support.rows import ACCOUNT, add_batch, add_campaign, add_messages, submit_all
from workers import overdue, poll, sweep

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MANY = 3000


@pytest.fixture(params=["never analyzed", "analyzed before"])
def surprised(database: Database, request: pytest.FixtureRequest) -> Database:
    """No statistics, or those of a moment when everything waited; since then all of it has left."""
    with database.write() as session:
        campaign = add_campaign(session, NOW)
        ids = add_messages(session, campaign, add_batch(session, campaign, NOW), MANY)
        for _ in range(300):
            add_batch(session, campaign, NOW)
    if request.param == "analyzed before":
        with database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))
    with database.write() as session:
        submit_all(session, campaign, ids, NOW, deadline=NOW + timedelta(days=5))
    return database


LOOKS: Mapping[str, tuple[str, Callable[[Session], object]]] = {
    "too late to leave": ("ix_messages_expiring", lambda session: sweep.expire_queued(session, NOW)),
    "without a deadline": ("ix_messages_endless", lambda session: sweep.give_deadlines(session, NOW)),
    "unreported": ("ix_messages_deadline", lambda session: sweep.close_unreported(session, NOW, {})),
    "leases": ("ix_batches_busy", lambda session: leases.ended(session, NOW)),
    "overdue": ("ix_messages_open", lambda session: overdue.overdue_accounts(session, {ACCOUNT: 60.0}, NOW)),
    "span": ("ix_messages_open", lambda session: poll.open_span(session, ACCOUNT)),
    "oldest": ("ix_messages_open", lambda session: oldest_open(session, ACCOUNT)),
}


def test_each_look_goes_by_its_index(surprised: Database) -> None:
    for what, (index, look) in LOOKS.items():
        with surprised.write() as session, statements(surprised) as seen:
            look(session)
        assert seen, what
        way = plan(surprised, *seen[0], large=True)
        assert index in way, what
        assert "SCAN messages" not in way.splitlines(), what
        assert not set(re.findall(r"(?:ix|pk)_messages\w*", way)) - {index}, (what, way)
