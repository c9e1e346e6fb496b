"""`drumline doctor`: what is wrong here, and what mends it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Annotated

import typer

from config.settings import settings
from producer.cli.output import print_json, print_table, say
from producer.doctor import Finding, Verdict, all_well, check_accounts, check_settings, probe_accounts
from producer.doctor_stores import check_database, check_redis

_MARKS = {Verdict.OK: "ok", Verdict.WARNING: "warning", Verdict.WRONG: "WRONG", Verdict.SKIPPED: "skipped"}


def doctor(
    account: Annotated[list[str] | None, typer.Argument(help="Probe only these accounts; default: all.")] = None,
    probe: Annotated[bool, typer.Option(help="Ask every provider whether it knows us. Sends nothing.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check settings, accounts, database, Redis, webhooks, clocks and logins. Exit code 1 if something is wrong."""
    findings = examine(account or [], probe=probe)
    if as_json:
        print_json({"ok": all_well(findings), "findings": [asdict(finding) for finding in findings]})
    else:
        _show(findings)
    if not all_well(findings):
        raise typer.Exit(1)


def examine(names: list[str], *, probe: bool) -> list[Finding]:
    configured = settings()
    accounts, usable = check_accounts(configured)
    findings = [
        *check_settings(configured),
        *accounts,
        *check_database(configured.database_url),
        *check_redis(configured.redis_url),
    ]
    wanted = [name for name in usable if not names or name in names]
    unknown = [name for name in names if name not in usable]
    findings += [
        Finding(name, Verdict.WRONG, "no usable account of this name", "see `drumline doctor`") for name in unknown
    ]
    return findings + (probe_accounts(wanted) if probe and wanted else [])


def _show(findings: list[Finding]) -> None:
    rows = [[_MARKS[finding.verdict], finding.about, _sentence(finding)] for finding in findings]
    print_table("", ["", "what", "found"], rows)
    count = Counter(finding.verdict for finding in findings)
    say(f"{count[Verdict.WRONG]} wrong, {count[Verdict.WARNING]} warnings, {count[Verdict.OK]} well")


def _sentence(finding: Finding) -> str:
    return f"{finding.said}\n→ {finding.fix}" if finding.fix else finding.said
