"""One request to be, and the messages in it."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from providers.base import Outgoing
from providers.wire import Request
from workers.decide import Position
from workers.gate import Cost


class Due(NamedTuple):
    """A message that may leave: as the adapter sees it, and where it stands."""

    id: UUID
    message: Outgoing
    position: Position


class Chunk(NamedTuple):
    """One request to be: its attempt and its messages."""

    attempt_id: UUID
    due: tuple[Due, ...]
    request: Request

    @property
    def messages(self) -> tuple[Outgoing, ...]:
        return tuple(one.message for one in self.due)

    @property
    def ids(self) -> tuple[UUID, ...]:
        return tuple(one.id for one in self.due)

    @property
    def cost(self) -> Cost:
        return Cost(1, len(self.due), sum(one.message.segments for one in self.due))
