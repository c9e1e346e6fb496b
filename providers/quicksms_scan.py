"""Facts that QuickSMS answers promise without naming their fields: found by their look.

Source: QuickSMS API 2.0, "Out-of-Hours Sending" ("response includes the window and resume time") and "Anti-Flood
Protection" ("response includes original message ID"). No sample of either is printed, so nothing here may be relied
on to be found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from providers.shared import timestamp, whole


def original_id(error: Mapping[str, object]) -> str | None:
    """The id of the message a duplicate was measured against; its field's name is not documented."""
    found = (re.search(r"msg_[0-9A-Za-z]{4,40}", value) for _, value in leaves(error) if isinstance(value, str))
    return next((hit.group() for hit in found if hit), None)


_ISO_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z|[+-][0-9:]{4,6})?"
)
_FURTHEST = timedelta(days=8)
_NAMES = ("resume", "retry", "next", "open", "start", "from")


def resume_at(error: Mapping[str, object], now: datetime) -> datetime | None:
    """When OUT_OF_HOURS ends: the best-named future time wins, the end of a window never does."""
    found = [
        (_rank(name), at)
        for name, value in leaves(error)
        if not re.search("end|close", name)
        for at in _times(name, value, now)
        if now < at <= now + _FURTHEST
    ]
    return min(found)[1] if found else None


def _rank(name: str) -> int:
    return next((rank for rank, word in enumerate(_NAMES) if word in name), len(_NAMES))


def _times(name: str, value: object, now: datetime) -> Iterator[datetime]:
    if isinstance(value, str):
        yield from (at for hit in _ISO_TIME.findall(value) if (at := timestamp(hit)))
    seconds = whole(value)
    if seconds is not None and re.search("retry_?after|seconds", name) and 0 < seconds <= _FURTHEST.total_seconds():
        yield now + timedelta(seconds=seconds)
    elif seconds is not None and (at := timestamp(value)):
        yield at


def leaves(value: object, most: int = 200) -> Iterator[tuple[str, object]]:
    """The plain values of a nested object with their lower-case names; at most `most` nodes are looked at."""
    waiting: list[tuple[str, object]] = [("", value)]
    for _ in range(most):
        if not waiting:
            return
        name, node = waiting.pop(0)
        match node:
            case dict():
                waiting += [(str(key).lower(), inner) for key, inner in node.items()]
            case list():
                waiting += [(name, inner) for inner in node]
            case _:
                yield name, node
