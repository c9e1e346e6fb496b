"""JSON bodies, read strictly: what two readers could read as two things is refused.

Python's own reader takes the last of two equal names, NaN and Infinity, and texts in other encodings than UTF-8. Each
is either a mistake of the sender or an attempt to have a checker see something else than the one who acts.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request

SHOWN = 100  # characters of a name in an error


class StrictRequest(Request):
    """A request whose JSON holds each name once."""

    async def json(self) -> Any:
        """Raises HTTPException 400, or JSONDecodeError where it is no JSON at all."""
        if not hasattr(self, "_json"):
            self._json = read_json(await self.body())
        return self._json


def read_json(body: bytes) -> Any:
    """As `StrictRequest.json`."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _wrong(f"the body is not UTF-8: byte {error.start} is wrong") from None
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise _wrong("the JSON is nested too deep") from None
    except ValueError:
        raise _wrong("the JSON holds a number with too many digits") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise _wrong(f"the JSON names {name[:SHOWN]!r} twice in one object")
        seen.add(name)
    raise AssertionError("two names were equal and then not")


def _constant(name: str) -> NoReturn:
    raise _wrong(f"{name} is no JSON number")


def _wrong(detail: str) -> HTTPException:
    return HTTPException(400, detail)


def check_media_type(request: Request, body: bytes) -> None:
    """Raises HTTPException 415 for a body that does not say it is JSON, or is compressed."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        raise HTTPException(415, "send the body as application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise HTTPException(415, "send the body without Content-Encoding")
