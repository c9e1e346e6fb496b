"""The bodies of Qikberry's pages and pushes as rows: JSON in four envelopes, forms, and query strings.

A push is JSON by default; a "customised webhook" sends whatever was configured, by POST (raw or form-data) or GET.
Only the documented default names of its parameters are understood.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from urllib.parse import parse_qsl

import orjson

from providers.base import Raw
from providers.bodies import without_trailing_commas
from providers.qikberry_answers import read_envelope
from providers.wire import BadBody

_MOST_FIELDS = 200
_MOST_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One thing a body tells. `event` None: a bare row, as pages and flat pushes hold. `where` is for error texts."""

    event: str | None
    value: object
    where: str


def rows_of(raw: Raw) -> list[Row]:
    """Every row of a stored page or push. Raises BadBody if nothing at all can be read."""
    return list(_unpack(_value(raw), "body", _MOST_DEPTH))


def _value(raw: Raw) -> object:
    kind = raw.content_type.partition(";")[0].strip().lower()
    if not raw.body.strip():
        return _pairs(raw.query)
    if kind == "application/x-www-form-urlencoded":
        return _pairs(raw.body.decode("utf-8", "replace"))
    if kind == "multipart/form-data":
        return _parts(raw)
    try:
        return load_push(raw.body.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise BadBody(f"body: not JSON: {error}") from error


def load_push(body: bytes) -> object:
    """A JSON body; one that is none is read again without commas before a closing bracket, which the samples of the
    provider's document have. Raises orjson.JSONDecodeError, about the body as it came."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        lenient = without_trailing_commas(body)
        if lenient == body:
            raise
        try:
            return orjson.loads(lenient)
        except orjson.JSONDecodeError:
            pass
        raise


def _pairs(written: str) -> dict[str, object]:
    try:
        found: dict[str, object] = dict(parse_qsl(written.strip(), max_num_fields=_MOST_FIELDS))
    except ValueError as error:
        raise BadBody(f"body: not a form: {error}") from error
    if not found:
        raise BadBody("body: neither a body nor parameters")
    return found


def _parts(raw: Raw) -> dict[str, object]:
    """multipart/form-data is a MIME body: the header it came with belongs in front of it."""
    head = b"Content-Type: " + " ".join(raw.content_type.split()).encode("ascii", "replace") + b"\r\n\r\n"
    found: dict[str, object] = {}
    for part in list(message_from_bytes(head + raw.body).walk())[:_MOST_FIELDS]:
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            found[name] = payload.decode("utf-8", "replace").strip()
    if not found:
        raise BadBody("body: not a form")
    return found


def _unpack(value: object, where: str, depth: int) -> Iterator[Row]:
    """Lists and envelopes opened, whatever is in them; what is none stands as it is."""
    match value:
        case list() if depth:
            for place, one in enumerate(value):
                yield from _unpack(one, f"{where}[{place}]", depth - 1)
        case {"event": str() as event, **rest}:
            yield Row(event.strip().lower(), rest.get("payload", rest), where)
        case {"data": list() as data}:
            yield from _bare(data, f"{where}.data")
        case {"data": {"data": list() as data}}:
            yield from _bare(data, f"{where}.data.data")
        case {"data": dict() as data} if data:
            yield Row(None, data, f"{where}.data")
        case dict() if _is_envelope(value):
            yield from _empty(value, where)
        case _:
            yield Row(None, value, where)


def _bare(data: Sequence[object], where: str) -> Iterator[Row]:
    return (Row(None, one, f"{where}[{place}]") for place, one in enumerate(data))


def _is_envelope(value: Mapping[str, object]) -> bool:
    """An answer without rows: "no record", or an error page that was stored."""
    return not value.keys() & {"id", "mobile", "cid", "custom", "customid", "foreign_id", "receiver", "to"}


def _empty(value: Mapping[str, object], where: str) -> Iterator[Row]:
    envelope = read_envelope(value)
    if envelope is None or envelope.ok is not True:
        yield Row(None, value, where)
