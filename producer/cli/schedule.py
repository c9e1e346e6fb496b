"""Commands about time: reschedule, retry-failed, schedule list, recurring add / list / remove."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from models.states import MessageState
from producer import campaigns as use
from producer import copies, recurring
from producer.campaigns import CampaignError
from producer.cli.campaigns import Id, find_campaign, standing_of
from producer.cli.context import Context, open_context
from producer.cli.output import Json, emit, print_json, say
from producer.schedule import moment_of, upcoming

times = typer.Typer(no_args_is_help=True, help="What is to come.")
repeats = typer.Typer(no_args_is_help=True, help="Campaigns that are sent again and again, by a cron expression.")

Zone = Annotated[str, typer.Option(help="Time zone, e.g. Europe/Berlin; default: DRUMLINE_DEFAULT_ZONE.")]


def register(app: typer.Typer) -> None:
    app.command()(reschedule)
    app.command(name="retry-failed")(retry_failed)


def reschedule(
    campaign: Id,
    at: Annotated[str, typer.Argument(help="The new time, e.g. 2026-12-01T09:00+01:00.")],
    zone: Zone = "",
    as_json: Json = False,
) -> None:
    """Give a campaign that has not begun another time."""
    with open_context() as context:
        campaign_id = find_campaign(context, campaign)
        moment = moment_of(at, zone or context.settings.default_zone)
        with context.database.write() as session:
            state = use.reschedule(session, campaign_id, moment, context.now())
    if as_json:
        print_json({"id": campaign_id, "state": str(state), "start_at": moment})
    else:
        say(f"now {state}, starts {moment.isoformat(timespec='seconds')}")


def retry_failed(
    campaign: Id,
    state: Annotated[
        list[str] | None, typer.Option(help="failed, expired, undelivered (these by default) or rejected; repeatable.")
    ] = None,
    name: Annotated[str, typer.Option(help="What the new campaign is called.")] = "",
    as_json: Json = False,
) -> None:
    """Send again to those that surely got nothing, as a new campaign with the same texts."""
    states = _states(state)
    with open_context() as context:
        campaign_id = find_campaign(context, campaign)
        with context.database.write() as session:
            made = copies.retry_failed(session, campaign_id, context.now(), states, name)
        copies.fill(context.database, context.accounts, made)
        _tell(context, made, as_json)


def _states(given: list[str] | None) -> list[MessageState]:
    unknown = sorted(set(given or ()) - set(MessageState))
    if unknown:
        expected = ", ".join(sorted(copies.RETRYABLE))
        raise CampaignError("state", f"state: found {', '.join(unknown)}, expected some of {expected}")
    return [MessageState(word) for word in dict.fromkeys(given or copies.BY_DEFAULT)]


def _tell(context: Context, campaign_id: UUID, as_json: bool) -> None:
    standing = standing_of(context, campaign_id)
    if as_json:
        print_json(standing.as_dict())
    else:
        say(f"campaign {campaign_id}: {standing.messages:,} messages, now {standing.campaign.state}")


@times.command(name="list")
def list_schedule(as_json: Json = False) -> None:
    """Scheduled campaigns and the next runs of recurring ones."""
    with open_context() as context, context.database.read() as session:
        emit(upcoming(session), ["at", "kind", "id", "name", "messages"], as_json=as_json)


@repeats.command()
def add(
    campaign: Id,
    cron: Annotated[str, typer.Argument(help='Minute, hour, day, month, weekday: "0 9 * * mon-fri".')],
    zone: Zone = "",
    name: Annotated[str, typer.Option(help="What its runs are called; default: the campaign's name.")] = "",
    as_json: Json = False,
) -> None:
    """Send a stored campaign (a draft, or one that was sent) at every time of a cron expression."""
    with open_context() as context:
        campaign_id = find_campaign(context, campaign)
        with context.database.write() as session:
            entry = recurring.add(
                session, campaign_id, cron, zone or context.settings.default_zone, context.now(), name
            )
            shown = recurring.as_dict(entry)
    if as_json:
        print_json(shown)
    else:
        say(f"recurring {shown['id']}: first at {shown['next_at'].isoformat(timespec='minutes')}")


@repeats.command(name="list")
def list_recurring(as_json: Json = False) -> None:
    """Recurring campaigns that will run again, the next first."""
    columns = ["id", "name", "cron", "zone", "next_at", "last_at"]
    with open_context() as context, context.database.read() as session:
        emit([recurring.as_dict(entry) for entry in recurring.active(session)], columns, as_json=as_json)


@repeats.command()
def remove(which: Annotated[str, typer.Argument(help="The id, or enough of it to be clear.")]) -> None:
    """Repeat no more; runs that were made already go on."""
    with open_context() as context, context.database.write() as session:
        found = [entry.id for entry in recurring.active(session) if which.lower() in str(entry.id)]
        if len(found) != 1:
            raise CampaignError("id", f"{len(found) or 'no'} recurring campaigns match {which!r}")
        recurring.remove(session, found[0], context.now())
    say(f"{found[0]} repeats no more")
