"""What a provider's answer carries: bounded decompression and a JSON reader that refuses to guess.

Both are pure functions over complete bytes; the caller has already capped what it read from the socket.
"""

import json
import math
import re
import zlib
from typing import Any, NoReturn

import orjson

MAX_DEPTH = 64  # the deepest documented answer nests seven levels; orjson cannot write back more than 254

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# A text is taken whole (to the end, where it never closes): no character is looked at again for the next one.
_TEXT_OR_LAST_COMMA = re.compile(rb'("(?:[^"\\]++|\\.?)*+(?:"|\Z))|,(?=\s*+[}\]])', re.S)
_GZIP, _ZLIB, _RAW_DEFLATE = 31, 15, -15


class BadBody(ValueError):
    """The body is not the JSON it should be. The text says why, and never quotes the body (numbers, texts)."""


class TooLarge(ValueError):
    """The body is larger, as sent or once expanded, than the request allows."""


class BadCoding(ValueError):
    """The body is compressed in a way we do not know, or its compressed stream is damaged or cut short."""


def parse_json(body: bytes) -> object:
    """The value of a JSON body, UTF-8 with or without a byte order mark.

    Refused, each with its own reason: an empty body, invalid UTF-8, HTML or other text, truncated JSON, a key given
    twice (which of two ids would count?), NaN and numbers out of range, more than `MAX_DEPTH` levels.
    A lone half of a surrogate pair (a vendor cut an emoji in two) becomes "?": no database could store it.
    """
    value = _plain(body)
    if value is None:
        value = _strict(_decode(body))
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _check_depth(value)
    return _without_lone_surrogates(value) if _SURROGATE.search(body) else value


def _plain(body: bytes) -> object | None:
    """The value of a body that is exactly what orjson would write of it, which leaves nothing to guess: no key twice,
    no number that does not fit. None: any other body. In a third of the time that the strict reader takes."""
    if b'": ' in body or b"\\" in body:  # spaces or escapes: it is not
        return None
    try:
        value: object = orjson.loads(body)
        return value if orjson.dumps(value) == body else None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None


def _strict(text: str) -> object:
    try:
        return _READER.decode(text)
    except json.JSONDecodeError as error:
        raise BadBody(_syntax(text, error)) from None
    except RecursionError:
        raise BadBody(f"nested deeper than {MAX_DEPTH} levels") from None
    except BadBody:
        raise
    except ValueError:
        raise BadBody("a number has too many digits") from None


def without_trailing_commas(body: bytes) -> bytes:
    """The body without the commas before a closing bracket, texts untouched. In time linear to its length."""
    return _TEXT_OR_LAST_COMMA.sub(rb"\1", body)


def rows_before_break(body: bytes, opening: re.Pattern[str]) -> list[dict[str, object]]:
    """The whole objects of a list in a body that breaks off, or goes wrong, behind them: for pages that are handed out
    only once. `opening` matches the text up to the list's bracket; each object is read as strictly as by `parse_json`.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        text = body[: error.start].decode()
    text = text.removeprefix("\ufeff")
    rows: list[dict[str, object]] = []
    begin = opening.match(text)
    try:
        while begin is not None:
            row, at = _READER.raw_decode(text, begin.end())
            if not isinstance(row, dict):
                break
            _check_depth(row)
            rows.append(row)
            begin = _COMMA.match(text, at)
    except (ValueError, RecursionError):
        pass  # from here on nothing is sure
    clean = _without_lone_surrogates(rows) if _SURROGATE.search(body) else rows
    return clean if isinstance(clean, list) else rows


def expand(body: bytes, codings: str, limit: int) -> bytes:
    """The body without its Content-Encoding, at most `limit` bytes; raises `TooLarge` or `BadCoding`.

    We ask for `identity`; a server that compresses all the same is understood for gzip and deflate.
    A bomb costs no more than `limit` bytes of memory, because the expansion stops there.
    """
    if not body:
        return body
    match codings.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return _gunzip(body, limit)
        case "deflate":
            return _inflate(body, limit)[0]
    raise BadCoding("unknown Content-Encoding")


def _decode(body: bytes) -> str:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadBody(f"not UTF-8 at byte {error.start}") from None
    if not text.strip():
        raise BadBody("empty body")
    return text


def _syntax(text: str, error: json.JSONDecodeError) -> str:
    if text.lstrip().startswith("<"):
        return "HTML or XML instead of JSON"
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return f"truncated JSON after {len(text)} characters"
    return f"not JSON: {error.msg} at character {error.pos}"


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise BadBody("a key is given twice in one object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise BadBody(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise BadBody("a number is out of range")
    return number


_READER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
_COMMA = re.compile(r"\s*,\s*")


def _check_depth(value: object) -> None:
    """JSON's readers make dicts and lists and nothing derived from them: their types are enough to know."""
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    raise BadBody(f"nested deeper than {MAX_DEPTH} levels")


def _without_lone_surrogates(value: object) -> object:
    clean: object = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return clean


def _gunzip(body: bytes, limit: int) -> bytes:
    """Every member of a gzip stream: a server may send several, one after the other."""
    whole = b""
    while body:
        part, body = _inflate(body, limit - len(whole), _GZIP)
        whole += part
    return whole


def _inflate(body: bytes, limit: int, bits: int = 0) -> tuple[bytes, bytes]:
    """One compressed stream: what it holds, and the bytes behind its end."""
    stream = zlib.decompressobj(bits or _deflate_bits(body))
    try:
        whole = stream.decompress(body, limit + 1)
    except zlib.error:
        raise BadCoding("the compressed body is damaged") from None
    if len(whole) > limit:
        raise TooLarge(f"expands to more than {limit} bytes")
    if not stream.eof:
        raise BadCoding("the compressed body is cut short")
    return whole, stream.unused_data


def _deflate_bits(body: bytes) -> int:
    """RFC 9110 says "deflate" is zlib, some servers send it raw: a zlib header is divisible by 31."""
    return _ZLIB if len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0 else _RAW_DEFLATE
