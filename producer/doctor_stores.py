"""The doctor's look at the two stores: the database, which is the truth, and Redis, which only says "go look"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from models.database import Database, DatabaseError
from producer.doctor import Finding, check_disk, clock, ok, warning, wrong

LEAST_REDIS = (6, 2)
LEAST_POSTGRESQL = 130_000


# --- the database ----------------------------------------------------------------------------------------------------


def check_database(url: str) -> Iterator[Finding]:
    if (missing := _missing_file(url)) is not None:
        yield warning(
            "database", f"{missing} is not there yet", "nothing: the first command makes it (drumline migrate)"
        )
        yield from check_disk("database disk", missing)
        return
    try:
        database = Database(url, pool_size=1)
    except DatabaseError as error:
        yield wrong("database", str(error), "correct DRUMLINE_DATABASE_URL")
        return
    try:
        yield from _look(database)
    except SQLAlchemyError as error:
        yield wrong(
            "database", f"does not answer: {_cause(error)}", "start the database, or correct DRUMLINE_DATABASE_URL"
        )
    finally:
        database.close()


def _missing_file(url: str) -> Path | None:
    """The SQLite file that is not there yet: opening it would make it."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return None
    path = Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None
    return path if path is not None and parsed.database != ":memory:" and not path.exists() else None


def _cause(error: SQLAlchemyError) -> str:
    """The driver's own words; never the URL, which may hold a password."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}"[:200]


def _look(database: Database) -> Iterator[Finding]:
    current, newest = database.schema()
    yield ok("database", f"{database.dialect} answers")
    yield _schema(current, newest)
    yield from _SERVERS[database.dialect](database)
    yield _writable(database)


def _schema(current: str | None, newest: str) -> Finding:
    if current == newest:
        return ok("schema", f"at the newest revision, {newest}")
    fix = "run `drumline migrate`; if it says it does not know the revision, this program is older than the database"
    return wrong("schema", f"at revision {current or 'none'}, the newest is {newest}", fix)


def _sqlite(database: Database) -> Iterator[Finding]:
    with database.engine.connect() as connection:
        journal, synchronous = _one(connection, "PRAGMA journal_mode"), _one(connection, "PRAGMA synchronous")
    if journal == "wal" and int(synchronous) >= 2:
        yield ok("durability", "write-ahead log, fully synchronous")
    else:
        fix = "put the file on a local disk: network file systems cannot share a write-ahead log"
        yield wrong("durability", f"journal mode {journal}, synchronous {synchronous}", fix)
    yield from check_disk("database disk", Path(str(database.engine.url.database)))


def _postgresql(database: Database) -> Iterator[Finding]:
    with database.engine.connect() as connection:
        version = int(_one(connection, "SHOW server_version_num"))
        risky = [
            name
            for name in ("fsync", "synchronous_commit", "full_page_writes")
            if _one(connection, f"SHOW {name}") == "off"
        ]
        before = datetime.now(UTC)
        server: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        middle = before + (datetime.now(UTC) - before) / 2
    if version < LEAST_POSTGRESQL:
        yield warning("database version", f"PostgreSQL {version // 10_000}", "use PostgreSQL 13 or newer")
    if risky:
        fix = "turn them on: a lost intent is a message that may be sent twice"
        yield wrong("durability", f"{', '.join(risky)} off", fix)
    else:
        yield ok("durability", "every commit reaches the disk")
    yield clock("database clock", "the database's clock", (server - middle).total_seconds())


_SERVERS = {"sqlite": _sqlite, "postgresql": _postgresql}


def _one(connection: Connection, query: str) -> Any:
    return connection.execute(text(query)).scalar_one()


def _writable(database: Database) -> Finding:
    """A table is made and taken back: nothing stays."""
    try:
        with database.engine.connect() as connection, connection.begin() as transaction:
            connection.execute(text("CREATE TABLE drumline_doctor (x INTEGER)"))
            transaction.rollback()
    except SQLAlchemyError as error:
        return wrong("writing", f"refused: {_cause(error)}", "give this user the right to write and to create tables")
    return ok("writing", "allowed")


# --- Redis -----------------------------------------------------------------------------------------------------------


def check_redis(url: str) -> Iterator[Finding]:
    if not url:
        fix = "start everything with `drumline up` (it brings its own), or set DRUMLINE_REDIS_URL"
        yield warning("redis", "none is set and none is running: nothing is sent without one", fix)
        return
    try:
        with Redis.from_url(url, socket_connect_timeout=3, socket_timeout=3, decode_responses=True) as client:
            info: Mapping[str, Any] = client.info()
    except (RedisError, ValueError, OSError) as error:
        said = f"does not answer: {type(error).__name__}"
        yield wrong("redis", said, "start it, or correct DRUMLINE_REDIS_URL; until then nothing is sent")
        return
    yield from judge_redis(info)


def judge_redis(info: Mapping[str, Any]) -> Iterator[Finding]:
    """What its INFO tells."""
    version = str(info.get("redis_version", "0"))
    name = f"{info.get('server_name', 'redis')} {info.get('valkey_version', version)}"
    if _numbers(version) < LEAST_REDIS:
        yield wrong("redis", name, f"use Redis {LEAST_REDIS[0]}.{LEAST_REDIS[1]} or newer, or Valkey")
    else:
        yield ok("redis", name)
    policy = info.get("maxmemory_policy")
    if policy != "noeviction":
        fix = (
            "set maxmemory-policy noeviction: a window that is evicted lets requests through that the provider forbids"
        )
        yield wrong("redis eviction", f"policy {policy}", fix)
    else:
        yield ok("redis eviction", "none")
    if info.get("role") != "master":
        yield wrong(
            "redis role", f"{info.get('role')}", "point DRUMLINE_REDIS_URL at the primary: a replica takes no writes"
        )
    if not int(info.get("aof_enabled", 0)):
        fix = "set appendonly yes: without it every restart has limits and queues rebuilt from the database"
        yield warning("redis durability", "append-only file off", fix)
    else:
        yield ok("redis durability", "append-only file on")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
