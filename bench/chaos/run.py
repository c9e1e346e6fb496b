"""One run: everything started, a campaign sent under fire, and every message judged at the end."""

from __future__ import annotations

import contextlib
import csv
import heapq
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from uuid import UUID

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from bench.chaos.accounts import ENVIRONMENT, ROUTE, SENDER, SETTINGS, accounts_file, sandbox_settings
from bench.chaos.blows import Strikes
from bench.chaos.databases import PostgresServer
from bench.chaos.fleet import START_SECONDS, Fleet, NotUpError, wait_for, wait_for_redis
from bench.chaos.jobs import answering
from bench.chaos.plan import SUBMITTERS, Clock, Plan
from bench.chaos.sandbox import Control, entry_of
from bench.chaos.verdict import Acceptance, Fate, Verdict, judge
from bench.ports import free_port
from config import names
from config.accounts import Account, load_accounts
from config.settings import ROOT
from models.database import Database as Db
from models.states import FINAL, BatchState
from models.tables import Batch, Campaign, DeliveryReport, InboxPage, Message
from producer import campaigns
from producer.audit import audit
from producer.campaigns import CampaignSpec, OnUnknown
from producer.demo.compare import Row
from producer.importer import Importer
from producer.services.redis_server import redis_server
from producer.services.stack import beat_command, worker_command
from providers.accounts import open_provider
from workers.resolve import SENT_AGAIN

PATIENCE = 100.0  # seconds after the trouble until every message has to be final
CUT_FOR = 10  # messages a second, two seconds of which make a batch
SETTLE = 12.0  # seconds after completion until nothing is left on Redis and every batch is closed
TEXT = "Hi {{ name }}, your order {{ order }} leaves today."


@dataclass
class Outcome:
    """What came of a run. `wrong`: (message id or nothing, sentence)."""

    plan: Plan
    folder: Path
    wrong: list[tuple[str, str]] = field(default_factory=list)
    facts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    told: str = ""

    @property
    def passed(self) -> bool:
        return not self.wrong


@dataclass
class World:
    """What a run consists of."""

    plan: Plan
    folder: Path
    fleet: Fleet
    database_url: str
    redis_url: str
    redis_data: Path
    postgres: PostgresServer | None
    accounts: dict[str, Account]
    control: Control
    database: Db
    campaign_id: UUID | None = None


def run(plan: Plan, folder: Path, postgres: PostgresServer | None, tell: Callable[[str], None]) -> Outcome:
    """Blocks for half a minute to two minutes."""
    started = time.monotonic()
    outcome = Outcome(plan, folder)
    with _world(plan, folder, postgres) as world:
        world.campaign_id = _import(world)
        strikes = Strikes(world, tell)
        _send(world, strikes, outcome)
        _check(world, outcome)
        if not outcome.passed:
            outcome.told = _tell(world, outcome)
    outcome.seconds = time.monotonic() - started
    return outcome


# --- the world -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _world(plan: Plan, folder: Path, postgres: PostgresServer | None) -> Iterator[World]:
    folder.mkdir(parents=True, exist_ok=True)
    url = postgres.new_database() if postgres else f"sqlite:///{folder / 'drumline.db'}"
    with Fleet(folder) as fleet:
        server = redis_server(folder / "redis")
        fleet.start("redis", server.command)
        ready = folder / "sandbox.json"
        fleet.start("sandbox", (sys.executable, "-m", "sandbox", "--seed", str(plan.seed), "--ready-file", str(ready)))
        announced = json.loads(wait_for(ready))
        file = folder / "accounts.toml"
        # Cut as for an account with limits: otherwise all of a small campaign were one batch.
        file.write_text(accounts_file(announced["base_urls"], plan.rate or CUT_FOR, plan.connections), "utf-8")
        control = Control(str(announced["control"]))
        control.configure(sandbox_settings(plan.rate, plan.latency))
        port = free_port()
        fleet.environment |= _environment(folder, url, server.url, port)
        if plan.clock:
            fleet.own[plan.clock.target] = _wrong_clock(plan.clock, fleet.environment["PYTHONPATH"])
        accounts = load_accounts(file, {**os.environ, **fleet.environment})
        file.write_text(accounts_file(announced["base_urls"], plan.rate, plan.connections), "utf-8")
        database = Db(url)
        try:
            database.migrate()
            wait_for_redis(server.url)
            _start_ours(fleet, plan, port, accounts)
            _wait_until_up(fleet)
            yield World(plan, folder, fleet, url, server.url, folder / "redis", postgres, accounts, control, database)
        finally:
            database.close()
    if postgres:
        postgres.drop(url)


