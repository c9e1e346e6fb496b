"""What happens in one run: drawn from a seed, so that a run that failed can be played again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random
from typing import Any

PROVIDERS = ("qikli", "quicksms", "cliqtel", "qikberry")
TROUBLE_SECONDS = 9.0  # faults and blows fall into this time; then everything may mend itself
GENTLE_SECONDS = 5.0
SUBMITTERS = ("submit-1", "submit-2")
PROCESSES = (*SUBMITTERS, "control", "beat", "api")


class Database(StrEnum):
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class Kind(StrEnum):
    """One blow."""

    KILL = "kill"  # SIGKILL, started again after `seconds`
    TERM = "term"  # SIGTERM: has to end within the shutdown time; started again
    FREEZE = "freeze"  # SIGSTOP for `seconds`, which may be longer than a lease
    REDIS_KILL = "redis_kill"  # SIGKILL, started again with its append-only file
    REDIS_FLUSH = "redis_flush"
    REDIS_EMPTY = "redis_empty"  # killed, started again without its data
    DATABASE_RESTART = "database_restart"  # PostgreSQL: fast stop, `seconds` away
    DATABASE_CRASH = "database_crash"  # PostgreSQL: immediate stop, `seconds` away
    DATABASE_LOCK = "database_lock"  # SQLite: somebody holds the write lock for `seconds`
    DISK_FULL = "disk_full"  # SQLite: no process can write to a file for `seconds`
    SAME_JOB_TWICE = "same_job_twice"  # every batch's job put on Redis again, twice
    PAUSE = "pause"  # the operator pauses the campaign for `seconds`


@dataclass(frozen=True, slots=True)
class Blow:
    """`at` seconds after the start of the campaign."""

    at: float
    kind: Kind
    target: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        words = [f"{self.at:5.1f} s", str(self.kind), self.target, f"for {self.seconds:.1f} s" if self.seconds else ""]
        return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Clock:
    """The wall clock of one process steps by `seconds`, `after` seconds from its start (and from each restart)."""

    target: str
    seconds: float
    after: float


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. `faults`: rules of the simulator by provider, withdrawn after `trouble` seconds."""

    seed: int
    database: Database
    recipients: int
    trouble: float
    rate: int | None  # messages a second of each account; None: as fast as its few connections carry them
    connections: int  # of each account in each worker, at most
    latency: tuple[float, float]  # seconds from a provider's acceptance to its answer
    same_text: bool
    two_beats: bool
    resend: bool  # what can never be proven is sent again, as the campaign says
    clock: Clock | None
    faults: Mapping[str, Sequence[Mapping[str, Any]]] = field(repr=False)
    blows: Sequence[Blow] = field(repr=False)


_LATENCIES = ((0.005, 0.05), (0.05, 0.5), (0.3, 1.2), (0.3, 1.2))
_UNLIMITED, _RESEND = 0.35, 0.25  # shares of the runs

Draw = Callable[[Random], Blow]


def draw(seed: int, database: Database, *, gentle: bool = False) -> Plan:
    """`gentle`: a shorter run with fewer recipients and blows."""
    random = Random(f"{seed}/{database}")
    least, most = (60, 90) if gentle else (200, 320)
    trouble = GENTLE_SECONDS if gentle else TROUBLE_SECONDS
    plan = Plan(
        seed=seed,
        database=database,
        recipients=random.randint(least, most),
        trouble=trouble,
        rate=random.choice((8, 10, 12)),
        connections=50,
        latency=random.choice(_LATENCIES),
        same_text=random.random() < 0.2,
        two_beats=random.random() < 0.4,
        resend=Random(f"resend/{seed}/{database}").random() < _RESEND,
        clock=_clock(Random(f"clock/{seed}/{database}"), database),
        faults={provider: _faults(random, provider) for provider in PROVIDERS},
        blows=_blows(random, database, random.randint(2, 3) if gentle else random.randint(3, 7), trouble),
    )
    return _without_limits(plan, Random(f"limits/{seed}/{database}"), gentle)


def _without_limits(plan: Plan, random: Random, gentle: bool) -> Plan:
    """Some runs let the machine set the pace: other waves, other queues, more in the air. So slow that it lasts, and
    more recipients."""
    if random.random() >= _UNLIMITED:
        return plan
    return replace(
        plan,
        rate=None,
        connections=random.choice((2, 3, 4)),
        recipients=random.randint(300, 500) // (2 if gentle else 1),
        latency=random.choice(_LATENCIES[1:]),
    )


def _clock(random: Random, database: Database) -> Clock | None:
    """Around SQLite all processes have one clock, the machine's; beat's alone may be wrong there, for Celery plans by
    it and nothing is dated by it."""
    if random.random() < 0.6:
        return None
    step = random.choice((-3600.0, -5.0, 5.0, 3600.0))
    targets = ("beat",) if database is Database.SQLITE else (*SUBMITTERS, "control", "beat")
    return Clock(random.choice(targets), step, random.uniform(0.0, 15.0))


# --- faults ----------------------------------------------------------------------------------------------------------

