"""What phonenumbers says about a number: the slow path, which knows every reason (about 20 µs a number).

phonenumbers calls a number *valid* when its range is assigned; the ranges that countries reserve for films and tests
are not. So validity is asked only in strict mode; otherwise a mobile number's length is enough (see `models.msisdn`).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType, ValidationResult

from models.numberfault import BadNumber, NumberFault
from models.numberplan import MAX_DIGITS, MIN_DIGITS, NEVER, NO_COUNTRY, dial_plan


class Found(NamedTuple):
    """A number that passes: E.164 with `+`, and its country."""

    e164: str
    country: str


_KINDS = {
    PhoneNumberType.FIXED_LINE: "fixed",
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.FIXED_LINE_OR_MOBILE: "fixed_or_mobile",
    PhoneNumberType.TOLL_FREE: "toll_free",
    PhoneNumberType.PREMIUM_RATE: "premium_rate",
    PhoneNumberType.SHARED_COST: "shared_cost",
    PhoneNumberType.VOIP: "voip",
    PhoneNumberType.PERSONAL_NUMBER: "personal",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "uan",
    PhoneNumberType.VOICEMAIL: "voicemail",
    PhoneNumberType.UNKNOWN: "unknown",
}
_PARSE_FAULTS = {
    NumberParseException.INVALID_COUNTRY_CODE: NumberFault.UNKNOWN_COUNTRY,
    NumberParseException.NOT_A_NUMBER: NumberFault.BAD_CHARACTER,
    NumberParseException.TOO_SHORT_AFTER_IDD: NumberFault.TOO_SHORT,
    NumberParseException.TOO_SHORT_NSN: NumberFault.TOO_SHORT,
    NumberParseException.TOO_LONG: NumberFault.TOO_LONG,
}
_UNKNOWN_ZONE = "Etc/Unknown"


@cache
def known_region(region: str | None) -> str | None:
    """The region in capitals; `ValueError` for what is no country that phonenumbers knows."""
    if region is None:
        return None
    if region.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"{region!r} is no country code of two letters, as GB or DE")
    return region.upper()


def judge_international(digits: str, strict: bool) -> Found | BadNumber:
    """Decide on digits that followed a `+`."""
    if not MIN_DIGITS <= len(digits) <= MAX_DIGITS:
        return BadNumber(NumberFault.TOO_SHORT if len(digits) < MIN_DIGITS else NumberFault.TOO_LONG)
    return _judge(_parse("+" + digits, None), strict)


def judge_in_region(digits: str, region: str, strict: bool) -> Found | BadNumber:
    """Decide on digits without `+` in a region: from abroad, national, or with the region's own country code."""
    if (international := _after_international_prefix(digits, region)) is not None:
        return judge_international(international, strict)
    if len(digits) < MIN_DIGITS:
        return BadNumber(NumberFault.SHORT_CODE)
    if len(digits) > MAX_DIGITS:
        return BadNumber(NumberFault.TOO_LONG)
    national = _judge(_parse(digits, region), strict)
    if not digits.startswith(dial_plan(region).code):
        return national
    return _choose(national, judge_international(digits, strict))


def line_type_name(e164: str) -> str:
    return _KINDS[phonenumbers.number_type(_parse_known(e164))]


def zone_names(e164: str) -> tuple[str, ...]:
    from phonenumbers import timezone  # its tables are needed by schedules only

    number = _parse_known(e164)
    by_number: tuple[str, ...] = timezone.time_zones_for_number(number)
    if _UNKNOWN_ZONE in by_number:  # a reserved range: then by its prefix alone
        by_number = timezone.time_zones_for_geographical_number(number)
    return tuple(sorted(zone for zone in by_number if zone != _UNKNOWN_ZONE))


def _parse(text: str, region: str | None) -> PhoneNumber | BadNumber:
    try:
        return phonenumbers.parse(text, region)
    except NumberParseException as error:
        return BadNumber(_PARSE_FAULTS[error.error_type])


def _parse_known(e164: str) -> PhoneNumber:
    return phonenumbers.parse(e164, None)


def _choose(national: Found | BadNumber, own: Found | BadNumber) -> Found | BadNumber:
    """Between two readings of digits that begin with the region's own country code."""
    if isinstance(own, BadNumber):
        return national
    if isinstance(national, BadNumber) or national == own:
        return own
    if _is_assigned_mobile(national) != _is_assigned_mobile(own):
        return own if _is_assigned_mobile(own) else national
    return BadNumber(NumberFault.AMBIGUOUS, own.country)


def _is_assigned_mobile(found: Found) -> bool:
    return line_type_name(found.e164) in ("mobile", "fixed_or_mobile")


def _after_international_prefix(digits: str, region: str) -> str | None:
    """What follows `00` or the region's own prefix for calls abroad (`011` in the US, `0011` in Australia)."""
    match = dial_plan(region).abroad(digits)
    end = match.end() if match else 2 if digits.startswith("00") else 0
    return digits[end:] if end and digits[end : end + 1] not in ("", "0") else None


def _judge(number: PhoneNumber | BadNumber, strict: bool) -> Found | BadNumber:
    if isinstance(number, BadNumber):
        return number
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    main = phonenumbers.region_code_for_country_code(number.country_code or 0)
    if main == NO_COUNTRY:
        return BadNumber(NumberFault.UNKNOWN_COUNTRY)
    fault = _length_fault(e164) or _kind_fault(number, strict)
    if fault is not None:
        return BadNumber(fault, main)
    if not _reads_back(e164):
        return BadNumber(NumberFault.AMBIGUOUS, main)
    return Found(e164, phonenumbers.region_code_for_number(number) or main)


def _length_fault(e164: str) -> NumberFault | None:
    digits = len(e164) - 1
    if digits > MAX_DIGITS:
        return NumberFault.TOO_LONG
    return NumberFault.TOO_SHORT if digits < MIN_DIGITS else None


def _kind_fault(number: PhoneNumber, strict: bool) -> NumberFault | None:
    kind = _KINDS[phonenumbers.number_type(number)]
    length = phonenumbers.is_possible_number_for_type_with_reason(number, PhoneNumberType.MOBILE)
    if kind == "unknown" and length != ValidationResult.IS_POSSIBLE:
        return NumberFault.BAD_LENGTH
    if kind in NEVER or (strict and kind not in ("mobile", "fixed_or_mobile", "unknown")):
        return NumberFault.NOT_MOBILE
    return NumberFault.UNASSIGNED if strict and kind == "unknown" else None


def _reads_back(e164: str) -> bool:
    """Whether our own output would be read as itself: a number must not change when it comes back from an export."""
    again = _parse(e164, None)
    return isinstance(again, PhoneNumber) and phonenumbers.format_number(again, PhoneNumberFormat.E164) == e164
