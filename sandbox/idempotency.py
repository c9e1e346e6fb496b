"""Remembered Idempotency-Keys: what was sent under a key, and the entry that came of it."""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from sandbox.ledger import Entry


class Match(StrEnum):
    NEW = "new"
    SAME = "same"
    OTHER = "other"


@dataclass(slots=True)
class KeyCache:
    """Keys of all connections with the time at which each is forgotten. Only a digest of the payload is kept."""

    _known: dict[str, dict[str, tuple[int, Entry]]] = field(default_factory=lambda: defaultdict(dict))
    _ends: deque[tuple[float, str, str]] = field(default_factory=deque)

    def find(self, account: str, key: str, payload: Any, now: float) -> tuple[Match, Entry | None]:
        """Whether this payload was accepted under this key; equal JSON counts as the same, whatever its spacing."""
        self._forget(now)
        known = self._known[account].get(key)
        if known is None:
            return Match.NEW, None
        return (Match.SAME, known[1]) if known[0] == _digest(payload) else (Match.OTHER, known[1])

    def remember(self, account: str, key: str, payload: Any, entry: Entry, until: float) -> None:
        self._known[account][key] = (_digest(payload), entry)
        self._ends.append((until, account, key))

    def clear(self) -> None:
        self._known.clear()
        self._ends.clear()

    def _forget(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            _, account, key = self._ends.popleft()
            self._known[account].pop(key, None)


def _digest(payload: Any) -> int:
    return hash(orjson.dumps(payload, option=orjson.OPT_SORT_KEYS))
