"""Redis restarted, killed, wiped, its clock stepped, a worker dead or its clock an hour off: never above the limit."""

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from tests.support.limit_model import VirtualClock, most_in_any_window
from tests.support.redis_server import EmbeddedRedis
from workers.rate_clock import ServerClock
from workers.rate_limit import LimiterSettings, LimiterUnavailable, RateLimiter
from workers.rate_permits import PastCost, Permit, Verdict
from workers.rate_rules import Budget, Cost, Window, plan_pace
from workers.rate_seed import rows

BUDGET = Budget("acme", (Window(20, 4.0),))
QUICK = Budget("quick", (Window(12, 2.0),))
ENOUGH = 12


class Ledger:
    """What the database would know: an intent for every permit, written before it is used."""

    def __init__(self) -> None:
        self.intents: list[float] = []
        self.sent: list[tuple[float, int]] = []
        self.questions = 0

    async def recent(self, account: str, budget: str, seconds: float) -> list[PastCost]:
        self.questions += 1
        now = time.monotonic()
        return [PastCost(now - at, 1, 1, 1) for at in self.intents if now - at <= seconds]

    def write(self, permits: tuple[Permit, ...]) -> None:
        self.intents += [time.monotonic()] * len(permits)

    def most(self) -> int:
        return most_in_any_window(self.sent, QUICK.windows[0].per)


async def send(limiter: RateLimiter, ledger: Ledger, permit: Permit) -> None:
    try:
        verdict = await limiter.wait(permit)
    except LimiterUnavailable:
        return
    if verdict is Verdict.GO:
        ledger.sent.append((time.monotonic(), 1))


async def work(url: str, ledger: Ledger, end: float, *, skew: float = 0.0) -> None:
    """A worker that goes on through every loss of Redis, its clock `skew` seconds off."""
    async with Redis.from_url(url) as redis:
        limiter = RateLimiter(redis, ledger.recent, clock=lambda: time.monotonic() + skew)
        # A crowded machine may take longer for the first windowful: it is waited for, so that the end is a count.
        while time.monotonic() < end or (len(ledger.sent) < ENOUGH and time.monotonic() < end + 30):
            try:
                grant = await limiter.acquire(QUICK, [Cost()] * 6, horizon=1.0)
            except LimiterUnavailable:
                await asyncio.sleep(0.05)
                continue
            ledger.write(grant.permits)
            await asyncio.gather(*(send(limiter, ledger, permit) for permit in grant.permits))
            await asyncio.sleep(min(grant.wait, 0.1))


@pytest.fixture
def own_server() -> Iterator[EmbeddedRedis]:
    """A server to be ill-treated, with an append-only file as in production."""
    with EmbeddedRedis() as server:
        yield server


@pytest.mark.parametrize("harm", ["wipe", "kill", "restart"])
async def test_losing_redis_in_full_flight_never_breaks_the_limit(own_server: EmbeddedRedis, harm: str) -> None:
    ledger = Ledger()

    async def harm_it() -> None:
        await asyncio.sleep(1.3)
        await asyncio.to_thread(getattr(own_server, harm))
        if harm == "kill":
            await asyncio.to_thread(own_server.start)

    end = time.monotonic() + 3.8
    skews = (0.0, timedelta(hours=1).total_seconds(), -timedelta(minutes=7).total_seconds())
    await asyncio.gather(harm_it(), *(work(own_server.url, ledger, end, skew=skew) for skew in skews))
    assert ledger.most() <= 12
    assert len(ledger.sent) >= ENOUGH
    assert ledger.questions >= 2


async def test_a_dead_workers_permits_are_counted_as_used(redis_client: Redis) -> None:
    ledger = Ledger()
    dead, alive = RateLimiter(redis_client, ledger.recent), RateLimiter(redis_client, ledger.recent)
    held = await dead.acquire(BUDGET, [Cost()] * 12, horizon=60.0)
    assert len(held.permits) == 12
    assert len((await alive.acquire(BUDGET, [Cost()] * 20, horizon=3.9)).permits) <= 8


async def test_after_a_wipe_permits_in_hand_are_void_until_the_log_is_rebuilt_and_after(
    redis_server: EmbeddedRedis, redis_client: Redis
) -> None:
    ledger = Ledger()
    limiter, other = RateLimiter(redis_client, ledger.recent), RateLimiter(redis_client, ledger.recent)
    held = (await limiter.acquire(BUDGET, [Cost()] * 9, horizon=3.0)).permits
    first, second = held[2], held[-1]
    redis_server.wipe()
    assert await limiter.wait(first) is Verdict.VOID
    await other.acquire(BUDGET, [Cost()])
    assert await limiter.wait(second) is Verdict.VOID


