"""What an adapter and the HTTP client say to each other.

    WireError
    ├── NotSent         nothing of the request was written: it may be sent again
    └── OutcomeUnknown  at least one byte may have left: never send it again, ask the provider

An adapter makes a `Request`, whose bytes are final, and gets a `Reply` or one of the two errors; nothing else.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from providers.bodies import BadBody, parse_json

__all__ = ["BadBody", "NotSent", "OutcomeUnknown", "Reply", "Request", "Send", "SmallNames", "WireError", "public_url"]


def public_url(url: str) -> str:
    """The URL without user information, query and fragment: all three may carry a token."""
    scheme, mark, rest = url.partition("://")
    address = rest if mark else scheme
    host, slash, path = address.split("#", 1)[0].split("?", 1)[0].partition("/")
    return (scheme + mark if mark else "") + host.rpartition("@")[2] + slash + path


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it goes on the wire.

    `url` is absolute, ASCII, already encoded, without user information. `headers` never frame the message (no Host,
    Content-Length, Transfer-Encoding, Connection, Expect): the client does. `timeout` is in seconds and covers
    connecting and the whole answer, but not the wait for a free connection. `max_body` caps the answer in bytes, both
    as sent and expanded. `not_after` (monotonic seconds) ends the right to send: looked at right before the first byte,
    so that a process that slept in between sends nothing it has no claim to any more. `slot_ends` is the same for a
    request's place in a rate limit: where opening a connection took longer than the slot lasts, nothing is written, and
    the connection stands for the next try (see `HttpClient.prepare`).
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    timeout: float = 30.0
    max_body: int = 1_048_576
    not_after: float | None = None
    slot_ends: float | None = None

    def leaving(self, not_after: float, slot_ends: float) -> "Request":
        """The same with its right to send; `dataclasses.replace` takes three times as long."""
        return Request(
            self.method, self.url, self.headers, self.body, self.timeout, self.max_body, not_after, slot_ends
        )  # fmt: skip

    def __repr__(self) -> str:
        # Headers hold keys, bodies hold numbers and texts, queries hold tokens: none belongs in a log or a traceback.
        return f"Request({self.method} {public_url(self.url)}, {len(self.body)} bytes)"


class SmallNames(dict[str, str]):
    """Headers whose names are all in small letters, as the client writes them."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete HTTP answer of any status, redirects included (they are never followed).

    `body` is expanded and complete. `elapsed` is in seconds, from the free connection to the last byte.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    elapsed: float = 0.0

    def header(self, name: str) -> str | None:
        """The header's first value, whatever its case; None where the answer has none."""
        found = self.headers.get(wanted := name.lower())
        if found is not None or isinstance(self.headers, SmallNames):
            return found
        return next((value for key, value in self.headers.items() if key.lower() == wanted), None)

    def json(self) -> object:
        """The body's JSON value; raises `BadBody`, see `providers.bodies.parse_json` for what is refused."""
        return parse_json(self.body)


class WireError(Exception):
    """No usable answer. `reason` is a short code (`providers.faults.Reason`), `detail` is free of secrets."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)


class NotSent(WireError):
    """Nothing of the request was written, so the provider cannot have seen it."""


class OutcomeUnknown(WireError):
    """The request may have been received. `partial` is the status, if the answer's head had arrived, and `received`
    what had come of its body, as sent; it stands in no text of the error, for it holds numbers."""

    def __init__(self, reason: str, detail: str = "", partial: int | None = None, received: bytes = b"") -> None:
        super().__init__(reason, detail)
        self.args = (reason, detail, partial)  # so that a copy or a pickle keeps the status
        self.partial = partial
        self.received = received


Send = Callable[[Request], Awaitable[Reply]]
