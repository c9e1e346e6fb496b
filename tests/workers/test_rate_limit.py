"""The limiter's decisions, on a real server with a clock moved by hand."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from config.accounts import Counts
from tests.support.limit_model import ModelLimiter, VirtualClock, most_in_any_window
from tests.support.redis_server import EmbeddedRedis
from workers.rate_limit import LimiterUnavailable, RateLimiter
from workers.rate_permits import PastCost, Verdict, WaitReason
from workers.rate_rules import Budget, Cost, CostTooLarge, Window

CLIQTEL = Budget("cliqtel", (Window(60, 60), Window(10, 1, Counts.MESSAGES)))
POLL = Cost(1, 0, 0)


async def nothing_recent(account: str, budget: str, seconds: float) -> list[PastCost]:
    return []


async def virtual(redis: Redis, server: EmbeddedRedis | None = None) -> tuple[RateLimiter, VirtualClock]:
    clock = VirtualClock(redis)
    await clock.advance(0)
    return another(redis, clock), clock


def another(redis: Redis, clock: VirtualClock) -> RateLimiter:
    return RateLimiter(redis, nothing_recent, clock=clock.now, sleep=clock.sleep, edit=VirtualClock.edit)


costs = st.builds(Cost, st.integers(1, 2), st.integers(0, 4), st.integers(0, 6))
windows = st.builds(Window, st.integers(6, 40), st.sampled_from([0.25, 1.0, 3.0, 10.0]), st.sampled_from(list(Counts)))
asks = st.tuples(
    st.integers(0, 3),  # which worker
    st.lists(costs, min_size=1, max_size=12),
    st.integers(0, 3_000_000),  # horizon, µs
    st.integers(0, 2_000_000),  # time until the next question, µs
    st.integers(0, 12),  # how many of the permits are given back, the first ones first
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(windows, min_size=1, max_size=3, unique=True), st.lists(asks, min_size=1, max_size=25))
async def test_many_workers_get_exactly_the_slots_of_the_plain_model_and_no_window_overflows(
    redis_server: EmbeddedRedis, chosen: list[Window], questions: list[tuple[int, list[Cost], int, int, int]]
) -> None:
    redis_server.wipe()
    async with Redis.from_url(redis_server.url) as redis:
        budget = Budget("acme", tuple(chosen))
        first, clock = await virtual(redis)
        workers = [first, *(another(redis, clock) for _ in range(3))]
        await first.acquire(budget, [Cost()], 0.0)
        model = ModelLimiter(budget)
        model.decide(clock.server_us, [Cost()], 0)
        held_back: dict[int, list[tuple[int, Cost]]] = {worker: [] for worker in range(4)}
        for worker, wanted, horizon, pause, back in questions:
            model.take_back(clock.server_us, held_back[worker])
            grant = await workers[worker].acquire(budget, wanted, horizon / 1e6)
            expected = model.decide(clock.server_us, wanted, horizon)
            told = [clock.to_server_us(permit.not_before) for permit in grant.permits]
            assert told == pytest.approx(expected, abs=2, rel=0)
            assert (grant.wait > 0) == (len(expected) < len(wanted))
            held_back[worker] = [(permit.slot, permit.cost) for permit in grant.permits[:back]]
            for permit in grant.permits[:back]:
                workers[worker].give_back(permit)
            await clock.advance(pause)
        for window in chosen:
            used = [(slot, cost.of(window.counts)) for slot, cost in model.granted]
            assert most_in_any_window(used, window.per * 1e6) <= window.limit


async def test_what_is_given_back_makes_room_at_once_and_only_once(redis_client: Redis) -> None:
    limiter, clock = await virtual(redis_client)
    budget = Budget("acme", (Window(10, 10),))
    unused = (await limiter.acquire(budget, [Cost()] * 10, horizon=10.0)).permits[4]
    await clock.advance(9_500_000)
    assert (await limiter.snapshot(budget)).windows[0].used == 10
    for _ in range(3):
        limiter.give_back(unused)
    grant = await limiter.acquire(budget, [Cost()] * 2, horizon=0.1)
    assert len(grant.permits) == 1
    await clock.advance(100_000)
    assert (await limiter.snapshot(budget)).windows[0].used == 10


async def test_what_is_given_back_after_the_log_was_rebuilt_is_none_of_its_permits(
    redis_client: Redis, redis_server: EmbeddedRedis
) -> None:
    limiter, clock = await virtual(redis_client)
    budget = Budget("acme", (Window(2, 60),))
    old = (await limiter.acquire(budget, [Cost()] * 2, horizon=30.0)).permits
    await limiter.block(budget, 1.0, "429")
    await clock.advance(2_000_000)
    for permit in old:
        limiter.give_back(permit)
    assert not (await limiter.acquire(budget, [Cost()], horizon=1.0)).permits


async def test_a_partial_grant_says_what_the_next_one_waits_for_and_when_to_ask_again(redis_client: Redis) -> None:
    limiter, _ = await virtual(redis_client)
    budget = Budget("acme", (Window(3, 10),))
    grant = await limiter.acquire(budget, [Cost()] * 5, horizon=10.0)
    assert len(grant.permits) == 3
    assert (grant.reason, grant.window) == (WaitReason.WINDOW, budget.windows[0])
    assert grant.next_slot_in == pytest.approx(10.0 + 1 / 30, abs=1e-3)
    assert grant.wait == pytest.approx(grant.next_slot_in - 10.0)


async def test_a_cost_no_window_ever_allows_is_an_error_naming_the_window(redis_client: Redis) -> None:
    limiter, _ = await virtual(redis_client)
    with pytest.raises(CostTooLarge, match="11 messages at once, but only 10 messages per 1 s"):
        await limiter.acquire(CLIQTEL, [Cost(1, 11, 11)])


async def test_a_poll_reserving_further_ahead_is_served_while_submitters_hold_every_near_slot(
    redis_client: Redis,
) -> None:
    limiter, clock = await virtual(redis_client)
    for _ in range(5):
        await limiter.acquire(CLIQTEL, [Cost()] * 20)
        grant = await limiter.acquire(CLIQTEL, [POLL], horizon=10.0)
        assert len(grant.permits) == 1
        assert grant.permits[0].wait_seconds(clock.now()) < 5.0
        await clock.advance(1_000_000)


async def test_polls_take_no_messages_where_only_messages_are_counted(redis_client: Redis) -> None:
    limiter, _ = await virtual(redis_client)
    budget = Budget("acme", (Window(2, 60, Counts.MESSAGES),))
    assert len((await limiter.acquire(budget, [POLL] * 50)).permits) == 50


async def test_budgets_of_one_account_do_not_share_unless_they_are_the_same(redis_client: Redis) -> None:
    limiter, _ = await virtual(redis_client)
    submit, poll = Budget("acme", (Window(1, 60),)), Budget("acme", (Window(1, 60),), name="poll")
    assert len((await limiter.acquire(submit, [Cost()])).permits) == 1
    assert len((await limiter.acquire(poll, [Cost()])).permits) == 1
    assert not (await limiter.acquire(submit, [Cost()])).permits


async def test_without_windows_nothing_is_paced_but_a_block_is_obeyed(redis_client: Redis) -> None:
    limiter, clock = await virtual(redis_client)
    free = Budget("free", ())
    grant = await limiter.acquire(free, [Cost()] * 200, horizon=0.0)
    assert len(grant.permits) == 200
    await limiter.block(free, 5.0, "429")
    grant = await limiter.acquire(free, [Cost()])
    assert (grant.permits, grant.reason) == ((), WaitReason.BLOCKED)
    await clock.advance(5_000_000)
    assert (await limiter.acquire(free, [Cost()])).permits


async def test_a_block_is_obeyed_by_every_worker_and_voids_the_permits_in_hand(redis_client: Redis) -> None:
    ours, clock = await virtual(redis_client)
    theirs = another(redis_client, clock)
    grant = await ours.acquire(CLIQTEL, [Cost()] * 3)
    assert await ours.wait(grant.permits[0]) is Verdict.GO
    await theirs.block(CLIQTEL, 30.0, "429")
    assert await ours.wait(grant.permits[1]) is Verdict.VOID
    waiting = await ours.acquire(CLIQTEL, [Cost()])
    assert (waiting.permits, waiting.reason) == ((), WaitReason.BLOCKED)
    assert 27.0 < waiting.wait < 30.0
    await clock.advance(31_000_000)
    fresh = (await ours.acquire(CLIQTEL, [Cost()])).permits[0]
    assert await ours.wait(fresh) is Verdict.GO


async def test_a_block_only_ever_extends_and_an_operator_may_end_it(redis_client: Redis) -> None:
    limiter, _ = await virtual(redis_client)
    assert await limiter.block(CLIQTEL, 60.0, "lock-out") == pytest.approx(60.0)
    assert await limiter.block(CLIQTEL, 5.0, "429") == pytest.approx(60.0)
    assert (await limiter.snapshot(CLIQTEL)).reason == "lock-out"
    assert await limiter.block(CLIQTEL, 1e12, "absurd") == pytest.approx(86400.0)
    await limiter.unblock(CLIQTEL)
    assert (await limiter.snapshot(CLIQTEL)).blocked_for == 0
    assert (await limiter.acquire(CLIQTEL, [Cost()])).permits


async def test_after_a_block_the_rate_ramps_up_from_a_quarter_to_all(redis_client: Redis) -> None:
    limiter, clock = await virtual(redis_client)
    budget = Budget("acme", (Window(600, 60),))
    await limiter.block(budget, 10.0, "429")
    await clock.advance(10_000_000)
    per_five_seconds = []
    for _ in range(8):
        granted = 0
        for _ in range(50):
            granted += len((await limiter.acquire(budget, [Cost()] * 50, horizon=0.05)).permits)
            await clock.advance(100_000)
        per_five_seconds.append(granted)
    assert per_five_seconds[:6] == sorted(per_five_seconds[:6])
    assert 10 <= per_five_seconds[0] <= 22
    assert all(48 <= granted <= 60 for granted in per_five_seconds[6:])
    assert (await limiter.snapshot(budget)).ramp == 1.0


async def test_each_time_we_were_too_fast_the_windows_grow_and_quiet_time_shrinks_them_again(
    redis_client: Redis,
) -> None:
    limiter, clock = await virtual(redis_client)
    budget = Budget("acme", (Window(1, 1.0),))

    async def distance() -> float:
        """Seconds between two slots, once the rate has ramped up."""
        await clock.advance(20_000_000)
        first, second = (await limiter.acquire(budget, [Cost()] * 2, horizon=5.0)).permits
        return (second.slot - first.slot) / 1e6

    usual = await distance()
    found = []
    for _ in range(6):
        for seconds in (1.0, 1.5):  # the second was under way when the first came
            await limiter.block(budget, seconds, "429", too_fast=True)
        found.append(round(await distance() - usual, 3))
    assert found == pytest.approx([0.010, 0.019, 0.036, 0.069, 0.100, 0.100], abs=0.006)
    await limiter.block(budget, 1.0, "lock-out")
    await clock.advance(300_000_000)
    assert await distance() - usual == pytest.approx(0.048, abs=0.004)
    await clock.advance(3_600_000_000)
    assert await distance() == pytest.approx(usual, abs=1e-6)


async def test_a_permit_is_late_after_its_grace_and_never_early(redis_client: Redis) -> None:
    limiter, clock = await virtual(redis_client)
    first, second, third = (await limiter.acquire(CLIQTEL, [Cost()] * 3)).permits
    assert not second.usable(clock.now())
    assert await limiter.wait(second) is Verdict.GO
    assert second.usable(clock.now())
    assert first.expired(clock.now())
    assert await limiter.wait(first) is Verdict.LATE
    await clock.advance(round((third.not_after - clock.now()) * 1e6) + 10)
    assert await limiter.wait(third) is Verdict.LATE


async def test_full_use_of_our_own_does_not_slow_us_down_although_remaining_is_nought(redis_client: Redis) -> None:
    limiter, clock = await virtual(redis_client)
    budget = Budget("acme", (Window(60, 6),))
    sent: list[float] = []
    for _ in range(20):
        grant = await limiter.acquire(budget, [Cost()] * 30, horizon=1.0)
        sent += [permit.not_before for permit in grant.permits]
        await clock.advance(1_000_000)
        remaining = 60 - sum(clock.now() - 6 < moment <= clock.now() for moment in sent)
        assert await limiter.observe(budget, limit=60, remaining=remaining, reset_in=3.0) == 0
    assert remaining <= 1
    assert (await limiter.snapshot(budget)).windows[0].used >= 58


async def test_somebody_else_on_the_same_credentials_takes_from_our_allowance_until_they_stop(
    redis_client: Redis,
) -> None:
    limiter, clock = await virtual(redis_client)
    budget = Budget("acme", (Window(60, 60),))
    await limiter.acquire(budget, [Cost()])
    assert await limiter.observe(budget, limit=60, remaining=19) == 40
    assert (await limiter.snapshot(budget)).windows[0].foreign == 40
    assert len((await limiter.acquire(budget, [Cost()] * 100, horizon=60.0)).permits) == 19
    await clock.advance(500_000)
    assert await limiter.observe(budget, limit=60, remaining=59) == 0
    assert (await limiter.snapshot(budget)).windows[0].foreign == 0


async def test_when_somebody_else_uses_everything_we_wait_for_the_reset(redis_client: Redis) -> None:
    limiter, clock = await virtual(redis_client)
    budget = Budget("acme", (Window(60, 60),))
    await limiter.acquire(budget, [Cost()])
    assert await limiter.observe(budget, limit=60, remaining=0, reset_in=20.0) == 59
    await limiter.acquire(budget, [Cost()], horizon=0.5)
    assert (await limiter.acquire(budget, [Cost()])).wait > 10.0
    await clock.advance(20_000_000)
    assert (await limiter.acquire(budget, [Cost()])).permits


async def test_the_snapshot_tells_used_reserved_remaining_and_the_next_free_moment(redis_client: Redis) -> None:
    limiter, clock = await virtual(redis_client)
    await limiter.acquire(CLIQTEL, [Cost()] * 3)
    await clock.advance(950_000)
    shown = await limiter.snapshot(CLIQTEL)
    assert shown.seeded
    assert [(use.used, use.ahead, use.remaining) for use in shown.windows] == [(2, 1, 57), (2, 1, 7)]
    assert shown.requests_per_second == pytest.approx(0.2)
    assert 0 < shown.next_free_in < 2.0


async def test_a_snapshot_of_an_account_never_used_is_empty_and_says_so(redis_client: Redis) -> None:
    limiter, _ = await virtual(redis_client)
    shown = await limiter.snapshot(CLIQTEL)
    assert (shown.seeded, shown.blocked_for, shown.next_free_in) == (False, 0.0, 0.0)
    assert [use.remaining for use in shown.windows] == [60, 10]


async def test_old_entries_leave_the_log_so_that_it_stays_small(redis_client: Redis) -> None:
    limiter, clock = await virtual(redis_client)
    budget = Budget("acme", (Window(100, 1),))
    for _ in range(200):
        await limiter.acquire(budget, [Cost()] * 100, horizon=0.5)
        await clock.advance(500_000)
    assert await redis_client.zcard("drumline:limit:{acme:submit}:requests") < 900


async def test_without_redis_nothing_is_granted(redis_client: Redis) -> None:
    limiter = RateLimiter(Redis.from_url("unix:///nowhere/redis.sock"), nothing_recent)
    for attempt in (
        lambda: limiter.acquire(CLIQTEL, [Cost()]),
        lambda: limiter.block(CLIQTEL, 1.0, "429"),
        lambda: limiter.snapshot(CLIQTEL),
    ):
        await _is_refused(attempt)


async def _is_refused(attempt: Callable[[], object]) -> None:
    with pytest.raises(LimiterUnavailable):
        await attempt()  # type: ignore[misc]  # three answers of three kinds


async def test_four_workers_in_real_time_never_meet_a_refusal_of_a_strict_provider(redis_server: EmbeddedRedis) -> None:
    redis_server.wipe()
    budget = Budget("acme", (Window(40, 0.5), Window(150, 2.0)))
    arrivals: list[tuple[float, int]] = []

    async def worker(end: float) -> None:
        async with Redis.from_url(redis_server.url) as redis:
            limiter = RateLimiter(redis, nothing_recent)
            loop = asyncio.get_running_loop()
            while loop.time() < end:
                grant = await limiter.acquire(budget, [Cost()] * 10, horizon=0.3)
                went = [(loop.time(), 1) for permit in grant.permits if await limiter.wait(permit) is Verdict.GO]
                arrivals.extend(went)
                await asyncio.sleep(grant.wait)

    end = asyncio.get_running_loop().time() + 4.0
    await asyncio.gather(*(worker(end) for _ in range(4)))
    for window in budget.windows:
        assert most_in_any_window(arrivals, window.per) <= window.limit
    assert len(arrivals) > 100


async def test_what_was_forgotten_from_the_log_holds_nobody_back(redis_client: Redis) -> None:
    limiter, clock = await virtual(redis_client)
    budget = Budget("acme", (Window(10, 1),))
    await limiter.acquire(budget, [Cost()] * 10, horizon=1.0)
    await clock.advance(6_500_000)
    await limiter.acquire(budget, [Cost()])
    await clock.advance(700_000)
    assert (await limiter.acquire(budget, [Cost()], horizon=0.0)).permits
