"""The two promises a newcomer meets first: the demo proves itself, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import ROOT

pytestmark = [pytest.mark.timeout(420)]


@pytest.fixture
def taken_ports() -> Iterator[None]:
    """The usual ports are in use (by us, if nobody else has them)."""
    holders = []
    for port in (6379, 5432, 8000, 5555):
        holder = socket.socket()
        try:
            holder.bind(("127.0.0.1", port))
            holder.listen()
        except OSError:
            holder.close()
            continue
        holders.append(holder)
    yield
    for holder in holders:
        holder.close()


def start_demo(state: Path) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DRUMLINE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "producer", "demo"],
        cwd=ROOT,
        env={**clean, "DRUMLINE_STATE_DIR": str(state), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_behind(state: Path) -> list[str]:
    """Command lines of processes that were started for this state folder and still live."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            traces = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(state).encode() in traces and int(process.name) != os.getpid():
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def wait_until_gone(state: Path, seconds: float) -> list[str]:
    deadline = time.monotonic() + seconds
    while (left := left_behind(state)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


@pytest.mark.usefixtures("taken_ports")
def test_demo_proves_every_message_and_leaves_nothing_behind(tmp_path: Path) -> None:
    demo = start_demo(tmp_path)
    output, _ = demo.communicate(timeout=400)
    assert demo.returncode == 0, output
    assert "agree with the database" in " ".join(output.split())
    assert wait_until_gone(tmp_path, 10) == []
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_everything_that_was_started(tmp_path: Path) -> None:
    demo = start_demo(tmp_path)
    deadline = time.monotonic() + 120
    while not any("celery" in line for line in left_behind(tmp_path)):
        assert time.monotonic() < deadline, "no worker was started"
        assert demo.poll() is None, demo.communicate()[0]
        time.sleep(0.2)
    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=90)
    assert demo.returncode == 130, output
    assert wait_until_gone(tmp_path, 10) == []
