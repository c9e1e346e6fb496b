"""Recounting a campaign from its messages, and telling what became of each: the check behind every figure shown.

The counters are kept in the transactions that move messages, so they can only differ through a fault of ours; this is
how such a fault would be found. Nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.queries import counts, may_have_carried, recount
from models.states import FINAL, CampaignState, MessageState, may
from models.tables import Attempt, Campaign, DeliveryReport, Message
from models.trails import is_moved_note
from producer.message_pages import Wanted, page

PAGE = 2000  # messages loaded at a time


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a message's trail."""

    at: datetime
    state: MessageState
    note: str


@dataclass(frozen=True, slots=True)
class History:
    """Everything that is known of one message."""

    message: Message
    trail: tuple[Step, ...]
    attempts: tuple[Attempt, ...]
    reports: tuple[DeliveryReport, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """`differences`: every discrepancy, as a sentence. Empty: the figures are what the messages say."""

    campaign: Campaign
    messages: int
    totals: dict[str, dict[MessageState, int]]
    differences: tuple[str, ...]


def audit(session: Session, campaign_id: UUID) -> Audit | None:
    """Recount a campaign. None: there is no such campaign."""
    campaign = session.get(Campaign, campaign_id)
    if campaign is None:
        return None
    found = recount(session, campaign_id)
    differences = [
        *_counter_differences(counts(session, campaign_id), found),
        *_row_differences(campaign, sum(n for states in found.values() for n in states.values())),
        *_open_differences(campaign, found),
        *_shared_ids(session, campaign_id),
        *(difference for message in messages(session, campaign_id) for difference in message_differences(message)),
    ]
    return Audit(campaign, sum(sum(states.values()) for states in found.values()), found, tuple(differences))


def messages(session: Session, campaign_id: UUID) -> Iterator[Message]:
    """In the order of the input, in pages: a campaign may hold millions. Rows of several files share numbers."""
    wanted: Wanted | None = Wanted(campaign_id)
    while wanted is not None:
        found = page(session, wanted, PAGE)
        yield from found.messages
        wanted = None if found.next is None else replace(wanted, after=found.next)
        if wanted is not None:
            session.expunge_all()


def history(session: Session, message_id: UUID) -> History | None:
    """One message with its trail, its requests and its reports. None: there is no such message."""
    message = session.get(Message, message_id)
    if message is None:
        return None
    reports = select(DeliveryReport).where(DeliveryReport.message_id == message_id).order_by(DeliveryReport.id)
    attempts = select(Attempt).where(may_have_carried([message.batch_id], [message.trail])).order_by(Attempt.started_at)
    carried = [a for a in session.execute(attempts).scalars() if str(message_id) in (a.message_ids or [])]
    return History(message, trail_of(message), tuple(carried), tuple(session.execute(reports).scalars()))


def trail_of(message: Message) -> tuple[Step, ...]:
    """Raises ValueError for a line that is none."""
    return tuple(_step(line) for line in message.trail.splitlines() if line)


def _step(line: str) -> Step:
    stamp, state, *note = line.split(" ", 2)
    return Step(datetime.fromtimestamp(int(stamp) / 1000, UTC), MessageState(state), " ".join(note))


# --- differences -----------------------------------------------------------------------------------------------------


def _counter_differences(
    kept: dict[str, dict[MessageState, int]], found: dict[str, dict[MessageState, int]]
) -> Iterator[str]:
    for account in sorted({*kept, *found}):
        ours, theirs = kept.get(account, {}), found.get(account, {})
        for state in sorted({*ours, *theirs}):
            if ours.get(state, 0) != theirs.get(state, 0):
                yield f"{account}: the counter says {ours.get(state, 0)} {state}, the messages {theirs.get(state, 0)}"


def _row_differences(campaign: Campaign, found: int) -> Iterator[str]:
    if campaign.state in {CampaignState.IMPORTING, CampaignState.FAILED}:
        return
    if campaign.rows_accepted != found:
        yield f"{campaign.rows_accepted} rows were accepted, {found} messages are there"


def _open_differences(campaign: Campaign, found: dict[str, dict[MessageState, int]]) -> Iterator[str]:
    if campaign.state is CampaignState.COMPLETED:
        left = sum(n for states in found.values() for state, n in states.items() if state not in FINAL)
        if left:
            yield f"the campaign is completed, and {left} of its messages are not final"


def _shared_ids(session: Session, campaign_id: UUID) -> Iterator[str]:
    """No two messages can be the same one at the provider."""
    query = (
        select(Message.account, Message.provider_id, func.count())
        .where(Message.campaign_id == campaign_id, Message.provider_id.is_not(None))
        .group_by(Message.account, Message.provider_id)
        .having(func.count() > 1)
    )
    for account, provider_id, n in session.execute(query):
        yield f"{account}: {n} messages share the provider's id {provider_id}"


def message_differences(message: Message) -> Iterator[str]:
    """Whether a message's state is what its trail says, reached by declared transitions only.

    A change of account while it was queued is none, and no fault."""
    name = f"{message.account}: message {message.id}"
    try:
        trail = trail_of(message)
    except ValueError as error:
        yield f"{name}: its trail cannot be read: {error}"
        return
    if not trail or trail[-1].state is not message.state:
        yield f"{name}: is {message.state}, its trail ends with {trail[-1].state if trail else 'nothing'}"
    for before, after in pairwise(trail):
        if not may(before.state, after.state) and not _changed_account(message, before, after):
            yield f"{name}: went from {before.state} to {after.state}, which is no declared transition"
    if (message.final_at is not None) is not (message.state in FINAL):
        yield f"{name}: is {message.state}, and its final time is {message.final_at}"


def _changed_account(message: Message, before: Step, after: Step) -> bool:
    """Failover moves a message that stays queued. Of an erased one the note may be gone as well."""
    told = is_moved_note(after.note) or (not message.msisdn and not after.note)
    return before.state is after.state is MessageState.QUEUED and told