def _wrong_clock(clock: Clock, path: str) -> dict[str, str]:
    """The sitecustomize of that folder moves the process's clock; nothing of Drumline knows of it."""
    return {
        "DRUMLINE_BENCH_CLOCK_OFFSET": str(clock.seconds),
        "DRUMLINE_BENCH_CLOCK_AFTER": str(clock.after),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "bench" / "skewed"), path]),
    }


def _environment(folder: Path, url: str, redis: str, port: int) -> dict[str, str]:
    return {
        **ENVIRONMENT,
        **SETTINGS,
        "DRUMLINE_DATABASE_URL": url,
        "DRUMLINE_REDIS_URL": redis,
        "DRUMLINE_ACCOUNTS_FILE": str(folder / "accounts.toml"),
        "DRUMLINE_STATE_DIR": str(folder),
        "DRUMLINE_API_PORT": str(port),
        "DRUMLINE_PUBLIC_URL": f"http://127.0.0.1:{port}",
    }


def _start_ours(fleet: Fleet, plan: Plan, port: int, accounts: dict[str, Account]) -> None:
    queues = [queue for account in accounts for queue in names.queues_of(account)]
    fleet.start("control", worker_command("control", [names.CONTROL_QUEUE, names.REPORTS_QUEUE], 4))
    for name in SUBMITTERS:
        fleet.start(name, worker_command(name, queues, 8))
    api = ("-m", "uvicorn", "producer.api.app:app", "--host", "127.0.0.1", "--port", str(port), "--no-access-log")
    fleet.start("api", (sys.executable, *api))
    fleet.start("beat", beat_command())
    if plan.two_beats:
        fleet.start("beat-2", beat_command())


def _wait_until_up(fleet: Fleet) -> None:
    """A blow before anybody works would prove nothing."""
    deadline = time.monotonic() + START_SECONDS
    while answering(fleet.environment) < len(SUBMITTERS) + 1:
        if time.monotonic() > deadline:
            raise NotUpError("not every worker answers")


# --- the campaign ----------------------------------------------------------------------------------------------------


def _import(world: World) -> UUID:
    providers = {name: open_provider(a, world_url(world)) for name, a in world.accounts.items()}
    template = "Your parcel is on its way." if world.plan.same_text else TEXT
    policy = OnUnknown.RESEND if world.plan.resend else OnUnknown.GIVE_UP
    spec = CampaignSpec(f"Chaos {world.plan.seed}", SENDER, template, ROUTE, source="recipients.csv", on_unknown=policy)
    checked = campaigns.check_spec(spec, world.accounts, providers)
    with world.database.write() as session:
        campaign_id = campaigns.create(session, spec, checked, world.database.now())
    importer = Importer(world.database, world.accounts, providers, world.database.now, 2.0)
    importer.run(campaign_id, _recipients(world))
    return campaign_id


def world_url(world: World) -> str:
    return world.fleet.environment["DRUMLINE_PUBLIC_URL"]


def _recipients(world: World) -> Path:
    """Numbers of the range kept for fiction, each once: one ending of the simulator (0000) is among them at times."""
    random = Random(world.plan.seed)
    file = world.folder / "recipients.csv"
    with file.open("w", encoding="utf-8", newline="") as target:
        rows = csv.writer(target)
        rows.writerow(("number", "name", "order"))
        for place, ending in enumerate(random.sample(range(1000), world.plan.recipients)):
            rows.writerow((f"+447700900{ending:03d}", f"Name {place}", f"{random.randrange(10**6):06d}"))
    return file


def _send(world: World, strikes: Strikes, outcome: Outcome) -> None:
    """Start it, strike while it runs, calm down, and wait for its end."""
    campaign_id = _campaign_id(world)
    world.control.faults(world.plan.faults)
    with world.database.write() as session:
        campaigns.start(session, campaign_id, world.database.now())
    started = time.monotonic()
    order = itertools.count()
    events: list[tuple[float, int, Callable[[], None]]] = [(world.plan.trouble, next(order), world.control.calm)]
    for blow in world.plan.blows:
        heapq.heappush(events, (blow.at, next(order), lambda blow=blow: strikes.strike(blow)))  # type: ignore[misc]  # bound per blow
    strikes.later = lambda seconds, action: heapq.heappush(
        events, (time.monotonic() - started + seconds, next(order), action)
    )
    deadline = world.plan.trouble + PATIENCE
    while True:
        elapsed = time.monotonic() - started
        while events and events[0][0] <= elapsed:
            heapq.heappop(events)[2]()
        strikes.watch()
        if elapsed > deadline:
            break
        if not events and elapsed > world.plan.trouble and _completed(world):
            break
        time.sleep(min(0.1, max(0.0, events[0][0] - elapsed)) if events else 0.3)
    strikes.end()
    outcome.wrong += [("", text) for text in strikes.wrong]
    outcome.facts["died"] = strikes.died
    outcome.facts["campaign_seconds"] = round(time.monotonic() - started)


