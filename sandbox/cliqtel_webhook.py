"""The bytes of a Cliqtel webhook and what its signature covers: the document says only "the JSON payload"."""

import hmac
import json
from collections.abc import Mapping
from typing import Any


def stringify(payload: Any) -> bytes:
    """As JavaScript's JSON.stringify: no spaces, characters as they are, 1.0 printed as 1."""
    return json.dumps(_js(payload), separators=(",", ":"), ensure_ascii=False).encode()


def php(payload: Any) -> bytes:
    """As PHP's json_encode: no spaces, `/` as `\\/`, everything outside ASCII as \\uXXXX."""
    return json.dumps(payload, separators=(",", ":")).replace("/", "\\/").encode()


def spaced(payload: Any) -> bytes:
    return json.dumps(payload).encode()


# signature setting → (bytes sent, bytes signed)
_FORMS = {"raw": (stringify, stringify), "stringify": (spaced, stringify), "php": (stringify, php)}


def render(payload: Mapping[str, Any], form: str, secret: str | None) -> tuple[bytes, dict[str, str]]:
    """Body and headers of one webhook; unsigned without a secret. Errors: KeyError for an unknown form."""
    sent, signed = _FORMS[form]
    headers = {"Content-Type": "application/json"}
    if secret:
        headers["X-Cliqtel-Signature"] = hmac.new(secret.encode(), signed(payload), "sha256").hexdigest()
    return sent(payload), headers


def _js(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _js(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value
