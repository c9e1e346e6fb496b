"""Commands about API keys."""

from __future__ import annotations

from typing import Annotated

import typer

from producer import keys
from producer.cli.context import open_context
from producer.cli.output import emit, print_json, say

app = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    scope: Annotated[str, typer.Option(help="read, submit or admin.")] = "submit",
    as_json: Json = False,
) -> None:
    """Make a key. It is shown once: only its hash is kept."""
    with open_context() as context, context.database.write() as session:
        key, row = keys.create_key(session, name, scope, context.now())
        made = {"id": row.id, "name": row.name, "scope": row.scope, "key": key}
    if as_json:
        print_json(made)
    else:
        say(f"key for {name} ({scope}); it is not shown again:")
        typer.echo(key)


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List keys, without the keys themselves."""
    columns = ["id", "name", "scope", "prefix", "created_at", "last_used_at", "revoked_at"]
    with open_context() as context, context.database.read() as session:
        rows = [{name: getattr(row, name) for name in columns} for row in keys.list_keys(session)]
    emit(rows, columns, as_json=as_json)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The key's id.")]) -> None:
    """Revoke a key at once."""
    with open_context() as context, context.database.write() as session:
        keys.revoke_key(session, key_id, context.now())
    say("revoked")
