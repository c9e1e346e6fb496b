"""What runs every second or minute finds its few rows by their own indexes, whatever the database believes of the rest:
of ten millions each of these looks once read all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import leases
from models.database import Database
from models.queries import all_final, oldest_open
from models.states import BatchState, CampaignState
from models.steering import CanaryRule
from models.tables import Batch, Campaign
from producer import canary
from tests.support.plans import analyze, plan, statements
from tests.support.rows import ACCOUNT, add_batch, add_campaign, add_messages, submit_all
from workers import closing, overdue, poll, sweep

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MANY = 3000


class Believed(Enum):
    """What the statistics know of the messages: nobody ever looked, or somebody did at this moment."""

    NOTHING = "never analyzed"
    WAITING = "analyzed when all of it waited"
    LEFT = "analyzed when all of it had left"


@pytest.fixture(params=Believed, ids=lambda believed: believed.value)
def surprised(unknown_database: Database, request: pytest.FixtureRequest) -> Database:
    """Many messages that have left and await their reports, and a few of a cancelled campaign that have not."""
    with unknown_database.write() as session:
        campaign = add_campaign(session, NOW)
        ids = add_messages(session, campaign, add_batch(session, campaign, NOW), MANY)
        for _ in range(300):
            add_batch(session, campaign, NOW)
    if request.param is Believed.WAITING:
        analyze(unknown_database)
    with unknown_database.write() as session:
        submit_all(session, campaign, ids, NOW, deadline=NOW + timedelta(days=5))
    if request.param is Believed.LEFT:
        analyze(unknown_database)
    with unknown_database.write() as session:
        cancelled = add_campaign(session, NOW, state=CampaignState.CANCELLED)
        add_messages(session, cancelled, add_batch(session, cancelled, NOW, state=BatchState.DONE), 3)
    return unknown_database


def newest(session: Session) -> Campaign:
    return session.execute(select(Campaign).order_by(Campaign.id.desc()).limit(1)).scalar_one()


def oldest(session: Session) -> UUID:
    return session.execute(select(Campaign.id).order_by(Campaign.id).limit(1)).scalar_one()


# The indexes, the first of which must be taken, and the look. What nobody is in may be asked for by its own phase.
LOOKS: Mapping[str, tuple[str, Callable[[Session], object]]] = {
    "canary": (
        "ix_messages_batch ix_messages_state",
        lambda session: canary.look(session, newest(session), CanaryRule(10)),
    ),
    "completed": (
        "ix_messages_state ix_messages_held ix_messages_unknown",
        lambda session: all_final(session, newest(session).id),
    ),
    "closed": (
        "ix_messages_batch",
        lambda session: closing.close_some(session, Batch.campaign_id == oldest(session), closing.CANCELLED, NOW),
    ),
    "came back too late": ("ix_messages_state", lambda session: sweep.cancel_queued(session, NOW)),
    "too late to leave": ("ix_messages_expiring", lambda session: sweep.expire_queued(session, NOW)),
    "without a deadline": ("ix_messages_endless", lambda session: sweep.give_deadlines(session, NOW)),
    "unreported": ("ix_messages_deadline", lambda session: sweep.close_unreported(session, NOW, {})),
    "leases": ("ix_batches_busy", lambda session: leases.ended(session, NOW)),
    "overdue": ("ix_messages_open", lambda session: overdue.overdue_accounts(session, {ACCOUNT: 60.0}, NOW)),
    "span": ("ix_messages_open", lambda session: poll.open_span(session, ACCOUNT)),
    "oldest": ("ix_messages_open", lambda session: oldest_open(session, ACCOUNT)),
}


def test_each_look_goes_by_its_index(surprised: Database) -> None:
    for what, (indexes, look) in LOOKS.items():
        with surprised.write() as session, statements(surprised, "SELECT", "UPDATE messages") as seen:
            look(session)
        table = "batches" if indexes.startswith("ix_batches") else "messages"
        way = plan(surprised, *next(one for one in seen if re.search(rf"(FROM|^UPDATE) {table}\b", one[0])), large=True)
        assert indexes.split()[0] in way, what
        assert "SCAN messages" not in way.splitlines(), what
        assert not set(re.findall(r"(?:ix|pk)_messages\w*", way)) - set(indexes.split()), (what, way)
