"""`drumline demo`: start everything, send the example campaign, wait for its reports, compare, and tell."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from config.accounts import Account, load_accounts
from config.settings import ROOT, Settings
from models.database import Database
from models.states import MessageState
from producer import campaigns
from producer.audience import read_suppressed
from producer.campaigns import CampaignSpec
from producer.demo.accounts import ROUTE, demo_accounts, write
from producer.demo.compare import compare
from producer.demo.ledger import fetch_entries, fetch_stats, our_rows
from producer.demo.tables import account_table, reject_table
from producer.importer import Imported, Importer
from producer.keys import Scope, create_key
from producer.overview import Progress as Standing
from producer.overview import progress
from producer.services.stack import Stack, free_port
from producer.suppressions import add_suppressions
from providers.accounts import open_provider
from providers.base import Provider

EXAMPLES = ROOT / "examples"
TEMPLATE = "Hi {{ name }}, your order {{ order }} leaves our depot in {{ city }} today. Reply STOP to opt out."
SENDER = "Drumline"
PATIENCE = 240.0  # seconds for the whole campaign


@dataclass(frozen=True, slots=True)
class Demo:
    """The demonstration's world: its folder, settings, accounts and database."""

    settings: Settings
    accounts: dict[str, Account]
    providers: dict[str, Provider]
    database: Database


async def run_demo(configured: Settings, console: Console, *, stay: bool) -> int:
    """Exit code 0 only if every message is final and the ledgers agree with the database."""
    folder = await asyncio.to_thread(_new_folder, configured.state_dir)
    say = _teller(console)
    code = 1
    try:
        async with _world(configured, folder, say) as (demo, stack):
            code = await _send(demo, stack, console)
            if stay:
                _tell_urls(stack, say)
                _tell_key(demo, say)
                await asyncio.Event().wait()
    finally:
        if code == 0 or stay:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            say(f"what happened is kept in {folder}")
    return code


def _new_folder(parent: Path) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="demo-", dir=parent)).resolve()


@asynccontextmanager
async def _world(configured: Settings, folder: Path, say: Callable[[str], None]) -> AsyncIterator[tuple[Demo, Stack]]:
    """Everything started, in a folder of its own, whatever the environment's settings are."""
    port = free_port(configured.api_host, configured.api_port)
    settings = configured.model_copy(
        update={
            "database_url": f"sqlite:///{folder / 'drumline.db'}",
            "accounts_file": folder / "accounts.toml",
            "state_dir": folder,
            "redis_url": "",
            "api_port": port,
            "public_url": f"http://{configured.api_host}:{port}",
        }
    )
    async with Stack(settings, say) as stack:
        announced = await stack.sandbox()
        demo_file = demo_accounts({str(k): str(v) for k, v in dict(announced["base_urls"]).items()})  # type: ignore[call-overload]  # the announcement is JSON
        write(demo_file, settings.accounts_file)
        config_file = folder / "sandbox-config.json"
        config_file.write_text(json.dumps(demo_file.sandbox), "utf-8")
        await fetch_stats(stack.urls["sandbox"], configure=demo_file.sandbox)
        stack.environment |= demo_file.environment | _environment(settings)
        accounts = load_accounts(settings.accounts_file, {**os.environ, **demo_file.environment})
        await stack.redis()
        stack.migrate()
        database = Database(settings.database_url)
        try:
            await _start(stack, say)
            providers = {name: open_provider(account, settings.public_url) for name, account in accounts.items()}
            yield Demo(settings, accounts, providers, database), stack
        finally:
            database.close()


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "DRUMLINE_DATABASE_URL": settings.database_url,
        "DRUMLINE_ACCOUNTS_FILE": str(settings.accounts_file),
        "DRUMLINE_STATE_DIR": str(settings.state_dir),
        "DRUMLINE_PUBLIC_URL": settings.public_url,
        "DRUMLINE_API_PORT": str(settings.api_port),
    }


async def _start(stack: Stack, say: Callable[[str], None]) -> None:
    say("starting API, four workers, beat and Flower…")
    api = await stack.api()
    flower = await stack.flower()
    await stack.workers()
    await stack.beat()
    await stack.answering("api", api)
    await stack.answering("flower", flower)
    _tell_urls(stack, say)


