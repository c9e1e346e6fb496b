"""The pages, and the fenced blocks in them.

A block of commands is run, unless the line before its fence says why not: `<!-- not run: needs Docker -->`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from config.settings import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
SHELLS = frozenset({"sh", "bash", "shell", "console"})
REASONS = frozenset({"needs Docker", "needs a real provider account", "needs root", "takes minutes", "appends to .env"})
"""The only ones there are."""

_FENCE = re.compile(r"^( *)```(\w*)\s*$")
_MARK = re.compile(r"^\s*<!-- not run: (.+?) -->\s*$")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `line` is that of its first line of code, from 1. `reason`: why it is not run."""

    page: Path
    line: int
    language: str
    code: str
    reason: str | None

    @property
    def place(self) -> str:
        return f"{name_of(self.page)}:{self.line}"

    @property
    def is_shell(self) -> bool:
        return self.language in SHELLS


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    lines = page.read_text("utf-8").splitlines()
    found: list[Block] = []
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is None:
            at += 1
            continue
        end = next(i for i in range(at + 1, len(lines)) if lines[i].strip() == "```")
        inside = [line[len(fence[1]) :] for line in lines[at + 1 : end]]
        found.append(Block(page, at + 2, fence[2], "\n".join(inside) + "\n", _reason(lines, at)))
        at = end + 1
    return found


def _reason(lines: list[str], fence: int) -> str | None:
    mark = _MARK.match(lines[fence - 1]) if fence else None
    return mark[1] if mark else None


def prose_of(page: Path) -> str:
    """The page without its fenced blocks."""
    kept: list[str] = []
    inside = False
    for line in page.read_text("utf-8").splitlines():
        if line.strip().startswith("```"):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)
