"""How many parts a text needs on the air, and how to need fewer.

GSM-7: 160 septets in one part, 153 in each of several; UCS-2: 70 and 67 units of 16 bits (QuickSMS API 2.0, Message
Encoding; Qikberry manual, SMS length). A character of the extension table takes two septets, one outside the basic
plane two units, and neither pair is ever split over two parts. It is an estimate for limits and prices: the figure
that the provider reports wins.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from models.gsm7 import BASIC, EXTENSION, replacement


class Encoding(StrEnum):
    """How the text travels."""

    GSM7 = "GSM7"
    UCS2 = "UCS2"


class Measure(NamedTuple):
    """`units`: septets (an extension character is two) or UTF-16 units. `chars`: the larger of code points and units
    of UTF-16, for limits in "characters", a word that no provider defines.
    """

    encoding: Encoding
    units: int
    segments: int
    chars: int


@dataclass(frozen=True, slots=True)
class Offender:
    """A character that forces UCS-2, and what `downgrade` would write for it (None: nothing)."""

    char: str
    name: str
    count: int
    replacement: str | None


SINGLE = {Encoding.GSM7: 160, Encoding.UCS2: 70}
EACH_OF_SEVERAL = {Encoding.GSM7: 153, Encoding.UCS2: 67}

_GSM7, _ONE_PART = Encoding.GSM7, SINGLE[Encoding.GSM7]  # found faster than through the enum
_IS_BASIC = re.compile(f"[{re.escape(BASIC)}]*").fullmatch
_IS_GSM7 = re.compile(f"[{re.escape(BASIC + EXTENSION)}]*").fullmatch
_WIDE_GSM7 = re.compile(f"[{re.escape(EXTENSION)}]")
_WIDE_UCS2 = re.compile("[\U00010000-\U0010ffff]")
_NOT_GSM7 = re.compile(f"[^{re.escape(BASIC + EXTENSION)}]")


def measure(text: str) -> Measure:
    """Encoding, units, segments and characters of a text; an empty text has no segment."""
    length = len(text)
    if length <= _ONE_PART and _IS_BASIC(text):  # nearly every text there is
        return Measure(_GSM7, length, 1 if length else 0, length)
    encoding = Encoding.GSM7 if _IS_GSM7(text) else Encoding.UCS2
    wide = len(_wide(encoding).findall(text))
    units = length + wide
    if units <= SINGLE[encoding]:
        segments = 1 if length else 0
    elif not wide:
        segments = -(-units // EACH_OF_SEVERAL[encoding])
    else:
        segments = sum(1 for _ in _cuts(text, encoding))
    return Measure(encoding, units, segments, units if encoding is Encoding.UCS2 else length)


def parts(text: str) -> tuple[str, ...]:
    """The text as it is cut into parts; joined they are the text again."""
    found = measure(text)
    return (text,) * found.segments if found.segments < 2 else tuple(_cuts(text, found.encoding))


def downgrade(text: str) -> str:
    """The text in GSM-7: quotes, dashes, blanks and accents that GSM-7 lacks become their nearest neighbours.

    Unchanged when one character has no neighbour (an emoji, Cyrillic): then it travels as UCS-2 anyway, and nothing
    would be won by spoiling the rest.
    """
    if _IS_GSM7(text):
        return text
    composed = unicodedata.normalize("NFC", text)  # e and a combining acute are a letter that GSM-7 has
    found = {char: replacement(char) for char in set(_NOT_GSM7.findall(composed))}
    if None in found.values():
        return text
    return composed.translate({ord(char): new for char, new in found.items()})


def why_ucs2(text: str) -> tuple[Offender, ...]:
    """The characters that force UCS-2, in order of appearance, for warnings; empty for a GSM-7 text."""
    counts = Counter(_NOT_GSM7.findall(text))
    return tuple(Offender(char, _name(char), count, replacement(char)) for char, count in counts.items())


def _wide(encoding: Encoding) -> re.Pattern[str]:
    return _WIDE_GSM7 if encoding is Encoding.GSM7 else _WIDE_UCS2


def _cuts(text: str, encoding: Encoding) -> Iterator[str]:
    """Parts of a long text, each as full as it can be without splitting a pair."""
    wide, limit = _wide(encoding), EACH_OF_SEVERAL[encoding]
    start = room = 0
    room = limit
    for at, char in enumerate(text):
        width = 2 if wide.match(char) else 1
        if width > room:
            yield text[start:at]
            start, room = at, limit
        room -= width
    yield text[start:]


def _name(char: str) -> str:
    return f"U+{ord(char):04X} {unicodedata.name(char, 'without a name')}"
