"""How a provider plugs into the sandbox.

A provider is one module with one `Provider` subclass, listed in registry.py:

    class Acme(Provider):
        name = "acme"                      # first path segment, key in the config file and the control API
        mount = "/api/v2/"                 # rest of the base URL: http://H:P/acme/api/v2/
        retry_delays = (0.0, 30.0, 120.0)  # webhook attempts: at once, then after these seconds (× retry_scale)
        settings: AcmeSettings             # a subclass of Settings with the provider's own switches and defaults

        @classmethod
        def default_settings(cls) -> AcmeSettings: return AcmeSettings()
        def routes(self) -> Routes:        # paths under `mount`; "{id}" parts land in call.params
            return {("POST", "sms/send"): Route(self.send),
                    ("GET", "health"): Route(self.health, auth=False, limited=False)}

Handlers are plain synchronous functions `(Call) -> Reply`: what they do to the ledger is one atomic step, and the
server adds latency, faults and connection handling around them. Order of one request: fault "before" → authenticate →
rate limits → handler → decorate → fault "after". A handler takes a message with

    refusal = self.refusal(msisdn)         # number endings 9997 / 9995: refuse in the provider's own words
    rule = self.faults.partial_reject(msisdn, call.now)     # bulk endpoints: refuse this recipient if a rule comes
    entry = self.accept(call, id=…, msisdn=digits, sender=…, text=…, parts=…, ref=…, key=…, callback_url=…)

and counts what it refuses with `self.ledger.counts.rejected += n`. `accept` decides the truth, writes the ledger and
plans the steps. Each step calls `publish(entry, status)`: the default pushes `push_of(entry, status)` when push is on;
a pull provider overrides it to queue the report (and calls super for its push). When a pull hands a report over, count
it: `self.pulled(entry)`.

Hooks with defaults: `authenticate`, `decorate`, `messages_in`, `numbers_in`, `progress`, `status_of`, `initial_status`,
`stale_status`, `push_of`, `publish`, `inbound`, `reset`, `fast`. To write: `routes`, `error`, `throttled`,
`unauthorized`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, ClassVar, NamedTuple

from sandbox.clock import Clock
from sandbox.exchange import Call, Reply
from sandbox.faults import FaultBook, Kind, Rule
from sandbox.ledger import Entry, Ledger
from sandbox.limits import Limiter, retry_after
from sandbox.outcomes import OUTCOME_BY_SUFFIX, REFUSAL_BY_SUFFIX, Outcome, Refusal, draw
from sandbox.reports import Agenda, Push, Pusher
from sandbox.settings import Settings

Handler = Callable[[Call], Reply]


class Route(NamedTuple):
    handler: Handler
    auth: bool = True
    limited: bool = True


Routes = Mapping[tuple[str, str], Route]


@dataclass(frozen=True, slots=True)
class World:
    """What the providers of one sandbox share."""

    clock: Clock
    rng: Random
    agenda: Agenda
    pusher: Pusher


class Provider(ABC):
    name: ClassVar[str]
    mount: ClassVar[str] = ""
    retry_delays: ClassVar[tuple[float, ...]] = (0.0,)
    push_timeout: ClassVar[float] = 10.0  # seconds a webhook has to answer

    def __init__(self, world: World, settings: Settings | None = None) -> None:
        self.world = world
        self.settings = settings or self.default_settings()
        self.ledger = Ledger()
        self.faults = FaultBook(world.rng)
        self._limiters: dict[str, Limiter] = {}
        self._exact, self._patterns = _table(self.mount, self.routes())

    # -- what a provider writes ---------------------------------------------------------------------------------------

    @classmethod
    def default_settings(cls) -> Settings:
        return Settings()

    @classmethod
    def fast(cls) -> dict[str, object]:
        """What `--fast` sets: reports soon, webhook retries a thousand times faster."""
        return {"dlr_delay": 0.05, "retry_scale": 0.001}

    @abstractmethod
    def routes(self) -> Routes: ...

    @abstractmethod
    def error(self, status: int, message: str) -> Reply:
        """The provider's own envelope for an unplanned failure (5xx), an unknown path (404) or method (405)."""

    @abstractmethod
    def throttled(self, retry_after: str | None) -> Reply:
        """429 in the provider's words; None leaves the Retry-After header out."""

    @abstractmethod
    def unauthorized(self, call: Call) -> Reply: ...

    def authenticate(self, call: Call) -> Reply | None:
        """None and `call.account` set, or the refusal. Windows are kept per `call.account`."""
        return None

    def decorate(self, call: Call, reply: Reply) -> None:  # noqa: B027  most providers add nothing
        """Add rate headers and the like; called for every answer of a handler, a limit or a refused login."""

    def messages_in(self, call: Call) -> int:
        """How many messages this request would send, for windows that count messages."""
        return 1 if call.method == "POST" else 0

    def numbers_in(self, call: Call) -> Iterable[str]:
        """Digits of all recipients of a request, for fault rules that look at them."""
        return ()

    def initial_status(self, entry: Entry) -> str:
        """The provider's word for "accepted", shown until the first step."""
        return "accepted"

    def status_of(self, entry: Entry) -> str:
        """The provider's word for the truth."""
        return str(entry.truth)

    def progress(self, entry: Entry) -> tuple[tuple[float, str], ...]:
        """Steps as (share of the DLR delay, status), the final one last with share 1. NO_REPORT has no final step."""
        return () if entry.truth is Outcome.NO_REPORT else ((1.0, self.status_of(entry)),)

    def stale_status(self, entry: Entry) -> str | None:
        """A non-final status to publish after the final one under `report_out_of_order`, if the provider knows any."""
        return None

    def push_of(self, entry: Entry, status: str) -> Push | None:
        """The webhook for this step; None when nothing is pushed for it."""
        return None

    def publish(self, entry: Entry, status: str) -> None:
        """A step has come: make it visible to the client."""
        if self.settings.push and (push := self.push_of(entry, status)) is not None:
            self.world.pusher.submit(push)

    def inbound(self, fields: dict[str, Any]) -> Push | None:
        """A message from a handset as the provider would push it; None when it is only kept for the client to pull.

        Errors: ValueError for fields that cannot be used, or when the provider has no inbound messages.
        """
        raise ValueError(f"{self.name} has no inbound messages here")

    def reset(self) -> None:
        """Forget messages, windows, faults and counters; settings stay. A provider with caches extends it."""
        self.ledger.clear()
        self.faults.clear()
        self._limiters.clear()

    # -- what a provider uses -----------------------------------------------------------------------------------------

    def refusal(self, msisdn: str) -> Refusal | None:
        return REFUSAL_BY_SUFFIX.get(msisdn[-4:]) if self.settings.suffix_rules else None

    def accept(
        self,
        call: Call,
        *,
        id: str,  # noqa: A002  the ledger's word for the provider's id
        msisdn: str,
        sender: str,
        text: str,
        parts: int = 1,
        ref: str | None = None,
        key: str | None = None,
        callback_url: str | None = None,
        extra: object = None,
        truth: Outcome | None = None,
        delay: tuple[float, float] | None = None,
        hold: float = 0.0,
    ) -> Entry:
        """Take one message: ledger, truth and plan.

        `truth` and `delay` override number ending, mix and `dlr_delay`; `hold` (seconds) comes on top.
        """
        wall = self.world.clock.wall()
        entry = Entry(
            self.name, id, msisdn, sender, text, parts, wall, truth or self._truth(msisdn), "", call.account, ref, key,
            status_at=wall, callback_url=callback_url or self.settings.callback_url, extra=extra,
        )  # fmt: skip
        self.ledger.add(entry)
        if not self.settings.keep_text:
            entry.text = f"({len(text)} characters)"
        rule = self.faults.report(msisdn, call.now) if self.faults.watches_messages else None
        if rule is not None:
            self._bend(call, entry, rule)
        entry.status = self.initial_status(entry)
        self._plan(call, entry, hold + self._delay(delay or self.settings.dlr_delay), rule)
        return entry

    def pulled(self, entry: Entry) -> None:
        entry.pulled += 1
        self.ledger.counts.pulled += 1

    def limiter(self, account: str) -> Limiter:
        found = self._limiters.get(account)
        if found is None:
            scale = self.settings.limit_scale
            found = Limiter(window if scale == 1.0 else window.scaled(scale) for window in self.settings.limits)
            self._limiters[account] = found
        return found

    # -- what the server and the control API call ---------------------------------------------------------------------

    def answer(self, call: Call) -> Reply:
        """Everything between a request that has arrived and its reply, in one synchronous step."""
        route = self._find(call)
        if isinstance(route, Reply):
            return route
        reply = self._gate(call, route) or route.handler(call)
        self.decorate(call, reply)
        return reply

    @property
    def prompt(self) -> bool:
        """Whether every request is answered at once: nothing is delayed, no fault rule can touch it."""
        faults = self.faults
        return self.settings.latency[1] <= 0 and not (faults.watches_requests or faults.watches_messages)

    def windows_changed(self) -> None:
        """New limits begin with empty windows."""
        self._limiters.clear()

    def usage(self) -> dict[str, object]:
        now = self.world.clock.now()
        return {account: limiter.usage(now) for account, limiter in self._limiters.items()}

    # -- inside -------------------------------------------------------------------------------------------------------

    def _find(self, call: Call) -> Route | Reply:
        route = self._exact.get((call.method, call.path))
        if route is not None:
            return route
        for method, parts, candidate in self._patterns:
            if method == call.method and (params := _match(parts, call.path)) is not None:
                call.params = params
                return candidate
        known = any(path == call.path for _, path in self._exact)
        return self.error(405, "Method not allowed") if known else self.error(404, "Not found")

    def _gate(self, call: Call, route: Route) -> Reply | None:
        """The refusal by credentials or limits, or None; writes the arrival log."""
        refused = self.authenticate(call) if route.auth else None
        if refused is not None:
            return refused
        if not route.limited:
            return None
        messages = self.messages_in(call)
        wait = self.limiter(call.account).admit(call.now, call.method, messages)
        self.ledger.arrive(call.now, call.account, call.method, messages, wait <= 0)
        return self.throttled(retry_after(wait)) if wait > 0 else None

    def _truth(self, msisdn: str) -> Outcome:
        settings = self.settings
        if settings.suffix_rules and (special := OUTCOME_BY_SUFFIX.get(msisdn[-4:])) is not None:
            return special
        return draw(settings.mix, self.world.rng)

    def _delay(self, span: tuple[float, float]) -> float:
        low, high = span
        return low if low == high else self.world.rng.uniform(low, high)

    def _bend(self, call: Call, entry: Entry, rule: Rule) -> None:
        self.ledger.counts.faults[rule.kind] += 1
        entry.mode = rule.kind
        if rule.kind is Kind.REPORT_NEVER:
            entry.truth = Outcome.NO_REPORT
        elif rule.kind is Kind.REPORT_EARLY:
            call.early.append(entry)

    def _plan(self, call: Call, entry: Entry, delay: float, rule: Rule | None) -> None:
        steps = self.progress(entry)
        if rule is not None and rule.kind is Kind.REPORT_EARLY:
            return  # the server runs the steps itself, before it answers
        if rule is not None and rule.kind is Kind.REPORT_LATE:
            delay += rule.number("seconds", 30.0)
        for share, status in steps:
            self.world.agenda.add(call.now + delay * share, partial(self.step, entry, status, share >= 1.0))

    def step(self, entry: Entry, status: str, final: bool) -> None:
        """One planned change of status, and what a fault rule makes of its report."""
        entry.status = status
        entry.status_at = self.world.clock.wall()
        if final:
            entry.final_at = entry.status_at
        for shown in self._shown(entry, status, final):
            self.publish(entry, shown)

    def _shown(self, entry: Entry, status: str, final: bool) -> tuple[str, ...]:
        """The statuses to publish for one step: normally just that one."""
        if entry.mode == Kind.REPORT_TWICE:
            return (status, status)
        if entry.mode != Kind.REPORT_OUT_OF_ORDER:
            return (status,)
        stale = self.stale_status(entry)
        if final:
            return (status,) if stale is None else (status, stale)
        return ()  # held back: it follows the final one


_Patterns = list[tuple[str, list[str], Route]]


def _table(mount: str, routes: Routes) -> tuple[dict[tuple[str, str], Route], _Patterns]:
    """Routes under their full path: exact ones for one look-up, those with `{…}` parts to walk through."""
    exact: dict[tuple[str, str], Route] = {}
    patterns: _Patterns = []
    for (method, path), route in routes.items():
        full = "/".join(part for part in (mount.rstrip("/"), path.lstrip("/")) if part)
        full = full if full.startswith("/") else f"/{full}"
        if "{" in full:
            patterns.append((method, full.split("/"), route))
        else:
            exact[method, full] = route
    return exact, patterns


def _match(parts: list[str], path: str) -> dict[str, str] | None:
    given = path.split("/")
    if len(given) != len(parts):
        return None
    params: dict[str, str] = {}
    for want, have in zip(parts, given, strict=True):
        if want.startswith("{"):
            params[want[1:-1]] = have
        elif want != have:
            return None
    return params
