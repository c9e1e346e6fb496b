"""Commands about campaigns: campaigns, status, rejects, export, pause, resume, cancel, suppress."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy import select

from models.states import CampaignState, MessageState
from models.tables import Campaign, Reject
from producer import campaigns as use
from producer.audience import read_suppressed
from producer.campaigns import CampaignError
from producer.cli.context import Context, open_context
from producer.cli.output import Json, emit, print_json, print_table, say
from producer.exports import MESSAGE_COLUMNS, REJECT_COLUMNS, FileFormat, as_file, message_rows, reject_rows
from producer.message_pages import Wanted
from producer.overview import Progress, progress, recent
from producer.rejects import write_rejects
from producer.rooms import ask_workers
from producer.suppressions import add_suppressions

Id = Annotated[str, typer.Argument(help="The campaign's id, or enough of its beginning or end to be clear.")]


def register(app: typer.Typer) -> None:
    for command in (campaigns, status, rejects, export, pause, resume, cancel, suppress):
        app.command()(command)


def campaigns(
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: Json = False,
) -> None:
    """List campaigns, newest first."""
    if state is not None and state not in list(CampaignState):
        raise CampaignError("state", f"state: found {state!r}, expected one of {', '.join(CampaignState)}")
    with open_context() as context, context.database.read() as session:
        rows = [item.as_dict() for item in recent(session, limit, CampaignState(state) if state else None)]
    emit(rows, ["id", "name", "state", "messages", "final", "created_at"], as_json=as_json)


def status(campaign: Id, as_json: Json = False) -> None:
    """Where a campaign stands: messages by account and state."""
    with open_context() as context:
        print_status(context, find_campaign(context, campaign), as_json)


def rejects(
    campaign: Id,
    out: Annotated[Path | None, typer.Option(help="Write a CSV file instead of a table.")] = None,
    as_json: Json = False,
) -> None:
    """The rows that did not become messages, with row number, column and reason."""
    with open_context() as context, context.database.read() as session:
        campaign_id = find_campaign(context, campaign)
        if out is not None:
            with out.open("w", encoding="utf-8", newline="") as target:
                written = write_rejects(session, campaign_id, target)
            say(f"{written:,} rejected rows written to {out}")
            return
        query = select(Reject).where(Reject.campaign_id == campaign_id).order_by(Reject.row_no)
        columns = ["row_no", "column", "value", "code", "reason"]
        found = [{name: getattr(row, name) for name in columns} for row in session.execute(query).scalars()]
    emit(found, columns, as_json=as_json)


def export(
    campaign: Id,
    out: Annotated[Path, typer.Option(help="The file; .parquet or .csv says which kind.")],
    state: Annotated[list[str] | None, typer.Option(help="Only messages in this state; may be given again.")] = None,
    account: Annotated[str | None, typer.Option(help="Only messages of this account.")] = None,
    rejected: Annotated[bool, typer.Option("--rejects", help="The rejected rows instead of the messages.")] = False,
) -> None:
    """Write every message of a campaign, with what became of it, as CSV or Parquet."""
    kind = _format_of(out)
    wanted_states = [_state(text) for text in state or ()]
    with open_context() as context:
        campaign_id = find_campaign(context, campaign)
        if rejected:
            pieces = as_file(kind, REJECT_COLUMNS, reject_rows(context.database, campaign_id))
        else:
            rows = message_rows(context.database, Wanted(campaign_id, wanted_states, account), lambda number: number)
            pieces = as_file(kind, MESSAGE_COLUMNS, rows)
        with out.open("wb") as target:
            written = sum(target.write(piece) for piece in pieces)
    say(f"{written:,} bytes written to {out}")


def _format_of(out: Path) -> FileFormat:
    try:
        return FileFormat(out.suffix.lower().removeprefix("."))
    except ValueError:
        raise CampaignError("out", f"out: found {out.name!r}, expected a name ending in .csv or .parquet") from None


def _state(text: str) -> MessageState:
    if text not in list(MessageState):
        raise CampaignError("state", f"state: found {text!r}, expected one of {', '.join(MessageState)}")
    return MessageState(text)


def pause(campaign: Id, reason: Annotated[str, typer.Option()] = "by an operator") -> None:
    """Stop submitting within a second; what left is followed to its end."""
    with open_context() as context, context.database.write() as session:
        say(f"now {use.pause(session, find_campaign(context, campaign), reason, context.now())}")


def resume(campaign: Id) -> None:
    """Go on where it stopped, or start a draft."""
    with open_context() as context, context.database.write() as session:
        campaign_id = find_campaign(context, campaign)
        if use.find(session, campaign_id).state is CampaignState.DRAFT:
            say(f"now {use.start(session, campaign_id, context.now())}")
        else:
            say(f"now {use.resume(session, campaign_id, context.now())}")


def cancel(campaign: Id, reason: Annotated[str, typer.Option()] = "by an operator") -> None:
    """Submit nothing more; what left is followed to its end."""
    with open_context() as context, context.database.write() as session:
        say(f"now {use.cancel(session, find_campaign(context, campaign), reason, context.now())}")


def suppress(
    file: Annotated[Path | None, typer.Argument(help="One number per line.")] = None,
    sender: Annotated[str, typer.Option(help="Only for this sender ID.")] = "",
    region: Annotated[str | None, typer.Option(help="Country of numbers without a country code.")] = None,
    from_account: Annotated[str | None, typer.Option(help="Read the provider's own list of unsubscribers.")] = None,
) -> None:
    """Add opted-out numbers: they are never sent to."""
    if from_account is not None:
        with open_context() as context:  # brings the schema up to date
            context.database.check()
        done = ask_workers("workers.opt_outs", from_account)[0]
        say(f"{done['read']:,} unsubscribers read, {done['new']:,} of them new, {done['bad']:,} unreadable")
    elif file is None:
        raise CampaignError("file", "name a file, or --from-account")
    if file is None:
        return
    if not file.is_file():
        raise CampaignError("file", f"{file}: no such file")
    with open_context() as context:
        numbers, bad = read_suppressed(file.read_text("utf-8").splitlines(), context.region(region))
        if bad:
            raise CampaignError(
                "file", f"{file}: no phone number in line {', '.join(map(str, bad[:10]))}; nothing added"
            )
        with context.database.write() as session:
            add_suppressions(session, numbers, sender, file.name, context.now())
    say(f"{len(numbers):,} numbers suppressed")


# --- helpers ---------------------------------------------------------------------------------------------------------


FINDABLE = 1000  # of the newest campaigns a part of the id is enough


def find_campaign(context: Context, text: str) -> UUID:
    """A campaign by its id, or by an unambiguous part of it. Raises CampaignError."""
    wanted = text.lower()
    newest = select(Campaign.id).order_by(Campaign.created_at.desc(), Campaign.id).limit(FINDABLE)
    whole = _whole_id(wanted)
    query = newest if whole is None else select(Campaign.id).where(Campaign.id == whole)
    with context.database.read() as session:
        ids = session.execute(query).scalars().all()
    found = [one for one in ids if one == whole or str(one).startswith(wanted) or str(one).endswith(wanted)]
    if len(found) == 1:
        return found[0]
    raise CampaignError("id", f"{len(found) or 'no'} campaigns match {text!r}; see `drumline campaigns`")


def _whole_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


SHOWN = (
    MessageState.QUEUED, MessageState.SUBMITTING, MessageState.SUBMITTED, MessageState.HELD, MessageState.SENT,
    MessageState.UNKNOWN, MessageState.DELIVERED, MessageState.UNDELIVERED, MessageState.REJECTED,
    MessageState.EXPIRED, MessageState.FAILED, MessageState.SUPPRESSED, MessageState.CANCELLED,
)  # fmt: skip


def standing_of(context: Context, campaign_id: UUID) -> Progress:
    """Raises CampaignError when there is none."""
    with context.database.read() as session:
        standing = progress(session, campaign_id)
    if standing is None:
        raise CampaignError("id", f"there is no campaign {campaign_id}")
    return standing


def print_status(context: Context, campaign_id: UUID, as_json: bool) -> None:
    standing = standing_of(context, campaign_id)
    if as_json:
        print_json(standing.as_dict())
        return
    used = [state for state in SHOWN if standing.by_state.get(state)]
    rows = [[name, *(states.get(state, 0) for state in used)] for name, states in sorted(standing.by_account.items())]
    rows.append(["total", *(standing.by_state.get(state, 0) for state in used)])
    reason = f" ({standing.campaign.state_reason})" if standing.campaign.state_reason else ""
    purged = f", purged on {standing.campaign.purged_at:%Y-%m-%d}" if standing.campaign.purged_at else ""
    title = f"{standing.campaign.name}: {standing.campaign.state}{reason}{purged}"
    print_table(
        f"{title}, {standing.final:,} of {standing.messages:,} final",
        ["account", *map(str, used)],
        rows,
    )
