"""Who may submit what is in a batch, until when; and a worker that slept finds itself locked out."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from models import leases
from models.database import Database
from models.leases import Lease
from models.states import BatchState, CampaignState, MessageState
from models.tables import Batch, Campaign, Message
from tests.support.rows import add_batch, add_campaign, add_messages

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECONDS = 60.0


@pytest.fixture
def batch(database: Database) -> UUID:
    with database.write() as session:
        campaign = add_campaign(session, NOW)
        found = add_batch(session, campaign, NOW, state=BatchState.DISPATCHED)
        add_messages(session, campaign, found, 3)
    return found


def claim(database: Database, batch: UUID, owner: str = "a", now: datetime = NOW) -> Lease | None:
    with database.write() as session:
        return leases.claim(session, batch, owner, now, SECONDS)


def got(lease: Lease | None) -> Lease:
    assert lease is not None
    return lease


def state(database: Database, batch: UUID) -> BatchState:
    with database.read() as session:
        return session.get_one(Batch, batch).state


def dispatch_again(database: Database, batch: UUID) -> None:
    with database.write() as session:
        session.get_one(Batch, batch).state = BatchState.DISPATCHED


def test_only_one_of_many_gets_the_lease(database: Database, batch: UUID) -> None:
    found: list[Lease | None] = []
    threads = [
        threading.Thread(target=lambda name=name: found.append(claim(database, batch, name))) for name in "abcdef"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len([lease for lease in found if lease]) == 1


@pytest.mark.parametrize("other", [BatchState.PLANNED, BatchState.LEASED, BatchState.DONE])
def test_what_was_not_dispatched_cannot_be_claimed(database: Database, batch: UUID, other: BatchState) -> None:
    with database.write() as session:
        session.get_one(Batch, batch).state = other
    assert claim(database, batch) is None


def test_the_token_grows_with_every_lease(database: Database, batch: UUID) -> None:
    first = got(claim(database, batch))
    with database.write() as session:
        assert leases.give_back(session, first, NOW)
    dispatch_again(database, batch)
    assert got(claim(database, batch, "b")).token > first.token


def test_a_lease_can_be_extended_by_its_owner_only(database: Database, batch: UUID) -> None:
    mine = got(claim(database, batch))
    stale = Lease(mine.batch_id, mine.campaign_id, mine.account, mine.owner, mine.token - 1)
    with database.write() as session:
        assert leases.extend(session, mine, NOW + timedelta(seconds=30), SECONDS)
        assert not leases.extend(session, stale, NOW, SECONDS)
        assert session.get_one(Batch, batch).lease_until == NOW + timedelta(seconds=90)


def test_hold_says_the_campaigns_state_while_the_lease_holds(database: Database, batch: UUID) -> None:
    mine = got(claim(database, batch))
    for word in (CampaignState.RUNNING, CampaignState.PAUSED, CampaignState.CANCELLED):
        with database.write() as session:
            session.get_one(Campaign, mine.campaign_id).state = word
        with database.write() as session:
            assert leases.hold(session, mine) is word


def test_whoever_lost_the_lease_can_do_nothing_with_it(database: Database, batch: UUID) -> None:
    mine = got(claim(database, batch))
    later = NOW + timedelta(seconds=SECONDS + 1)
    with database.write() as session:
        (over,) = leases.ended(session, later)
        over.state, over.lease_token = BatchState.PLANNED, over.lease_token + 1
    for _ in range(2):  # alone, and while another one holds it
        with database.write() as session:
            assert leases.hold(session, mine) is None
            assert not leases.extend(session, mine, later, SECONDS)
            assert not leases.give_back(session, mine, later)
            assert leases.finish(session, mine, later) is None
        dispatch_again(database, batch)
        claim(database, batch, "b", later)


def test_a_lease_is_not_ended_a_moment_early(database: Database, batch: UUID) -> None:
    claim(database, batch)
    with database.write() as session:
        assert leases.ended(session, NOW + timedelta(seconds=SECONDS)) == []
        assert len(leases.ended(session, NOW + timedelta(seconds=SECONDS, microseconds=1))) == 1


def test_a_batch_with_something_due_later_goes_back_to_the_plan_for_then(database: Database, batch: UUID) -> None:
    mine = got(claim(database, batch))
    with database.write() as session:
        for row in session.execute(select(Message)).scalars():
            row.not_before = NOW + timedelta(seconds=77)
    with database.write() as session:
        assert leases.finish(session, mine, NOW) is BatchState.PLANNED
        assert session.get_one(Batch, batch).not_before == NOW + timedelta(seconds=77)


def test_a_batch_with_nothing_queued_is_done_and_opened_again_for_what_comes_back(
    database: Database, batch: UUID
) -> None:
    mine = got(claim(database, batch))
    with database.write() as session:
        ids = [row.id for row in session.execute(select(Message)).scalars()]
        for row in session.execute(select(Message)).scalars():
            row.state = MessageState.UNKNOWN
    with database.write() as session:
        assert leases.finish(session, mine, NOW) is BatchState.DONE
    with database.write() as session:
        leases.reopen(session, ids[:1], NOW)
    assert state(database, batch) is BatchState.PLANNED


def test_a_batch_in_somebodys_hands_is_not_reopened(database: Database, batch: UUID) -> None:
    mine = got(claim(database, batch))
    with database.write() as session:
        leases.reopen(session, [row.id for row in session.execute(select(Message)).scalars()], NOW)
    assert state(database, batch) is BatchState.LEASED
    with database.write() as session:
        assert leases.hold(session, mine) is CampaignState.RUNNING
