"""The processes of a run, each to be killed, stopped, frozen and started again by name."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from config.settings import ROOT

START_SECONDS = 40.0
PR_SET_PDEATHSIG = 1
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


class NotUpError(Exception):
    """A process did not come up."""


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class Program:
    """One process, as often as it is started."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    frozen: bool = False
    terminated_at: float | None = None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        if self.alive:
            return
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        self.frozen = False
        self.terminated_at = None

    def send(self, number: signal.Signals) -> None:
        if self.process is not None and self.alive:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
        self.frozen = False
        self.terminated_at = None

    def limit_files(self, most: int | None) -> None:
        """No file of it may grow beyond `most` bytes (None: no limit), as on a full disk."""
        if self.process is not None and self.alive:
            limits = UNLIMITED if most is None else (most, resource.RLIM_INFINITY)
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, limits)


@dataclass
class Fleet:
    """All of them. Use as a context manager: nothing outlives it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    own: dict[str, dict[str, str]] = field(default_factory=dict)  # by program, over the environment of all
    programs: dict[str, Program] = field(default_factory=dict)

    def __enter__(self) -> Fleet:
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return self

    def __exit__(self, *_: object) -> None:
        for program in reversed(self.programs.values()):
            program.kill()

    def start(self, name: str, command: Sequence[str]) -> Program:
        log = self.folder / "logs" / f"{name}.log"
        program = Program(name, command, self.environment | self.own.get(name, {}), log)
        self.programs[name] = program
        program.start()
        return program

    def __getitem__(self, name: str) -> Program:
        return self.programs[name]


def wait_for(ready: Path) -> str:
    """The contents of a file that a process writes when it is up."""
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists() or not ready.read_text("utf-8").strip():
        if time.monotonic() > deadline:
            raise NotUpError(f"{ready.name} was not written within {START_SECONDS:g} s")
        time.sleep(0.02)
    return ready.read_text("utf-8")


def wait_for_redis(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not pings(url):
        if time.monotonic() > deadline:
            raise NotUpError("Redis does not answer")
        time.sleep(0.02)


def pings(url: str) -> bool:
    try:
        with Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1) as client:
            return bool(client.ping())
    except RedisError:
        return False


def forget(data: Path) -> None:
    """Redis's files, as if the machine were new."""
    for item in data.iterdir():
        if item.is_dir():
            shutil.rmtree(item, ignore_errors=True)
        else:
            item.unlink(missing_ok=True)