def _campaign_id(world: World) -> UUID:
    if world.campaign_id is None:
        raise RuntimeError("nothing was imported")
    return world.campaign_id


def _completed(world: World) -> bool:
    try:
        with world.database.read() as session:
            finished = select(Campaign.finished_at).where(Campaign.id == _campaign_id(world))
            return session.execute(finished).scalar_one() is not None
    except SQLAlchemyError:
        return False


# --- the check -------------------------------------------------------------------------------------------------------


def _check(world: World, outcome: Outcome) -> None:
    if not _completed(world):
        outcome.wrong.append(("", f"the campaign is not completed {PATIENCE:g} s after the trouble"))
    left = _until_quiet(world)
    outcome.wrong += [("", text) for text in left]
    verdict = _judge(world)
    outcome.wrong += verdict.wrong
    with world.database.read() as session:
        found = audit(session, _campaign_id(world))
        outcome.wrong += [("", text) for text in (found.differences if found else ("the campaign is gone",))]
        waiting = select(func.count()).where(DeliveryReport.applied_at.is_(None))
        outcome.facts["reports_without_message"] = session.execute(waiting).scalar_one()
    counted = ("unproven", "unreported", "sent_again", "doubled")
    outcome.facts |= {name: getattr(verdict, name) for name in counted}
    stats = world.control.stats()
    for provider in ROUTE:
        outcome.facts[f"{provider}_throttled"] = _stat(stats, provider, "throttled")
        if not world.plan.resend and (duplicates := _stat(stats, provider, "duplicates")):
            outcome.wrong.append(("", f"{provider} counts {duplicates} duplicates"))


def _stat(stats: dict[str, object], provider: str, name: str) -> int:
    tables = stats.get("providers", stats)
    table = tables.get(provider, {}) if isinstance(tables, dict) else {}
    return int(table.get(name, 0)) if isinstance(table, dict) else 0


def _judge(world: World) -> Verdict:
    query = select(Message, func.coalesce(Message.text, Campaign.common_text)).join(
        Campaign, Campaign.id == Message.campaign_id
    )
    ledger = world.control.ledger()  # first: a report that arrives in between makes our side newer, never older
    with world.database.read() as session:
        fates = [
            Fate(
                Row(
                    str(m.id), m.account, world.accounts[m.account].provider, m.state, m.provider_id,
                    m.msisdn.lstrip("+"), text or "",
                ),
                m.code,
                m.trail.count(SENT_AGAIN),
            )
            for m, text in session.execute(query)
        ]  # fmt: skip
    return judge(fates, [Acceptance(entry_of(item), bool(item["reported"])) for item in ledger])


def _until_quiet(world: World) -> list[str]:
    """What is still on Redis, unread in the inbox, or planned, although the campaign is over."""
    deadline = time.monotonic() + SETTLE
    while (left := _left_over(world)) and time.monotonic() < deadline:
        time.sleep(0.3)
    return left


def _left_over(world: World) -> list[str]:
    return [*_queued_jobs(world), *_open_rows(world)]


def _queued_jobs(world: World) -> list[str]:
    queues = [names.submit_queue(account) for account in world.accounts]
    try:
        with Redis.from_url(world.redis_url, socket_timeout=5) as client:
            lengths = {queue: int(client.llen(f"drumline:{queue}")) for queue in queues}
    except RedisError as error:
        return [f"Redis does not answer: {error}"]
    return [f"{n} jobs are left in the queue {queue}" for queue, n in lengths.items() if n]


def _open_rows(world: World) -> list[str]:
    open_batches = select(func.count()).where(Batch.state != BatchState.DONE)
    unread = select(func.count()).where(InboxPage.parsed_at.is_(None))
    open_messages = select(func.count()).where(Message.state.not_in(tuple(FINAL)))
    found = []
    with world.database.read() as session:
        for text, query in (("batches are not done", open_batches), ("pages are unread", unread),
                            ("messages are not final", open_messages)):  # fmt: skip
            if n := session.execute(query).scalar_one():
                found.append(f"{n} {text}")
    return found


def _tell(world: World, outcome: Outcome) -> str:
    from bench.chaos.telling import tell_messages

    with world.database.read() as session:
        return tell_messages(session, [UUID(one) for one, _ in outcome.wrong if one][:10])
