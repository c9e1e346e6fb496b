"""Commands about outgoing events: endpoints, and sending again what was given up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from config.events import endpoint_secret
from producer import webhooks_out
from producer.cli.context import open_context
from producer.cli.output import Json, emit, print_json, say

app = typer.Typer(help="Events: who is told, and replay.", no_args_is_help=True)
Endpoint = Annotated[UUID, typer.Argument(help="The endpoint's id.")]


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="An https address; it gets POST requests.")],
    campaign: Annotated[UUID | None, typer.Option(help="The campaign whose events are told.")] = None,
    key: Annotated[UUID | None, typer.Option(help="The API key whose campaigns' events are told.")] = None,
    as_json: Json = False,
) -> None:
    """Tell an address of the events of a campaign, or of all campaigns an API key makes."""
    with open_context() as context, context.database.write() as session:
        made = webhooks_out.add_endpoint(
            session, context.settings, url, context.now(), campaign_id=campaign, api_key_id=key
        )
    if as_json:
        print_json({"id": made.id, "secret": made.secret})
    else:
        say(f"endpoint {made.id}; it checks signatures with this secret:")
        typer.echo(made.secret)


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List endpoints and what waits for them."""
    columns = ["id", "url", "waiting", "delivered", "dead", "failures", "not_before", "last_error", "removed_at"]
    with open_context() as context, context.database.read() as session:
        rows = webhooks_out.list_endpoints(session)
    emit(rows, columns, as_json=as_json, title="Endpoints")


@app.command()
def secret(endpoint: Endpoint) -> None:
    """Show an endpoint's secret again."""
    with open_context() as context:
        typer.echo(endpoint_secret(context.settings, endpoint))


@app.command()
def remove(endpoint: Endpoint) -> None:
    """Send nothing more to an endpoint."""
    with open_context() as context, context.database.write() as session:
        webhooks_out.remove_endpoint(session, endpoint, context.now())
    say("removed")


@app.command()
def replay(
    endpoint: Annotated[UUID | None, typer.Option(help="Only to this endpoint.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only events since then (UTC).")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were received (kept a week).")] = False,
) -> None:
    """Send again the events that were given up, with the same ids."""
    start = since.replace(tzinfo=UTC) if since and since.tzinfo is None else since
    with open_context() as context, context.database.write() as session:
        again = webhooks_out.replay(session, endpoint_id=endpoint, since=start, everything=everything)
    say(f"{again} events will be sent again")
