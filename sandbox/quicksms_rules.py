"""What QuickSMS refuses before it looks at the account: fields, types, lengths.

Source: QuickSMS API 2.0, Send a Message and Error Handling.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_CHARACTERS = 1530
MAX_KEY = 128
_MSISDN = re.compile(r"[1-9][0-9]{6,14}")
_ALPHANUMERIC = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 ._&-]{1,11}")
_NUMERIC = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One request-level error of the documented table: HTTP status, code, message and the field at fault."""

    status: int
    code: str
    message: str
    param: str | None = None


def check(payload: Any) -> Problem | None:
    """The first thing wrong with a parsed body, or None."""
    if not isinstance(payload, dict):
        return Problem(400, "BAD_REQUEST", "The request body is not a valid JSON object.")
    for name in ("MSISDN", "msg", "sender"):
        if payload.get(name) in (None, ""):
            return Problem(400, "MISSING_FIELD", f"The {name} field is required.", name)
    for rule in _RULES:
        if (problem := rule(payload)) is not None:
            return problem
    return None


def _invalid(param: str, message: str) -> Problem:
    return Problem(422, "VALIDATION_ERROR", message, param)


def _msisdn(payload: Mapping[str, Any]) -> Problem | None:
    value = payload["MSISDN"]
    if isinstance(value, str) and _MSISDN.fullmatch(value):
        return None
    return Problem(422, "INVALID_PHONE_NUMBER", "The MSISDN is not valid international format.", "MSISDN")


def _msg(payload: Mapping[str, Any]) -> Problem | None:
    value = payload["msg"]
    if not isinstance(value, str):
        return _invalid("msg", "The msg field must be a string.")
    if len(value) > MAX_CHARACTERS:
        return Problem(422, "CONTENT_TOO_LONG", "The message exceeds 1530 characters.", "msg")
    return None


def _flags(payload: Mapping[str, Any]) -> Problem | None:
    for name in ("smart_routing", "sandbox"):
        if not isinstance(payload.get(name, False), bool):
            return _invalid(name, f"The {name} field must be true or false.")
    return None


def _sender(payload: Mapping[str, Any]) -> Problem | None:
    value = payload["sender"]
    if not isinstance(value, str):
        return _invalid("sender", "The sender field must be a string.")
    if is_sms_sender(value) or (payload.get("smart_routing") and len(value) <= 25):
        return None
    return _invalid("sender", "The sender must be up to 11 characters with a letter, or up to 15 digits.")


def is_sms_sender(value: str) -> bool:
    return bool(_NUMERIC.fullmatch(value) or _ALPHANUMERIC.fullmatch(value))


def _failover(payload: Mapping[str, Any]) -> Problem | None:
    value = payload.get("sms_failover_sender")
    if value is None or (isinstance(value, str) and is_sms_sender(value)):
        return None
    return _invalid("sms_failover_sender", "The sms_failover_sender is not a valid SMS sender ID.")


def _expiry(payload: Mapping[str, Any]) -> Problem | None:
    value = payload.get("expiry", 60)
    if isinstance(value, int) and not isinstance(value, bool) and 60 <= value <= 259_200:
        return None
    return _invalid("expiry", "The expiry must be an integer between 60 and 259200.")


def _customer_id(payload: Mapping[str, Any]) -> Problem | None:
    value = payload.get("customer_id")
    if value is None or (isinstance(value, str) and len(value) <= 128):
        return None
    return _invalid("customer_id", "The customer_id must be a string of at most 128 characters.")


def _metadata(payload: Mapping[str, Any]) -> Problem | None:
    value = payload.get("metadata")
    if value is None:
        return None
    if not isinstance(value, dict) or len(value) > 10:
        return _invalid("metadata", "The metadata must be an object with at most 10 keys.")
    if all(isinstance(item, str | int | float) and len(str(item)) <= 256 for item in value.values()):
        return None
    return _invalid("metadata", "Each metadata value must be at most 256 characters.")


def _callback_url(payload: Mapping[str, Any]) -> Problem | None:
    value = payload.get("callback_url")
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > 2048 or not value.startswith(("http://", "https://")):
        return _invalid("callback_url", "The callback_url must be a URL of at most 2048 characters.")
    return None


_RULES: tuple[Callable[[Mapping[str, Any]], Problem | None], ...] = (
    _msisdn, _msg, _flags, _sender, _failover, _expiry, _customer_id, _metadata, _callback_url,
)  # fmt: skip
