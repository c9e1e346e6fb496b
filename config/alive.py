"""Signs of life for health checks: a file that a worker or beat touches every few seconds.

`python -m config.alive NAME` exits 0 if NAME on this machine did so lately. It imports nothing else: a check that runs
every half minute for every container must cost next to nothing.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

LATELY = 30.0  # seconds; a worker touches its file every two, while it has its connection to Redis
FORGOTTEN = 86_400.0  # seconds after which the file of a container that is gone is removed


def folder_of(state_dir: Path) -> Path:
    return state_dir / "alive"


def file_of(state_dir: Path, name: str) -> Path:
    """Containers share the folder: the host's name tells them apart."""
    return folder_of(state_dir) / f"{name}@{socket.gethostname()}"


def touch(state_dir: Path, name: str) -> None:
    """Says: `name` is alive. Raises OSError."""
    try:
        os.utime(file_of(state_dir, name))
    except FileNotFoundError:
        folder_of(state_dir).mkdir(parents=True, exist_ok=True)
        _forget(state_dir)
        file_of(state_dir, name).touch()


def _forget(state_dir: Path) -> None:
    for path in folder_of(state_dir).iterdir():
        if time.time() - path.stat().st_mtime > FORGOTTEN:
            path.unlink(missing_ok=True)


def silent_for(state_dir: Path, name: str) -> float:
    """Seconds since the last sign of life; infinite if there never was one."""
    try:
        return time.time() - file_of(state_dir, name).stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def main(arguments: list[str]) -> int:
    (name,) = arguments
    silent = silent_for(Path(os.environ.get("DRUMLINE_STATE_DIR", "var")), name)
    if silent > LATELY:
        sys.stderr.write(f"{name}: no sign of life for {silent:.0f} s\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