async def test_the_rebuilt_log_knows_what_the_database_knows(redis_client: Redis) -> None:
    async def recent(account: str, budget: str, seconds: float) -> list[PastCost]:
        assert (account, budget) == ("acme", "submit")
        assert seconds > 4.0
        return [PastCost(age=3.0, requests=15, messages=15, segments=30)]

    limiter = RateLimiter(redis_client, recent)
    assert len((await limiter.acquire(BUDGET, [Cost()] * 20, horizon=2.9)).permits) == 5
    assert (await limiter.snapshot(BUDGET)).windows[0].used >= 15


async def test_of_many_workers_only_one_rebuilds_and_none_breaks_the_limit(redis_client: Redis) -> None:
    async def recent(account: str, budget: str, seconds: float) -> list[PastCost]:
        return [PastCost(0.0, 1, 1, 1)] * 10

    workers = [RateLimiter(redis_client, recent) for _ in range(6)]
    grants = await asyncio.gather(*(worker.acquire(BUDGET, [Cost()] * 20, horizon=3.0) for worker in workers))
    assert sum(len(grant.permits) for grant in grants) == 10
    assert len({permit.epoch for grant in grants for permit in grant.permits}) == 1


async def test_a_failed_look_into_the_database_grants_nothing(redis_client: Redis) -> None:
    async def recent(account: str, budget: str, seconds: float) -> list[PastCost]:
        raise ConnectionError("database away")

    limiter = RateLimiter(redis_client, recent)
    with pytest.raises(ConnectionError):
        await limiter.acquire(BUDGET, [Cost()])
    assert not (await limiter.snapshot(BUDGET)).seeded


async def test_a_block_outlives_a_restart(own_server: EmbeddedRedis) -> None:
    async with Redis.from_url(own_server.url) as redis:
        limiter = RateLimiter(redis, Ledger().recent)
        await limiter.acquire(BUDGET, [Cost()])
        await limiter.block(BUDGET, 60.0, "429")
        await asyncio.to_thread(own_server.restart)
        assert not (await limiter.acquire(BUDGET, [Cost()])).permits
        assert (await limiter.snapshot(BUDGET)).blocked_for > 50.0


async def test_a_log_that_vanished_while_the_state_stayed_is_noticed(redis_client: Redis) -> None:
    ledger = Ledger()
    limiter = RateLimiter(redis_client, ledger.recent)
    ledger.write((await limiter.acquire(BUDGET, [Cost()] * 20, horizon=60.0)).permits)
    await redis_client.delete("drumline:limit:{acme:submit}:requests")
    assert not (await limiter.acquire(BUDGET, [Cost()], horizon=1.0)).permits
    assert ledger.questions == 2


async def test_a_new_longer_window_is_filled_from_the_database_before_it_counts(redis_client: Redis) -> None:
    asked: list[float] = []

    async def recent(account: str, budget: str, seconds: float) -> list[PastCost]:
        asked.append(seconds)
        return []

    limiter = RateLimiter(redis_client, recent)
    await limiter.acquire(BUDGET, [Cost()])
    longer = Budget("acme", (*BUDGET.windows, Window(100, 60.0)))
    for budget in (longer, BUDGET, longer):
        await limiter.acquire(budget, [Cost()])
    assert len(asked) == 2
    assert asked[1] > 60.0


async def test_a_step_of_the_servers_clock_rebuilds_the_log_instead_of_forgetting_it(redis_client: Redis) -> None:
    clock = VirtualClock(redis_client)
    await clock.advance(0)
    rebuilt = 0

    async def recent(account: str, budget: str, seconds: float) -> list[PastCost]:
        nonlocal rebuilt
        rebuilt += 1
        return [PastCost(0.0, 1, 1, 1)] * (20 if rebuilt > 1 else 0)

    limiter = RateLimiter(redis_client, recent, clock=clock.now, sleep=clock.sleep, edit=VirtualClock.edit)
    await limiter.acquire(BUDGET, [Cost()] * 20, horizon=60.0)
    for step in (3_600_000_000, -7_200_000_000):
        await clock.step_server(step)
        assert not (await limiter.acquire(BUDGET, [Cost()])).permits
    assert rebuilt >= 3


