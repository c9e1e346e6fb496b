"""The GSM 7-bit default alphabet (3GPP TS 23.038) and the nearest neighbours of characters that it lacks."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = "\f^{}\\[~]|€"
"""Sent as an escape and a letter: two septets each."""

_ALPHABET = frozenset(BASIC + EXTENSION)

_NEIGHBOURS: dict[str, str] = {
    # one line per family: what word processors and phones put in, and what people would type by hand
    **dict.fromkeys("‘’‚‛′`´ʹʻʼʽˈ", "'"),
    **dict.fromkeys("“”„‟″«»❝❞", '"'),
    **dict.fromkeys("‹", "<"),
    **dict.fromkeys("›", ">"),
    **dict.fromkeys("‐‑‒–—―−⁃", "-"),
    **dict.fromkeys("•·‣∙", "*"),
    **dict.fromkeys(
        "\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
    ),
    **dict.fromkeys("\v\u0085\u2028\u2029", "\n"),
    **dict.fromkeys("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff", ""),
    **dict.fromkeys("⁄∕÷", "/"),
    **dict.fromkeys("×✕✖", "x"),
    "…": "...",
    "¦": "|",
    "©": "(C)",
    "®": "(R)",
    "™": "TM",
    "¢": "c",
    "°": "o",
    "ç": "c",
    "Ł": "L",
    "ł": "l",
    "Đ": "D",
    "đ": "d",
    "Ð": "D",
    "ð": "d",
    "Ħ": "H",
    "ħ": "h",
    "Þ": "Th",
    "þ": "th",
    "Œ": "OE",
    "œ": "oe",
    "ẞ": "SS",
    "ı": "i",
    "ĸ": "k",
    "Ŋ": "N",
    "ŋ": "n",
    "Ŧ": "T",
    "ŧ": "t",
    "ƒ": "f",
    # Greek capitals that look like Latin ones are left out of the alphabet for that reason (TS 23.038, 6.2.1)
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True)),
}


@lru_cache(maxsize=4096)
def replacement(char: str) -> str | None:
    """What to write in GSM-7 for a character that it lacks: a neighbour, a letter without its accent; None if
    neither.
    """
    if (neighbour := _NEIGHBOURS.get(char)) is not None:
        return neighbour
    plain = "".join(c for c in unicodedata.normalize("NFKD", char) if not unicodedata.combining(c))
    if plain == char or (not plain and not unicodedata.combining(char)):
        return None
    rest = [c if c in _ALPHABET else replacement(c) for c in plain]
    return None if None in rest else "".join(c for c in rest if c is not None)
