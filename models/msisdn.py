"""Phone numbers: from any usual human form to E.164, with a plain reason when that is not possible.

`parse_msisdn(text, default_region)` returns an `Msisdn` or a `BadNumber`; it never raises on what a file may contain,
and it never guesses. What it decides, in this order:

1. **Dirt is refused before any number is read from it**: letters, decimal points and exponents (what spreadsheets
   make of long numbers), extensions, two numbers in one cell. Digits of any script count as digits.
2. **With `+` (or `00`, or the region's own prefix for calls abroad)** the digits are international. A national prefix
   in between, `+44 (0)7700 900123`, is dropped as phonenumbers does it.
3. **Without `+` and without a default region** the digits must begin with a country code and have the length of a
   *mobile* number there, so that most national numbers that happen to begin with some country's code are refused,
   not sent abroad.
4. **Without `+` and with a default region** the number is national, or it begins with the region's own country code.
   Where both readings are possible, the one that is an assigned mobile number wins; where that does not tell, it is
   `AMBIGUOUS`. A number of another country needs its `+`: an own number with one digit too many must not reach a
   stranger.
5. **Possible, not assigned, is the question by default**: a number passes when it has the length of a mobile number
   of its country (or is an assigned number of another length) and is not of a kind that never gets a message
   (premium rate, shared cost, pager, company-wide, voicemail). So the ranges reserved for fiction and tests pass.
   `strict=True` demands an assigned mobile number.

Numbers already in E.164 take a fast path (`models.numberplan`), equal in result to the slow one; a property test
holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

from models.numberfault import FAULT_TEXTS, BadNumber, NumberFault
from models.numberlookup import (
    Found,
    judge_in_region,
    judge_international,
    known_region,
    line_type_name,
    zone_names,
)
from models.numberplan import accept, fast_national, plan_of
from models.numbertext import Bare, International, read_digits

__all__ = [
    "FAULT_TEXTS",
    "BadNumber",
    "LineType",
    "Msisdn",
    "NumberFault",
    "line_type",
    "parse_many",
    "parse_msisdn",
    "zones",
]


class LineType(StrEnum):
    """What kind of line a number belongs to, by the numbering plan (a ported number keeps its old kind)."""

    FIXED = "fixed"
    MOBILE = "mobile"
    FIXED_OR_MOBILE = "fixed_or_mobile"
    TOLL_FREE = "toll_free"
    PREMIUM_RATE = "premium_rate"
    SHARED_COST = "shared_cost"
    VOIP = "voip"
    PERSONAL = "personal"
    PAGER = "pager"
    UAN = "uan"
    VOICEMAIL = "voicemail"
    UNKNOWN = "unknown"


class Msisdn(str):
    """A number in E.164 with `+`. It is a `str`, so it is stored, compared and sent as it is; its `repr` is masked
    for logs.

    Made by `parse_msisdn`, or directly from a column that holds such numbers, `Msisdn(row.msisdn)`: then the country
    is
    found on first use.
    """

    __slots__ = ("_country",)
    _country: str

    def __new__(cls, value: str, country: str = "") -> Msisdn:
        self = str.__new__(cls, value)
        self._country = country
        return self

    @property
    def digits(self) -> str:
        """The number without `+`, as most providers want it on the wire."""
        return self[1:]

    @property
    def country(self) -> str:
        """ISO 3166 country, two letters; of a reserved range the first country of its code (`GB` for +447700900123)."""
        if not self._country and (plan := plan_of(self[1:])) is not None:
            self._country = plan.country(self[1:])
        return self._country

    def masked(self) -> str:
        """For logs: the country code and the last two digits, `+44…23`."""
        plan = plan_of(self[1:])
        return f"+{plan.code if plan else ''}…{self[-2:]}"

    def __repr__(self) -> str:
        return f"Msisdn({self.masked()!r})"

    def __reduce__(self) -> tuple[type[Msisdn], tuple[str, str]]:
        return Msisdn, (str(self), self._country)


_E164 = re.compile(r"\+([1-9][0-9]{6,14})").fullmatch


def parse_msisdn(text: str, default_region: str | None = None, *, strict: bool = False) -> Msisdn | BadNumber:
    """Read one number; rules in the module's docstring.

    `default_region` is an ISO 3166 country (`GB`), `ValueError` if it is none. `strict` demands an assigned mobile
    number.
    """
    if (match := _E164(text)) is not None:
        country = accept(match[1], strict)
        if country is not None:
            return Msisdn(text, country)
    return _parse_other(text, known_region(default_region), strict)


def parse_many(
    texts: Iterable[str], default_region: str | None = None, *, strict: bool = False
) -> list[Msisdn | BadNumber]:
    """`parse_msisdn` of each text, in order."""
    return [parse_msisdn(text, default_region, strict=strict) for text in texts]


def line_type(number: Msisdn) -> LineType:
    """The kind of line by the numbering plan; `UNKNOWN` for reserved ranges. About 20 µs: not for every row of an
    import.
    """
    return LineType(line_type_name(number))


def zones(number: Msisdn) -> tuple[str, ...]:
    """IANA time zones in which the number may be, sorted; empty if nothing is known.

    A mobile number tells its country, not its place: +1 numbers give the zones of their area code, others all of the
    country.
    """
    return zone_names(number)


def _parse_other(text: str, region: str | None, strict: bool) -> Msisdn | BadNumber:
    match read_digits(text):
        case International(digits):
            return _international(digits, strict)
        case Bare(digits):
            return _in_region(digits, region, strict) if region else _without_region(digits, strict)
        case fault:
            return BadNumber(fault)


def _international(digits: str, strict: bool) -> Msisdn | BadNumber:
    text = "+" + digits
    country = accept(digits, strict) if _E164(text) else None
    return Msisdn(text, country) if country is not None else _value(judge_international(digits, strict))


def _without_region(digits: str, strict: bool) -> Msisdn | BadNumber:
    if digits.startswith("00"):
        return _international(digits[2:], strict)
    if len(digits) <= 6:
        return BadNumber(NumberFault.SHORT_CODE)
    if digits.startswith("0"):
        return BadNumber(NumberFault.NO_COUNTRY)
    plan = plan_of(digits)
    if plan is not None and not plan.has_mobile_length(digits) and len(digits) <= 15:
        return BadNumber(NumberFault.NO_COUNTRY)
    return _international(digits, strict)


def _in_region(digits: str, region: str, strict: bool) -> Msisdn | BadNumber:
    known = fast_national(digits, region)
    country = accept(known, strict) if known is not None else None
    if known is not None and country is not None:
        return Msisdn("+" + known, country)
    return _value(judge_in_region(digits, region, strict))


def _value(verdict: Found | BadNumber) -> Msisdn | BadNumber:
    return verdict if isinstance(verdict, BadNumber) else Msisdn(verdict.e164, verdict.country)
