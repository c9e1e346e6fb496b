"""One way into the database, the same on SQLite (WAL) and PostgreSQL."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from models.queueing import WriterQueue
from models.tallies import Tallies

if TYPE_CHECKING:
    from alembic.config import Config

log = logging.getLogger("drumline.database")

CLOCK_SECONDS = 10.0
LAST_TALLIES_SECONDS = 2.0
DEADLOCK_TRIES = 4
_DEADLOCKS = frozenset({"40P01", "40001"})  # deadlock detected, serialization failure: nothing of it was committed
MIGRATIONS = Path(__file__).with_name("migrations")

PASSING_ERRORS = (OperationalError, InterfaceError, InternalError, PoolTimeout)
"""What may pass by itself: the database is away, full, read-only after a failover, locked, or two transactions crossed.
Every other error is about the statement and comes again each time."""

LASTING_ERRORS = (SQLAlchemyError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What one bad value leads to, in our reading of it or in the driver. Look for `PASSING_ERRORS` first."""


class DatabaseError(Exception):
    """The database cannot be used. The text says what was tried and what to do."""


def is_deadlock(error: BaseException) -> bool:
    """Whether the database undid a transaction because of another one: again at once is right."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _DEADLOCKS


class Database:
    """An engine with two doors: `read()` and `write()`.

    On SQLite a write begins at once with the write lock (BEGIN IMMEDIATE): a transaction that reads first and writes
    later would otherwise fail when another one wrote in between.
    """

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise DatabaseError(f"DRUMLINE_DATABASE_URL is not a database URL: {error}") from error
        self.dialect = parsed.get_backend_name()
        if self.dialect == "postgresql" and parsed.get_driver_name() != "psycopg":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if self.dialect not in {"sqlite", "postgresql"}:
            raise DatabaseError(f"DRUMLINE_DATABASE_URL: found {self.dialect!r}, expected sqlite or postgresql")
        self.url = parsed.render_as_string(hide_password=False)
        if self.dialect == "sqlite" and parsed.database:
            _make_private(Path(parsed.database))
        self.engine: Engine = create_engine(parsed, hide_parameters=True, **_engine_options(self.dialect, pool_size))
        self.tallies = Tallies()
        self._clock: tuple[datetime, float] | None = None
        self._clock_lock = threading.Lock()
        self._asking = False
        in_file = self.dialect == "sqlite" and parsed.database and parsed.database != ":memory:"
        self._queue = WriterQueue(Path(parsed.database)) if in_file and parsed.database else None
        self._writers: AbstractContextManager[object] = self._queue or nullcontext()
        if self.dialect == "sqlite":
            _prepare_sqlite(self.engine)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that commits at the end of the block, or not at all.

        On SQLite the writers of all processes queue here first (`models.queueing`).
        """
        with Session(self.engine, expire_on_commit=False) as session, self._writers, session.begin():
            yield session
        if counted := session.info.get("tallies"):
            self.tallies.absorb(counted)
        if self.tallies.due():
            self.flush_tallies()

    def flush_tallies(self) -> None:
        """Write what was counted for the metrics. Nobody's work fails for that: what cannot be written waits."""
        counts = self.tallies.take()
        if not counts:
            return
        try:
            with self._writers, Session(self.engine) as session, session.begin():
                self.tallies.write(session, counts)
        except SQLAlchemyError as error:
            self.tallies.absorb(counts)
            log.warning("the metrics' counters were not written: %s", type(error).__name__)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A read-only look; takes no lock on SQLite."""
        with (
            self.engine.connect().execution_options(drumline_read=True) as connection,
            Session(connection, expire_on_commit=False) as session,
        ):
            yield session

    def now(self) -> datetime:
        """The time by the database server's clock, the same for every process that shares it.

        A worker whose own clock is wrong must not misjudge leases, due times or the age of requests. On SQLite the
        machine's clock is the only one. Asks the server every `CLOCK_SECONDS`, in between counts monotonic seconds.
        Only the first call waits for the server: an event loop that asks must not stand still while it is away, or
        answers that lie in its sockets would time out.
        """
        if self.dialect == "sqlite":
            return datetime.now(UTC)
        if self._clock is None:
            self._clock = self._ask_clock()
        server, asked = self._clock
        elapsed = time.monotonic() - asked
        if elapsed > CLOCK_SECONDS:
            self._ask_clock_later()
        return server + timedelta(seconds=elapsed)

    def _ask_clock(self) -> tuple[datetime, float]:
        """The server time, and the monotonic second it was read at."""
        before = time.monotonic()
        with self.engine.connect() as connection:
            server: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return server.astimezone(UTC), (before + time.monotonic()) / 2

    def _ask_clock_later(self) -> None:
        with self._clock_lock:
            if self._asking:
                return
            self._asking = True
        threading.Thread(target=self._refresh_clock, name="database-clock", daemon=True).start()

    def _refresh_clock(self) -> None:
        try:
            self._clock = self._ask_clock()
        except SQLAlchemyError as error:
            log.warning("the database's clock was not read: %s", type(error).__name__)  # the old reading serves on
        finally:
            self._asking = False

    def close(self) -> None:
        """The last counters of the metrics are written if that takes but a moment: a database that is away must not
        keep the process from ending."""
        if self.tallies.waiting():
            last = threading.Thread(target=self.flush_tallies, name="last-tallies", daemon=True)
            last.start()
            last.join(LAST_TALLIES_SECONDS)
        self.engine.dispose()
        if self._queue is not None:
            self._queue.close()

    def check(self) -> None:
        """Raises DatabaseError if it cannot be reached."""
        try:
            with self.read() as session:
                session.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            raise DatabaseError(f"the database does not answer: {error.__class__.__name__}: {error}") from error

    def at_head(self) -> bool:
        """Whether the schema is the newest one this code knows. Migrations are numbered: 0001_…, 0002_…"""
        newest = max(path.name[:4] for path in MIGRATIONS.glob("versions/[0-9]*.py"))
        try:
            with self.read() as session:
                return newest in session.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
        except DBAPIError:
            return False  # no such table: never migrated

    def schema(self) -> tuple[str | None, str]:
        """The revision the database is at (None: empty) and the newest one. Raises what SQLAlchemy raises."""
        from alembic.config import Config  # as in `migrate`
        from alembic.runtime.migration import MigrationContext
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        newest = ScriptDirectory.from_config(config).get_current_head()
        with self.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision(), newest or ""

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to a revision, up or down; at the newest already it does nothing. Raises DatabaseError for
        one that does not exist."""
        # Imported here: Alembic costs every command a third of a second, and only this one needs it.
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self._without_foreign_keys() as connection:
            config.attributes["connection"] = connection
            go = command.downgrade if self._is_behind(connection, config, revision) else command.upgrade
            try:
                go(config, revision)
            except CommandError as error:
                raise DatabaseError(f"the schema cannot be brought to {revision}: {error}") from error
            connection.commit()

    @contextmanager
    def _without_foreign_keys(self) -> Iterator[Connection]:
        """SQLite changes some columns by making the table anew: dropping the old one would delete, by cascade, every
        row that refers to it. The switch does nothing inside a transaction, so it is set before one begins."""
        with self.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            if self.dialect == "sqlite":
                raw.execute("PRAGMA foreign_keys=OFF")
            try:
                yield connection
            finally:
                connection.rollback()
                if self.dialect == "sqlite":
                    raw.execute("PRAGMA foreign_keys=ON")

    def _is_behind(self, connection: Connection, config: Config, revision: str) -> bool:
        """Whether the way to this revision leads down. Revisions are numbered."""
        from alembic.runtime.migration import MigrationContext

        if not revision[:1].isdigit():
            return revision.startswith("-")
        current = MigrationContext.configure(connection).get_current_revision()
        connection.rollback()
        return current is not None and revision < current


def _make_private(path: Path) -> None:
    """Numbers and texts are for whoever runs this alone; SQLite gives its other files the mode of the first."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.name != ":memory:" and not path.exists():
        with suppress(FileExistsError):  # another process was quicker
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _engine_options(dialect: str, pool_size: int) -> dict[str, Any]:
    # The last one used first: its caches and prepared statements are warm, and the server's pages are mapped.
    pool = {"pool_size": pool_size, "max_overflow": 20, "pool_use_lifo": True}
    if dialect == "sqlite":
        return {**pool, "connect_args": {"timeout": 60, "check_same_thread": False}}
    # A server that vanished without a word is noticed within a minute, not after the two hours of TCP's default.
    alive = {"connect_timeout": 10, "keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3}
    return {**pool, "pool_pre_ping": True, "pool_recycle": 1800, "connect_args": alive}


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        # FULL: a committed intent survives a power cut too; with NORMAL it could be lost and the message sent again.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=60000", "foreign_keys=ON",
                       "cache_size=-32000", "temp_store=MEMORY"):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("drumline_read")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
