"""The figures of `bench.throughput` as a table and a plot of bars. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
KANNEL = (("C gateway, nothing kept", 11_000), ("C gateway, spool store", 5_000))
"""Messages a second on the same kind of machine, one message a request (Kannel 1.4.5, generic HTTP)."""

_WIDTH, _LEFT, _BAR, _GAP = 760, 330, 16, 8
_OURS, _THEIRS = "#2a6f97", "#9aa5ad"

_COLUMNS: tuple[tuple[str, str], ...] = (
    ("messages/s", "messages_per_s"), ("of a bare script", "ratio_to_bare"),
    ("of one with httpx's own client", "ratio_to_usual"), ("CPU s per 1,000", "cpu_s_per_1000"),
    ("database bytes per message", "database_bytes_per_message"), ("start to first byte, ms", "first_byte_ms"),
    ("worker, MB", "worker_memory_mb"), ("Redis, MB", "redis_memory_mb"),
)  # fmt: skip


def table(cases: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: a line for each case."""
    head = ["case", *(title for title, _ in _COLUMNS)]
    lines = [head, ["---"] * len(head)]
    lines += [[name, *(_cell(run.get(key)) for _, key in _COLUMNS)] for name, run in cases.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:,}"


def plot(cases: Mapping[str, Mapping[str, Any]]) -> str:
    """SVG: messages a second, ours and for comparison those of a C gateway."""
    bars = [(name, int(run["messages_per_s"]), _OURS) for name, run in cases.items()]
    bars += [(name, rate, _THEIRS) for name, rate in KANNEL]
    scale = (_WIDTH - _LEFT - 70) / max(rate for _, rate, _ in bars)
    height = len(bars) * (_BAR + _GAP) + _GAP
    drawn = [_bar(place, *bar, scale) for place, bar in enumerate(bars)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
            'font-size="12" role="img" aria-label="Messages a second by case">',
            f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
            *drawn,
            "</svg>\n",
        ]
    )


def _bar(place: int, name: str, rate: int, colour: str, scale: float) -> str:
    top = _GAP + place * (_BAR + _GAP)
    middle, width = top + _BAR - 4, round(rate * scale, 1)
    return (
        f'<text x="{_LEFT - 8}" y="{middle}" text-anchor="end" fill="#1b262c">{escape(name)}</text>'
        f'<rect x="{_LEFT}" y="{top}" width="{width}" height="{_BAR}" rx="2" fill="{colour}"/>'
        f'<text x="{_LEFT + width + 6}" y="{middle}" fill="#1b262c">{rate:,}</text>'
    )


def put_into(document: Path, plot_file: Path, cases: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the plot, and the table between the marks of the document. Raises ValueError without the marks."""
    text = document.read_text("utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{document}: the marks {BEGIN} and {END} are missing")
    plot_file.write_text(plot(cases), "utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    picture = f"![Messages a second by case]({plot_file.relative_to(document.parent)})"
    document.write_text(f"{before}{BEGIN}\n{table(cases)}\n\n{picture}\n{END}{after}", "utf-8")
