"""The breaker, shared by several workers, on a real server with a clock moved by hand."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from tests.support.limit_model import VirtualClock
from tests.support.redis_server import EmbeddedRedis
from workers.breaker import (
    Allowed,
    BreakerPolicy,
    BreakerState,
    BreakerUnavailable,
    CircuitBreaker,
    Denied,
    FailureKind,
    OpenKind,
    Probe,
)

ACCOUNT = "acme"
ERROR = FailureKind.SERVER_ERROR


async def two_workers(redis: Redis, **policy: float) -> tuple[CircuitBreaker, CircuitBreaker, VirtualClock]:
    clock = VirtualClock(redis)
    await clock.advance(0)
    rules = BreakerPolicy(**policy)  # type: ignore[arg-type]  # only numbers are changed here
    ours, theirs = (CircuitBreaker(redis, policy=rules, clock=clock.now, edit=VirtualClock.edit) for _ in range(2))
    return ours, theirs, clock


async def proven(redis: Redis, **policy: float) -> tuple[CircuitBreaker, CircuitBreaker, VirtualClock]:
    ours, theirs, clock = await two_workers(redis, **policy)
    await ours.record_success(ACCOUNT, await probe_of(ours))
    return ours, theirs, clock


async def probe_of(breaker: CircuitBreaker) -> str:
    decision = await breaker.allow(ACCOUNT)
    assert isinstance(decision, Probe)
    return decision.token


async def denied(breaker: CircuitBreaker) -> Denied:
    decision = await breaker.allow(ACCOUNT)
    assert isinstance(decision, Denied)
    return decision


async def fail(breaker: CircuitBreaker, times: int, kind: FailureKind = ERROR) -> None:
    for _ in range(times):
        await breaker.record_failure(ACCOUNT, kind)


async def test_who_only_reads_may_go_while_credit_is_missing_and_is_never_the_probe(redis_client: Redis) -> None:
    ours, theirs, clock = await proven(redis_client)
    await fail(ours, 1, FailureKind.OUT_OF_CREDIT)
    assert await theirs.allow(ACCOUNT, reads=True) == Allowed()
    assert (await denied(theirs)).kind is OpenKind.PAUSED
    await theirs.record_success(ACCOUNT)  # a report that was read proves nothing about the credit
    await clock.advance(700_000_000)
    assert await theirs.allow(ACCOUNT, reads=True) == Allowed()
    await probe_of(theirs)
    assert await ours.allow(ACCOUNT, reads=True) == Allowed()
    await fail(ours, 1, FailureKind.CREDENTIALS)
    assert isinstance(await ours.allow(ACCOUNT, reads=True), Denied)


async def test_an_account_never_used_sends_one_probe_before_the_crowd_follows(redis_client: Redis) -> None:
    ours, theirs, _ = await two_workers(redis_client)
    decisions = await asyncio.gather(*(worker.allow(ACCOUNT) for worker in (ours, theirs) * 10))
    probes = [decision for decision in decisions if isinstance(decision, Probe)]
    assert len(probes) == 1
    assert (await denied(theirs)).kind is OpenKind.UNPROVEN
    await ours.record_success(ACCOUNT, probes[0].token)
    assert await theirs.allow(ACCOUNT) == Allowed()


async def test_the_first_401_stops_everybody_and_late_successes_do_not_undo_it(redis_client: Redis) -> None:
    ours, theirs, _ = await proven(redis_client)
    await ours.record_failure(ACCOUNT, FailureKind.CREDENTIALS, "401 from the provider")
    await theirs.record_success(ACCOUNT)
    refused = await denied(theirs)
    assert (refused.kind, refused.reason) == (OpenKind.CREDENTIALS, "401 from the provider")
    assert refused.retry_in == pytest.approx(900.0)
    shown = await ours.snapshot(ACCOUNT)
    assert (shown.state, shown.needs_operator, shown.by) == (BreakerState.OPEN, True, "worker")


async def test_wrong_credentials_are_probed_rarely_and_ever_more_rarely(redis_client: Redis) -> None:
    ours, _, clock = await two_workers(redis_client)
    logins, hours = 0, 12
    for _ in range(hours * 60):
        decision = await ours.allow(ACCOUNT)
        if isinstance(decision, Probe):
            logins += 1
            await ours.record_failure(ACCOUNT, FailureKind.CREDENTIALS, token=decision.token)
        await clock.advance(60_000_000)
    assert 4 <= logins <= 7


async def test_a_successful_probe_closes_after_the_credentials_were_mended(redis_client: Redis) -> None:
    ours, theirs, clock = await proven(redis_client)
    await fail(ours, 1, FailureKind.CREDENTIALS)
    await clock.advance(900_000_000)
    token = await probe_of(theirs)
    assert (await ours.snapshot(ACCOUNT)).state is BreakerState.HALF_OPEN
    await theirs.record_success(ACCOUNT, token)
    assert await ours.allow(ACCOUNT) == Allowed()
    assert (await ours.snapshot(ACCOUNT)).by == "probe"


async def test_an_operator_closes_whatever_the_reason_was(redis_client: Redis) -> None:
    ours, theirs, _ = await proven(redis_client)
    for kind in (OpenKind.CREDENTIALS, OpenKind.PAUSED, OpenKind.OPERATOR):
        await ours.open(ACCOUNT, "because", kind=kind)
        await denied(theirs)
        await theirs.close(ACCOUNT, by="ann")
        assert await ours.allow(ACCOUNT) == Allowed()
        assert (await ours.snapshot(ACCOUNT)).by == "ann"


async def test_what_an_operator_opened_is_never_probed(redis_client: Redis) -> None:
    ours, _, clock = await proven(redis_client)
    await ours.open(ACCOUNT, "maintenance", by="ann")
    for _ in range(5):
        await clock.advance(3_600_000_000)
        assert (await denied(ours)).kind is OpenKind.OPERATOR


async def test_errors_in_a_row_open_it_and_one_success_between_starts_the_row_again(redis_client: Redis) -> None:
    ours, theirs, _ = await proven(redis_client, min_calls=1000)
    await fail(ours, 7)
    await theirs.record_success(ACCOUNT)
    await fail(theirs, 7, FailureKind.TIMEOUT)
    assert await ours.allow(ACCOUNT) == Allowed()
    await fail(ours, 1, FailureKind.UNREACHABLE)
    refused = await denied(theirs)
    assert (refused.kind, refused.reason) == (OpenKind.ERRORS, "unreachable")
    assert refused.retry_in == pytest.approx(5.0)


async def test_half_of_the_last_calls_failing_opens_it_although_never_many_in_a_row(redis_client: Redis) -> None:
    ours, _, clock = await proven(redis_client)
    for _ in range(9):
        await clock.advance(600_000)
        await ours.record_success(ACCOUNT)
        await fail(ours, 1)
    assert await ours.allow(ACCOUNT) == Allowed()
    await fail(ours, 1)
    assert (await denied(ours)).kind is OpenKind.ERRORS


async def test_successes_not_yet_reported_count_before_the_failure_that_follows(redis_client: Redis) -> None:
    ours, _, _ = await proven(redis_client)
    await ours.record_success(ACCOUNT)
    for _ in range(4):
        await fail(ours, 5)
        await ours.record_success(ACCOUNT, count=30)
    assert await ours.allow(ACCOUNT) == Allowed()


async def test_old_outcomes_are_forgotten_after_a_silence(redis_client: Redis) -> None:
    ours, _, clock = await proven(redis_client)
    await fail(ours, 7)
    await clock.advance(61_000_000)
    await fail(ours, 7)
    assert await ours.allow(ACCOUNT) == Allowed()


async def test_the_cool_down_grows_with_each_failed_probe_and_starts_again_after_a_long_peace(
    redis_client: Redis,
) -> None:
    ours, _, clock = await proven(redis_client)
    await fail(ours, 8)
    waits = []
    for _ in range(8):
        wait = (await denied(ours)).retry_in
        waits.append(round(wait))
        await clock.advance(round(wait * 1e6))
        await ours.record_failure(ACCOUNT, ERROR, token=await probe_of(ours))
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]
    await clock.advance(300_000_000)
    await ours.record_success(ACCOUNT, await probe_of(ours))
    await clock.advance(301_000_000)
    await fail(ours, 8)
    assert (await denied(ours)).retry_in == pytest.approx(5.0)


async def test_a_relapse_soon_after_closing_waits_longer_than_the_first_time(redis_client: Redis) -> None:
    ours, _, clock = await proven(redis_client)
    await fail(ours, 8)
    await clock.advance(5_000_000)
    await ours.record_success(ACCOUNT, await probe_of(ours))
    await fail(ours, 8)
    assert (await denied(ours)).retry_in == pytest.approx(10.0)


async def test_a_dead_prober_frees_the_probe_when_its_lease_ends_and_its_late_word_is_ignored(
    redis_client: Redis,
) -> None:
    ours, theirs, clock = await two_workers(redis_client)
    dead = await probe_of(ours)
    await clock.advance(89_000_000)
    assert (await denied(theirs)).retry_in <= 1.0
    await clock.advance(1_000_001)
    alive = await probe_of(theirs)
    await ours.record_success(ACCOUNT, dead)
    await ours.record_failure(ACCOUNT, ERROR, token=dead)
    assert (await theirs.snapshot(ACCOUNT)).probing
    await theirs.record_success(ACCOUNT, alive)
    assert await ours.allow(ACCOUNT) == Allowed()


async def test_a_prober_that_sent_nothing_gives_its_turn_back_at_once(redis_client: Redis) -> None:
    ours, theirs, _ = await two_workers(redis_client)
    token = await probe_of(ours)
    await theirs.release(ACCOUNT, "somebody else's")
    await denied(theirs)
    await ours.release(ACCOUNT, token)
    assert await probe_of(theirs) != token


async def test_out_of_credit_pauses_and_being_told_twenty_times_makes_it_no_longer(redis_client: Redis) -> None:
    ours, theirs, clock = await proven(redis_client)
    for _ in range(20):
        await ours.pause(ACCOUNT, "insufficient_balance", 0.0)
        await theirs.record_failure(ACCOUNT, FailureKind.OUT_OF_CREDIT)
    assert (await denied(theirs)).retry_in == pytest.approx(600.0)
    await ours.pause(ACCOUNT, "insufficient_balance", 1200.0)
    assert (await denied(theirs)).retry_in == pytest.approx(1200.0)
    await clock.advance(1_200_000_000)
    assert await probe_of(ours)


async def test_a_graver_reason_replaces_a_lighter_one_and_never_the_other_way(redis_client: Redis) -> None:
    ours, theirs, clock = await proven(redis_client)
    await fail(ours, 8)
    await fail(theirs, 1, FailureKind.CREDENTIALS)
    await ours.pause(ACCOUNT, "no credit", 5.0)
    await fail(ours, 20)
    assert (await denied(ours)).kind is OpenKind.CREDENTIALS
    await clock.advance(900_000_000)
    await ours.record_failure(ACCOUNT, FailureKind.TIMEOUT, token=await probe_of(ours))
    assert (await denied(ours)).kind is OpenKind.CREDENTIALS


async def test_a_401_during_somebody_elses_probe_takes_the_probe_away(redis_client: Redis) -> None:
    ours, theirs, clock = await proven(redis_client)
    await fail(ours, 8)
    await clock.advance(5_000_000)
    token = await probe_of(ours)
    await fail(theirs, 1, FailureKind.CREDENTIALS)
    await ours.record_success(ACCOUNT, token)
    assert (await denied(ours)).kind is OpenKind.CREDENTIALS


async def test_accounts_do_not_share_a_breaker(redis_client: Redis) -> None:
    ours, _, _ = await proven(redis_client)
    await ours.record_failure("other", FailureKind.CREDENTIALS)
    assert await ours.allow(ACCOUNT) == Allowed()


async def test_after_a_wipe_one_probe_goes_first_again(redis_server: EmbeddedRedis, redis_client: Redis) -> None:
    ours, theirs, clock = await proven(redis_client)
    await fail(ours, 1, FailureKind.CREDENTIALS)
    redis_server.wipe()
    await clock.advance(0)
    assert await probe_of(ours)
    await denied(theirs)


async def test_without_redis_nobody_may_send() -> None:
    breaker = CircuitBreaker(Redis.from_url("unix:///nowhere/redis.sock"))
    with pytest.raises(BreakerUnavailable):
        await breaker.allow(ACCOUNT)


steps = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 1)),
    st.tuples(st.just("succeed"), st.integers(0, 3)),
    st.tuples(st.just("fail"), st.sampled_from(list(FailureKind))),
    st.tuples(st.just("probe fails"), st.sampled_from(list(FailureKind))),
    st.tuples(st.just("wait"), st.sampled_from([1, 6, 95, 1000])),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, max_size=30))
async def test_whatever_happens_there_is_never_a_second_live_probe_and_never_a_way_past_an_open_breaker(
    redis_server: EmbeddedRedis, happenings: list[tuple[str, object]]
) -> None:
    redis_server.wipe()
    async with Redis.from_url(redis_server.url) as redis:
        *workers, clock = await two_workers(redis, streak=3)
        token = ""
        for what, detail in happenings:
            match what, detail:
                case "ask", int(who):
                    before = await workers[0].snapshot(ACCOUNT)
                    decision = await workers[who].allow(ACCOUNT)
                    assert isinstance(decision, Allowed) == (before.state is BreakerState.CLOSED)
                    if isinstance(decision, Probe):
                        assert not before.probing
                        assert before.probe_in == 0
                        token = decision.token
                case "succeed", int(how):
                    await workers[0].record_success(ACCOUNT, token if how else "")
                case "fail", FailureKind() as kind:
                    await workers[1].record_failure(ACCOUNT, kind)
                case "probe fails", FailureKind() as kind:
                    await workers[1].record_failure(ACCOUNT, kind, token=token)
                case "wait", int(seconds):
                    await clock.advance(seconds * 1_000_000)
            shown = await workers[0].snapshot(ACCOUNT)
            assert (shown.kind is None) == (shown.state is BreakerState.CLOSED)
            assert shown.probing <= (shown.state is BreakerState.HALF_OPEN)
