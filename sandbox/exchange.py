"""One request and its answer, free of the HTTP library: provider handlers are plain synchronous functions of these."""

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from sandbox.ledger import Entry

_UNREAD: Any = object()


class Call:
    """A request that has arrived whole.

    `path` is relative to the provider's name (`/quicksms/v1/messages` → `/v1/messages`), `params` holds the `{…}` parts
    of the route, `account` is set by the provider's `authenticate`, `now` is the arrival on the monotonic clock.
    """

    __slots__ = ("_json", "account", "body", "early", "headers", "method", "now", "params", "path", "query", "remote")

    def __init__(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        body: bytes,
        remote: str,
        now: float,
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.query = query
        self.body = body
        self.remote = remote
        self.now = now
        self.account = ""
        self.params: dict[str, str] = {}
        self.early: list[Entry] = []
        self._json: Any = _UNREAD

    def json(self) -> Any:
        """The parsed body, parsed once; None when it is not JSON."""
        if self._json is _UNREAD:
            try:
                self._json = orjson.loads(self.body)
            except orjson.JSONDecodeError:
                self._json = None
        return self._json

    def bearer(self) -> str | None:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None

    def basic(self) -> tuple[str, str] | None:
        """User and password of HTTP Basic; None when absent or not decodable."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, colon, password = base64.b64decode(token.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (user, password) if colon else None


class Reply:
    """An answer: status, body bytes, headers (the content type is one of them)."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.body = body
        self.headers = {} if headers is None else headers


def json_reply(status: int, value: object, **headers: str) -> Reply:
    """JSON answer; header names are given with underscores (`Retry_After="3"`)."""
    out = {"Content-Type": "application/json"}
    for name, text in headers.items():
        out[name.replace("_", "-")] = text
    return Reply(status, orjson.dumps(value), out)


def text_reply(status: int, text: str, content_type: str = "text/html; charset=utf-8") -> Reply:
    return Reply(status, text.encode(), {"Content-Type": content_type})
