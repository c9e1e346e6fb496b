"""How far one request got: the only witness for "sent" or "not sent".

No exception type is asked. The connection marks the moment before the first byte is handed to the socket; what failed
before that mark is known not sent, everything after it is unknown.
"""

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from providers.faults import Fault, Reason


@dataclass(slots=True)
class Watch:
    """What the requests inside one `watched()` block did: how many began to be written."""

    written: int = 0


_WATCH: ContextVar[Watch | None] = ContextVar("drumline_http_watch", default=None)


class watched:  # noqa: N801 - used like a function
    """Tells a caller whose task is cancelled whether request bytes may have left.

    `HttpClient.send` lets CancelledError through untouched (a subclass of it would break the caller's own
    `asyncio.timeout`), so the answer is kept beside it:

        with watched() as watch:
            await adapter.submit(...)   # cancelled in here
        # watch.written == 0: nothing was written by this block, or by tasks started in it
    """

    __slots__ = ("_token",)

    def __enter__(self) -> Watch:
        watch = Watch()
        self._token = _WATCH.set(watch)
        return watch

    def __exit__(self, *_: object) -> None:
        _WATCH.reset(self._token)


def _never_lost() -> BaseException | None:
    return None


@dataclass(slots=True)
class Mark:
    """One request's progress. It is written once at most, and never once its fate was told (`settled`)."""

    written: bool = False  # the first byte may have left
    status: int | None = None
    received: bytes = b""  # of the answer's body, so far
    lost: Callable[[], BaseException | None] = _never_lost  # why the connection ended, once it has
    settled: bool = False
    not_after: float | None = None  # monotonic seconds: from then on the first byte may not leave
    slot_ends: float | None = None  # the same, once there is a connection
    _watch: Watch | None = field(default_factory=_WATCH.get)

    def permit(self) -> None:
        """Raises `Fault` where the request must not be written (any more)."""
        if self.written:
            raise Fault(Reason.SECOND_WRITE, "refused to write one request twice")
        if self.settled:
            raise Fault(Reason.STALE_CONNECTION, "the request was given up before it was written")
        if self.too_late:
            raise Fault(Reason.TOO_LATE, "the right to send ended before the first byte left")

    def board(self) -> None:
        """To be called with a connection in hand: from now on the slot's end binds. Raises `Fault` where the request
        must not be written (any more)."""
        if self.slot_ends is not None:
            self.not_after = min(self.slot_ends, self.not_after or self.slot_ends)
        self.permit()

    @property
    def too_late(self) -> bool:
        return self.not_after is not None and not self.written and time.monotonic() >= self.not_after

    def writing(self) -> None:
        """To be called before the first byte is handed to the socket."""
        self.permit()
        self.written = True
        if self._watch is not None:
            self._watch.written += 1
