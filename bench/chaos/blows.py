"""Striking: what each blow does to the processes, Redis, the database and the operator's patience."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING
from uuid import UUID

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import make_url, select
from sqlalchemy.exc import SQLAlchemyError

from bench.chaos.accounts import SETTINGS
from bench.chaos.databases import hold_write_lock
from bench.chaos.fleet import Program, forget, pings
from bench.chaos.jobs import sender
from bench.chaos.plan import PROCESSES, Blow, Kind
from config import names
from models.states import BatchState
from models.tables import Batch
from producer import campaigns
from producer.campaigns import CampaignError

if TYPE_CHECKING:
    from bench.chaos.run import World

SHUTDOWN = float(SETTINGS["DRUMLINE_SHUTDOWN_SECONDS"])
RESTART_AFTER = 1.0  # seconds
OPERATOR_SECONDS = 60.0  # for a pause and its resumption
GRACE = 4.0  # seconds beyond the shutdown time that a busy machine may take


class Strikes:
    """`later(seconds, action)` is set by whoever keeps the schedule. `wrong`: what a process did not live up to."""

    def __init__(self, world: World, tell: Callable[[str], None]) -> None:
        self.world = world
        self.tell = tell
        self.wrong: list[str] = []
        self.later: Callable[[float, Callable[[], None]], None] = lambda seconds, action: None
        self._database_down = False
        self._ending: list[Program] = []
        self._down: set[str] = set()  # killed by a blow, to be started again by it
        self._found_dead: dict[str, float] = {}
        self._operators: list[Thread] = []
        self.died = 0  # processes that ended by themselves

    def strike(self, blow: Blow) -> None:
        self.tell(f"    {blow}")
        _BLOWS[blow.kind](self, blow)

    def watch(self) -> None:
        """Start again what SIGTERM has ended, or what died by itself; note what takes too long to end."""
        self._keep_up()
        for program in list(self._ending):
            if not program.alive:
                self._ending.remove(program)
                program.start()
            elif not program.frozen and self._overdue(program):
                self.wrong.append(f"{program.name} did not end within {SHUTDOWN + GRACE:g} s of SIGTERM")
                program.kill()
                self._ending.remove(program)
                program.start()

    def _keep_up(self) -> None:
        """What every supervisor does: a process that ended by itself (no log can be written on a full disk) is started
        again after a second."""
        now = time.monotonic()
        for name, program in self.world.fleet.programs.items():
            if program.alive or name in self._down or program in self._ending:
                self._found_dead.pop(name, None)
            elif now - self._found_dead.setdefault(name, now) > RESTART_AFTER:
                self.died += 1
                del self._found_dead[name]
                program.start()

    def _start(self, program: Program) -> None:
        self._down.discard(program.name)
        program.start()

    def _overdue(self, program: Program) -> bool:
        return program.terminated_at is not None and time.monotonic() - program.terminated_at > SHUTDOWN + GRACE

    def end(self) -> None:
        """Nothing stays down or frozen."""
        for program in self.world.fleet.programs.values():
            self._thaw(program)
            program.limit_files(None)
            program.start()
        for operator in self._operators:
            operator.join(OPERATOR_SECONDS)
            if operator.is_alive():
                self.wrong.append(f"a campaign could not be paused and resumed within {OPERATOR_SECONDS:g} s")

    # --- processes ---------------------------------------------------------------------------------------------------

    def kill(self, blow: Blow) -> None:
        self._kill(self.world.fleet[blow.target], blow.seconds)

    def _kill(self, program: Program, seconds: float) -> None:
        program.kill()
        self._down.add(program.name)
        self.later(seconds, lambda: self._start(program))

    def term(self, blow: Blow) -> None:
        program = self.world.fleet[blow.target]
        if not program.alive or program.frozen or program in self._ending:
            return
        program.send(signal.SIGTERM)
        program.terminated_at = time.monotonic()
        self._ending.append(program)

    def freeze(self, blow: Blow) -> None:
        program = self.world.fleet[blow.target]
        if program.alive and program not in self._ending:
            program.send(signal.SIGSTOP)
            program.frozen = True
            self.later(blow.seconds, lambda: self._thaw(program))

    def _thaw(self, program: Program) -> None:
        if program.frozen:
            program.send(signal.SIGCONT)
            program.frozen = False

    # --- Redis -------------------------------------------------------------------------------------------------------

    def redis_kill(self, blow: Blow) -> None:
        self._kill(self.world.fleet["redis"], blow.seconds)

    def redis_empty(self, blow: Blow) -> None:
        self.redis_kill(blow)
        forget(self.world.redis_data)

    def redis_flush(self, _: Blow) -> None:
        try:
            with Redis.from_url(self.world.redis_url, socket_timeout=2) as client:
                client.flushall()
        except RedisError as error:
            self.tell(f"      Redis was away: {type(error).__name__}")

    # --- the database ------------------------------------------------------------------------------------------------

    def database_down(self, blow: Blow) -> None:
        server = self.world.postgres
        if server is None or self._database_down:
            return
        server.down("immediate" if blow.kind is Kind.DATABASE_CRASH else "fast")
        self._database_down = True

        def up() -> None:
            server.up()
            self._database_down = False

        self.later(blow.seconds, up)

    def database_lock(self, blow: Blow) -> None:
        hold_write_lock(self._file(), blow.seconds)

    def disk_full(self, blow: Blow) -> None:
        """The limit lies below every file of the database, so that not even a page in its middle can be written."""
        programs = [self.world.fleet[name] for name in PROCESSES]
        for program in programs:
            program.limit_files(4096)

        def room_again() -> None:
            for program in programs:
                program.limit_files(None)

        self.later(blow.seconds, room_again)

    def _file(self) -> Path:
        return Path(make_url(self.world.database_url).database or "")

    # --- jobs and operators ------------------------------------------------------------------------------------------

    def same_job_twice(self, _: Blow) -> None:
        """As if the broker delivered every job of every open batch twice more."""
        query = select(Batch.id, Batch.account).where(Batch.state != BatchState.DONE)
        try:
            with self.world.database.read() as session:
                batches = session.execute(query).all()
        except SQLAlchemyError as error:
            self.tell(f"      the database was away: {type(error).__name__}")
            return
        if not pings(self.world.redis_url):  # else each job is tried for seconds, and nothing else happens meanwhile
            self.tell("      Redis was away")
            return
        with sender(self.world.fleet.environment) as send:
            for batch_id, account in [*batches, *batches]:
                send(names.SUBMIT_BATCH, names.submit_queue(account), str(batch_id))

    def pause(self, blow: Blow) -> None:
        """Beside the schedule: on SQLite a writer waits for a process that was frozen while it wrote."""
        operator = Thread(target=self._pause_and_resume, args=(blow.seconds,), daemon=True)
        operator.start()
        self._operators.append(operator)

    def _pause_and_resume(self, seconds: float) -> None:
        if self._steer(lambda session, now: campaigns.pause(session, self._campaign, "chaos", now)):
            time.sleep(seconds)
            while not self._steer(lambda session, now: campaigns.resume(session, self._campaign, now)):
                time.sleep(0.5)

    @property
    def _campaign(self) -> UUID:
        if self.world.campaign_id is None:
            raise RuntimeError("nothing was imported")
        return self.world.campaign_id

    def _steer(self, step: Callable[..., object]) -> bool:
        """False: the database is away, or the campaign is over."""
        try:
            with self.world.database.write() as session:
                step(session, self.world.database.now())
        except CampaignError as error:
            self.tell(f"      {error}")
            return True
        except SQLAlchemyError:
            return False
        return True


_BLOWS: dict[Kind, Callable[[Strikes, Blow], None]] = {
    Kind.KILL: Strikes.kill,
    Kind.TERM: Strikes.term,
    Kind.FREEZE: Strikes.freeze,
    Kind.REDIS_KILL: Strikes.redis_kill,
    Kind.REDIS_FLUSH: Strikes.redis_flush,
    Kind.REDIS_EMPTY: Strikes.redis_empty,
    Kind.DATABASE_RESTART: Strikes.database_down,
    Kind.DATABASE_CRASH: Strikes.database_down,
    Kind.DATABASE_LOCK: Strikes.database_lock,
    Kind.DISK_FULL: Strikes.disk_full,
    Kind.SAME_JOB_TWICE: Strikes.same_job_twice,
    Kind.PAUSE: Strikes.pause,
}
