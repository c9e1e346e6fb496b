"""The cluster-wide rate limiter: what leaves for a provider, and when.

Every process that talks to a provider asks here first. One atomic script (rate_limit.lua) on the Redis clock decides
for all of them; it hands out slots, moments at which one request may leave, so that no window of any alignment ever
holds more than the provider allows, and so that nobody polls for leave.

    grant = await limiter.acquire(budget, [Cost()] * 16)
    ...commit the intents...
    for permit in grant.permits:
        if await limiter.wait(permit) is Verdict.GO:
            ...send...

Commit the intent of a request before `wait` answers: after a loss of Redis the log is rebuilt from those intents.
Without Redis nothing is granted (LimiterUnavailable).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any, Final

from redis.asyncio import Redis

from config.accounts import Counts
from workers import rate_seed
from workers.rate_clock import MICROSECOND, ServerClock
from workers.rate_permits import (
    RATE_SPAN,
    Grant,
    LimitSnapshot,
    Permit,
    RecentCosts,
    Verdict,
    WaitReason,
    WindowUse,
)
from workers.rate_rules import LONGEST_MARGIN, UNIT_NUMBER, Budget, Cost, Pace, Window, check_costs, plan_pace
from workers.redis_scripts import CoordinationLost, Edit, Script, read_source

MOST_PERMITS: Final = 1000
MOST_GIVEN_BACK: Final = 200
FURTHEST_HORIZON: Final = 60.0
LOOK_BACK: Final = 5.0
SEED_ROUNDS: Final = 5
# Seconds an intent's row may take to become visible to another worker's query.
LONGEST_COMMIT: Final = 0.1


class LimiterUnavailable(CoordinationLost):
    """Redis is lost: nothing may be sent."""


@dataclass(frozen=True, slots=True)
class LimiterSettings:
    """Seconds, unless said otherwise.

    horizon      how far ahead slots are reserved when the caller does not say
    recheck      a permit is used without asking Redis again if we heard from it this recently
    ramp_from    share of the full rate right after a block; full again after the longest window, at least 5, at most 30
    peak         catching up runs at most at this multiple of the steady rate: more makes bursts, and those jitter
    seed_slack   an intent is committed this much before its request leaves, at most
    observe_every  one look at a provider's rate headers per budget and process in this time is enough
    """

    horizon: float = 2.0
    recheck: float = 0.1
    ramp_from: float = 0.25
    peak: float = 1.1
    seed_slack: float = 2.5
    observe_every: float = 0.25
    trip_timeout: float = 2.0


@dataclass(frozen=True, slots=True)
class _Heard:
    epoch: int
    at: float


class RateLimiter:
    """One per process and event loop; any number of budgets. `clock` is monotonic seconds."""

    def __init__(
        self,
        redis: Redis,
        recent_costs: RecentCosts,
        *,
        settings: LimiterSettings | None = None,
        prefix: str = "drumline",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        edit: Edit = lambda source: source,
    ) -> None:
        self._settings = settings or LimiterSettings()
        self._recent_costs, self._prefix, self._clock, self._sleep = recent_costs, prefix, clock, sleep
        self._grant, self._seed, self._feedback = (
            Script(
                redis,
                edit(read_source("rate_limit_common.lua", name)),
                timeout=self._settings.trip_timeout,
                error=LimiterUnavailable,
            )
            for name in ("rate_limit.lua", "rate_limit_seed.lua", "rate_limit_feedback.lua")
        )
        self._server = ServerClock()
        self._steps_known: dict[str, int] = {}
        self._heard: dict[str, _Heard] = {}
        self._checks: dict[str, asyncio.Task[None]] = {}
        self._seeding: dict[str, asyncio.Lock] = {}
        self._observed_at: dict[str, float] = {}
        self._given_back: dict[str, list[Permit]] = {}

    async def acquire(
        self, budget: Budget, costs: Sequence[Cost], horizon: float | None = None, lead: float = 0.0
    ) -> Grant:
        """Permits for as many of `costs`, in order, as find a slot within `horizon` seconds (at most 60).

        No slot is sooner than in `lead` seconds: what has to happen before a request leaves takes its time.
        Reserve further ahead for the few requests that must not starve (polls, look-ups): slots are given in the order
        of asking, so a longer horizon always finds one. At most 1,000 permits per call.
        Raises CostTooLarge, LimiterUnavailable, and whatever `recent_costs` raises.
        """
        check_costs(budget.windows, costs)
        pace = plan_pace(budget.windows)
        ahead = min(self._settings.horizon if horizon is None else horizon, FURTHEST_HORIZON)
        args = self._grant_args(budget, pace, costs[:MOST_PERMITS], (ahead, min(lead, ahead)))
        for _ in range(SEED_ROUNDS):
            answer = await self._trip(self._grant, budget.key, args)
            stepped = self._clock_stepped(budget.key)
            if answer[0] == "ok" and not stepped:
                return self._to_grant(budget, pace, costs, ahead, answer)
            await self._rebuild(budget, pace, int(answer[2]), forced=stepped)
        raise LimiterUnavailable("the log was lost again and again")

    def give_back(self, permit: Permit) -> None:
        """Nothing left by this permit, and nothing will: the next question about its budget says so, and its place in
        the windows is free again. Only for what is certain: a request that may have left keeps its place."""
        waiting = self._given_back.setdefault(permit.key, [])
        if len(waiting) < MOST_GIVEN_BACK:
            waiting.append(permit)

    async def wait(self, permit: Permit) -> Verdict:
        """Sleeps until the permit's slot; GO means: send now, within the permit's grace."""
        settings = self._settings
        if permit.unhurried and permit.not_before <= self._clock():  # no slot that a trip now would keep free
            return await self.verdict(permit)
        # Ask again shortly before the slot, so that the trip does not eat the grace.
        await self._sleep_until(permit.not_before - settings.recheck / 4)
        if self._clock() - self._last_heard(permit.key) > settings.recheck / 2:
            await self._hear(permit.key)
        await self._sleep_until(permit.not_before)
        return await self.verdict(permit)

    async def verdict(self, permit: Permit) -> Verdict:
        """Whether a permit whose slot has come may be used; asks Redis only if its last word is not fresh."""
        while self._stale(permit.key) and not self._late(permit):
            await self._hear(permit.key)
            if permit.unhurried:
                break  # no window depends on it: on a crowded machine a fresher word may never come
        if self._late(permit):
            return Verdict.LATE
        return Verdict.GO if self._heard[permit.key].epoch == permit.epoch else Verdict.VOID

    def _stale(self, key: str) -> bool:
        return self._clock() - self._last_heard(key) > self._settings.recheck

    async def block(self, budget: Budget, seconds: float, reason: str, *, too_fast: bool = False) -> float:
        """No worker sends for `seconds` (a day at most); permits already given are void; then the rate ramps up.

        Only ever extends. `too_fast`: the provider counted more than our log; then the way to it delays requests by
        more than the margins allow for, and every window gets longer by 10 ms, at the next refusal by 20, up to 100;
        half of it is forgotten every five minutes. Answers the seconds the block really lasts.
        """
        answer = await self._feed(budget, "block", [int(max(0.0, seconds) * MICROSECOND), reason, int(too_fast)])
        return int(answer[2]) / MICROSECOND

    async def unblock(self, budget: Budget) -> None:
        """An operator ends a block early."""
        await self._feed(budget, "unblock", [])

    async def observe(
        self, budget: Budget, *, limit: int | None, remaining: int, reset_in: float | None = None, age: float = 0.0
    ) -> int:
        """Compares a provider's X-RateLimit-Remaining with our own log; answers how much somebody else has used.

        That much is taken from the allowance until `reset_in` (or a window) has passed or a later answer says
        otherwise. At full speed our own remaining is near zero as well, so a low figure alone slows nothing down.
        `limit` tells which window is meant (else: the longest of requests); `age` is how long ago the request was sent.
        Looks at most every `observe_every` seconds.
        """
        window = _window_meant(budget.windows, limit)
        if window is None or not self._observation_due(budget.key):
            return 0
        margin = plan_pace(budget.windows).margins[budget.windows.index(window)]
        back = window.per + margin + min(age, LOOK_BACK)
        valid = window.per if reset_in is None else max(0.0, reset_in)
        figures = [
            *_unit_limit_length(window),
            int(back * MICROSECOND),
            max(0, remaining),
            int(valid * MICROSECOND),
            max(1, window.limit // 50),
        ]
        return int((await self._feed(budget, "observe", figures))[2])

    async def snapshot(self, budget: Budget) -> LimitSnapshot:
        """What operators see; reserves nothing."""
        pace = plan_pace(budget.windows)
        figures = chain.from_iterable(_window_args(budget.windows, pace))
        head = [self._settings.ramp_from, _ramp_length(budget.windows), int(RATE_SPAN * MICROSECOND)]
        answer = await self._feedback.run(self._keys(budget.key), ["snapshot", *head, *figures])
        return _to_snapshot(budget, answer)

    # -- trips ---------------------------------------------------------------------------------------------------

    def _keys(self, key: str) -> list[str]:
        # The braces keep all keys of a budget in one slot of a Redis Cluster.
        base = f"{self._prefix}:limit:{{{key}}}"
        return [f"{base}:state", *(f"{base}:{unit}" for unit in Counts), f"{base}:returned"]

    async def _trip(self, script: Script, key: str, args: Sequence[str | int | float]) -> list[Any]:
        """A trip whose answer is ['word', server µs, epoch, …]: tells the clock and the epoch in passing."""
        asked = self._clock()
        answer = await script.run(self._keys(key), args)
        self._note(key, int(answer[1]), int(answer[2]) if answer[0] != "unseeded" else 0, asked)
        return answer

    async def _feed(self, budget: Budget, operation: str, args: Sequence[str | int | float]) -> list[Any]:
        asked = self._clock()
        answer = await self._feedback.run(self._keys(budget.key), [operation, *args])
        self._note(budget.key, int(answer[0]), int(answer[1]), asked)
        return answer

    def _note(self, key: str, server_us: int, epoch: int, asked: float) -> None:
        self._server.observe(server_us, asked, self._clock())
        # Answers can overtake each other: an older one must not hide that permits became void.
        if asked >= self._last_heard(key):
            self._heard[key] = _Heard(epoch, asked)

    def _last_heard(self, key: str) -> float:
        heard = self._heard.get(key)
        return heard.at if heard else float("-inf")

    async def _hear(self, key: str) -> None:
        """One check for all permits of the budget that wait at this moment."""
        if key not in self._checks:
            self._checks[key] = asyncio.create_task(self._check(key))
            self._checks[key].add_done_callback(lambda _: self._checks.pop(key))
        await asyncio.shield(self._checks[key])

    async def _check(self, key: str) -> None:
        asked = self._clock()
        answer = await self._feedback.run(self._keys(key), ["check"])
        self._note(key, int(answer[0]), int(answer[1]), asked)

    # -- permits -------------------------------------------------------------------------------------------------

    def _grant_args(
        self, budget: Budget, pace: Pace, costs: Sequence[Cost], ahead: tuple[float, float]
    ) -> list[str | int | float]:
        """`ahead`: the furthest and the nearest slot, in seconds from now."""
        runs = ((sum(1 for _ in same), *cost.as_tuple()) for cost, same in groupby(costs))
        back = self._given_back.pop(budget.key, [])
        return [
            *(int(seconds * MICROSECOND) for seconds in ahead),
            self._settings.ramp_from,
            _ramp_length(budget.windows),
            int(pace.tolerance * MICROSECOND),
            budget.peak or self._settings.peak,
            len(budget.windows),
            *chain.from_iterable(_window_args(budget.windows, pace)),
            *_spans(budget.windows, pace),
            len(back),
            *chain.from_iterable((permit.epoch, permit.slot, *permit.cost.as_tuple()) for permit in back),
            *chain.from_iterable(runs),
        ]

    def _to_grant(self, budget: Budget, pace: Pace, costs: Sequence[Cost], horizon: float, answer: list[Any]) -> Grant:
        now, epoch, next_slot, why, slots = answer[1:]
        permits = tuple(
            self._permit(budget, cost, int(epoch), int(slot), pace)
            for cost, slot in zip(costs, slots.split(), strict=False)
        )
        if not next_slot:
            return Grant(permits)
        later = (int(next_slot) - int(now)) / MICROSECOND
        window = budget.windows[why] if isinstance(why, int) else None
        reason = WaitReason.WINDOW if window else WaitReason(why)
        return Grant(permits, max(0.001, later - horizon), later, reason, window)

    def _permit(self, budget: Budget, cost: Cost, epoch: int, slot: int, pace: Pace) -> Permit:
        # Not before the slot by the slowest reading of the server's clock, not after its grace by the fastest.
        starts, ends = self._server.latest(slot), self._server.earliest(slot) + pace.grace
        return Permit(budget.key, cost, epoch, starts, ends, slot)

    def _late(self, permit: Permit) -> bool:
        return permit.expired(self._clock())

    async def _sleep_until(self, moment: float) -> None:
        # Event loops may wake a little early (uvloop counts whole milliseconds), and a slot is never left early.
        while (left := moment - self._clock()) > 0:
            await self._sleep(left)

    # -- the log's soundness ---------------------------------------------------------------------------------------

    def _clock_stepped(self, key: str) -> bool:
        """The server's clock jumped since this budget's log was last known to be sound."""
        return self._steps_known.setdefault(key, self._server.steps) != self._server.steps

    async def _rebuild(self, budget: Budget, pace: Pace, epoch: int, *, forced: bool) -> None:
        """Waits until no permit of the lost log can be in use any more, then seeds a new one from the database.

        Permits of before are void for every worker within `recheck`, and used within their grace: hence the hold.
        """
        lock = self._seeding.setdefault(budget.key, asyncio.Lock())
        waited = lock.locked()
        async with lock:
            if waited:
                return
            steps = self._server.steps
            await self._sleep(self._settings.recheck + min(pace.grace, LONGEST_MARGIN) + LONGEST_COMMIT)
            slack, spans = self._settings.seed_slack, _spans(budget.windows, pace)
            past = await self._recent_costs(budget.account, budget.name, max(spans) / MICROSECOND + slack)
            rows = rate_seed.rows(past, slack=slack, span=max(spans) / MICROSECOND, grain=_grain(budget.windows))
            head = [epoch, int(forced), *spans]
            await self._trip(self._seed, budget.key, [*head, *chain.from_iterable(rows)])
            self._steps_known[budget.key] = steps

    def _observation_due(self, key: str) -> bool:
        now = self._clock()
        if now - self._observed_at.get(key, float("-inf")) < self._settings.observe_every:
            return False
        self._observed_at[key] = now
        return True


def _window_meant(windows: Sequence[Window], limit: int | None) -> Window | None:
    of_requests = [window for window in windows if window.counts is Counts.REQUESTS]
    of_requests.sort(key=lambda window: (window.limit == limit, window.per))
    return of_requests[-1] if of_requests else None


def _unit_limit_length(window: Window) -> tuple[int, int, int]:
    return UNIT_NUMBER[window.counts], window.limit, round(window.per * MICROSECOND)


def _window_args(windows: Sequence[Window], pace: Pace) -> list[tuple[int, ...]]:
    return [
        (*_unit_limit_length(window), round(margin * MICROSECOND))
        for window, margin in zip(windows, pace.margins, strict=True)
    ]


def _spans(windows: Sequence[Window], pace: Pace) -> list[int]:
    """How far back (µs) the log of each unit must reach; 0: the unit is not counted."""
    spans = dict.fromkeys(Counts, 0)
    for window, margin in zip(windows, pace.margins, strict=True):
        span = round((window.per + margin + LOOK_BACK) * MICROSECOND)
        spans[window.counts] = max(spans[window.counts], span)
    return list(spans.values())


def _ramp_length(windows: Sequence[Window]) -> int:
    longest = max((window.per for window in windows), default=0.0)
    return round(min(30.0, max(5.0, longest)) * MICROSECOND)


def _grain(windows: Sequence[Window]) -> float:
    return min((window.per for window in windows), default=1.0) / 100


def _to_snapshot(budget: Budget, answer: list[Any]) -> LimitSnapshot:
    now, seeded, blocked_us, reason, ramp_ppm, sent, *uses = answer
    windows = tuple(
        WindowUse(window, int(used), int(ahead), int(foreign), max(0.0, (int(free) - int(now)) / MICROSECOND))
        for window, (used, ahead, foreign, free) in zip(budget.windows, uses, strict=True)
    )
    first_free = max((use.next_free_in for use in windows), default=max(0.0, int(blocked_us) / MICROSECOND))
    return LimitSnapshot(
        key=budget.key,
        seeded=bool(seeded),
        windows=windows,
        blocked_for=int(blocked_us) / MICROSECOND,
        reason=str(reason) if int(blocked_us) else "",
        ramp=int(ramp_ppm) / 1_000_000,
        requests_per_second=int(sent[0]) / RATE_SPAN,
        messages_per_second=int(sent[1]) / RATE_SPAN,
        next_free_in=first_free,
    )
