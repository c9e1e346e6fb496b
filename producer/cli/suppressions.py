"""Commands about opted-out numbers: `drumline suppressions list|add|remove`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from config.own_keys import suppression_key
from models.msisdn import Msisdn, parse_msisdn
from producer.audience import read_suppressed
from producer.campaigns import CampaignError
from producer.cli.context import open_context
from producer.cli.output import emit, say
from producer.suppressions import add_suppressions, list_suppressions, remove_suppressions

app = typer.Typer(help="Numbers that must not be written to.", no_args_is_help=True)
Sender = Annotated[str, typer.Option(help="Only for this sender ID; else for all.")]
Region = Annotated[str | None, typer.Option(help="Country of numbers without a country code.")]
LISTED = 1000


@app.command("list")
def listing(
    sender: Annotated[str | None, typer.Option(help="Only those of this sender ID ('' for all senders').")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Opted-out numbers, in order."""
    columns = ["msisdn", "sender", "source", "created_at"]
    with open_context() as context, context.database.read() as session:
        rows = [{name: getattr(row, name) for name in columns} for row in list_suppressions(session, limit, sender)]
    emit(rows, columns, as_json=as_json)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="One number per line, # for remarks.")],
    sender: Sender = "",
    region: Region = None,
) -> None:
    """Add opted-out numbers: they are never sent to. All of the file, or none of it."""
    if not file.is_file():
        raise CampaignError("file", f"{file}: no such file")
    with open_context() as context:
        with file.open(encoding="utf-8") as lines:
            numbers, bad = read_suppressed(lines, context.region(region))
        if bad:
            raise CampaignError(
                "file", f"{file}: no phone number in line {', '.join(map(str, bad[:10]))}; nothing added"
            )
        with context.database.write() as session:
            add_suppressions(session, numbers, sender, file.name, context.now())
    say(f"{len(numbers):,} numbers suppressed")


@app.command()
def remove(
    numbers: Annotated[list[str], typer.Argument(help="Numbers whose owners asked to be written to again.")],
    sender: Sender = "",
    region: Region = None,
) -> None:
    """Lift suppressions. A number that opted out of all senders is lifted without --sender only."""
    with open_context() as context:
        found = [_number(text, context.region(region)) for text in numbers]
        with context.database.write() as session:
            gone = remove_suppressions(session, found, partial(suppression_key, context.settings), sender)
    say(f"{gone} suppressions lifted")


def _number(text: str, region: str | None) -> str:
    number = parse_msisdn(text, region)
    if not isinstance(number, Msisdn):
        raise CampaignError("numbers", f"{text}: {number.reason}")
    return str(number)
