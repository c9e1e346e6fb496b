"""Whether a Cliqtel webhook is signed: over its raw bytes, or over the same JSON written anew.

The document says "an HMAC-SHA256 signature of the JSON payload", and its sample signs `JSON.stringify(payload)` of the
parsed body, so the signed text may be a compact rewriting of what was sent. Rewriting works on the text and parses
nothing but strings: key order and number texts stay as they came (0.008 must not become 8e-03).

Source: Cliqtel SMS API Reference, "Verifying webhook signatures".
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from itertools import product

from providers.shared import same_secret

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[^"\s]+|\s+|"', re.DOTALL)


def signed(body: bytes, signature: str, key: str) -> bool:
    """Whether `signature` (hex, with or without `sha256=`) fits the body or one of its rewritings."""
    given = signature.strip().removeprefix("sha256=").lower()
    return any(same_secret(given, _hmac(key, text)) for text in _texts(body))


def _hmac(key: str, text: bytes) -> str:
    return hmac.new(key.encode(), text, hashlib.sha256).hexdigest()


def _texts(body: bytes) -> Iterator[bytes]:
    yield body
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return
    for ascii_only, slashes in product((False, True), (False, True)):
        yield rewritten(text, ascii_only, slashes).encode("utf-8", "surrogatepass")


def rewritten(text: str, ascii_only: bool, slashes: bool) -> str:
    """The JSON text without blanks between its tokens. JavaScript keeps non-ASCII letters and slashes as they are;
    PHP writes `\\uXXXX` (`ascii_only`) and `\\/` (`slashes`) unless told otherwise."""
    return "".join(_token(hit.group(), ascii_only, slashes) for hit in _TOKEN.finditer(text))


def _token(token: str, ascii_only: bool, slashes: bool) -> str:
    if token[0] != '"':
        return token.strip()
    try:
        written = json.dumps(json.loads(token, strict=False), ensure_ascii=ascii_only)
    except ValueError:
        return token
    return written.replace("/", "\\/") if slashes else written
