"""Commands about API keys."""

from __future__ import annotations

from typing import Annotated

import typer

from producer import keys, quota
from producer.cli.context import open_context
from producer.cli.output import Json, emit, print_json, say

app = typer.Typer(help="API keys: create, list, quota, revoke.", no_args_is_help=True)
Key = Annotated[str, typer.Argument(help="The key's id or prefix.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    scope: Annotated[str, typer.Option(help="read, submit or admin.")] = "submit",
    daily_quota: Annotated[int | None, typer.Option(help="Messages it may start in a day (UTC).", min=0)] = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown once: only its hash is kept."""
    with open_context() as context, context.database.write() as session:
        key, row = keys.create_key(session, name, scope, context.now(), daily_quota)
        made = {"id": row.id, "name": row.name, "scope": row.scope, "daily_quota": row.daily_quota, "key": key}
    if as_json:
        print_json(made)
    else:
        say(f"key for {name} ({scope}); it is not shown again:")
        typer.echo(key)


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List keys, without the keys themselves. `used today` counts messages of campaigns that the key made."""
    columns = ["id", "name", "scope", "prefix", "created_at", "last_used_at", "revoked_at", "daily_quota"]
    with open_context() as context, context.database.read() as session:
        found = keys.list_keys(session)
        used = quota.used(session, [row.id for row in found], context.now())
        rows = [{**{name: getattr(row, name) for name in columns}, "used_today": used.get(row.id, 0)} for row in found]
    emit(rows, [*columns, "used_today"], as_json=as_json)


@app.command("quota")
def set_quota(
    key: Key,
    messages: Annotated[int | None, typer.Argument(help="Messages a day; left out: any number.", min=0)] = None,
) -> None:
    """Change how many messages a key may start in a day."""
    with open_context() as context, context.database.write() as session:
        keys.set_quota(session, key, messages)
    say("any number a day" if messages is None else f"{messages:,} messages a day")


@app.command()
def revoke(key: Key) -> None:
    """Revoke a key at once."""
    with open_context() as context, context.database.write() as session:
        keys.revoke_key(session, key, context.now())
    say("revoked")
