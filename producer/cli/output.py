"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

out = Console(width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True)

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_CONTROL_UTF8 = re.compile(rb"\x7f|\xc2[\x80-\x9f]")  # what JSON allows unescaped

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def complain(text: str) -> None:
    err.print(Text.assemble(("error:", "bold red"), f" {visible(text)}"), soft_wrap=True)


def say(text: str) -> None:
    err.print(plain(text), soft_wrap=True)


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    text = orjson.dumps(value, default=_simple, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
    print_bytes(_CONTROL_UTF8.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), text))


def print_bytes(text: bytes) -> None:
    out.file.write(text.decode() + "\n")
    out.file.flush()


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    told = plain(title) if title else None
    table = Table(title=told, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        numeric = all(isinstance(row[number], int | float | Decimal) or row[number] in {"", "-"} for row in rows)
        justify: Literal["left", "right"] = "right" if rows and numeric else "left"
        table.add_column(column.replace("_", " "), justify=justify, overflow="fold", no_wrap=column == "id")
    for row in rows:
        table.add_row(*(plain(show(cell)) for cell in row))
    out.print(table)


def show(value: object) -> str:
    match value:
        case None:
            return "-"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M")
        case float():
            return f"{value:.1f}"
        case int():
            return f"{value:,}"
        case _:
            return str(value)


def emit(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, title: str = "") -> None:
    """A list of things, for people or for programs."""
    if as_json:
        print_json(list(rows))
    else:
        print_table(title, columns, [[row.get(column) for column in columns] for row in rows])


def plain(text: str) -> Text:
    """Nothing in it is markup, and nothing in it reaches the terminal as a command."""
    return Text(visible(text))


def visible(text: str) -> str:
    """Control characters as `\\x1b`: names and cells come from files, and could clear the screen or forge its text.
    The ends of lines stay."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _simple(value: object) -> object:
    match value:
        case UUID() | Decimal():
            return str(value)
        case frozenset() | set():
            return sorted(value)
        case _:
            raise TypeError(type(value).__name__)
