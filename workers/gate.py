"""The one door through which an account's requests leave: breaker and limiter, and what answers teach them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from config.accounts import Account
from models.queries import campaign_costs, recent_costs, sender_costs
from providers.base import Allowance, Misconfigured, OutOfCredit, Provider, ServerTrouble, Signal, Throttle
from providers.wire import NotSent, WireError
from workers.breaker import Allowed, CircuitBreaker, Decision, Denied, FailureKind, OpenKind, Probe
from workers.rate_limit import RateLimiter
from workers.rate_permits import PastCost, Permit, Verdict, WaitReason
from workers.rate_rules import Budget, Cost, own_poll_budget, submit_budget
from workers.redis_scripts import CoordinationLost
from workers.toll import CAMPAIGN, SENDER, Toll

if TYPE_CHECKING:
    from workers.runtime import Runtime

__all__ = ["Cost", "Door", "Gate", "Gates", "Pass", "Wait", "make_gates"]

log = structlog.get_logger("drumline.gate")

NEAR = 0.2  # seconds
LEAVE_WITHIN = 2.5  # seconds from the intent: what a limiter that lost its memory allows for (see rate_limit)
REDIS_LOST_WAIT = 1.0  # seconds until asking again: nothing leaves without Redis
FIRST_BLOCK = 5.0  # seconds, for a 429 that names no time; doubles with each one in a row
LONGEST_BLOCK = 300.0
LEAST_WAIT = 0.005
CLOSED_FOR = 0.1
OPERATOR_WAIT = 60.0

OURS = frozenset({"too_late", "shutdown"})  # no answer for reasons of our own: nothing is learnt of the account

SUBMIT_KINDS = ("submit", "replay")
POLL_KINDS = ("poll", "look_up", "probe")


class Door(StrEnum):
    """What is shut."""

    PACE = "pace"  # the account's allowance: the next slot is not yet due
    TOLL = "toll"  # the campaign's or the sender's own limit
    BLOCKED = "blocked"  # the provider said: nobody
    BREAKER = "breaker"
    REDIS = "redis"


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may leave for `seconds`."""

    seconds: float
    reason: str
    door: Door = Door.PACE

    @property
    def for_all(self) -> bool:
        """The whole account is shut, whoever asks."""
        return self.door in {Door.BLOCKED, Door.BREAKER}


@dataclass(frozen=True, slots=True)
class Pass:
    """Leave for one request to leave, at its slot. A probe's `token` tells the breaker whose answer it is. `beside`:
    permits of other strict budgets, which must still be good when the account's slot comes."""

    permit: Permit
    token: str
    _limiter: RateLimiter
    beside: tuple[Permit, ...] = ()

    async def come_near(self) -> None:
        """Sleep until shortly before the slot: for whoever writes an intent that shall not be old when it leaves."""
        await asyncio.sleep(self.permit.not_before - time.monotonic() - NEAR)

    async def wait(self) -> bool:
        """Sleep until the slot. False: the moment was missed, or the account was blocked meanwhile; take a new one."""
        try:
            if await self._limiter.wait(self.permit) is not Verdict.GO:
                return False
            for permit in self.beside:
                if await self._limiter.verdict(permit) is not Verdict.GO:
                    return False
        except CoordinationLost:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Boarding:
    """What a request leaves with: its pass, and what another one must pay and obey. `leave_by`: monotonic seconds.
    `reads`: as for `Gate.ask`."""

    passed: Pass
    cost: Cost
    leave_by: float
    tolls: Sequence[Toll] = ()
    reads: bool = False


