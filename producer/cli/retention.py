"""Commands about what is kept for how long: purge, erase."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Annotated

import typer

from config.accounts import parse_duration
from config.own_keys import suppression_key
from models.msisdn import Msisdn, parse_msisdn
from producer import retention
from producer.campaigns import CampaignError
from producer.cli.context import Context, open_context
from producer.cli.output import Json, emit, print_json, say
from producer.erase import Keep
from producer.erase import erase as erase_number


def register(app: typer.Typer) -> None:
    app.command()(purge)
    app.command()(erase)


def purge(
    older_than: Annotated[str, typer.Option(help="What ended longer ago than this, e.g. 90d.")],
    dry_run: Annotated[bool, typer.Option(help="Erase nothing; say what would be.")] = False,
    vacuum: Annotated[bool, typer.Option(help="Then write the tables anew, without what was deleted in them.")] = False,
    as_json: Json = False,
) -> None:
    """Erase numbers, texts and raw reports of campaigns that ended long ago; their figures stay."""
    with open_context() as context:
        age = _age(context, older_than)
        if dry_run:
            _forecast(context, age, as_json)
            return
        done = retention.purge(context.database, age, context.settings)
        if vacuum:
            retention.vacuum(context.database)
    figures = {name: value for name, value in asdict(done).items() if name != "left"}
    if as_json:
        print_json(figures)
    else:
        say("erased: " + ", ".join(f"{value:,} {name}" for name, value in figures.items()))


def _age(context: Context, text: str) -> timedelta:
    try:
        age = timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError) as error:
        raise CampaignError("older-than", f"--older-than: {text!r} is not a time like 90d or 36h") from error
    least = retention.least_age(context.settings)
    if age < least:
        days = least.total_seconds() / 86400
        raise CampaignError("older-than", f"--older-than: at least {days:g}d, younger numbers are still needed")
    return age


def _forecast(context: Context, age: timedelta, as_json: bool) -> None:
    with context.database.read() as session:
        found = retention.forecast(session, context.now() - age)
    if as_json:
        print_json(asdict(found))
        return
    columns = ["id", "name", "state", "finished_at", "rows_accepted"]
    emit([asdict(one) for one in found.campaigns], columns, as_json=False, title="Would be purged")
    say(f"{found.messages:,} messages, {found.pages:,} raw pages of reports, {found.inbound:,} incoming messages")


def erase(
    number: Annotated[str, typer.Argument(help="The number, e.g. +447700900123.")],
    suppress: Annotated[bool, typer.Option("--suppress", help="And never write to it again, by any sender.")] = False,
    forget: Annotated[
        bool, typer.Option("--forget-suppression", help="Keep no suppression: the next import may write to it.")
    ] = False,
    region: Annotated[str | None, typer.Option(help="Country of a number without a country code.")] = None,
    as_json: Json = False,
) -> None:
    """Erase one number everywhere. Refused while a message to it is open. A suppression survives as a keyed digest."""
    if suppress and forget:
        raise CampaignError("suppress", "--suppress and --forget-suppression: only one of them")
    keep = Keep.ADD if suppress else Keep.NOTHING if forget else Keep.AS_DIGEST
    with open_context() as context:
        found = parse_msisdn(number, context.region(region))
        if not isinstance(found, Msisdn):
            raise CampaignError("number", f"the number cannot be read: {found.reason}")
        done = erase_number(context.database, str(found), keep, partial(suppression_key, context.settings))
    if as_json:
        print_json(asdict(done))
        return
    figures = {name: value for name, value in asdict(done).items() if isinstance(value, int)}
    say("erased: " + ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in figures.items()))
    for place in done.mentioned:
        say(f"left alone: the text of {place} names this number; whose it is there is for you to say")
