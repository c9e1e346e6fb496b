"""Cutting due messages into requests: what one request may carry, by the provider and by its limits. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from config.accounts import Counts, Limit
from providers.base import Outgoing


@dataclass(frozen=True, slots=True)
class Cap:
    """The most one request may carry."""

    recipients: int
    segments: int | None = None


def request_cap(recipients: int, limits: Iterable[Limit]) -> Cap:
    """A request that costs more than a window holds could never leave."""
    by_unit: dict[Counts, int] = {}
    for limit in limits:
        by_unit[limit.counts] = min(limit.limit, by_unit.get(limit.counts, limit.limit))
    return Cap(min(recipients, by_unit.get(Counts.MESSAGES, recipients)), by_unit.get(Counts.SEGMENTS))


def cut(messages: Sequence[Outgoing], cap: Cap) -> Iterator[tuple[Outgoing, ...]]:
    """Chunks in order, each within the cap. A single message over the segment cap goes alone."""
    chunk: list[Outgoing] = []
    segments = 0
    for message in messages:
        too_many = len(chunk) >= cap.recipients
        too_long = cap.segments is not None and segments + message.segments > cap.segments
        if chunk and (too_many or too_long):
            yield tuple(chunk)
            chunk, segments = [], 0
        chunk.append(message)
        segments += message.segments
    if chunk:
        yield tuple(chunk)
