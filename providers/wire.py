"""What goes over the wire and what comes back: plain values that adapters build and read, without any I/O.

The error tree, drawn:

    WireError
    ├── NotSent          nothing of the request was written: the provider cannot have it
    └── OutcomeUnknown   it may have arrived: look it up, never send it again blindly
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import orjson


class WireError(Exception):
    """An exchange that ended without a complete answer. `reason` is a short code, `detail` holds no secret."""

    def __init__(self, reason: str, detail: str = "", status: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.status = status


class NotSent(WireError):
    """Not a byte of the request left: DNS, refused, TLS, connect or pool timeout."""


class OutcomeUnknown(WireError):
    """The request may have been received: reset, read timeout, truncated or unreadable answer."""


class BadBody(ValueError):
    """The answer's body is not what it should be; the text says where and how."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request with its final bytes. `timeout` in seconds, `max_body` in bytes of the expanded answer."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    timeout: float = 30.0
    max_body: int = 1_048_576


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete HTTP answer. Header names are lower case; `elapsed` in seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed: float = 0.0

    def header(self, name: str) -> str | None:
        return self.headers.get(name.lower())

    def json(self) -> object:
        """The body as JSON. Raises BadBody for anything but one well-formed JSON value."""
        try:
            return orjson.loads(self.body.removeprefix(b"\xef\xbb\xbf"))
        except orjson.JSONDecodeError as error:
            raise BadBody(f"not JSON: {error}") from error


Send = Callable[[Request], Awaitable[Reply]]
"""How an adapter's look-up reaches its provider: charged to the account's limits by whoever supplies it.
Raises NotSent or OutcomeUnknown."""
