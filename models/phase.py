"""Messages by their state, as the indexes know it: whatever is just leaving (`submitting`) is queued to them.

So the intent, which every message's submit begins with, changes no indexed column. The other states are their own
phase: whoever asks for those alone may compare `Message.phase`.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_

from models.states import MessageState
from models.tables import Message


def phase_of(state: MessageState) -> MessageState:
    return MessageState.QUEUED if state is MessageState.SUBMITTING else state


def in_state(state: MessageState) -> ColumnElement[bool]:
    """By the indexes where they can tell, by the row itself for what they cannot."""
    if phase_of(state) is not MessageState.QUEUED:
        return Message.phase == state
    return and_(Message.phase == MessageState.QUEUED, Message.state == state)
