"""Commands about what came back: delivery reports, incoming messages, costs, errors, figures, one number's messages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

import typer

from models.msisdn import Msisdn, parse_msisdn
from models.states import MessageState
from producer import figures, inbound
from producer.campaigns import CampaignError
from producer.cli.campaigns import Id, find_campaign
from producer.cli.context import open_context
from producer.cli.output import Json, emit, print_json
from producer.figures_by_day import MOST_DAYS, by_day
from producer.message_pages import of_number

Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")]
AccountName = Annotated[str | None, typer.Option("--account", help="Only this account.")]
By = Annotated[list[str] | None, typer.Option("--by", help=f"Part by {', '.join(figures.BY)}; may be given twice.")]


def register(app: typer.Typer) -> None:
    app.command("reports")(reports)
    app.command("inbound")(list_inbound)
    app.command("costs")(costs)
    app.command("errors")(errors)
    app.command("figures")(by_days)
    app.command("find")(find)


def reports(
    unmatched: Annotated[bool, typer.Option("--unmatched", help="List those that belong to no message.")] = False,
    account: AccountName = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Delivery reports by account and what they did; with --unmatched those that wait for their message."""
    if unmatched:
        _unmatched(account, limit, as_json)
        return
    with open_context() as context, context.database.read() as session:
        done = [row for row in figures.effects(session) if account in {None, row["account"]}]
        waiting = [row for row in figures.unmatched_counts(session) if account in {None, row["account"]}]
    if as_json:
        emit([*done, *waiting], [], as_json=True)
        return
    emit(done, ["account", "effect", "reports"], as_json=False, title="Reports")
    emit(waiting, ["account", "reports", "given_up", "oldest", "newest"], as_json=False, title="Without a message")


def _unmatched(account: str | None, limit: int, as_json: bool) -> None:
    columns = ["id", "account", "received_at", "provider_id", "ref", "state", "raw_status", "tries", "next_try_at"]
    with open_context() as context, context.database.read() as session:
        found = figures.unmatched(session, account, limit)
        rows = [{name: getattr(row, name) for name in columns} for row in found]
    emit(rows, columns, as_json=as_json, title="Reports without a message")


def list_inbound(
    account: AccountName = None,
    number: Annotated[str | None, typer.Option(help="Only from this number.")] = None,
    stops: Annotated[bool, typer.Option("--stops", help="Only those with a stop word.")] = False,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Messages from people, the latest first."""
    columns = ["id", "received_at", "account", "msisdn", "to", "stop_word", "text"]
    with open_context() as context, context.database.read() as session:
        found = inbound.list_inbound(session, account=account, msisdn=number, stops=stops, limit=limit)
        rows = [{name: getattr(row, name) for name in columns} for row in found]
    emit(rows, columns, as_json=as_json, title="Incoming messages")


def costs(campaign: Id, by: By = None, as_json: Json = False) -> None:
    """What a campaign cost, by currency."""
    parted = _parted(by)
    with open_context() as context, context.database.read() as session:
        rows = figures.costs(session, find_campaign(context, campaign), *parted)
    emit(rows, [*parted, "currency", "messages", "parts", "price"], as_json=as_json, title="Costs")


def errors(
    campaign: Annotated[str | None, typer.Argument(help="Only this campaign: its id, or enough of it.")] = None,
    by: By = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Why messages failed, the most frequent first."""
    parted = _parted(by)
    with open_context() as context, context.database.read() as session:
        chosen = None if campaign is None else find_campaign(context, campaign)
        rows = figures.errors(session, chosen, *parted, limit=limit)
    emit(rows, [*parted, "code", "klass", "reason", "state", "messages"], as_json=as_json, title="Errors")


def by_days(
    days: Annotated[int, typer.Option(min=1, max=MOST_DAYS, help="So many days up to today (UTC).")] = MOST_DAYS,
    as_json: Json = False,
) -> None:
    """Campaigns, messages by state and costs by the day they started on."""
    with open_context() as context, context.database.read() as session:
        tomorrow = context.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        found = by_day(session, tomorrow - timedelta(days=days), tomorrow)
    if as_json:
        print_json(found)
        return
    columns = ["day", "campaigns", "messages", "segments", "delivered", "cost"]
    emit([_day(line) for line in found], columns, as_json=False, title="By day")


def _day(line: Mapping[str, Any]) -> dict[str, Any]:
    cost = ", ".join(f"{one['price']} {one['currency'] or '?'}" for one in line["costs"])
    delivered = line["states"].get(MessageState.DELIVERED, 0)
    return {**line, "day": line["day"].isoformat(), "delivered": delivered, "cost": cost or "-"}


def find(
    number: Annotated[str, typer.Argument(help="A phone number.")],
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Messages to a number over all campaigns, the newest first."""
    columns = ["id", "campaign_id", "submitted_at", "account", "sender", "state", "code", "reason"]
    with open_context() as context, context.database.read() as session:
        found = parse_msisdn(number, context.settings.default_region or None)
        if not isinstance(found, Msisdn):
            raise CampaignError("number", f"number: {found.reason}")
        rows = [{name: getattr(row, name) for name in columns} for row in of_number(session, str(found), None, limit)]
    emit(rows, columns, as_json=as_json, title="Messages")


def _parted(by: list[str] | None) -> list[str]:
    for name in by or []:
        if name not in figures.BY:
            raise typer.BadParameter(f"found {name!r}, expected one of {', '.join(figures.BY)}", param_hint="--by")
    return list(dict.fromkeys(by or []))
