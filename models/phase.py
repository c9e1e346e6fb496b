"""Messages by their state, as the indexes know it: whatever is just leaving (`submitting`) is queued to them.

`messages.phase` moves with the state (`models.moves`); a trigger sets it for whoever moves the state alone, as
processes of earlier versions do. So the intent, which every message's submit begins with, changes no indexed column.
The other states are their own phase: whoever asks for those alone may compare `Message.phase`. The index of batches
knows only what is queued to it.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_

from models.states import MessageState
from models.tables import Message

LEFT = [state for state in MessageState if state not in {MessageState.QUEUED, MessageState.SUBMITTING}]


def phase_of(state: MessageState) -> MessageState:
    return MessageState.QUEUED if state is MessageState.SUBMITTING else state


def in_state(state: MessageState) -> ColumnElement[bool]:
    """By the indexes where they can tell, by the row itself for what they cannot."""
    if phase_of(state) is not MessageState.QUEUED:
        return Message.phase == state
    return and_(Message.phase == MessageState.QUEUED, Message.state == state)


def of_batches(campaign_id: UUID, batches: Collection[UUID]) -> ColumnElement[bool]:
    """Every message of these batches of a campaign: what waits is found by its batch, the rest by its campaign."""
    mine = Message.batch_id.in_(batches)
    waits = and_(Message.phase == MessageState.QUEUED, mine)
    return or_(waits, and_(Message.campaign_id == campaign_id, Message.phase.in_(LEFT), mine))
