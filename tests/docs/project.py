"""A project as a newcomer has it: the files of a checkout in a temporary folder, and a shell in it.

Ports of the pages (8000, 8900) become free ones. Programs that stay, such as `drumline up`, are started, waited for and
ended with the shell.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.ports import free_port
from config.settings import ROOT
from tests.docs.blocks import Block

COPIED = ("config", "examples", "docs", "Makefile", "docker-compose.yml", ".env.example")
LEFT = shutil.ignore_patterns("*.py", "*.png", "__pycache__", "accounts.toml")
START_SECONDS = 60.0

_CLIENT = """#!{python} -SE
import json, os, socket, sys
if sys.argv[1:2] and sys.argv[1] in {staying!r}:
    os.environ["PYTHONPATH"] = {root!r}
    os.execv({python!r}, [{python!r}, "-m", "producer", *sys.argv[1:]])
server = socket.socket(socket.AF_UNIX)
server.connect({socket!r})
asked = {{"folder": os.getcwd(), "environment": dict(os.environ), "words": sys.argv[1:]}}
socket.send_fds(server, [json.dumps(asked).encode()], [0, 1, 2])
code = int(server.recv(16) or b"1")
sys.exit(0 if code == 1 and sys.argv[1:2] == ["doctor"] else code)  # it may find something: that is its work
"""

STAYING = {
    "up": "http://127.0.0.1:{api}/readyz",
    "api": "http://127.0.0.1:{api}/healthz",
    "sandbox": "http://127.0.0.1:{sandbox}/_sandbox/healthz",
}
"""Commands that stay, and what answers once they are there."""

STANDS_FOR = (
    (re.compile(r"\bKEY=dk_…"), 'KEY="$(drumline keys create docs --scope admin 2>/dev/null)"; export ADMIN="$KEY"'),
    (re.compile(r"\bID=…"), 'ID="$(newest)"'),
    (re.compile(r"(?<=\s)(?:ID|CAMPAIGN)(?=\s|$)"), '"$(newest)"'),
)
"""What a reader puts in: a key of his own, the id of his campaign (here: of the newest)."""

_PRELUDE = r"""
set -eEo pipefail
trap 'echo "FAILED at $PLACE: $BASH_COMMAND" >&2' ERR
started=""
trap 'for one in $started; do kill -TERM $one 2>/dev/null; done; for one in $started; do wait $one || true; done' EXIT
stay() {  # URL COMMAND...: start it unless it answers already, and wait until it does
    local url=$1; shift
    command curl -sf -o /dev/null "$url" && return 0
    "$@" >>"$LOGS/${2:-x}.log" 2>&1 &
    local child=$!
    started="$child $started"
    for _ in $(seq 600); do
        command curl -sf -o /dev/null "$url" && return 0
        kill -0 $child 2>/dev/null || { cat "$LOGS/${2:-x}.log" >&2; return 1; }
        sleep 0.1
    done
    return 1
}
curl() { command curl --fail-with-body "$@"; }  # a refusal is a failure
newest() { drumline campaigns --limit 1 --json | "$PYTHON" -c 'import json,sys; print(json.load(sys.stdin)[0]["id"])'; }
"""


class Project:
    """Use as a context manager. `run` runs blocks in one shell, in order."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="drumline-docs-"))
        self.ports = {"api": free_port(), "sandbox": free_port(), "flower": free_port()}
        self._socket = str(self.folder / "commands.sock")
        self._server: subprocess.Popen[bytes] | None = None
        self._given = environment or {}

    def __enter__(self) -> Project:
        self.home = self.folder / "project"
        self.home.mkdir()
        self._copy()
        self._make_programs()
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.docs.command_server", self._socket], cwd=ROOT, env=self.environment
        )
        self._wait_for(Path(self._socket))
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DRUMLINE_", "QIKLI", "QUICKSMS", "CLIQTEL", "QIKBERRY"))
        }
        return {
            **clean,
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHON": sys.executable,
            "LOGS": str(self.folder),
            "NO_COLOR": "1",
            "DRUMLINE_API_PORT": str(self.ports["api"]),
            "DRUMLINE_FLOWER_PORT": str(self.ports["flower"]),
            **self._given,
        }

    def run(self, blocks: list[Block], setup: str = "", timeout: float = 240.0) -> str:
        """What was printed. Raises AssertionError with it, naming the place, if any command fails."""
        parts = [_PRELUDE, setup]
        parts += [f"PLACE={block.place}\n{self._as_run(block.code)}" for block in blocks]
        shell = subprocess.Popen(
            ["bash", "-c", "\n".join(parts)],
            cwd=self.home, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            printed, _ = shell.communicate(timeout=timeout)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
        assert shell.returncode == 0, printed
        return printed

    def _as_run(self, code: str) -> str:
        lines = []
        for line in self._with_ports(code).splitlines():
            word = next((name for name in STAYING if line.removeprefix("./").startswith(f"drumline {name}")), None)
            url = STAYING[word].format(**self.ports) if word else ""
            lines.append(f"stay {url} {line}" if word else self._filled_in(line))
        return "\n".join(lines)

    def _with_ports(self, text: str) -> str:
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{self.ports['api']}")
        text = text.replace("127.0.0.1:8900", f"127.0.0.1:{self.ports['sandbox']}")
        return text.replace("--port 8900", f"--port {self.ports['sandbox']}")

    @staticmethod
    def _filled_in(line: str) -> str:
        for pattern, value in STANDS_FOR:
            line = pattern.sub(value, line)
        return line

    def _copy(self) -> None:
        for name in COPIED:
            source, target = ROOT / name, self.home / name
            if source.is_dir():
                shutil.copytree(
                    source, target, ignore=shutil.ignore_patterns("*.py", "*.png", "__pycache__", "accounts.toml")
                )
            else:
                shutil.copy(source, target)
        for file in (self.home / "config/accounts.sandbox.toml", self.home / "examples/sandbox.env"):
            file.write_text(self._with_ports(file.read_text("utf-8")), "utf-8")

    def _make_programs(self) -> None:
        folder = self.folder / "bin"
        folder.mkdir()
        client = _CLIENT.format(
            python=sys.executable,
            root=str(ROOT),
            socket=self._socket,
            staying=sorted([*STAYING, "worker", "beat", "flower"]),
        )
        for file in (folder / "drumline", self.home / "drumline"):
            file.write_text(client, "utf-8")
            file.chmod(file.stat().st_mode | stat.S_IXUSR)

    def _wait_for(self, path: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not path.exists():
            assert time.monotonic() < deadline, "the command server did not start"
            time.sleep(0.02)
