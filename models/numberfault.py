"""Why a text is no number that a message can go to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class NumberFault(StrEnum):
    """The closed set of reasons; each has its text in `FAULT_TEXTS`."""

    EMPTY = "empty"
    MANGLED = "mangled"
    LETTERS = "letters"
    BAD_CHARACTER = "bad_character"
    SEVERAL = "several"
    EXTENSION = "extension"
    SHORT_CODE = "short_code"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    NO_COUNTRY = "no_country"
    UNKNOWN_COUNTRY = "unknown_country"
    AMBIGUOUS = "ambiguous"
    BAD_LENGTH = "bad_length"
    NOT_MOBILE = "not_mobile"
    UNASSIGNED = "unassigned"


FAULT_TEXTS: dict[NumberFault, str] = {
    NumberFault.EMPTY: "there is no number",
    NumberFault.MANGLED: "a number mangled by a spreadsheet: format the column as text and export again",
    NumberFault.LETTERS: "letters in the number",
    NumberFault.BAD_CHARACTER: "a character that belongs to no number",
    NumberFault.SEVERAL: "more than one number in the cell",
    NumberFault.EXTENSION: "a number with an extension cannot receive a message",
    NumberFault.SHORT_CODE: "a short code, not a full number",
    NumberFault.TOO_SHORT: "too short for a number",
    NumberFault.TOO_LONG: "longer than 15 digits",
    NumberFault.NO_COUNTRY: "a national number: write it with + and country code, or name a default region",
    NumberFault.UNKNOWN_COUNTRY: "no country has this country code",
    NumberFault.AMBIGUOUS: "could be national or international: write it with + and country code",
    NumberFault.BAD_LENGTH: "no number of this country has so many digits",
    NumberFault.NOT_MOBILE: "not a mobile number",
    NumberFault.UNASSIGNED: "not an assigned number of this country",
}


@dataclass(frozen=True, slots=True)
class BadNumber:
    """A refusal. It holds no digit of the text, so it may be logged and shown."""

    fault: NumberFault
    detail: str = ""

    @property
    def reason(self) -> str:
        """One line in plain language, `no number of this country has so many digits (GB)`."""
        return f"{FAULT_TEXTS[self.fault]} ({self.detail})" if self.detail else FAULT_TEXTS[self.fault]
