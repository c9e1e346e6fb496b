"""How much memory and processor time are used (Linux)."""

from __future__ import annotations

import os
from pathlib import Path


def resident() -> int:
    """MB of this process's memory now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000


def children_cpu(parent: int) -> float:
    """Processor seconds of the children of a process that still run: a PostgreSQL server's backends and helpers."""
    ticks = sum(_ticks(Path(entry.path), parent) for entry in os.scandir("/proc") if entry.name.isdecimal())
    return ticks / os.sysconf("SC_CLK_TCK")


def _ticks(folder: Path, parent: int) -> int:
    try:
        fields = (folder / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:  # it has just ended
        return 0
    return int(fields[11]) + int(fields[12]) if int(fields[1]) == parent else 0
