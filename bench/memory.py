"""How much memory this process holds."""

from __future__ import annotations

import os
from pathlib import Path


def resident() -> int:
    """MB of resident memory now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000