_RETRY_AFTER = ("seconds", "date", "garbage", "negative", "absent")
_BODIES = ("envelope", "html", "empty")
_VARIANTS = ("truncated", "short", "html", "empty", "content_type", "invalid_utf8", "wrong_shape", "null")


def _fault(random: Random, kind: str, least: float, most: float, **params: Any) -> dict[str, Any]:
    return {"kind": kind, "rate": round(random.uniform(least, most), 3), "params": params}


_REQUEST_FAULTS: Sequence[Callable[[Random], dict[str, Any]]] = (
    lambda r: _fault(r, "drop_before", 0.02, 0.12, reset=r.random() < 0.5),
    lambda r: _fault(r, "drop_after", 0.02, 0.12, reset=r.random() < 0.5),
    lambda r: _fault(r, "stall_before", 0.01, 0.05, seconds=3.0),
    lambda r: _fault(r, "stall_after", 0.01, 0.05, seconds=3.0),
    lambda r: _fault(r, "error_before", 0.02, 0.1, status=r.choice((500, 502, 503)), body=r.choice(_BODIES)),
    lambda r: _fault(r, "error_after", 0.02, 0.1, status=r.choice((500, 502, 503)), body=r.choice(_BODIES)),
    lambda r: _fault(r, "throttle", 0.01, 0.04, form=r.choice(_RETRY_AFTER), seconds=1),
    lambda r: _fault(r, "malformed", 0.02, 0.1, variant=r.choice(_VARIANTS)),
    lambda r: _fault(r, "slow_body", 0.02, 0.08, seconds=r.choice((0.5, 3.0))),
    lambda r: {"kind": "outage", "params": {"seconds": r.uniform(1, 3), "mode": r.choice(("503", "close"))}},
)
_REPORT_FAULTS: Sequence[Callable[[Random], dict[str, Any]]] = (
    lambda r: _fault(r, "report_twice", 0.05, 0.3),
    lambda r: _fault(r, "report_early", 0.05, 0.3),
    lambda r: _fault(r, "report_out_of_order", 0.05, 0.3),
    lambda r: _fault(r, "report_late", 0.05, 0.2, seconds=4.0),
    lambda r: _fault(r, "report_never", 0.01, 0.03),
)


def _faults(random: Random, provider: str) -> list[dict[str, Any]]:
    chosen = random.sample(_REQUEST_FAULTS, random.randint(2, 5)) + random.sample(_REPORT_FAULTS, random.randint(1, 3))
    rules = [make(random) for make in chosen]
    if provider in {"qikli", "qikberry"} and random.random() < 0.5:
        rules.append({"kind": "partial_reject", "rate": 0.05})
    return rules


# --- blows -----------------------------------------------------------------------------------------------------------


def _blow(kind: Kind, targets: Sequence[str] = ("",), least: float = 0.0, most: float = 0.0) -> Draw:
    """The time is a share of the trouble until the whole plan is drawn."""
    return lambda random: Blow(
        at=round(random.random(), 4),
        kind=kind,
        target=random.choice(targets),
        seconds=round(random.uniform(least, most), 2),
    )


# (weight, blow); a worker that holds messages is hit most often
_ANYWHERE: Sequence[tuple[int, Draw]] = (
    (6, _blow(Kind.KILL, SUBMITTERS, 0.1, 2.0)),
    (3, _blow(Kind.KILL, ("control", "api"), 0.1, 2.0)),
    (2, _blow(Kind.KILL, ("beat",), 0.5, 8.0)),
    (4, _blow(Kind.TERM, PROCESSES, 0.1, 0.5)),
    (5, _blow(Kind.FREEZE, SUBMITTERS, 1.0, 9.0)),
    (2, _blow(Kind.FREEZE, ("control", "beat", "api"), 1.0, 6.0)),
    (2, _blow(Kind.REDIS_KILL, ("",), 0.1, 2.0)),
    (2, _blow(Kind.REDIS_FLUSH)),
    (1, _blow(Kind.REDIS_EMPTY, ("",), 0.1, 1.0)),
    (2, _blow(Kind.SAME_JOB_TWICE)),
    (1, _blow(Kind.PAUSE, ("",), 0.5, 3.0)),
)
_BY_DATABASE: Mapping[Database, Sequence[tuple[int, Draw]]] = {
    Database.SQLITE: (
        (3, _blow(Kind.DATABASE_LOCK, ("",), 1.0, 6.0)),
        (2, _blow(Kind.DISK_FULL, ("",), 0.5, 5.0)),
    ),
    Database.POSTGRESQL: (
        (3, _blow(Kind.DATABASE_RESTART, ("",), 0.1, 5.0)),
        (4, _blow(Kind.DATABASE_CRASH, ("",), 0.1, 5.0)),
    ),
}


def _blows(random: Random, database: Database, count: int, trouble: float) -> tuple[Blow, ...]:
    choices = (*_ANYWHERE, *_BY_DATABASE[database])
    drawn = random.choices([blow for _, blow in choices], [weight for weight, _ in choices], k=count)
    made = (make(random) for make in drawn)
    timed = (replace(blow, at=round(0.5 + blow.at * (trouble - 1.5), 2)) for blow in made)
    return tuple(sorted(timed, key=lambda blow: blow.at))
