"""Commands about accounts: limits, unblock, breaker open, breaker close."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from kombu.exceptions import OperationalError
from rich.live import Live
from rich.table import Table

from config.accounts import AccountsError
from config.names import Order
from config.nudges import Nudges
from config.settings import SettingsError
from producer.cli.context import Context, open_context
from producer.cli.output import Json, out, plain, print_json, say
from producer.limits import Standing, give_order, hurry, standings

Name = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's name in the accounts file.")]
Reason = Annotated[str, typer.Option(help="Shown to everybody.")]

COLUMNS = ("account", "window", "used", "remaining", "rate/s", "blocked", "breaker", "queue")
DONE_WITHIN = 6.0  # seconds
WATCH_EVERY = 1.0

breaker = typer.Typer(help="Stop an account, or let it work again.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command()(limits)
    app.command()(unblock)


def limits(
    account: Annotated[str | None, typer.Argument(help="Only this account.")] = None,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option(help="Show it anew every second until Ctrl-C.")] = False,
) -> None:
    """Per account: windows, used, remaining, blocked until when, breaker and why, queue, present rate."""
    with open_context() as context:
        if not watch:
            shown = _standings(context, account)
            _print_json(shown) if as_json else out.print(_table(shown))
        elif as_json:
            while True:
                _print_json(_standings(context, account))
                time.sleep(WATCH_EVERY)
        else:
            _watch(context, account)


def unblock(account: Name) -> None:
    """End the block after a 429 or a lock-out early; the rate ramps up from a quarter."""
    _order(account, Order.UNBLOCK, "by an operator")


@breaker.command("open")
def open_breaker(account: Name, reason: Reason = "stopped by an operator") -> None:
    """Nothing leaves by this account any more, not even a probe, until it is closed."""
    _order(account, Order.OPEN, reason)


@breaker.command("close")
def close_breaker(account: Name) -> None:
    """Let the account work again, whatever had opened the breaker."""
    _order(account, Order.CLOSE, "closed by an operator")


def _standings(context: Context, only: str | None) -> list[Standing]:
    if only is not None:
        _known(context, only)
    with context.database.read() as session:
        found = standings(session, context.accounts, context.now())
    return [one for one in found if only in (None, one.account)]


def _known(context: Context, account: str) -> None:
    if account not in context.accounts:
        raise AccountsError(f"unknown account {account!r}, expected one of {', '.join(sorted(context.accounts))}")


def _print_json(shown: list[Standing]) -> None:
    print_json([one.as_dict() for one in shown])


def _watch(context: Context, only: str | None) -> None:
    with Live(_table(_standings(context, only)), console=out, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(WATCH_EVERY)
                live.update(_table(_standings(context, only)), refresh=True)
        except KeyboardInterrupt:
            return


# --- the table -------------------------------------------------------------------------------------------------------


def _table(shown: list[Standing]) -> Table:
    table = Table(header_style="bold")
    for column in COLUMNS:
        right = column in {"used", "remaining", "rate/s", "queue"}
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for one in shown:
        for row in rows_of(one):
            table.add_row(*map(plain, row))
    return table


def rows_of(one: Standing) -> Iterator[tuple[str, ...]]:
    """A row for each window; what concerns the account as a whole stands in its first row. Pure."""
    first = True
    for name in ("submit", "poll"):
        part = one.snapshot.get(name)
        for window, used, remaining in _windows(part) if part is not None else ():
            label = one.account if name == "submit" else f"{one.account} (poll)"
            head = (_breaker(one), f"{one.on_redis}+{one.in_work}") if first else ("", "")
            yield (label, window, used, remaining, _rate(part or {}), _blocked(part or {}), *head)
            first = False
    if first:
        yield (one.account, "-", "-", "-", "-", "-", _breaker(one), f"{one.on_redis}+{one.in_work}")


def _windows(part: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if not part.get("windows"):
        yield "no limit", "-", "-"
    for window in part.get("windows", ()):
        foreign = f" (+{window['foreign']} by others)" if window["foreign"] else ""
        label = f"{window['limit']:,} {window['counts']} / {window['per']:g} s"
        yield label, f"{window['used']:,}{foreign}", f"{window['remaining']:,}"


def _rate(part: Mapping[str, Any]) -> str:
    ramp = f" ({part['ramp']:.0%} ramp)" if part.get("ramp", 1) < 1 else ""
    return f"{part.get('requests_per_second', 0):.1f}{ramp}"


def _blocked(part: Mapping[str, Any]) -> str:
    left = float(part.get("blocked_for", 0))
    return f"{left:.0f} s: {part.get('reason', '')}" if left > 0 else "-"


def _breaker(one: Standing) -> str:
    if one.age is None:
        return "no worker has spoken yet"
    late = f" (as of {one.age:.0f} s ago)" if one.stale else ""
    if error := one.snapshot.get("error"):
        return f"{error}{late}"
    found = one.breaker
    if found.get("state") == "closed":
        return f"closed{late}"
    probe = f"; next probe in {found['probe_in']:.0f} s" if found.get("probe_in") else ""
    hand = "; close it with: drumline breaker close " + one.account if found.get("needs_operator") else ""
    why = ": ".join(text for text in (found.get("kind"), found.get("reason")) if text)
    return f"{found.get('state')} for {found.get('for', 0):.0f} s ({why}){probe}{hand}{late}"


# --- orders ----------------------------------------------------------------------------------------------------------


def _order(account: str, order: Order, note: str) -> None:
    with open_context() as context:
        _known(context, account)
        with context.database.write() as session:
            give_order(session, account, order, note)
        _hurry(account)
        _tell(context, account, order)


def _hurry(account: str) -> None:
    try:
        from config.celery_app import app

        hurry(Nudges(app), account)
    except (OSError, OperationalError, SettingsError) as error:
        say(f"Redis cannot be asked ({type(error).__name__}); the order waits in the database")


def _tell(context: Context, account: str, order: Order) -> None:
    deadline = time.monotonic() + DONE_WITHIN
    while time.monotonic() < deadline:
        one = _standings(context, account)[0]
        if one.order is None:
            say(f"{account}: done ({order}); breaker {_breaker(one)}")
            return
        time.sleep(0.1)
    say(f"{account}: the order is kept, but no worker has carried it out yet; see: drumline limits {account}")
