"""Commands about named templates: `drumline templates list|show|save|retire`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.tables import TemplateText
from producer import templates as use
from producer.campaigns import CampaignError
from producer.cli.context import open_context
from producer.cli.output import Json, emit, print_json, say

app = typer.Typer(help="Named templates with versions.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The template's name.")]
COLUMNS = ["name", "version", "text", "missing", "gsm7_only", "note", "created_at", "retired_at"]


def _row(found: TemplateText) -> dict[str, object]:
    return {name: getattr(found, name) for name in COLUMNS}


@app.command("list")
def listing(as_json: Json = False) -> None:
    """The newest version of each."""
    with open_context() as context, context.database.read() as session:
        rows = [_row(found) for found in use.newest(session)]
    emit(rows, COLUMNS[:-1], as_json=as_json)


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Every version, or one: `drumline templates show welcome@2`."""
    wanted, version = use.parse_name(name)
    with open_context() as context, context.database.read() as session:
        found = use.versions(session, wanted) if version is None else [use.get(session, wanted, version)]
        rows = [_row(one) for one in found]
    emit(rows, COLUMNS, as_json=as_json)


@app.command()
def save(
    name: Name,
    text: Annotated[str, typer.Option(help="The text; or @file to read it from a file.")],
    missing: Annotated[str | None, typer.Option(help="Stands for missing values; else such rows are refused.")] = None,
    gsm7: Annotated[bool, typer.Option("--gsm7", help="Write GSM-7's nearest characters where possible.")] = False,
    note: Annotated[str, typer.Option(help="Why it was changed.")] = "",
    as_json: Json = False,
) -> None:
    """Store a new version; campaigns that use an older one keep theirs."""
    with open_context() as context, context.database.write() as session:
        made = use.save(session, name, _text(text), context.now(), missing=missing, gsm7_only=gsm7, note=note)
        row = _row(made)
    if as_json:
        print_json(row)
    else:
        say(f"{name} is at version {row['version']}")


@app.command()
def retire(name: Name) -> None:
    """Offer it no more. Campaigns that use it go on."""
    with open_context() as context, context.database.write() as session:
        gone = use.retire(session, name, context.now())
    say(f"{name}: {gone} versions retired")


def _text(given: str) -> str:
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text("utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CampaignError("text", f"text: {given[1:]}: {error}") from error
