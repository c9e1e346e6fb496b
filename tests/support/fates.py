"""What became of a message after adapter and HTTP client, in one word; and what each simulated fault leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from providers.base import Accepted, FailureClass, Outgoing, Refused, Signal, Unclear
from providers.http import HttpClient
from providers.registry import Adapter
from providers.wire import NotSent, OutcomeUnknown


class Fate(StrEnum):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_SENT = "known not sent"
    UNKNOWN = "unknown"


_FATES = {Accepted: Fate.ACCEPTED, Refused: Fate.REFUSED, Unclear: Fate.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Story:
    """The fate of every message of a chunk, why, and what the answer said about the account."""

    fates: tuple[Fate, ...]
    why: str
    signal: Signal | None = None
    classes: frozenset[FailureClass] = frozenset()


async def story_of(client: HttpClient, adapter: Adapter, chunk: Sequence[Outgoing]) -> Story:
    try:
        reply = await client.send(adapter.submit_request(chunk, "BULK-1"))
    except NotSent as error:
        return Story((Fate.NOT_SENT,) * len(chunk), error.reason)
    except OutcomeUnknown as error:
        return Story((Fate.UNKNOWN,) * len(chunk), error.reason)
    submission = adapter.read_submit(chunk, reply)
    assert set(submission.outcomes) == {one.id for one in chunk}
    outcomes = [submission.outcomes[one.id] for one in chunk]
    classes = frozenset(outcome.failure.klass for outcome in outcomes if isinstance(outcome, Refused))
    return Story(
        tuple(_FATES[type(outcome)] for outcome in outcomes), f"HTTP {reply.status}", submission.signal, classes
    )


LONG = {"seconds": 5}  # longer than the adapter waits


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault of the simulator on a submit. `taken`: it accepted the message all the same."""

    kind: str
    fate: Fate
    taken: bool
    params: dict[str, Any] = field(default_factory=dict)
    klass: FailureClass | None = None

    def __str__(self) -> str:
        return " ".join([self.kind, *(f"{name}={value}" for name, value in self.params.items())])

    @property
    def endless(self) -> bool:
        """Nobody shall wait for the end of this one."""
        return self.params == LONG

    @property
    def rule(self) -> dict[str, Any]:
        return {"kind": self.kind, "count": 1, "match": {"method": "POST"}, "params": self.params}


def _malformed(variant: str, fate: Fate = Fate.UNKNOWN, **params: Any) -> Trouble:
    return Trouble("malformed", fate, True, {"variant": variant, **params})


TROUBLES: tuple[Trouble, ...] = (
    Trouble("drop_before", Fate.UNKNOWN, False),
    Trouble("drop_before", Fate.UNKNOWN, False, {"reset": True}),
    Trouble("drop_after", Fate.UNKNOWN, True),
    Trouble("drop_after", Fate.UNKNOWN, True, {"reset": True}),
    Trouble("stall_before", Fate.UNKNOWN, False, LONG),
    Trouble("stall_after", Fate.UNKNOWN, True, LONG),
    Trouble("error_before", Fate.UNKNOWN, False),
    Trouble("error_before", Fate.UNKNOWN, False, {"status": 502, "body": "html"}),
    Trouble("error_before", Fate.UNKNOWN, False, {"status": 503, "body": "empty"}),
    Trouble("error_after", Fate.UNKNOWN, True),
    Trouble("error_after", Fate.UNKNOWN, True, {"status": 504, "body": "html"}),
    Trouble("outage", Fate.UNKNOWN, False, {"mode": "503"}),
    Trouble("outage", Fate.UNKNOWN, False, {"mode": "close"}),
    Trouble("unauthorized", Fate.REFUSED, False, klass=FailureClass.ACCOUNT),
    *(
        Trouble("throttle", Fate.REFUSED, False, {"form": form, "seconds": 7}, FailureClass.THROTTLED)
        for form in ("seconds", "date", "garbage", "negative", "absent")
    ),
    *(
        _malformed(variant)
        for variant in ("truncated", "short", "html", "empty", "invalid_utf8", "wrong_shape", "null")
    ),
    _malformed("content_type", Fate.ACCEPTED),
    _malformed("huge", bytes=20_000_000),
    _malformed("gzip_bomb", bytes=40_000_000),
    Trouble("slow_body", Fate.ACCEPTED, True, {"seconds": 0.05}),
    Trouble("slow_body", Fate.UNKNOWN, True, LONG),
)
WAITS = {"seconds": 7.0, "date": 7.0, "negative": 0.0, "garbage": None, "absent": None}
"""What each form of Retry-After says, in seconds."""