def _tell_key(demo: Demo, say: Callable[[str], None]) -> None:
    """The demonstration's database is its own, and so are its keys."""
    with demo.database.write() as session:
        key, _ = create_key(session, "demo", Scope.ADMIN, demo.database.now())
    say(f"sign in with the key {key}")


def _tell_urls(stack: Stack, say: Callable[[str], None]) -> None:
    say(f"Dashboard {stack.urls['api']}")
    say(f"API docs {stack.urls['api']}/docs   Flower {stack.urls['flower']}   logs {stack.logs}")


# --- the campaign ----------------------------------------------------------------------------------------------------


async def _send(demo: Demo, stack: Stack, console: Console) -> int:
    started = time.monotonic()
    imported = await asyncio.to_thread(_import, demo)
    console.print(
        f"{imported.accepted:,} of {imported.rows:,} rows accepted, {imported.rejected} rejected", highlight=False
    )
    finished = await _follow(demo, imported.campaign_id, console)
    rows = await asyncio.to_thread(our_rows, demo.database, demo.accounts)
    entries = await fetch_entries(stack.urls["sandbox"])
    stats = await fetch_stats(stack.urls["sandbox"])
    differences = compare(rows, entries)
    console.print(reject_table(demo.database, imported.campaign_id))
    console.print(account_table(demo.database, demo.accounts, imported.campaign_id, stats))
    for difference in differences[:20]:
        console.print(f"[red]{difference}[/]")
    if differences:
        console.print(f"[red]{len(differences)} differences between the ledgers and the database[/]")
    if not finished:
        console.print(f"[red]not every message became final within {PATIENCE:g} s[/]")
    if differences or not finished:
        return 1
    console.print(
        f"[green]every one of {len(rows):,} messages is final, and the providers' ledgers agree with the database "
        f"message by message[/] ({time.monotonic() - started:.0f} s)"
    )
    return 0


def _import(demo: Demo) -> Imported:
    now = demo.database.now()
    numbers, _ = read_suppressed((EXAMPLES / "suppressed.txt").read_text("utf-8").splitlines())
    spec = CampaignSpec("Demonstration", SENDER, TEMPLATE, ROUTE, source="recipients.csv")
    template = campaigns.check_spec(spec, demo.accounts, demo.providers)
    with demo.database.write() as session:
        add_suppressions(session, numbers, "", "examples/suppressed.txt", now)
        campaign_id = campaigns.create(session, spec, template, now)
    importer = Importer(demo.database, demo.accounts, demo.providers, demo.database.now)
    imported = importer.run(campaign_id, EXAMPLES / "recipients.csv")
    with demo.database.write() as session:
        campaigns.start(session, campaign_id, demo.database.now())
    return imported


async def _follow(demo: Demo, campaign_id: UUID, console: Console) -> bool:
    """Live bars until every message is final; False if that takes too long."""
    deadline = time.monotonic() + PATIENCE
    columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("{task.fields[note]}"))  # fmt: skip
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, int] = {}
        while time.monotonic() < deadline:
            standing = await asyncio.to_thread(_standing, demo, campaign_id)
            _draw(bars, tasks, standing)
            if standing.over:
                return True
            await asyncio.sleep(0.5)
    return False


def _standing(demo: Demo, campaign_id: UUID) -> Standing:
    with demo.database.read() as session:
        found = progress(session, campaign_id)
    if found is None:
        raise LookupError(f"campaign {campaign_id} vanished")
    return found


def _draw(bars: Progress, tasks: dict[str, int], standing: Standing) -> None:
    """One bar per account: what is final, and in the note what has left."""
    for account, states in sorted(standing.by_account.items()):
        total = sum(states.values())
        final = sum(n for state, n in states.items() if state in _ENDED)
        left = total - states.get(MessageState.QUEUED, 0)
        if account not in tasks:
            tasks[account] = bars.add_task(account, total=total, note="")
        bars.update(tasks[account], completed=final, note=f"{left:,} submitted")  # type: ignore[arg-type]  # an int


_ENDED = frozenset(
    {MessageState.DELIVERED, MessageState.UNDELIVERED, MessageState.REJECTED, MessageState.EXPIRED,
     MessageState.FAILED, MessageState.SUPPRESSED, MessageState.CANCELLED}
)  # fmt: skip


def _teller(console: Console) -> Callable[[str], None]:
    return lambda text: console.print(text.replace("[", "\\["), highlight=False)
