"""What a cell says about a number, before anybody asks whether such a number exists.

Dirt must be refused here: phonenumbers reads a wrong but valid number from `1713920001.0` (eleven digits instead of
ten) and drops the letter of `02000000O01`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from models.numberfault import NumberFault

MAX_TEXT = 80
"""Longest text that is looked at; the longest human form of 15 digits is well under it."""


@dataclass(frozen=True, slots=True)
class International:
    """ASCII digits that followed a `+`."""

    digits: str


@dataclass(frozen=True, slots=True)
class Bare:
    """ASCII digits without `+`."""

    digits: str


_SEPARATORS = str.maketrans(dict.fromkeys(" \t\r\n-./()[]~"))
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−⁃·•"), "-")
_PLUS = re.compile(r"\(?\+")
_MANGLED = re.compile(
    r"""[+-]?[0-9]+([.,][0-9]*)?[eE][+-]?[0-9]+   # 4.477e11, 4,477E+11
      | -[0-9]+                                   # a negative number
      | [+-]?[0-9]{1,3}(,[0-9]{3})+([.][0-9]*)?   # 447,700,900,123
      | [+-]?[0-9]*[.,][0-9]*                     # 447700900123.0
      | [#]{3,}                                   # a column that was too narrow
    """,
    re.VERBOSE,
).fullmatch
_ONE_DOT = re.compile(r"\+[0-9]{1,3}\.[0-9]{4,}|0[0-9]{1,4}\.[0-9]{4,}").fullmatch
"""`+1.2025550123` (as domain registries write it) and `0171.3920001`: no decimal number begins like that."""
_EXTENSION = re.compile(
    r".*[0-9)]\s*(?:[;,]?\s*(?:ext(?:ension|n)?|e?xt|x|anexo|доб|int)\s*[.:=]?\s*[0-9]+|[#,;]+\s*[0-9]{1,6})#?",
    re.IGNORECASE,
).fullmatch
_SEVERAL = re.compile(r".*[0-9)]\s*(?:[;,|&]|\bor\b|\band\b)\s*\(?\+?[0-9(].{5,}", re.IGNORECASE).fullmatch


def read_digits(text: str) -> International | Bare | NumberFault:
    """The digits of a number in any usual human form, or why it is none. Pure text: no numbering plan is asked."""
    if len(text) > MAX_TEXT:
        return NumberFault.TOO_LONG
    text = _unwrap(text if text.isascii() else _to_ascii(text))
    if not text:
        return NumberFault.EMPTY
    if _MANGLED(text) and not _ONE_DOT(text):
        return NumberFault.MANGLED
    return _digits(text)


def _digits(text: str) -> International | Bare | NumberFault:
    bare = text.translate(_SEPARATORS)
    plus = bare.startswith("+")
    digits = bare[1:] if plus else bare
    if not (digits.isascii() and digits.isdigit()):
        return _fault_of(text, digits)
    if plus and not _PLUS.match(text):
        return NumberFault.BAD_CHARACTER
    if len(digits) > (15 if plus else 20):  # without plus an international prefix may come on top
        return NumberFault.TOO_LONG
    if plus and len(digits) < 7:
        return NumberFault.TOO_SHORT
    return International(digits) if plus else Bare(digits)


def _fault_of(text: str, digits: str) -> NumberFault:
    if not digits:
        return NumberFault.EMPTY
    if _EXTENSION(text):
        return NumberFault.EXTENSION
    if _SEVERAL(text) or ("+" in digits and any(c.isdigit() for c in digits.split("+", 1)[0])):
        return NumberFault.SEVERAL
    if any(c.isalpha() for c in digits):
        return NumberFault.LETTERS
    return NumberFault.BAD_CHARACTER


def _unwrap(text: str) -> str:
    """Without what other programs put around a number: blanks, the text mark of spreadsheets, `tel:`."""
    text = text.strip().removeprefix("'")
    if text[:4].lower() == "tel:":
        text = text[4:]
    return text.strip()


def _to_ascii(text: str) -> str:
    """Digits of any script as 0-9, full-width signs as ASCII, every dash as `-`, invisible marks gone."""
    text = unicodedata.normalize("NFKC", text).translate(_DASHES)
    return "".join(_ascii_of(c) for c in text if unicodedata.category(c) != "Cf")


def _ascii_of(char: str) -> str:
    if char.isascii():
        return char
    if (value := unicodedata.decimal(char, None)) is not None:
        return str(value)
    return " " if char.isspace() else char
