"""How much of the allowance is used, and that a strict provider never refuses: in virtual time."""

import heapq
import random

import pytest
from redis.asyncio import Redis

from config.accounts import Account, Counts, Limit
from tests.support.limit_model import most_in_any_window
from tests.workers.test_rate_limit import another, virtual
from workers.rate_rules import Budget, Cost, Window, plan_pace, poll_budget, submit_budget

CLIQTEL = (Window(60, 60), Window(10, 1, Counts.MESSAGES))
QUICKSMS = (Window(1000, 60),)
FAST = (Window(500, 1),)


async def run(redis: Redis, budget: Budget, seconds: float, chunk: int) -> list[tuple[float, int]]:
    """Four greedy workers; every request leaves anywhere within its grace and suffers all the jitter it may."""
    limiter, clock = await virtual(redis)
    workers = [limiter, *(another(redis, clock) for _ in range(3))]
    pace, rnd = plan_pace(budget.windows), random.Random(7)
    jitter = min(margin for margin in pace.margins) - pace.grace
    await limiter.acquire(budget, [Cost()], 0.0)
    start, arrivals = clock.now(), [(clock.now(), 1)]
    asking = [(start + i * 0.01, i) for i in range(4)]
    while asking[0][0] < start + seconds:
        at, worker = heapq.heappop(asking)
        await clock.advance(max(0, round((at - clock.now()) * 1e6)))
        grant = await workers[worker].acquire(budget, [Cost()] * chunk)
        arrivals += [(rnd.uniform(p.not_before, p.not_after) + rnd.uniform(0, jitter), 1) for p in grant.permits]
        heapq.heappush(asking, (clock.now() + max(grant.wait, 0.2), worker))
    return [(moment - start, units) for moment, units in arrivals if moment - start < seconds]


@pytest.mark.parametrize(
    ("windows", "seconds", "chunk", "least"),
    [(CLIQTEL, 180.0, 10, 0.99), (QUICKSMS, 180.0, 160, 0.99), (FAST, 15.0, 200, 0.97)],
    ids=["60/min+10/s", "1000/min", "500/s"],
)
async def test_the_allowance_is_used_to_the_promised_share_and_no_request_is_refused(
    redis_client: Redis, windows: tuple[Window, ...], seconds: float, chunk: int, least: float
) -> None:
    arrivals = await run(redis_client, Budget("acme", windows), seconds, chunk)
    for window in windows:
        assert most_in_any_window(arrivals, window.per) <= window.limit
    allowed = min(window.limit / window.per for window in windows) * seconds
    assert len(arrivals) >= least * allowed


async def test_after_idling_the_backlog_is_not_sent_in_one_burst(redis_client: Redis) -> None:
    limiter, clock = await virtual(redis_client)
    budget = Budget("acme", QUICKSMS)
    await limiter.acquire(budget, [Cost()])
    await clock.advance(300_000_000)
    grant = await limiter.acquire(budget, [Cost()] * 1000, horizon=60.0)
    moments = [(permit.not_before, 1) for permit in grant.permits]
    assert most_in_any_window(moments, 1.0) <= 34
    assert most_in_any_window(moments, 10.0) <= 185


@pytest.mark.parametrize(
    ("windows", "grace", "margins"),
    [
        (CLIQTEL, 0.12, (0.2, 0.13)),
        (QUICKSMS, 0.12, (0.2,)),
        (FAST, 0.015, (0.025,)),
        ((Window(100, 1), Window(6000, 60)), 0.015, (0.025, 0.095)),
        ((Window(100, 1, margin=0.05),), 0.03, (0.05,)),
    ],
)
def test_the_grace_is_as_long_as_costs_no_throughput(
    windows: tuple[Window, ...], grace: float, margins: tuple[float, ...]
) -> None:
    pace = plan_pace(windows)
    assert pace.grace == pytest.approx(grace)
    assert pace.margins == pytest.approx(margins)


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"per": 0.0}, {"per": float("nan")}, {"margin": -1.0}])
def test_a_window_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not a window"):
        Window(**{"limit": 1, "per": 1.0, **wrong})  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("wrong", [(0, 0, 0), (-1, 1, 1)])
def test_a_cost_that_is_none_is_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="not a cost"):
        Cost(*wrong)


def test_polls_share_the_budget_unless_the_account_gives_them_their_own() -> None:
    shared = Account("a", "cliqtel", "https://a.test", limits=(Limit(60, 60.0), Limit(10, 1.0, Counts.MESSAGES)))
    apart = Account("b", "qikberry", "https://b.test", limits=(Limit(10, 1.0),), poll_limits=(Limit(1000, 60.0),))
    assert submit_budget(shared) == poll_budget(shared) == Budget("a", CLIQTEL)
    assert submit_budget(apart) == Budget("b", (Window(10, 1.0),))
    assert poll_budget(apart) == Budget("b", QUICKSMS, name="poll")