class Gate:
    """One budget of one account in this process. `others`: the account's further budgets, shut together with this one
    when the provider shuts out the account as a whole. `changed` is called when the account was shut or opened."""

    def __init__(
        self,
        account: str,
        budget: Budget,
        limiter: RateLimiter,
        breaker: CircuitBreaker,
        others: Sequence[Budget] = (),
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.account = account
        self.budget = budget
        self.limiter = limiter
        self.breaker = breaker
        self.others = tuple(others)
        self._changed = changed
        self._bare_throttles = 0
        self._blocked_at = float("-inf")  # this process's monotonic seconds
        self._closed_at = float("-inf")  # when we last heard that the breaker is closed

    async def ask(
        self,
        costs: Sequence[Cost],
        horizon: float,
        tolls: Sequence[Toll] = (),
        lead: float = 0.0,
        *,
        reads: bool = False,
    ) -> list[Pass] | Wait:
        """Passes for the first of these requests, as far as slots are to be had within `horizon` seconds, and not
        sooner than in `lead` seconds. `reads`: they send no message, and may go where only credit is missing."""
        try:
            decision = await self._breaker_says(reads)
            if isinstance(decision, Denied):
                return _denied(decision)
            token = decision.token if isinstance(decision, Probe) else ""
            return await self._admit(costs[:1] if token else costs, (horizon, lead), tolls, token)
        except CoordinationLost:
            return Wait(REDIS_LOST_WAIT, "Redis does not answer", Door.REDIS)

    async def hear(self, passed: Pass) -> None:
        """Ask once for many: their intents took so long to write that each of them would ask for itself whether its
        permit still holds. Only where no slot is near, before which all have to ask anyway."""
        if passed.permit.unhurried:
            with suppress(CoordinationLost):  # each request finds that out for itself
                await self.limiter.verdict(passed.permit)

    async def _breaker_says(self, reads: bool) -> Decision:
        """That it is closed, is believed for a tenth of a second: less than a request in the air takes. That a read may
        go, says nothing of submits."""
        now = time.monotonic()
        if now - self._closed_at < CLOSED_FOR:
            return Allowed()
        decision = await self.breaker.allow(self.account, reads=reads)
        if not reads:
            self._closed_at = now if isinstance(decision, Allowed) else float("-inf")
        return decision

    async def _admit(
        self, costs: Sequence[Cost], ahead: tuple[float, float], tolls: Sequence[Toll], token: str
    ) -> list[Pass] | Wait:
        """Whoever holds the breaker's probe and gets no permit gives the probe back."""
        answer: list[Pass] | Wait | None = None
        try:
            answer = await self._permits(costs, ahead, tolls, token)
        finally:
            if token and not isinstance(answer, list):
                await self._quietly(self.breaker.release(self.account, token))
        return answer

    async def _permits(
        self, costs: Sequence[Cost], ahead: tuple[float, float], tolls: Sequence[Toll], token: str
    ) -> list[Pass] | Wait:
        paid: list[list[Permit]] = []
        for toll in tolls:
            receipt = await toll.pay(costs)
            if not receipt.permits:
                _keep(tolls, paid, 0)
                return Wait(max(receipt.grant.wait, LEAST_WAIT), f"{toll.budget.key}", Door.TOLL)
            costs = costs[: len(receipt.permits)]
            paid.append(receipt.permits)
        grant = await self.limiter.acquire(self.budget, costs, *ahead)
        _keep(tolls, paid, len(grant.permits))
        if not grant.permits:
            door = Door.BLOCKED if grant.reason is WaitReason.BLOCKED else Door.PACE
            return Wait(max(grant.wait, LEAST_WAIT), str(grant.reason), door)
        strict = [permits for toll, permits in zip(tolls, paid, strict=True) if toll.strict]
        return [
            Pass(permit, token, self.limiter, tuple(permits[place] for permits in strict))
            for place, permit in enumerate(grant.permits)
        ]

    async def one(self, cost: Cost, horizon: float, tolls: Sequence[Toll] = (), *, reads: bool = False) -> Pass | Wait:
        answer = await self.ask([cost], horizon, tolls, reads=reads)
        return answer if isinstance(answer, Wait) else answer[0]

    async def another(self, boarding: Boarding, missed: Pass) -> Pass | None:
        """A pass for one that was missed. None: nothing may leave in time."""
        await self.unused(missed)
        left = boarding.leave_by - time.monotonic()
        answer = await self.one(boarding.cost, left, boarding.tolls, reads=boarding.reads) if left > 0 else None
        return answer if isinstance(answer, Pass) else None

    async def unused(self, passed: Pass) -> None:
        """Nothing left by this pass, and nothing will."""
        self.limiter.give_back(passed.permit)
        await self._release(passed)

    async def _release(self, passed: Pass) -> None:
        if passed.token:
            await self._quietly(self.breaker.release(self.account, passed.token))

    async def learn(self, signal: Signal | None, allowance: Allowance | None, passed: Pass | None) -> None:
        """What an answer says about the account: everybody obeys it at once."""
        if signal is None and allowance is None and not (passed and passed.token):
            # As nearly every time: counting needs no trip, and no coroutine that might make one.
            self._forget_throttles(passed)
            if self.breaker.count_success(self.account):
                await self._quietly(self.breaker.report_successes(self.account))
            return
        if signal is not None:
            self._closed_at = float("-inf")
        await self._quietly(self._signal(signal, passed))
        if not isinstance(signal, ServerTrouble | None) or (passed and passed.token):
            self._changed()
        # A refusal says itself when to come again: that nothing remained then, tells nothing of the time after.
        if allowance is not None and not isinstance(signal, Throttle):
            age = time.monotonic() - passed.permit.not_before if passed else 0.0
            await self._quietly(
                self.limiter.observe(
                    self.budget,
                    limit=allowance.limit,
                    remaining=allowance.remaining,
                    reset_in=allowance.reset_in,
                    age=max(0.0, age),
                )
            )

    async def failed(self, error: WireError, passed: Pass) -> None:
        """No answer: counts towards the breaker."""
        if error.reason in OURS:
            await self._release(passed)
            return
        self._closed_at = float("-inf")
        kind = FailureKind.UNREACHABLE if isinstance(error, NotSent) else FailureKind.TIMEOUT
        await self._quietly(self.breaker.record_failure(self.account, kind, error.reason, passed.token))
        if passed.token:
            self._changed()

    async def _signal(self, signal: Signal | None, passed: Pass | None) -> None:
        token = passed.token if passed else ""
        match signal:
            case None:
                self._forget_throttles(passed)
                await self.breaker.record_success(self.account, token)
            case Throttle(retry_after=seconds, reason=reason):
                await self._block([self.budget], self._block_seconds(seconds, passed), reason, too_fast=True)
                await self.breaker.record_success(self.account, token)
            case Misconfigured(code=code, reason=reason, retry_after=seconds):
                if seconds:
                    # A lock-out is about the account or our address: polls are shut out like submits.
                    await self._block([self.budget, *self.others], seconds, reason)
                log.error("account_misconfigured", account=self.account, code=code, reason=reason)
                await self.breaker.record_failure(
                    self.account, FailureKind.CREDENTIALS, f"{code}: {reason}", token, seconds or 0.0
                )
            case OutOfCredit(code=code, reason=reason):
                log.error("account_out_of_credit", account=self.account, code=code)
                await self.breaker.record_failure(self.account, FailureKind.OUT_OF_CREDIT, f"{code}: {reason}", token)
            case ServerTrouble(status=status, reason=reason):
                await self.breaker.record_failure(
                    self.account, FailureKind.SERVER_ERROR, f"HTTP {status} {reason}", token
                )

    async def _block(self, budgets: Sequence[Budget], seconds: float, reason: str, *, too_fast: bool = False) -> None:
        self._blocked_at = time.monotonic()
        for budget in budgets:
            await self.limiter.block(budget, seconds, reason, too_fast=too_fast)

    def _forget_throttles(self, passed: Pass | None) -> None:
        if not self._left_before_block(passed):
            self._bare_throttles = 0

    def _left_before_block(self, passed: Pass | None) -> bool:
        """The request was under way already when the account was blocked: its answer is about the time before."""
        return passed is not None and passed.permit.not_before < self._blocked_at

    def _block_seconds(self, named: float | None, passed: Pass | None) -> float:
        """A time of nought (negative, or past) is no time: taken at its word it would mean trying again at once."""
        if named:
            self._bare_throttles = 0
            return named
        if self._bare_throttles == 0 or not self._left_before_block(passed):
            self._bare_throttles += 1
        return min(FIRST_BLOCK * 2.0 ** min(self._bare_throttles - 1, 10), LONGEST_BLOCK)

    async def _quietly(self, call: object) -> None:
        """Redis may be away when an answer comes: the answer is recorded all the same, the lesson is lost."""
        try:
            await call  # type: ignore[misc]  # an awaitable of either coordination script
        except CoordinationLost as error:
            log.warning("lesson_lost", account=self.account, error=type(error).__name__)


def _denied(decision: Denied) -> Wait:
    # Only an operator can close it, and closing it is said to everybody: nobody needs to ask every second.
    seconds = OPERATOR_WAIT if decision.kind is OpenKind.OPERATOR else decision.retry_in
    return Wait(seconds, decision.reason or str(decision.kind), Door.BREAKER)


def _keep(tolls: Sequence[Toll], paid: Sequence[Sequence[Permit]], used: int) -> None:
    for toll, permits in zip(tolls, paid, strict=False):
        toll.keep(permits[used:])


@dataclass(frozen=True, slots=True)
class Gates:
    submit: Gate
    poll: Gate


def make_gates(runtime: Runtime, account: Account, provider: Provider) -> Gates:
    """Polls go through the submit budget where the provider counts them together."""
    changed = partial(runtime.show_account, account.name)
    limiter, breaker, submitting = runtime.limiter, runtime.breaker, submit_budget(account)
    if account.poll_limits is None and provider.shares_poll_budget:
        both = Gate(account.name, submitting, limiter, breaker, changed=changed)
        return Gates(both, both)
    polling = own_poll_budget(account, provider.read_limits)
    return Gates(
        Gate(account.name, submitting, limiter, breaker, [polling], changed),
        Gate(account.name, polling, limiter, breaker, [submitting], changed),
    )


async def past_costs(runtime: Runtime, account: str, budget: str, seconds: float) -> list[PastCost]:
    """What a limiter that lost its memory relearns from the attempts."""
    now = runtime.now()
    if account.startswith(CAMPAIGN):
        campaign = UUID(account.removeprefix(CAMPAIGN))
        return _past(await runtime.read(campaign_costs, campaign, now, seconds))
    opened = await runtime.account(account)
    if budget.startswith(SENDER):
        return _past(await runtime.read(sender_costs, account, opened.account.sender or None,
                                        budget.removeprefix(SENDER), now, seconds))  # fmt: skip
    shared = opened.gate is opened.poll_gate
    kinds = SUBMIT_KINDS + POLL_KINDS if shared else (POLL_KINDS if budget == "poll" else SUBMIT_KINDS)
    return _past(await runtime.read(recent_costs, account, now, seconds, kinds))


def _past(rows: Sequence[tuple[float, int, int, int]]) -> list[PastCost]:
    return [PastCost(*row) for row in rows]
