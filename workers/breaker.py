"""The circuit breaker of an account, shared by all workers: an account that is ill gets one probe at a time.

closed     everything may go.
open       nothing may go; when the cool-down has passed, the next who asks becomes the prober (half-open).
half_open  one prober holds a lease; its success closes, its failure opens for longer, its death frees the lease.

An open breaker spends no retry. Without Redis nothing may go (BreakerUnavailable).
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from redis.asyncio import Redis

from workers.redis_scripts import CoordinationLost, Edit, Script, read_source

MICROSECOND = 1_000_000


class BreakerUnavailable(CoordinationLost):
    """Redis is lost: nothing may be sent."""


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class OpenKind(StrEnum):
    """Why a breaker is not closed, from light to grave; a graver reason is never replaced by a lighter one."""

    UNPROVEN = "unproven"  # never used, or Redis was wiped: one request goes first
    ERRORS = "errors"  # too many 5xx and timeouts
    PAUSED = "paused"  # out of credit, or another state of the account that time may mend; reports are still read
    CREDENTIALS = "credentials"  # 401 or 403
    OPERATOR = "operator"  # somebody said so: no probes


class FailureKind(StrEnum):
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    CREDENTIALS = "credentials"
    OUT_OF_CREDIT = "out_of_credit"


OPENS: dict[FailureKind, OpenKind] = {
    FailureKind.SERVER_ERROR: OpenKind.ERRORS,
    FailureKind.TIMEOUT: OpenKind.ERRORS,
    FailureKind.UNREACHABLE: OpenKind.ERRORS,
    FailureKind.CREDENTIALS: OpenKind.CREDENTIALS,
    FailureKind.OUT_OF_CREDIT: OpenKind.PAUSED,
}
NEEDS_OPERATOR = frozenset({OpenKind.CREDENTIALS, OpenKind.OPERATOR})


@dataclass(frozen=True, slots=True)
class CoolDown:
    """Seconds until a probe: `base`, times `factor` for each probe that fails, at most `cap`."""

    base: float
    factor: float = 2.0
    cap: float = 300.0


def _cool_downs() -> dict[OpenKind, CoolDown]:
    return {
        OpenKind.UNPROVEN: CoolDown(1.0),
        OpenKind.ERRORS: CoolDown(5.0),
        OpenKind.PAUSED: CoolDown(600.0, 1.5, 3600.0),
        # Ten bad logins in a minute lock QuickSMS's whole address (QuickSMS API 2.0, Authentication): probe rarely.
        OpenKind.CREDENTIALS: CoolDown(900.0, 2.0, 4 * 3600.0),
        OpenKind.OPERATOR: CoolDown(1.0),
    }


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """Errors open it when `streak` come in a row, or `ratio` of the last `window` calls (of at least `min_calls`) fail.

    Seconds: outcomes are forgotten after a silence of `forget_after`; a dead prober is given up after `probe_lease`
    (more than the longest request); whoever is turned away meanwhile asks again in `poll`; successes are reported
    together, every `report_every`.
    """

    streak: int = 8
    window: int = 50
    min_calls: int = 20
    ratio: float = 0.5
    forget_after: float = 60.0
    probe_lease: float = 90.0
    poll: float = 1.0
    report_every: float = 0.5
    cool_downs: dict[OpenKind, CoolDown] = field(default_factory=_cool_downs)


@dataclass(frozen=True, slots=True)
class Allowed:
    """Go ahead."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Send one request, alone, and report its outcome with `token`; nobody else sends meanwhile."""

    token: str


@dataclass(frozen=True, slots=True)
class Denied:
    """Nothing may be sent; ask again in `retry_in` seconds."""

    retry_in: float
    kind: OpenKind
    reason: str


Decision = Allowed | Probe | Denied


@dataclass(frozen=True, slots=True)
class BreakerSnapshot:
    """For operators. `since` in seconds of age; `calls`, `failures`, `streak` are the counts of the closed state."""

    account: str
    state: BreakerState
    kind: OpenKind | None
    reason: str
    by: str
    since: float
    probe_in: float
    calls: int
    failures: int
    streak: int
    probing: bool

    @property
    def needs_operator(self) -> bool:
        return self.kind in NEEDS_OPERATOR


