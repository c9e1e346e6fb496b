"""Everything on one machine: Redis, migrations, sandbox, API, workers, beat, Flower; started and ended in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from config import names
from config.accounts import Account, load_accounts
from config.settings import REDIS_URL_FILE, ROOT, Settings
from models.database import Database
from producer.dispatch import most_in_work
from producer.services.children import Child, Program
from producer.services.redis_server import redis_server

START_SECONDS = 60.0
GRACE_SECONDS = 5  # how long the API lets requests end: a live page never ends by itself
THREADS = 8  # tasks a worker process works on at once, at least
MOST_THREADS = 256
OWN_TASKS = 3  # of an account besides its batches: a poll, a look-up, a snapshot


class StartError(Exception):
    """Something did not come up. The text names it and where its log lies."""


@dataclass
class Stack:
    """The processes of one machine. Use as an async context manager."""

    settings: Settings
    tell: Callable[[str], None] = lambda text: None
    children: list[Child] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    _folders: list[Path] = field(default_factory=list)
    _redis_note: Path | None = None

    @property
    def logs(self) -> Path:
        return self.settings.state_dir / "logs"

    async def __aenter__(self) -> Stack:
        self.logs.mkdir(parents=True, exist_ok=True)
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in reversed(self.children):
            await child.stop()
        if self._redis_note:
            self._redis_note.unlink(missing_ok=True)
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)

    # --- the parts, in the order they are started --------------------------------------------------------------------

    async def redis(self) -> str:
        """The configured Redis, or one of our own; its URL."""
        if self.settings.redis_url:
            url = self.settings.redis_url
        else:
            server = redis_server(self.settings.state_dir / "redis")
            self._folders.append(server.socket.parent)
            await self._start(Program("redis", server.command, log=self.logs / "redis.log"))
            url = server.url
        await self._until("redis", lambda: _pings(url))
        self.environment["DRUMLINE_REDIS_URL"] = url
        self._redis_note = self.settings.state_dir / REDIS_URL_FILE
        self._redis_note.write_text(url + "\n", "utf-8")
        return url

    async def sandbox(self, *options: str) -> dict[str, object]:
        """The four simulated providers; their announcement (base URLs, control URL)."""
        ready = self.settings.state_dir / "sandbox.json"
        ready.unlink(missing_ok=True)
        command = (sys.executable, "-m", "sandbox", "--ready-file", str(ready.resolve()), *options)
        await self._start(self._program("sandbox", command))
        await self._until("sandbox", ready.exists)
        announced: dict[str, object] = json.loads(ready.read_text("utf-8"))
        self.urls["sandbox"] = str(announced["control"])
        return announced

    def migrate(self) -> None:
        database = Database(self.settings.database_url)
        try:
            database.migrate()
        finally:
            database.close()

    async def api(self) -> str:
        port = free_port(self.settings.api_host, self.settings.api_port)
        host = self.settings.api_host
        command = (
            sys.executable, "-m", "uvicorn", "producer.api.app:app", "--host", host, "--port", str(port),
            "--log-level", "warning", "--no-access-log", "--timeout-graceful-shutdown", str(GRACE_SECONDS),
        )  # fmt: skip
        self.environment["DRUMLINE_API_PORT"] = str(port)
        if not self.settings.flower_url:  # the dashboard's link, to where Flower is about to listen
            self.environment["DRUMLINE_FLOWER_URL"] = f"http://{self.settings.flower_host}:{self._flower_port()}"
        await self._start(self._program("api", command))
        self.urls["api"] = f"http://{host}:{port}"
        return self.urls["api"]

    async def workers(self) -> None:
        """One for control and reports, one per group of accounts."""
        accounts = load_accounts(self.settings.accounts_file, secrets=False)
        await self.worker("control", names.SHARED_QUEUES)
        for group, members in groups(accounts.values()).items():
            queues = [queue for account in members for queue in names.queues_of(account)]
            await self.worker(group, queues, threads_for([accounts[member] for member in members]))

    async def worker(self, name: str, queues: Sequence[str], threads: int = THREADS) -> Child:
        """One more worker process for these queues."""
        command = worker_command(name, queues, threads)
        if "flower" in self.urls:
            command += ("--events",)  # at once: Flower asks for them some seconds later
        stop = self.settings.shutdown_seconds + 5
        return await self._start(self._program(f"worker-{name}", command, stop))

    async def beat(self) -> None:
        await self._start(self._program("beat", beat_command()))

    async def flower(self) -> str:
        port = self._flower_port()
        if self.settings.flower_password is None:
            password = secrets.token_urlsafe(12)
            self.environment["DRUMLINE_FLOWER_PASSWORD"] = password
            self.tell(f"Flower's password for this run: user {self.settings.flower_user}, password {password}")
        await self._start(self._program("flower", flower_command()))
        self.urls["flower"] = f"http://{self.settings.flower_host}:{port}"
        return self.urls["flower"]

    def _flower_port(self) -> int:
        """Chosen once: the API is told of it before Flower listens."""
        if "DRUMLINE_FLOWER_PORT" not in self.environment:
            port = free_port(self.settings.flower_host, self.settings.flower_port)
            self.environment["DRUMLINE_FLOWER_PORT"] = str(port)
        return int(self.environment["DRUMLINE_FLOWER_PORT"])

    async def answering(self, name: str, url: str) -> None:
        """Wait until an HTTP address answers."""
        host, _, port = url.removeprefix("http://").partition(":")
        await self._until(name, lambda: _connects(host, int(port)))

    # --- mechanics ---------------------------------------------------------------------------------------------------

    def _program(self, name: str, command: Sequence[str], stop_seconds: float = 10.0) -> Program:
        return Program(name, command, dict(self.environment), stop_seconds, self.logs / f"{name}.log")

    async def _start(self, program: Program) -> Child:
        child = Child(program, self.tell)
        self.children.append(child)
        await child.start()
        return child

    async def _until(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while not await asyncio.to_thread(ready):
            if asyncio.get_running_loop().time() > deadline:
                raise StartError(f"{name} did not start within {START_SECONDS:g} s; see {self.logs / name}.log")
            await asyncio.sleep(0.05)


def groups(accounts: Iterable[Account]) -> dict[str, list[str]]:
    """Worker groups and their accounts."""
    found: dict[str, list[str]] = {}
    for account in accounts:
        found.setdefault(account.worker_group, []).append(account.name)
    return found


def threads_for(accounts: Iterable[Account]) -> int:
    """A thread for everything these accounts can have in work at once: a thread only waits for its task, so it is
    cheap, and no account can ever take another one's. More accounts than that: give them worker groups of their own."""
    wanted = sum(most_in_work(account) + OWN_TASKS for account in accounts)
    return min(max(THREADS, wanted), MOST_THREADS)


def worker_command(name: str, queues: Sequence[str], threads: int = THREADS) -> tuple[str, ...]:
    """Threads, one event loop per process; more processes for more cores."""
    return (
        sys.executable, "-m", "celery", "--quiet", "-A", "config.celery_app", "worker", "--pool", "threads",
        "--concurrency", str(threads), "--hostname", f"{name}@%h", "--queues", ",".join(queues),
        "--without-gossip", "--without-mingle", "--loglevel", "WARNING",
    )  # fmt: skip


def beat_command() -> tuple[str, ...]:
    return (
        sys.executable, "-m", "celery", "--quiet", "-A", "config.celery_app", "beat", "--loglevel", "WARNING",
        "--pidfile", "",
    )  # fmt: skip


def flower_command() -> tuple[str, ...]:
    return (sys.executable, "-m", "producer", "flower")


def free_port(host: str, wanted: int) -> int:
    """The wanted port, or any free one if it is taken."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    raise StartError(f"no free port on {host}")


def _connects(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _pings(url: str) -> bool:
    try:
        with Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1) as client:
            return bool(client.ping())
    except RedisError:
        return False
