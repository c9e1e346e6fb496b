"""Messages page by page, each page at a bounded cost however many messages there are and however few are wanted.

Each state is walked on the index of states, all side by side: an index of rows alone would cost every submit two
entries more, for what a union of thirteen short walks does as well. An account is looked for within so many rows, and a
page that found less than it could hold says where to go on. A number has an index of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, select, tuple_, union_all
from sqlalchemy.orm import Session

from models.leases import BUSY
from models.phase import in_state, phase_of
from models.states import BatchState, MessageState
from models.tables import Batch, Message, MessageNumber

LOOK = 10_000
"""Rows that one page looks through for an account."""
ALL = tuple(MessageState)
AT_ONCE = 500  # ids in a statement
MOST_OF_NUMBER = 500
"""Messages to one number in one campaign: one, unless files were merged by hand."""

Place = tuple[int, UUID]
"""Row number and id: where a page ended."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages of a campaign. `after` is the place the page before ended at; `msisdn` is E.164."""

    campaign_id: UUID
    states: Sequence[MessageState] = ()
    account: str | None = None
    after: Place | None = None
    msisdn: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Messages in row order. `next`: where the following page begins; None: there is none."""

    messages: Sequence[Message]
    next: Place | None


def page(session: Session, wanted: Wanted, limit: int) -> Page:
    """The next messages, `limit` at most."""
    if wanted.msisdn is not None:
        return Page(_of_number(session, wanted, wanted.msisdn)[:limit], None)
    states = tuple(dict.fromkeys(wanted.states)) or ALL
    most = limit + 1 if wanted.account is None else max(LOOK // len(states), limit + 1)
    seen = _walked(session, wanted.campaign_id, states, wanted.after, most)
    # A walk that was cut short may go on before another's next place: what is beyond its end waits.
    full = [places[-1][0] for places in seen if len(places) == most]
    horizon = min(full, default=None)
    found = sorted(
        place
        for places in seen
        for place, account in places
        if wanted.account in (None, account) and (horizon is None or place <= horizon)
    )
    following = found[limit - 1] if len(found) > limit else horizon
    return Page(_messages(session, found[:limit]), following)


def in_row_order(
    session: Session, campaign_id: UUID, states: Sequence[MessageState], after: Place | None, limit: int,
    *also: ColumnElement[bool],
) -> Sequence[Message]:  # fmt: skip
    """The next messages in these states (none named: all) that fulfil the further conditions."""
    seen = _walked(session, campaign_id, tuple(states) or ALL, after, limit, *also)
    return _messages(session, sorted(place for places in seen for place, _ in places)[:limit])


def _walked(
    session: Session, campaign_id: UUID, states: Sequence[MessageState], after: Place | None, most: int,
    *also: ColumnElement[bool],
) -> list[list[tuple[Place, str]]]:  # fmt: skip
    """For each phase of these states the next `most` places with their accounts. One statement: nothing moves between
    the walks."""
    base = select(Message.row_no, Message.id, Message.account, Message.state)
    base = base.where(Message.campaign_id == campaign_id, *also)
    if after is not None:
        # The first condition is for the index, the second for rows that share a number.
        base = base.where(Message.row_no >= after[0], tuple_(Message.row_no, Message.id) > tuple_(*after))
    base = base.order_by(Message.row_no, Message.id).limit(most)
    phases = dict.fromkeys(phase_of(state) for state in states)
    walks = [select(base.where(*_in_phase(phase, states, campaign_id)).subquery()) for phase in phases]
    by_phase: dict[MessageState, list[tuple[Place, str]]] = {phase: [] for phase in phases}
    for row_no, message_id, account, state in session.execute(union_all(*walks)):
        by_phase[phase_of(state)].append(((row_no, message_id), account))
    return [sorted(places) for places in by_phase.values()]


def _in_phase(phase: MessageState, states: Sequence[MessageState], campaign_id: UUID) -> list[ColumnElement[bool]]:
    """Of the wanted states those that the indexes know by this phase."""
    wanted = [state for state in states if phase_of(state) is phase]
    if len(wanted) > 1 or phase is not MessageState.QUEUED:
        return [Message.phase == phase]
    if wanted == [MessageState.QUEUED]:
        return [in_state(MessageState.QUEUED)]
    # Among a million that wait, the few that are leaving are found by their batches.
    at_work = select(Batch.id).where(*BUSY, Batch.state == BatchState.LEASED, Batch.campaign_id == campaign_id)
    return [in_state(MessageState.SUBMITTING), Message.batch_id.in_(at_work)]


def _messages(session: Session, places: Sequence[Place]) -> Sequence[Message]:
    return sorted(_by_id(session, [message_id for _, message_id in places]), key=_place)


def _by_id(session: Session, ids: Sequence[UUID]) -> list[Message]:
    """As lists: what PostgreSQL guesses of a document of ids, or of a join, lets it read whole tables."""
    found: list[Message] = []
    for start in range(0, len(ids), AT_ONCE):
        found += session.execute(select(Message).where(Message.id.in_(ids[start : start + AT_ONCE]))).scalars()
    return found


def _place(message: Message) -> Place:
    return message.row_no, message.id


def _of_number(session: Session, wanted: Wanted, msisdn: str) -> list[Message]:
    """By the number: the campaign holds a million others."""
    ids = session.execute(select(MessageNumber.message_id).where(MessageNumber.msisdn == msisdn)).scalars().all()
    found = _by_id(session, _in_campaign(session, ids, wanted.campaign_id))
    return [
        message
        for message in sorted(found, key=_place)[:MOST_OF_NUMBER]
        if wanted.account in (None, message.account)
        and (not wanted.states or message.state in wanted.states)
        and (wanted.after is None or _place(message) > wanted.after)
    ]


def _in_campaign(session: Session, ids: Sequence[UUID], campaign_id: UUID) -> list[UUID]:
    """Compared here: given the campaign, SQLite would rather walk it than look these up."""
    found: list[UUID] = []
    for start in range(0, len(ids), AT_ONCE):
        query = select(Message.id, Message.campaign_id).where(Message.id.in_(ids[start : start + AT_ONCE]))
        found += [message_id for message_id, campaign in session.execute(query) if campaign == campaign_id]
    return found


def of_number(session: Session, msisdn: str, before: UUID | None, limit: int) -> Sequence[Message]:
    """Messages to a number over all campaigns, the newest first; `before`: an id, to go on from."""
    query = select(MessageNumber.message_id).where(MessageNumber.msisdn == msisdn)
    if before is not None:
        query = query.where(MessageNumber.message_id < before)
    ids = session.execute(query.order_by(MessageNumber.message_id.desc()).limit(limit)).scalars().all()
    return sorted(_by_id(session, ids), key=lambda message: message.id, reverse=True)
