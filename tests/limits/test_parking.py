"""The breaker and the dispatcher: a sick account gets nothing but its probe, and everything as soon as it is well."""

from __future__ import annotations

import pytest

from config.accounts import Limit
from config.names import Order
from models.queries import account_status
from models.states import BatchState, MessageState
from models.tables import AccountStatus, Batch
from producer.limits import give_order, standings
from tests.limits.conftest import MakeCluster, Sandbox, account
from tests.support.cluster import Ask, Cluster
from workers.breaker import BreakerSnapshot, BreakerState, OpenKind
from workers.snapshot import parking_of


def status(cluster: Cluster, name: str = "quicksms") -> AccountStatus:
    with cluster.database.write() as session:
        return account_status(session, name)


def in_work(cluster: Cluster) -> int:
    with cluster.database.read() as session:
        busy = (BatchState.DISPATCHED, BatchState.LEASED)
        return session.query(Batch).filter(Batch.state.in_(busy)).count()


def order(cluster: Cluster, word: Order) -> None:
    with cluster.database.write() as session:
        give_order(session, "quicksms", word, "a test")
    cluster.snapshot("quicksms")


def shown(state: BreakerState, kind: OpenKind | None, probe_in: float = 0.0) -> BreakerSnapshot:
    return BreakerSnapshot("a", state, kind, "why", "worker", 1.0, probe_in, 0, 0, 0, False)


@pytest.mark.parametrize(
    ("state", "kind", "probe_in", "blocked", "seconds", "trial"),
    [
        (BreakerState.CLOSED, None, 0.0, 0.0, 0.0, False),
        (BreakerState.CLOSED, None, 0.0, 30.0, 30.0, False),
        (BreakerState.OPEN, OpenKind.CREDENTIALS, 900.0, 30.0, 900.0, True),
        (BreakerState.OPEN, OpenKind.ERRORS, 0.0, 0.0, 0.0, True),
        (BreakerState.HALF_OPEN, OpenKind.ERRORS, 0.0, 0.0, 0.0, True),
        (BreakerState.OPEN, OpenKind.OPERATOR, 0.0, 0.0, 60.0, True),
    ],
)
def test_an_account_is_parked_until_its_probe_is_due_and_then_tried_alone(
    state: BreakerState, kind: OpenKind | None, probe_in: float, blocked: float, seconds: float, trial: bool
) -> None:
    found = parking_of(shown(state, kind, probe_in), blocked)
    assert (found.seconds, found.trial) == (seconds, trial)


def test_wrong_credentials_park_the_account_at_once_and_closing_the_breaker_lets_everything_go(
    sandbox: Sandbox, cluster: MakeCluster
) -> None:
    box = sandbox(quicksms={"faults": [{"kind": "unauthorized", "count": 1}]})
    work = cluster([account(box, "quicksms", Limit(50, 1.0))], workers=2)
    campaign = work.plant(Ask("quicksms", 40, 10))
    work.run(8.0, until=lambda: status(work).parked_until is not None)
    work.settle()
    assert status(work).trial
    # One bad login only: the first request of an unproven account goes alone.
    assert box.count("quicksms", "unauthorized") == 1
    assert work.step() == 0
    order(work, Order.CLOSE)
    assert status(work).order_word is None
    assert status(work).parked_until is None
    # The refused one waits a quarter of a minute, as its account's fault cost it no try.
    work.run(10.0, until=lambda: work.left(campaign) == 39)
    assert work.left(campaign) == 39
    assert {row.tries for row in work.messages(campaign)} == {0}


def test_an_operator_stops_an_account_and_no_probe_leaves_until_it_is_closed(
    sandbox: Sandbox, cluster: MakeCluster
) -> None:
    work = cluster([account(sandbox(), "quicksms", Limit(50, 1.0))], workers=2)
    campaign = work.plant(Ask("quicksms", 30, 10))
    order(work, Order.OPEN)
    work.run(2.0)
    assert work.left(campaign) == 0
    assert in_work(work) == 0
    with work.database.read() as session:
        [one] = standings(session, work.accounts, work.database.now())
    assert one.breaker["kind"] == "operator"
    assert one.breaker["reason"] == "a test"
    assert one.parked_for > 30
    order(work, Order.CLOSE)
    work.run(8.0, until=lambda: work.left(campaign) == 30)
    assert work.left(campaign) == 30


def test_a_breaker_that_cooled_down_gets_its_probe_from_one_batch_and_the_rest_follows(
    sandbox: Sandbox, cluster: MakeCluster
) -> None:
    box = sandbox(quicksms={"faults": [{"kind": "outage", "params": {"seconds": 3}}]})
    work = cluster([account(box, "quicksms", Limit(50, 1.0))], workers=2)
    campaign = work.plant(Ask("quicksms", 60, 20))
    ticks = 0

    def beat() -> bool:
        nonlocal ticks
        ticks += 1
        if ticks % 10 == 0:
            work.snapshot("quicksms")
        return all(row.state is not MessageState.QUEUED for row in work.messages(campaign))

    work.run(3.0, until=beat)
    box.configure({"quicksms": {"faults": []}})
    work.run(25.0, until=beat)
    work.settle()
    # A 5xx leaves the outcome open: those few are looked up, never sent again. All others left.
    states = [row.state for row in work.messages(campaign)]
    assert states.count(MessageState.SUBMITTED) >= 40
    assert set(states) <= {MessageState.SUBMITTED, MessageState.UNKNOWN}
    work.snapshot("quicksms")
    assert not status(work).trial


def test_an_order_without_redis_waits_in_the_database(
    sandbox: Sandbox, cluster: MakeCluster, redis_server: object
) -> None:
    work = cluster([account(sandbox(), "quicksms", Limit(50, 1.0))], workers=1)
    here = work.runtimes[0]
    healthy = here.breaker
    here.run(_lose_redis(here))
    order(work, Order.OPEN)
    assert status(work).order_word == "open"
    assert "Redis does not answer" in status(work).snapshot["error"]
    here.breaker = healthy
    work.snapshot("quicksms")
    assert status(work).order_word is None
    assert status(work).trial


async def _lose_redis(here: object) -> None:
    from redis.asyncio import Redis

    from workers.breaker import CircuitBreaker

    here.breaker = CircuitBreaker(Redis.from_url("unix:///nowhere/redis.sock"))  # type: ignore[attr-defined]  # a Runtime
