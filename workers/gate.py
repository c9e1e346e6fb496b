"""The one door through which an account's requests leave: breaker and limiter, and what answers teach them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from config.accounts import Account
from models.queries import recent_costs
from providers.base import Allowance, Misconfigured, OutOfCredit, Provider, ServerTrouble, Signal, Throttle
from providers.wire import NotSent, WireError
from workers.breaker import CircuitBreaker, Denied, FailureKind, Probe
from workers.rate_limit import RateLimiter
from workers.rate_permits import PastCost, Permit, Verdict
from workers.rate_rules import Budget, Cost, poll_budget, submit_budget
from workers.redis_scripts import CoordinationLost

if TYPE_CHECKING:
    from workers.runtime import Runtime

__all__ = ["Cost", "Gate", "Gates", "Pass", "Wait", "make_gates"]

log = structlog.get_logger("drumline.gate")

NEAR = 0.2  # seconds
LEAVE_WITHIN = 2.5  # seconds from the intent: what a limiter that lost its memory allows for (see rate_limit)
REDIS_LOST_WAIT = 1.0  # seconds until asking again: nothing leaves without Redis
FIRST_BLOCK = 5.0  # seconds, for a 429 that names no time; doubles with each one in a row
LONGEST_BLOCK = 300.0

OURS = frozenset({"too_late", "shutdown"})  # no answer for reasons of our own: nothing is learnt of the account

SUBMIT_KINDS = ("submit", "replay")
POLL_KINDS = ("poll", "look_up", "probe")


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may leave for `seconds`."""

    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Pass:
    """Leave for one request to leave, at its slot. A probe's `token` tells the breaker whose answer it is."""

    permit: Permit
    token: str
    _limiter: RateLimiter

    async def come_near(self) -> None:
        """Sleep until shortly before the slot: for whoever writes an intent that shall not be old when it leaves."""
        await asyncio.sleep(self.permit.not_before - time.monotonic() - NEAR)

    async def wait(self) -> bool:
        """Sleep until the slot. False: the moment was missed, or the account was blocked meanwhile; take a new one."""
        try:
            return await self._limiter.wait(self.permit) is Verdict.GO
        except CoordinationLost:
            return False


class Gate:
    """One budget of one account in this process."""

    def __init__(self, account: str, budget: Budget, limiter: RateLimiter, breaker: CircuitBreaker) -> None:
        self.account = account
        self.budget = budget
        self.limiter = limiter
        self.breaker = breaker
        self._bare_throttles = 0

    async def ask(self, costs: Sequence[Cost], horizon: float) -> list[Pass] | Wait:
        """Passes for the first of these requests, as far as slots are to be had within `horizon` seconds."""
        try:
            decision = await self.breaker.allow(self.account)
            if isinstance(decision, Denied):
                return Wait(decision.retry_in, f"breaker: {decision.reason or decision.kind}")
            token = decision.token if isinstance(decision, Probe) else ""
            return await self._permits(costs[:1] if token else costs, horizon, token)
        except CoordinationLost:
            return Wait(REDIS_LOST_WAIT, "Redis does not answer")

    async def _permits(self, costs: Sequence[Cost], horizon: float, token: str) -> list[Pass] | Wait:
        """Whoever holds the breaker's probe and gets no permit gives the probe back."""
        granted = False
        try:
            grant = await self.limiter.acquire(self.budget, costs, horizon)
            granted = bool(grant.permits)
        finally:
            if token and not granted:
                await self._quietly(self.breaker.release(self.account, token))
        if not granted:
            return Wait(max(grant.wait, 0.005), str(grant.reason))
        return [Pass(permit, token, self.limiter) for permit in grant.permits]

    async def one(self, cost: Cost, horizon: float) -> Pass | Wait:
        answer = await self.ask([cost], horizon)
        return answer if isinstance(answer, Wait) else answer[0]

    async def clear(self, passed: Pass, cost: Cost, leave_by: float) -> Pass | None:
        """The pass once its moment has come, or another one where that was missed because the intent took long to
        commit: with a slow database nothing would ever leave otherwise. None: nothing may leave by `leave_by`
        (monotonic), and no pass is held any more."""
        while not await passed.wait():
            await self.unused(passed)
            left = leave_by - time.monotonic()
            answer = await self.one(cost, left) if left > 0 else Wait(0.0, "too late")
            if isinstance(answer, Wait):
                return None
            passed = answer
        return passed

    async def unused(self, passed: Pass) -> None:
        """The pass was not used after all."""
        if passed.token:
            await self._quietly(self.breaker.release(self.account, passed.token))

    async def learn(self, signal: Signal | None, allowance: Allowance | None, passed: Pass | None) -> None:
        """What an answer says about the account: everybody obeys it at once."""
        token = passed.token if passed else ""
        await self._quietly(self._signal(signal, token))
        if allowance is not None:
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
            await self.unused(passed)
            return
        kind = FailureKind.UNREACHABLE if isinstance(error, NotSent) else FailureKind.TIMEOUT
        await self._quietly(self.breaker.record_failure(self.account, kind, error.reason, passed.token))

    async def _signal(self, signal: Signal | None, token: str) -> None:
        match signal:
            case None:
                self._bare_throttles = 0
                await self.breaker.record_success(self.account, token)
            case Throttle(retry_after=seconds, reason=reason):
                await self.limiter.block(self.budget, self._block_seconds(seconds), reason)
                await self.breaker.record_success(self.account, token)
            case Misconfigured(code=code, reason=reason, retry_after=seconds):
                if seconds:
                    await self.limiter.block(self.budget, seconds, reason)
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

    def _block_seconds(self, named: float | None) -> float:
        if named is not None:
            self._bare_throttles = 0
            return named
        self._bare_throttles += 1
        return min(FIRST_BLOCK * 2.0 ** min(self._bare_throttles - 1, 10), LONGEST_BLOCK)

    async def _quietly(self, call: object) -> None:
        """Redis may be away when an answer comes: the answer is recorded all the same, the lesson is lost."""
        try:
            await call  # type: ignore[misc]  # an awaitable of either coordination script
        except CoordinationLost as error:
            log.warning("lesson_lost", account=self.account, error=type(error).__name__)


@dataclass(frozen=True, slots=True)
class Gates:
    submit: Gate
    poll: Gate


def make_gates(runtime: Runtime, account: Account, provider: Provider) -> Gates:
    """Polls go through the submit budget where the provider counts them together."""
    submit = Gate(account.name, submit_budget(account), runtime.limiter, runtime.breaker)
    if account.poll_limits is None and provider.shares_poll_budget:
        return Gates(submit, submit)
    budget = Budget(account.name, (), "poll") if account.poll_limits is None else poll_budget(account)
    return Gates(submit, Gate(account.name, budget, runtime.limiter, runtime.breaker))


async def past_costs(runtime: Runtime, account: str, budget: str, seconds: float) -> list[PastCost]:
    """What a limiter that lost its memory relearns from the attempts."""
    opened = await runtime.account(account)
    shared = opened.gate is opened.poll_gate
    kinds = SUBMIT_KINDS + POLL_KINDS if shared else (POLL_KINDS if budget == "poll" else SUBMIT_KINDS)
    rows = await runtime.read(recent_costs, account, runtime.now(), seconds, kinds)
    return [PastCost(*row) for row in rows]
