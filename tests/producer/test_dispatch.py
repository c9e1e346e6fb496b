"""Topping up an account's queue: never more than its depth, never a batch twice, whatever Redis does."""

from __future__ import annotations

import threading
from collections import Counter as Tally
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kombu.exceptions import OperationalError
from sqlalchemy import select

from config import names
from config.accounts import Account, Limit
from models.database import Database
from models.queries import account_status
from models.states import BatchState, CampaignState
from models.tables import Batch, Campaign
from producer.dispatch import choose, dispatch
from tests.support.clock import START
from tests.support.rows import ACCOUNT, add_batch, add_campaign
from workers.sweep import JOB_LOST_SECONDS, requeue_lost_jobs

LIMITED = {ACCOUNT: Account(ACCOUNT, "scripted", "http://127.0.0.1:1", limits=(Limit(1, 1.0),), max_connections=2)}


@pytest.fixture(autouse=True)
def plain_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many places as a test wants, and none beside them."""
    monkeypatch.setattr("producer.dispatch.depth", lambda account: account.max_connections)
    monkeypatch.setattr("producer.dispatch.NEWCOMERS", 0)


class Broker:
    def __init__(self) -> None:
        self.jobs: list[tuple[str, str, str]] = []
        self.away = False

    def __call__(self, name: str, *, args: list[str], queue: str, **_: Any) -> None:
        if self.away:
            raise OperationalError("Redis is away")
        self.jobs.append((name, args[0], queue))


def plan(database: Database, batches: int, **campaign: Any) -> tuple[UUID, list[UUID]]:
    with database.write() as session:
        found = add_campaign(session, START, **campaign)
        return found, [add_batch(session, found, START, size=10) for _ in range(batches)]


def pick(database: Database, most: int = 2, seconds: float = 0.0) -> list[UUID]:
    with database.write() as session:
        account = Account(ACCOUNT, "scripted", "http://127.0.0.1:1", max_connections=most)
        return [job.batch_id for job in choose(session, account, START + timedelta(seconds=seconds))]


def test_the_queue_is_topped_up_to_its_depth_and_no_further(database: Database) -> None:
    plan(database, 5)
    broker = Broker()
    assert dispatch(database, LIMITED, broker, START) == 2
    assert dispatch(database, LIMITED, broker, START) == 0
    assert {(name, queue) for name, _, queue in broker.jobs} == {(names.SUBMIT_BATCH, names.submit_queue(ACCOUNT))}


def test_a_batch_that_ends_makes_room_for_one(database: Database) -> None:
    _, batches = plan(database, 5)
    first, _ = pick(database)
    with database.write() as session:
        session.get_one(Batch, first).state = BatchState.DONE
    assert len(pick(database)) == 1
    assert len(batches) == 5


def test_batches_leave_in_their_order(database: Database) -> None:
    _, batches = plan(database, 4)
    assert pick(database, 4) == batches


@pytest.mark.parametrize("state", [state for state in CampaignState if state is not CampaignState.RUNNING])
def test_only_running_campaigns_are_dispatched(database: Database, state: CampaignState) -> None:
    plan(database, 2, state=state)
    assert pick(database) == []


def test_what_is_due_later_waits_for_its_time(database: Database) -> None:
    with database.write() as session:
        campaign = add_campaign(session, START)
        add_batch(session, campaign, START + timedelta(seconds=30))
    assert pick(database, seconds=29.0) == []
    assert len(pick(database, seconds=30.0)) == 1


def test_a_parked_account_gets_nothing_until_its_time(database: Database) -> None:
    plan(database, 2)
    with database.write() as session:
        account_status(session, ACCOUNT).parked_until = START + timedelta(seconds=10)
    assert pick(database) == []
    assert len(pick(database, seconds=10.0)) == 2


def test_two_dispatchers_at_once_never_take_a_batch_twice_and_keep_the_depth(database: Database) -> None:
    for _ in range(3):
        plan(database, 6)
    found: list[UUID] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            for _ in range(4):
                found.extend(pick(database, 9))
        except Exception as error:  # noqa: BLE001  # whatever it is, the test shows it
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(found) == len(set(found)) == 9


def test_two_dispatchers_at_once_stay_fair(database: Database) -> None:
    """The queue's clock is read under the lock: a stale one would let a campaign run ahead."""
    campaigns = [plan(database, 8)[0] for _ in range(2)]
    threads = [threading.Thread(target=pick, args=(database, most)) for most in (4, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        taken = Tally(
            batch.campaign_id
            for campaign in campaigns
            for batch in session.execute(select(Batch).filter_by(campaign_id=campaign)).scalars()
            if batch.state is BatchState.DISPATCHED
        )
    assert abs(taken[campaigns[0]] - taken[campaigns[1]]) <= 1


def test_shares_follow_the_weights_of_the_campaigns(database: Database) -> None:
    light, _ = plan(database, 12, weight=1)
    heavy, _ = plan(database, 12, weight=3)
    taken = pick(database, 12)
    with database.read() as session:
        had = Tally(session.get_one(Batch, batch).campaign_id for batch in taken)
    assert abs(had[heavy] - 9) <= 1
    assert abs(had[light] - 3) <= 1


def test_an_urgent_campaign_goes_before_a_running_large_one(database: Database) -> None:
    plan(database, 10)
    pick(database, 2)
    urgent, _ = plan(database, 1, priority="high")
    (first, *_) = pick(database, 4)
    with database.read() as session:
        assert session.get_one(Batch, first).campaign_id == urgent


def test_what_redis_lost_is_put_back_and_dispatched_again(database: Database) -> None:
    plan(database, 2)
    broker = Broker()
    broker.away = True
    with pytest.raises(OperationalError):
        dispatch(database, LIMITED, broker, START)
    broker.away = False
    assert dispatch(database, LIMITED, broker, START) == 0, "they count as dispatched"
    later = START + timedelta(seconds=JOB_LOST_SECONDS + 1)
    with database.write() as session:
        assert requeue_lost_jobs(session, later) == 2
    assert dispatch(database, LIMITED, broker, later) == 2


def test_a_campaign_that_was_paused_between_keeps_what_is_planned(database: Database) -> None:
    campaign, _ = plan(database, 3)
    pick(database, 1)
    with database.write() as session:
        session.get_one(Campaign, campaign).state = CampaignState.PAUSED
    assert pick(database, 3) == []
    with database.write() as session:
        session.get_one(Campaign, campaign).state = CampaignState.RUNNING
    assert len(pick(database, 3)) == 2