class CircuitBreaker:
    """One per process and event loop; any number of accounts. `clock` is monotonic seconds."""

    def __init__(
        self,
        redis: Redis,
        *,
        policy: BreakerPolicy | None = None,
        prefix: str = "drumline",
        trip_timeout: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        edit: Edit = lambda source: source,
    ) -> None:
        self._policy, self._prefix, self._clock = policy or BreakerPolicy(), prefix, clock
        self._script = Script(redis, edit(read_source("breaker.lua")), timeout=trip_timeout, error=BreakerUnavailable)
        self._successes: dict[str, int] = {}
        self._reported_at: dict[str, float] = {}

    async def allow(self, account: str, *, reads: bool = False) -> Decision:
        """Ask before every chunk. A Probe must end in `record_success`, `record_failure` or `release`.

        `reads`: for a request that sends no message. While only credit is missing it may go: the reports of what was
        paid for are still to be had, some providers forget them, and they prove nothing about the credit."""
        token = secrets.token_hex(8)
        policy = self._policy
        word, wait, kind, reason = await self._run(
            account, "allow", token, _us(policy.probe_lease), _us(policy.poll), int(reads)
        )
        if word == "allowed":
            return Allowed()
        return Probe(token) if word == "probe" else Denied(wait / MICROSECOND, OpenKind(kind), reason)

    async def record_success(self, account: str, token: str = "", count: int = 1) -> None:
        """The provider worked: it accepted, or refused one message. A late success never closes an open breaker."""
        if self.count_success(account, count) or token:
            await self.report_successes(account, token)

    def count_success(self, account: str, count: int = 1) -> bool:
        """The same, remembered here. True: it is time to `report_successes`."""
        self._successes[account] = self._successes.get(account, 0) + count
        return self._clock() - self._reported_at.get(account, float("-inf")) >= self._policy.report_every

    async def report_successes(self, account: str, token: str = "") -> None:
        """Tell everybody what was counted since the last time."""
        count = self._successes.pop(account, 0)
        self._reported_at[account] = self._clock()
        await self._run(account, "success", token, count, self._policy.window, _us(self._policy.forget_after))

    async def record_failure(
        self,
        account: str,
        kind: FailureKind,
        reason: str = "",
        token: str = "",
        retry_in: float = 0.0,
    ) -> None:
        """Counted, or opening at once (credentials, out of credit); then no probe before `retry_in` seconds."""
        policy, opens = self._policy, OPENS[kind]
        before = self._successes.pop(account, 0)
        counting = [policy.window, _us(policy.forget_after), before, policy.streak, policy.min_calls, policy.ratio]
        at_once = int(opens is not OpenKind.ERRORS)
        how = self._opening(opens, reason or kind.value, "worker", retry_in)
        await self._run(account, "failure", token, *counting, at_once, *how)

    async def open(
        self, account: str, reason: str, *, kind: OpenKind = OpenKind.OPERATOR, by: str = "operator", wait: float = 0.0
    ) -> None:
        """Opens at once: by an operator (no probes until `close`), or paused for at least `wait` seconds."""
        await self._run(account, "open", *self._opening(kind, reason, by, wait))

    async def pause(self, account: str, reason: str, seconds: float, by: str = "worker") -> None:
        """Out of credit and the like: no probe before `seconds` have passed, then slow ones."""
        await self.open(account, reason, kind=OpenKind.PAUSED, by=by, wait=seconds)

    async def close(self, account: str, by: str = "operator") -> None:
        """An operator closes it, whatever the reason was."""
        await self._run(account, "close", by)

    async def release(self, account: str, token: str) -> None:
        """A prober that sent nothing after all (its permit was late) gives its turn back."""
        await self._run(account, "release", token)

    async def snapshot(self, account: str) -> BreakerSnapshot:
        answer = await self._run(account, "snapshot")
        state, wait, kind, reason, by, since, calls, failures, streak, probing = answer
        return BreakerSnapshot(
            account,
            BreakerState(state),
            OpenKind(kind) if kind else None,
            reason,
            by,
            since / MICROSECOND,
            wait / MICROSECOND,
            calls,
            failures,
            streak,
            bool(probing),
        )

    def _opening(self, kind: OpenKind, reason: str, by: str, wait: float) -> list[str | int | float]:
        cool = self._policy.cool_downs[kind]
        return [kind.value, reason, by, _us(wait), _us(cool.base), cool.factor, _us(cool.cap)]

    async def _run(self, account: str, operation: str, *args: str | int | float) -> list[Any]:
        return await self._script.run([f"{self._prefix}:breaker:{{{account}}}"], [operation, *args])


def _us(seconds: float) -> int:
    return int(max(0.0, seconds) * MICROSECOND)
