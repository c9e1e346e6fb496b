"""What is put on Redis, in which order, and how much of it: fair between campaigns, and never more than is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from config.accounts import Account, Counts, Limit
from config.pace import batch_size
from models import leases
from models.database import Database
from models.priority import PRIORITY, more_urgent
from models.queries import account_status
from models.states import BatchState, CampaignState
from models.tables import Batch, Lane
from producer.dispatch import MOST_THROTTLED, NEWCOMERS, choose, depth, most_in_work
from producer.fair import LaneView, next_turn
from producer.services.stack import MOST_THREADS, THREADS, threads_for
from tests.support.cluster import Ask, plant
from workers.toll import campaign_budget

ACCOUNT = Account("quicksms", "quicksms", "https://q.test", limits=(Limit(1000, 60.0),))
ACCOUNTS = {"quicksms": ACCOUNT}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'dispatch.db'}")
    made.migrate()
    yield made
    made.close()


def put(database: Database, rows: int, size: int = 10, **more: object) -> UUID:
    return plant(database, ACCOUNTS, Ask("quicksms", rows, size, **more))  # type: ignore[arg-type]  # fields of Ask


def dispatched(database: Database, account: Account = ACCOUNT) -> list[UUID]:
    """The campaigns of the batches that this round put on Redis."""
    with database.write() as session:
        jobs = choose(session, account, database.now())
        return [session.get_one(Batch, job.batch_id).campaign_id for job in jobs]


def end_one(database: Database, campaign: UUID) -> None:
    """The oldest batch of a campaign that is on Redis is worked off."""
    with database.write() as session:
        batch = session.execute(
            select(Batch)
            .where(Batch.campaign_id == campaign, Batch.state == BatchState.DISPATCHED)
            .order_by(Batch.dispatched_at)
            .limit(1)
        ).scalar_one()
        batch.state = BatchState.DONE


def set_status(database: Database, **values: object) -> None:
    with database.write() as session:
        for name, value in values.items():
            setattr(account_status(session, "quicksms"), name, value)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((Limit(60, 60.0), Limit(10, 1.0, Counts.MESSAGES)), 2),
        ((Limit(1000, 60.0),), 2),
        ((Limit(500, 1.0),), 5),
        ((Limit(5000, 1.0),), 8),
        ((), 8),
    ],
    ids=["60/min+10/s", "1000/min", "500/s", "5000/s", "none"],
)
def test_the_queue_holds_some_seconds_of_work_and_no_more(limits: tuple[Limit, ...], expected: int) -> None:
    account = Account("a", "quicksms", "https://a.test", limits=limits)
    assert depth(account) == expected
    if limits:
        rate = min(limit.limit / limit.per for limit in limits)
        assert depth(account) * batch_size(account, 1, 10.0) / rate <= 20.1


@given(st.lists(st.sampled_from([(), (Limit(60, 60.0),), (Limit(500, 1.0),)]), max_size=12))
def test_a_worker_has_a_thread_for_everything_its_accounts_can_have_in_work(groups: list[tuple[Limit, ...]]) -> None:
    accounts = [Account(f"a{n}", "quicksms", "https://a.test", limits=limits) for n, limits in enumerate(groups)]
    assert threads_for(accounts) >= min(MOST_THREADS, max(THREADS, sum(map(most_in_work, accounts))))


def test_only_the_depth_is_on_redis_however_long_the_campaign(database: Database) -> None:
    put(database, 500)
    assert len(dispatched(database)) == 2
    assert dispatched(database) == []


def test_a_campaign_with_nothing_in_work_need_not_wait_for_a_place(database: Database) -> None:
    big = put(database, 500)
    assert dispatched(database) == [big, big]
    small = put(database, 10)
    assert dispatched(database) == [small]
    put(database, 10)
    assert dispatched(database) == []


def test_a_low_campaign_does_not_keep_the_newcomers_place_for_ever(database: Database) -> None:
    high = put(database, 1500, priority="high")
    low = put(database, 100, priority="low")
    turns: Counter[UUID] = Counter(dispatched(database))
    for _ in range(135):
        end_one(database, high if turns[high] else low)
        turns += Counter(dispatched(database))
    assert turns[low] >= 2
    assert turns[high] / turns[low] > 20


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from(list(PRIORITY))), min_size=2, max_size=5),
    st.lists(st.integers(1, 160), min_size=5, max_size=5),
)
def test_every_campaign_has_its_share_whatever_the_sizes_of_its_batches(
    campaigns: list[tuple[int, str]], sizes: list[int]
) -> None:
    lanes = [LaneView(UUID(int=n), 0.0, weight, priority) for n, (weight, priority) in enumerate(campaigns)]
    finish = dict.fromkeys(range(len(lanes)), 0.0)
    sent: Counter[int] = Counter()
    virtual = 0.0
    for _ in range(1500):
        views = [LaneView(lane.campaign_id, finish[n], lane.weight, lane.priority) for n, lane in enumerate(lanes)]
        turn = next_turn(views, virtual)
        assert turn is not None
        number = turn.lane.campaign_id.int
        virtual, finish[number] = turn.virtual_time, turn.finish(sizes[number])
        sent[number] += sizes[number]
    shares = {n: sent[n] / lane.share for n, lane in enumerate(lanes)}
    # One batch, and the one unit by which the next finish is judged, is all that anybody can be ahead or behind.
    slack = max((size + 1) / lane.share for size, lane in zip(sizes, lanes, strict=False))
    assert max(shares.values()) - min(shares.values()) <= 2 * slack


def test_what_did_not_leave_is_not_charged(database: Database) -> None:
    campaign = put(database, 100)
    [first, _] = dispatched(database)
    assert first == campaign
    with database.write() as session:
        batch = session.execute(select(Batch).where(Batch.state == BatchState.DISPATCHED).limit(1)).scalar_one()
        lease = leases.claim(session, batch.id, "me", database.now(), 60.0)
        assert lease is not None
        before = session.execute(select(Lane.finish)).scalar_one()
        assert leases.give_back(session, lease, database.now())
        session.expire_all()
        assert session.execute(select(Lane.finish)).scalar_one() == pytest.approx(before - 10 / PRIORITY["normal"])


def test_a_parked_account_gets_nothing_and_one_on_trial_a_single_batch(database: Database) -> None:
    campaign = put(database, 100)
    now = database.now()
    set_status(database, parked_until=now.replace(year=now.year + 1), trial=True)
    assert dispatched(database) == []
    set_status(database, parked_until=now)
    assert dispatched(database) == [campaign]
    assert dispatched(database) == []
    set_status(database, trial=False)
    assert dispatched(database) == [campaign]


def test_throttled_campaigns_stand_beside_the_depth_with_one_batch_each(database: Database) -> None:
    slow = {put(database, 100, max_rate=1.0) for _ in range(MOST_THROTTLED + 2)}
    fast = put(database, 500)
    chosen = Counter(dispatched(database))
    assert chosen[fast] == 2
    assert {chosen[campaign] for campaign in slow} <= {0, 1}
    assert sum(chosen[campaign] for campaign in slow) == MOST_THROTTLED
    assert sum(chosen.values()) <= most_in_work(ACCOUNT) - NEWCOMERS


def test_a_paused_campaign_is_not_dispatched(database: Database) -> None:
    put(database, 100, state=CampaignState.PAUSED)
    assert dispatched(database) == []


def test_more_urgent_work_is_seen_only_while_it_is_on_its_way(database: Database) -> None:
    low = put(database, 100, priority="low")
    dispatched(database)
    with database.write() as session:
        batch = session.execute(select(Batch).where(Batch.state == BatchState.DISPATCHED).limit(1)).scalar_one()
        lease = leases.claim(session, batch.id, "me", database.now(), 60.0)
    assert lease is not None
    assert lease.campaign_id == low

    def outranked() -> bool:
        with database.read() as session:
            return leases.outranked(session, lease, "low")

    assert not outranked()
    high = put(database, 10, priority="high")
    assert not outranked()
    assert dispatched(database) == [high]
    assert outranked()
    with database.write() as session:
        session.execute(update(Batch).where(Batch.campaign_id == high).values(state=BatchState.DONE))
    assert not outranked()


@pytest.mark.parametrize(
    ("priority", "above"), [("high", ()), ("normal", ("high",)), ("low", ("high", "normal")), ("?", ("high",))]
)
def test_priorities_are_in_order(priority: str, above: tuple[str, ...]) -> None:
    assert more_urgent(priority) == above


@pytest.mark.parametrize(
    ("rate", "limit", "per"),
    [(4.0, 40, 10.0), (0.1, 1, 10.0), (0.3, 3, 10.0), (0.05, 1, 20.0), (500.0, 5000, 10.0), (0.123, 1, 10.0)],
)
def test_a_campaigns_rate_is_a_window_that_never_allows_more(rate: float, limit: int, per: float) -> None:
    [window] = campaign_budget(UUID(int=1), rate).windows
    assert (window.limit, window.per, window.counts) == (limit, per, Counts.MESSAGES)
    assert window.limit / window.per <= rate * (1 + 1e-9)
