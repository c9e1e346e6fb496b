"""How much of the allowance is used, and that a strict provider never refuses: in virtual time."""

import heapq
import random
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from config.accounts import Account, Counts, Limit
from providers.base import ReadLimit
from tests.support.limit_model import most_in_any_window
from tests.workers.test_rate_limit import another, virtual
from workers.rate_rules import Budget, Cost, Window, own_poll_budget, plan_pace, submit_budget

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


def test_polls_that_are_counted_apart_keep_what_the_account_says_or_else_what_is_documented() -> None:
    silent = Account("b", "qikberry", "https://b.test", limits=(Limit(10, 1.0),))
    documented = (ReadLimit(1000, 60.0),)
    assert submit_budget(silent) == Budget("b", (Window(10, 1.0),))
    assert own_poll_budget(silent, documented) == Budget("b", QUICKSMS, name="poll")
    assert own_poll_budget(silent, ()) == Budget("b", (), name="poll")
    raised = replace(silent, poll_limits=(Limit(3000, 60.0),))
    assert own_poll_budget(raised, documented) == Budget("b", (Window(3000, 60.0),), name="poll")
    assert own_poll_budget(replace(silent, poll_limits=()), documented) == Budget("b", (), name="poll")