def test_a_slow_trip_costs_no_precision_once_a_quick_one_was_made() -> None:
    clock = ServerClock()
    clock.observe(10_000_100, asked=5.0, answered=5.0002)
    clock.observe(10_130_000, asked=5.1, answered=5.5)
    assert clock.latest(20_000_000) - clock.earliest(20_000_000) < 0.002
    assert clock.earliest(20_000_000) <= 14.9999 + 0.0001 <= clock.latest(20_000_000)
    assert clock.steps == 0


def test_a_step_of_the_clock_is_noticed_and_drift_is_not_taken_for_one() -> None:
    clock = ServerClock()
    clock.observe(10_000_000, 5.0, 5.0001)
    clock.observe(70_030_000, 65.0, 65.0001)
    assert clock.steps == 0
    clock.observe(71_500_000, 66.0, 66.0001)
    assert clock.steps == 1


def test_past_requests_become_younger_never_older_and_none_is_lost() -> None:
    past = [PastCost(3.0149, 1, 2, 3), PastCost(3.0101, 1, 2, 3), PastCost(0.3, 1, 1, 1), PastCost(99.0, 7, 7, 7)]
    assert rows(past, slack=0.5, span=10.0, grain=0.01) == [(2_510_000, 2, 4, 6), (0, 1, 1, 1)]


async def test_the_database_is_asked_only_when_no_permit_of_the_lost_log_can_still_be_in_use(
    redis_server: EmbeddedRedis, redis_client: Redis
) -> None:
    clock, asked = VirtualClock(redis_client), []
    await clock.advance(0)

    async def recent(account: str, budget: str, seconds: float) -> list[PastCost]:
        asked.append(clock.now())
        return []

    holder, other = (
        RateLimiter(redis_client, recent, clock=clock.now, sleep=clock.sleep, edit=VirtualClock.edit) for _ in range(2)
    )
    permits = (await holder.acquire(BUDGET, [Cost()] * 3)).permits
    assert await holder.wait(permits[0]) is Verdict.GO
    redis_server.wipe()
    await clock.advance(0)
    last_use = clock.now() + LimiterSettings().recheck + plan_pace(BUDGET.windows).grace
    await other.acquire(BUDGET, [Cost()])
    assert asked[-1] >= last_use


class HeldBack:
    """A Redis client whose next answer arrives only when it is let go."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.hold: asyncio.Event | None = None

    async def evalsha(self, *args: object) -> object:
        gate, self.hold = self.hold, None
        answer = await self._redis.evalsha(*args)  # type: ignore[arg-type]  # handed on as it came
        if gate:
            await gate.wait()
        return answer

    async def eval(self, *args: object) -> object:
        return await self._redis.eval(*args)  # type: ignore[arg-type]  # handed on as it came


async def test_an_answer_overtaken_by_a_block_does_not_revive_its_permits(redis_client: Redis) -> None:
    unpaced = Budget("free", ())
    slow = HeldBack(redis_client)
    limiter = RateLimiter(slow, Ledger().recent)  # type: ignore[arg-type]  # all that the limiter uses of a client
    await limiter.acquire(unpaced, [Cost()])
    slow.hold = gate = asyncio.Event()
    asking = asyncio.create_task(limiter.acquire(unpaced, [Cost()]))
    await asyncio.sleep(0)
    await limiter.block(unpaced, 30.0, "429")
    gate.set()
    permit = (await asking).permits[0]
    assert await limiter.wait(permit) is Verdict.VOID


async def test_a_slow_trip_makes_a_permit_neither_early_nor_late(redis_client: Redis) -> None:
    clock = VirtualClock(redis_client)
    await clock.advance(0)
    told: list[float] = []

    def slowly() -> float:
        clock.local += 0.005
        told.append(clock.local)
        return clock.local

    limiter = RateLimiter(redis_client, Ledger().recent, clock=slowly, sleep=clock.sleep, edit=VirtualClock.edit)
    permit = (await limiter.acquire(BUDGET, [Cost()])).permits[0]
    asked, answered = told[-2:]
    assert permit.not_before == pytest.approx(answered, abs=1e-5)
    assert permit.not_after == pytest.approx(asked + plan_pace(BUDGET.windows).grace, abs=1e-5)
