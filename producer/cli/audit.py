"""`drumline audit`: recount a campaign, and tell what became of its messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy.orm import Session

from config.logging import mask_numbers
from producer.audit import Audit, History, audit, history, messages
from producer.campaigns import CampaignError
from producer.cli.campaigns import find_campaign
from producer.cli.context import open_context
from producer.cli.output import Json, print_json, print_table, say
from producer.rooms import ask_workers

ASK_SECONDS = 3600.0  # an account with sixty requests a minute answers for some thousand messages in that time

Id = Annotated[str, typer.Argument(help="The campaign's id, or enough of its beginning or end to be clear.")]


def register(app: typer.Typer) -> None:
    app.command(name="audit")(audit_campaign)


def audit_campaign(
    campaign: Id,
    message: Annotated[str | None, typer.Option(help="Tell everything about this message.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Tell everything about every message.")] = False,
    numbers: Annotated[bool, typer.Option("--numbers", help="Show phone numbers in full.")] = False,
    ask: Annotated[int, typer.Option(min=0, help="Ask the providers about so many messages of each account.")] = 0,
    as_json: Json = False,
) -> None:
    """Recount a campaign from its messages and compare with its counters. Exit code 1: something does not agree.

    States, requests and reports of single messages with --message or --full. With --ask, messages that left are chosen
    at random and compared with what their provider says of them, where it can be asked, within the account's limits.
    """
    with open_context() as context, context.database.read() as session:
        found = audit(session, find_campaign(context, campaign))
        if found is None:
            raise CampaignError("id", f"there is no campaign {campaign}")
        told = [_described(one, numbers) for one in _wanted(session, found, message, full=full)]
    asked = ask_workers("workers.compare", str(found.campaign.id), str(ask), seconds=ASK_SECONDS) if ask else []
    if as_json:
        print_json({**_summary(found), "histories": told, "asked": asked})
    else:
        _print(found, told)
        _print_asked(asked)
    if found.differences or any(one["differences"] for one in asked):
        raise typer.Exit(1)


def _wanted(session: Session, found: Audit, message: str | None, *, full: bool) -> list[History]:
    if message is not None:
        one = history(session, _message_id(message))
        if one is None or one.message.campaign_id != found.campaign.id:
            raise CampaignError("message", f"the campaign has no message {message}")
        return [one]
    ids = [row.id for row in messages(session, found.campaign.id)] if full else []
    return [one for message_id in ids if (one := history(session, message_id)) is not None]


def _message_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise CampaignError("message", f"message: found {text!r}, expected a message id") from None


def _summary(found: Audit) -> dict[str, Any]:
    return {
        "campaign": str(found.campaign.id),
        "state": str(found.campaign.state),
        "messages": found.messages,
        "accounts": {
            account: {str(state): n for state, n in sorted(states.items())}
            for account, states in sorted(found.totals.items())
        },
        "differences": list(found.differences),
    }


def _described(one: History, numbers: bool) -> dict[str, Any]:
    row = one.message
    return {
        "id": str(row.id),
        "row": row.row_no,
        "account": row.account,
        "number": row.msisdn if numbers else mask_numbers(row.msisdn),
        "state": str(row.state),
        "code": row.code,
        "reason": row.reason,
        "provider_id": row.provider_id,
        "trail": [{"at": step.at, "state": str(step.state), "note": step.note} for step in one.trail],
        "attempts": [
            {
                "id": str(a.id), "kind": a.kind, "at": a.started_at, "status": a.status, "outcome": a.outcome,
                "reason": a.reason, "ms": a.elapsed_ms, "request_id": a.request_id,
            }
            for a in one.attempts
        ],
        "reports": [
            {"at": r.received_at, "said": r.raw_status, "state": r.state and str(r.state), "effect": r.effect}
            for r in one.reports
        ],
    }  # fmt: skip


def _print(found: Audit, told: list[dict[str, Any]]) -> None:
    states = sorted({state for counted in found.totals.values() for state in counted})
    rows = [[name, *(counted.get(state, 0) for state in states)] for name, counted in sorted(found.totals.items())]
    print_table(
        f"{found.campaign.name}: {found.campaign.state}, {found.messages:,} messages recounted",
        ["account", *map(str, states)],
        rows,
    )
    for one in told:
        _print_one(one)
    for difference in found.differences:
        say(f"differs: {difference}")
    if not found.differences:
        say("the counters are what the messages say, and every message is what its history says")


def _print_asked(asked: list[dict[str, Any]]) -> None:
    for one in asked:
        if one["why"]:
            say(f"{one['account']}: {one['why']}")
            continue
        say(
            f"{one['account']}: {one['asked']} messages asked about, {one['same']} the same there, "
            f"{one['unfinished']} not finished on one side, {one['silent']} without an answer"
        )
        for difference in one["differences"]:
            say(f"differs: {difference}")


def _print_one(one: Mapping[str, Any]) -> None:
    rows: list[tuple[Any, str, str]] = [
        *((step["at"], step["state"], step["note"]) for step in one["trail"]),
        *((a["at"], f"{a['kind']} request", _answer(a)) for a in one["attempts"]),
        *((r["at"], "report", f"{r['said']} ({r['state']}): {r['effect']}") for r in one["reports"]),
    ]
    title = f"row {one['row']}, {one['account']}, {one['number']}, message {one['id']}: {one['state']}"
    rows.sort(key=lambda row: row[0])
    print_table(title, ["when", "what", "details"], rows)


def _answer(attempt: Mapping[str, Any]) -> str:
    words = [attempt["outcome"] or "no answer recorded", f"HTTP {attempt['status']}" if attempt["status"] else ""]
    words += [attempt["reason"] or "", "" if attempt["ms"] is None else f"{attempt['ms']:,} ms"]
    return ", ".join(filter(None, words))
