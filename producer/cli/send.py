"""Commands that bring recipients in: send, preview, add."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from models.database import PASSING_ERRORS
from models.options import DEFAULT_PARTS, MOST_PARTS
from models.tables import Reject
from producer import campaigns as use
from producer import templates
from producer.campaigns import CampaignError, CampaignSpec
from producer.cli import steering
from producer.cli.campaigns import Id, find_campaign, print_status
from producer.cli.context import Context, open_context
from producer.cli.output import Json, err, say
from producer.cli.preview import show_preview
from producer.importer import Imported, Importer
from producer.overview import Progress as Standing
from producer.overview import progress
from producer.readers import Hint
from producer.rejects import first_rejects
from producer.route import read_route
from producer.schedule import moment_of

RouteText = Annotated[
    str, typer.Option(help="Accounts and weights, as qikli=70,quicksms=30; or a .toml or .json file with rules.")
]
TemplateText = Annotated[str, typer.Option(help='The text, as "Hi {{ name }}, your order is on its way."')]
TemplateName = Annotated[str | None, typer.Option(help="A named template instead, as welcome or welcome@3.")]
Region = Annotated[str | None, typer.Option(help="Country (GB, DE …) of numbers without a country code.")]
Missing = Annotated[str | None, typer.Option(help="Stands for missing values; else such rows are rejected.")]
MaxParts = Annotated[
    int, typer.Option(help="Reject rows whose text needs more parts than that.", min=1, max=MOST_PARTS)
]
Gsm7 = Annotated[bool, typer.Option("--gsm7", help="Write GSM-7's nearest characters where that is possible.")]

SHOWN_REJECTS = 3


def register(app: typer.Typer) -> None:
    for command in (send, preview, add):
        app.command()(command)


def send(
    file: Annotated[Path, typer.Argument(help="CSV, NDJSON or XLSX with a number column; .gz and .zip too.")],
    route: RouteText,
    template: TemplateText = "",
    template_name: TemplateName = None,
    sender: Annotated[str, typer.Option(help="Sender ID; accounts with one of their own use that.")] = "",
    name: Annotated[str, typer.Option(help="What the campaign is called; default: the file's name.")] = "",
    at: Annotated[str | None, typer.Option(help="When to start, e.g. 2026-12-01T09:00+01:00.")] = None,
    zone: Annotated[str, typer.Option(help="Time zone of --at if it names none; default: DRUMLINE_DEFAULT_ZONE.")] = "",
    column: Annotated[str | None, typer.Option(help="The column with the numbers.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Encoding of the file, if not what it looks like.")] = None,
    region: Region = None,
    missing: Missing = None,
    gsm7: Gsm7 = False,
    max_parts: MaxParts = DEFAULT_PARTS,
    validity: Annotated[int | None, typer.Option(help="Seconds after which a message is worthless.", min=60)] = None,
    priority: Annotated[str, typer.Option(help="high, normal or low.")] = "normal",
    max_rate: Annotated[float | None, typer.Option(help="At most so many messages a second, all accounts.")] = None,
    failover: Annotated[bool, typer.Option(help="Move messages to another account if theirs is out of order.")] = True,
    on_unknown: Annotated[str, typer.Option(help="give_up or resend, for what can never be proven.")] = "give_up",
    option: Annotated[list[str] | None, typer.Option(help="NAME=VALUE for the adapter, e.g. template_id=1207.")] = None,
    stream: Annotated[bool, typer.Option(help="Send while the file is still read; a broken file stops there.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Store and send nothing; say what would happen.")] = False,
    window: steering.WindowOption = None,
    quiet: steering.QuietOption = None,
    window_zone: steering.WindowZoneOption = None,
    spread: steering.SpreadOption = None,
    slices: steering.SlicesOption = None,
    canary: steering.CanaryOption = None,
    canary_share: steering.CanaryShareOption = 0.8,
    canary_wait: steering.CanaryWaitOption = "30m",
    canary_code: steering.CanaryCodeOption = None,
    guard: steering.GuardOption = None,
    cap: steering.CapOption = None,
    repeat: steering.RepeatOption = None,
    draft: Annotated[bool, typer.Option(help="Import only; start it later with `drumline resume`.")] = False,
    wait: Annotated[bool, typer.Option(help="Stay until every message is final.")] = False,
    timeout: Annotated[float | None, typer.Option(help="With --wait: give up waiting after so many seconds.")] = None,
    as_json: Json = False,
) -> None:
    """Import a file and send it. Everything is checked first: a wrong file, template, sender or route sends nothing."""
    with open_context() as context:
        steered = steering.read(
            window=window, quiet=quiet, window_zone=window_zone, spread=spread, slices=slices, canary=canary,
            canary_share=canary_share, canary_wait=canary_wait, canary_codes=canary_code or (), guard=guard,
            cap=cap, repeat=repeat,
        )  # fmt: skip
        spec = replace(
            _content(context, file, route, sender, template, template_name, missing, gsm7, max_parts, region, option),
            name=name or file.name, stream=stream, priority=priority, max_rate=max_rate, failover=failover,
            validity=validity, on_unknown=on_unknown, start_at=_moment(context, at, zone), steering=steered,
        )  # fmt: skip
        hint = Hint(column=column, encoding=encoding)
        if dry_run:
            show_preview(context, spec, file, hint, [], as_json=as_json)
            return
        campaign_id = _begin(context, spec, file, hint, draft=draft, quiet=as_json)
        ended = _wait(context, campaign_id, timeout, quiet=as_json) if wait else True
        print_status(context, campaign_id, as_json)
    if not ended:
        raise typer.Exit(1)


def _begin(context: Context, spec: CampaignSpec, file: Path, hint: Hint, *, draft: bool, quiet: bool) -> UUID:
    """Import, and start unless it is to stay a draft or has begun already. Without any good row nothing is created."""
    imported = _import(context, spec, file, hint)
    if not draft and not imported.accepted:
        raise _dropped(context, imported)
    if not draft and not spec.stream:
        with context.database.write() as session:
            use.start(session, imported.campaign_id, context.now())
    if not quiet:
        _tell_import(imported)
    return imported.campaign_id


def _dropped(context: Context, imported: Imported) -> CampaignError:
    """Undo the creation, as the API does; what was wrong with the first rows, and how all of them are seen."""
    with context.database.write() as session:
        first = [_fault(reject) for reject in first_rejects(session, imported.campaign_id, SHOWN_REJECTS)]
        session.expunge_all()
        use.forget(session, imported.campaign_id)
    more = "; …" if imported.rows > len(first) else ""
    return CampaignError(
        "recipients",
        f"all {imported.rows:,} rows were rejected; nothing was created. {'; '.join(first)}{more}. "
        "To list every row, import with --draft, then: drumline rejects ID",
    )


def _fault(reject: Reject) -> str:
    place = f", {reject.column}" if reject.column else ""
    value = f" {reject.value!r}" if reject.value else ""
    return f"row {reject.row_no}{place}{value}: {reject.reason} ({reject.code})"


def preview(
    file: Annotated[Path, typer.Argument(help="CSV, NDJSON or XLSX with a number column; .gz and .zip too.")],
    route: RouteText,
    template: TemplateText = "",
    template_name: TemplateName = None,
    sender: Annotated[str, typer.Option(help="Sender ID.")] = "",
    column: Annotated[str | None, typer.Option(help="The column with the numbers.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Encoding of the file, if not what it looks like.")] = None,
    region: Region = None,
    missing: Missing = None,
    gsm7: Gsm7 = False,
    max_parts: MaxParts = DEFAULT_PARTS,
    option: Annotated[list[str] | None, typer.Option(help="NAME=VALUE for the adapter.")] = None,
    row: Annotated[list[int] | None, typer.Option(help="Show this row of the file; may be given again.")] = None,
    as_json: Json = False,
) -> None:
    """What a file would become: rows, texts, parts, cost, time, warnings. Nothing is stored or sent."""
    with open_context() as context:
        spec = _content(context, file, route, sender, template, template_name, missing, gsm7, max_parts, region, option)
        show_preview(context, spec, file, Hint(column=column, encoding=encoding), row or [], as_json=as_json)


def add(
    campaign: Id,
    file: Annotated[Path, typer.Argument(help="One more file for a draft; numbers it has already are left out.")],
    column: Annotated[str | None, typer.Option(help="The column with the numbers.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Encoding of the file, if not what it looks like.")] = None,
) -> None:
    """Add recipients to a draft."""
    if not file.is_file():
        raise CampaignError("file", f"{file}: no such file")
    with open_context() as context:
        hint = Hint(column=column, encoding=encoding)
        _tell_import(_importer(context).run(find_campaign(context, campaign), file, hint, file.name))


def _content(
    context: Context, file: Path, route: str, sender: str, template: str, template_name: str | None,
    missing: str | None, gsm7: bool, max_parts: int, region: str | None, option: list[str] | None,
) -> CampaignSpec:  # fmt: skip
    """What is said, by whom, through which accounts; the text of a named template is looked up."""
    chosen = read_route(route, context.accounts)
    spec = CampaignSpec(
        name=file.name, sender=sender, template=template, **_template(template_name), missing=missing,
        gsm7_only=gsm7, max_parts=max_parts, region=region, route=chosen.accounts, routing=chosen.routing,
        options=_options(option or []), source=file.name,
    )  # fmt: skip
    with context.database.read() as session:
        return templates.pin(session, spec)


def _moment(context: Context, at: str | None, zone: str) -> datetime | None:
    return None if at is None else moment_of(at, zone or context.settings.default_zone)


def _template(name: str | None) -> dict[str, Any]:
    if name is None:
        return {}
    found, version = templates.parse_name(name)
    return {"template_name": found, "template_version": version}


def _options(pairs: list[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for pair in pairs:
        name, mark, value = pair.partition("=")
        if not mark or not name:
            raise CampaignError("option", f"option: found {pair!r}, expected NAME=VALUE")
        options[name] = value
    return options


def _import(context: Context, spec: CampaignSpec, file: Path, hint: Hint) -> Imported:
    if not file.is_file():
        raise CampaignError("file", f"{file}: no such file")
    template = use.check_spec(spec, context.accounts, context.providers)
    with context.database.write() as session:
        campaign_id = use.create(session, spec, template, context.now())
    return _importer(context).run(campaign_id, file, hint, file.name)


def _importer(context: Context) -> Importer:
    return Importer(
        context.database,
        context.accounts,
        context.providers,
        context.now,
        context.settings.batch_seconds,
        context.settings.default_region or None,
    )


def _tell_import(imported: Imported) -> None:
    encoding = f", read as {imported.encoding}" if imported.encoding else ""
    say(
        f"campaign {imported.campaign_id}: {imported.accepted:,} of {imported.rows:,} rows accepted, "
        f"{imported.segments:,} parts (numbers from column {imported.number_column!r}{encoding})"
    )
    if imported.rejected:
        say(f"{imported.rejected:,} rows rejected; list them with: drumline rejects {imported.campaign_id}")


def _wait(context: Context, campaign_id: UUID, timeout: float | None, *, quiet: bool) -> bool:
    """Follow a campaign to its end; False when the time is over first. A database that is away for a while ends
    neither the campaign nor the wait."""
    deadline = None if timeout is None else time.monotonic() + timeout
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=quiet) as bars:
        tasks: dict[str, int] = {}
        away = False
        while True:
            try:
                with context.database.read() as session:
                    standing = progress(session, campaign_id)
            except PASSING_ERRORS:
                if not away:
                    say(f"the database does not answer; campaign {campaign_id} goes on, and so does the wait")
                away = True
            else:
                away = False
                if standing is None or standing.over:
                    return True
                _draw(bars, tasks, standing)
            if deadline is not None and time.monotonic() > deadline:
                return False
            time.sleep(0.5)


def _draw(bars: Progress, tasks: dict[str, int], standing: Standing) -> None:
    """Two bars per campaign: what left, and what is final."""
    left = standing.messages - standing.left
    for name, done in (("submitted", left), ("final", standing.final)):
        if name not in tasks:
            tasks[name] = bars.add_task(name, total=standing.messages)
        bars.update(tasks[name], completed=done)  # type: ignore[arg-type]  # rich's TaskID is an int
