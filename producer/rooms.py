"""The producer never imports the workers: what only they may do (use a login, spend a limit) runs as their program."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import orjson

from config.settings import ROOT


class WorkersError(Exception):
    """The workers' program could not do it. The text is its own last line."""


def ask_workers(module: str, *arguments: str, seconds: float = 600.0) -> list[dict[str, Any]]:
    """Run `python -m <module>` and give the JSON objects it prints, one per line. Raises WorkersError."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", module, *arguments]
    environment = {**os.environ, "PYTHONPATH": path}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=seconds, check=False)  # noqa: S603 - our own program
    except subprocess.TimeoutExpired:
        raise WorkersError(f"{module}: no result within {seconds:g} s") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise WorkersError(said[-1] if said else f"{module} ended with {done.returncode}")
    return [orjson.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
