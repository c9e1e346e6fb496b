"""Budgets beside the account's: taken first, kept a moment when the account has no permit to go with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from redis.asyncio import Redis

from config.accounts import Account, Limit
from tests.support.limit_model import VirtualClock
from tests.support.redis_server import EmbeddedRedis
from tests.workers.test_rate_limit import another, virtual
from workers.breaker import CircuitBreaker
from workers.gate import Cost, Door, Gate, Wait
from workers.rate_rules import Budget, Window, plan_pace, submit_budget
from workers.toll import ACCOUNT_HORIZON, KEEP_SECONDS, Toll, campaign_budget, sender_budget
from workers.way import GUARANTEED_SHARE, claim_every, spacing

ACCOUNT = Account("acme", "quicksms", "https://a.test", limits=(Limit(60, 60.0),), sender_limits=(Limit(10, 60.0),))


@pytest.fixture
async def redis(redis_server: EmbeddedRedis) -> AsyncIterator[Redis]:
    redis_server.wipe()
    client = Redis.from_url(redis_server.url)
    yield client
    await client.aclose()


async def world(
    redis: Redis, windows: tuple[Window, ...], toll: Budget, *, strict: bool
) -> tuple[Gate, Toll, VirtualClock]:
    limiter, clock = await virtual(redis)
    breaker = CircuitBreaker(redis, edit=VirtualClock.edit)
    await breaker.close("acme")
    gate = Gate("acme", Budget("acme", windows), limiter, breaker)
    return gate, Toll(limiter, toll, strict=strict, clock=clock.now), clock


async def test_a_tolls_limit_is_the_answer_when_it_is_the_tighter_one(redis: Redis) -> None:
    gate, toll, clock = await world(redis, (Window(100, 1.0),), campaign_budget(UUID(int=1), 2.0), strict=False)
    sent = 0
    for _ in range(100):
        answer = await gate.ask([Cost()] * 10, 0.5, [toll])
        if isinstance(answer, Wait):
            assert answer.door is Door.TOLL
            assert not answer.for_all
        else:
            sent += len(answer)
        await clock.advance(200_000)
    # Twenty seconds at two a second, and the second's worth that may be caught up.
    assert 36 <= sent <= 43


async def test_what_the_account_does_not_grant_is_kept_for_the_next_try_and_not_longer(redis: Redis) -> None:
    gate, toll, clock = await world(redis, (Window(1, 0.5),), campaign_budget(UUID(int=1), 50.0), strict=False)
    await gate.limiter.acquire(toll.budget, [Cost()])
    await clock.advance(1_000_000)
    first = await gate.ask([Cost()] * 10, 0.0, [toll])
    assert isinstance(first, list)
    assert len(first) == 1
    kept = len(toll._kept)
    assert kept == 9
    await clock.advance(600_000)
    again = await gate.ask([Cost()], 0.0, [toll])
    assert isinstance(again, list)
    assert len(toll._kept) == kept - 1
    await clock.advance(round(KEEP_SECONDS * 1e6))
    await gate.ask([Cost()] * 2, 0.0, [toll])
    assert all(permit.not_before > clock.now() - KEEP_SECONDS for permit in toll._kept)


async def test_all_that_became_due_since_the_last_question_is_granted_at_once(redis: Redis) -> None:
    gate, toll, clock = await world(redis, (Window(1000, 1.0),), campaign_budget(UUID(int=1), 50.0), strict=False)
    await gate.ask([Cost()], 0.5, [toll])
    sent = 0
    for _ in range(40):
        await clock.advance(250_000)
        answer = await gate.ask([Cost()] * 30, 0.5, [toll])
        sent += 0 if isinstance(answer, Wait) else len(answer)
    assert 440 <= sent <= 510


async def test_a_larger_request_never_travels_on_a_smaller_ones_permit(redis: Redis) -> None:
    gate, toll, clock = await world(redis, (Window(1, 0.5),), campaign_budget(UUID(int=1), 50.0), strict=False)
    await gate.limiter.acquire(toll.budget, [Cost()])
    await clock.advance(1_000_000)
    await gate.ask([Cost(1, 1, 1)] * 5, 0.0, [toll])
    await clock.advance(600_000)
    paid = await toll.pay([Cost(1, 20, 20)])
    assert [permit.cost.messages for permit in paid.permits] == [20]


async def test_a_senders_permit_that_would_not_last_until_the_accounts_slot_is_not_used(redis: Redis) -> None:
    budget = sender_budget(ACCOUNT, "Alpha")
    assert budget is not None
    gate, toll, clock = await world(redis, (Window(60, 60.0),), budget, strict=True)
    [passed] = await gate.ask([Cost()], ACCOUNT_HORIZON, [toll])  # type: ignore[misc]  # a list here
    assert len(passed.beside) == 1
    assert await passed.wait()
    late = await gate.ask([Cost()], 1.5, [toll])
    while isinstance(late, Wait):
        await clock.advance(round(late.seconds * 1e6))
        late = await gate.ask([Cost()], 1.5, [toll])
    stale = late[0].beside[0]
    await clock.advance(round((stale.not_after - clock.now()) * 1e6) + 10)
    assert not await late[0].wait()


def test_senders_have_a_budget_each_and_only_where_the_provider_counts_them() -> None:
    first, second = sender_budget(ACCOUNT, "Alpha"), sender_budget(ACCOUNT, "Beta")
    assert first is not None
    assert second is not None
    assert len({first.key, second.key, submit_budget(ACCOUNT).key}) == 3
    assert sender_budget(Account("b", "quicksms", "https://b.test"), "Alpha") is None
    assert plan_pace(first.windows).grace >= ACCOUNT_HORIZON + plan_pace(submit_budget(ACCOUNT).windows).grace


@pytest.mark.parametrize(
    ("windows", "seconds"),
    [((Window(60, 60.0), Window(10, 1.0)), 1.0), ((Window(1000, 60.0),), 0.06), ((), 0.0)],
)
def test_polite_work_still_has_its_guaranteed_share(windows: tuple[Window, ...], seconds: float) -> None:
    budget = Budget("acme", windows)
    assert spacing(budget, Cost()) == pytest.approx(seconds)
    assert claim_every(budget) == pytest.approx(seconds / GUARANTEED_SHARE)


async def test_no_slot_is_sooner_than_what_has_to_happen_before_it(redis: Redis) -> None:
    limiter, clock = await virtual(redis)
    budget = Budget("acme", (Window(10, 1.0),))
    permits = (await limiter.acquire(budget, [Cost()] * 3, horizon=1.0, lead=0.2)).permits
    assert [round(permit.wait_seconds(clock.now()), 2) for permit in permits] == pytest.approx(
        [0.2, 0.29, 0.39], abs=0.02
    )
    assert not (await limiter.acquire(budget, [Cost()], horizon=0.0, lead=0.2)).permits


async def test_a_probe_that_gets_no_toll_is_given_back(redis: Redis) -> None:
    limiter, clock = await virtual(redis)
    breaker = CircuitBreaker(redis, edit=VirtualClock.edit)
    gate = Gate("acme", Budget("acme", ()), limiter, breaker)
    toll = Toll(another(redis, clock), campaign_budget(UUID(int=2), 0.1), strict=False, clock=clock.now)
    granted = await gate.ask([Cost()], 0.5, [toll])
    assert isinstance(granted, list)
    await asyncio.gather(*(gate.unused(passed) for passed in granted))
    refused = await gate.ask([Cost()], 0.5, [toll])
    assert isinstance(refused, Wait)
    assert refused.door is Door.TOLL
    # Nobody holds the probe: the next one without a toll gets it at once.
    assert isinstance(await gate.ask([Cost()], 0.5), list)
