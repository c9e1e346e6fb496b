"""What becomes of a recipient row: accepted with everything a message needs, or rejected with everything a person
needs.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from models.msisdn import FAULT_TEXTS, Msisdn, NumberFault
from models.options import DEFAULT_PARTS
from models.segments import Encoding
from producer.readers.table import RowFaultCode


class RejectCode(StrEnum):
    """Why a row gets no message; `REJECT_TEXTS` says it in plain language."""

    NUMBER_EMPTY = "number_empty"
    NUMBER_MANGLED = "number_mangled"
    NUMBER_LETTERS = "number_letters"
    NUMBER_BAD_CHARACTER = "number_bad_character"
    NUMBER_SEVERAL = "number_several"
    NUMBER_EXTENSION = "number_extension"
    NUMBER_SHORT_CODE = "number_short_code"
    NUMBER_TOO_SHORT = "number_too_short"
    NUMBER_TOO_LONG = "number_too_long"
    NUMBER_NO_COUNTRY = "number_no_country"
    NUMBER_UNKNOWN_COUNTRY = "number_unknown_country"
    NUMBER_AMBIGUOUS = "number_ambiguous"
    NUMBER_BAD_LENGTH = "number_bad_length"
    NUMBER_NOT_MOBILE = "number_not_mobile"
    NUMBER_UNASSIGNED = "number_unassigned"
    ROW_RAGGED = "row_ragged"
    ROW_QUOTES = "row_quotes"
    ROW_FIELD_TOO_LONG = "row_field_too_long"
    ROW_NUL = "row_nul"
    ROW_ENCODING = "row_encoding"
    ROW_BAD_JSON = "row_bad_json"
    ROW_BAD_VALUE = "row_bad_value"
    COUNTRY_DENIED = "country_denied"
    COUNTRY_NOT_ALLOWED = "country_not_allowed"
    DUPLICATE = "duplicate"
    SUPPRESSED = "suppressed"
    VARIABLE_MISSING = "variable_missing"
    TEXT_FAILED = "text_failed"
    TEXT_EMPTY = "text_empty"
    TEXT_TOO_LONG = "text_too_long"
    REFERENCE_TOO_LONG = "reference_too_long"
    PROVIDER_RULE = "provider_rule"
    ZONE_UNKNOWN = "zone_unknown"


REJECT_TEXTS: dict[RejectCode, str] = {
    **{RejectCode(f"number_{fault}"): FAULT_TEXTS[fault] for fault in NumberFault},
    RejectCode.ROW_RAGGED: "more or fewer cells than the header",
    RejectCode.ROW_QUOTES: "broken quotes",
    RejectCode.ROW_FIELD_TOO_LONG: "a field that is too long",
    RejectCode.ROW_NUL: "a NUL byte",
    RejectCode.ROW_ENCODING: "bytes that are no text",
    RejectCode.ROW_BAD_JSON: "not a JSON object",
    RejectCode.ROW_BAD_VALUE: "a value that is neither text nor number",
    RejectCode.COUNTRY_DENIED: "the campaign does not send to this country",
    RejectCode.COUNTRY_NOT_ALLOWED: "the campaign sends to other countries only",
    RejectCode.DUPLICATE: "the number stands in an earlier row",
    RejectCode.SUPPRESSED: "the recipient has opted out",
    RejectCode.VARIABLE_MISSING: "the template uses a value that the row has not",
    RejectCode.TEXT_FAILED: "the template makes no text of this row",
    RejectCode.TEXT_EMPTY: "the text is empty",
    RejectCode.TEXT_TOO_LONG: "the text needs more parts than the campaign allows",
    RejectCode.REFERENCE_TOO_LONG: "the reference is too long",
    RejectCode.PROVIDER_RULE: "the provider does not take this message",
    RejectCode.ZONE_UNKNOWN: "no time zone of this name",
}

NUMBER_CODES = {fault: RejectCode(f"number_{fault}") for fault in NumberFault}
ROW_CODES = {code: RejectCode(f"row_{code}") for code in RowFaultCode}


class Accepted(NamedTuple):
    """A row that becomes a message."""

    row_no: int
    msisdn: Msisdn
    text: str
    segments: int
    encoding: Encoding
    country: str
    reference: str | None
    zone: str | None = None  # the row's own word on where the recipient is


class Rejected(NamedTuple):
    """A row that does not. `column` and `value` say where: the value capped, all digits masked but the last two."""

    row_no: int
    column: str | None
    value: str
    code: RejectCode
    reason: str


class Refusal(NamedTuple):
    """A provider's rule that speaks against a message, with the provider's code for it."""

    code: str
    reason: str


Check = Callable[[Msisdn, str, str, Encoding, int], Refusal | None]
"""`check(msisdn, country, text, encoding, segments)`: what the provider of this message would refuse."""
Suppressed = Container[str] | Callable[[Msisdn], bool]
"""A set of numbers in E.164 with `+`, or a function that knows."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a campaign asks of its recipients. Countries are ISO codes of two letters."""

    default_region: str | None = None
    strict_numbers: bool = False
    allow: frozenset[str] = frozenset()  # empty: every country
    deny: frozenset[str] = frozenset()
    suppressed: Suppressed = field(default_factory=frozenset)
    check: Check | None = None
    gsm7_only: bool = False  # write GSM-7's nearest characters where that is possible
    max_segments: int = DEFAULT_PARTS
    max_reference: int = 128  # characters
    zones: bool = False  # read the recipient's time zone from the row, where it says one
