"""Parts on the air, counted by hand, by an oracle, and cut without splitting a pair."""

from __future__ import annotations

import pytest
import smsutil
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.gsm7 import BASIC, EXTENSION
from models.segments import Encoding, Measure, downgrade, measure, parts, why_ucs2

GSM7, UCS2 = Encoding.GSM7, Encoding.UCS2

KNOWN = [
    ("", Measure(GSM7, 0, 0, 0)),
    ("a", Measure(GSM7, 1, 1, 1)),
    ("a" * 160, Measure(GSM7, 160, 1, 160)),
    ("a" * 161, Measure(GSM7, 161, 2, 161)),
    ("a" * 306, Measure(GSM7, 306, 2, 306)),
    ("a" * 307, Measure(GSM7, 307, 3, 307)),
    ("a" * 459, Measure(GSM7, 459, 3, 459)),
    ("€" * 80, Measure(GSM7, 160, 1, 80)),
    ("€" * 81, Measure(GSM7, 162, 2, 81)),
    ("a" * 152 + "€" + "a" * 152, Measure(GSM7, 306, 3, 305)),  # the escape pair does not fit into the first part
    ("a" * 151 + "€" + "a" * 153, Measure(GSM7, 306, 2, 305)),
    ("я" * 70, Measure(UCS2, 70, 1, 70)),
    ("я" * 71, Measure(UCS2, 71, 2, 71)),
    ("я" * 134, Measure(UCS2, 134, 2, 134)),
    ("я" * 135, Measure(UCS2, 135, 3, 135)),
    ("😀" * 35, Measure(UCS2, 70, 1, 70)),
    ("😀" * 36, Measure(UCS2, 72, 2, 72)),
    ("я" * 66 + "😀" + "я" * 66, Measure(UCS2, 134, 3, 134)),
    ("`", Measure(UCS2, 1, 1, 1)),
    ("\x00", Measure(UCS2, 1, 1, 1)),
    ("\ud83d", Measure(UCS2, 1, 1, 1)),
]


@pytest.mark.parametrize(("text", "expected"), KNOWN)
def test_known_texts(text: str, expected: Measure) -> None:
    assert measure(text) == expected


ALPHABET = st.sampled_from([*BASIC, *EXTENSION])
TEXTS = st.text(ALPHABET, max_size=500) | st.text(st.sampled_from("aé€[я😀“"), max_size=400) | st.text(max_size=200)


@settings(max_examples=400, deadline=None)
@given(TEXTS)
@example("a" * 152 + "€" * 100)
@example("я" * 66 + "😀" * 60)
def test_parts_are_the_text_again_and_no_pair_is_split(text: str) -> None:
    found = measure(text)
    cut = parts(text)
    assert "".join(cut) == text
    assert len(cut) == found.segments
    limit = {GSM7: (160, 153), UCS2: (70, 67)}[found.encoding][len(cut) > 1]
    assert all(0 < measure_as(part, found.encoding) <= limit for part in cut)


def measure_as(text: str, encoding: Encoding) -> int:
    wide = EXTENSION if encoding is GSM7 else [char for char in text if char > "\uffff"]
    return len(text) + sum(char in wide for char in text)


@settings(max_examples=300, deadline=None)
@given(TEXTS.filter(lambda text: bool(text) and not any("\ud800" <= char <= "\udfff" for char in text)))
def test_an_independent_counter_agrees(text: str) -> None:
    if "\x1b" in text:  # the oracle takes a bare escape for a letter of the alphabet; a handset cannot show one
        return
    split = smsutil.split(text)
    found = measure(text)
    assert (split.encoding == "gsm0338") == (found.encoding is GSM7)
    if (found.units <= 160 and found.encoding is GSM7) or not any(
        char in EXTENSION or char > "\uffff" for char in text
    ):
        assert len(split.parts) == found.segments


DOWNGRADES = [
    ("plain", "plain"),
    ("“Hi” – it’s…", '"Hi" - it\'s...'),
    ("caf\u00e9", "café"),
    ("cafe\u0301", "café"),
    ("q\u0301", "q"),
    ("déjà vû, ça va?", "déjà vu, ca va?"),
    ("Łódź", "Lodz"),
    ("5\u00a0€", "5 €"),
    ("½ ﬁn", "1/2 fin"),
    ("ΑΒΓ", "ABΓ"),
    ("a\u200bb", "ab"),
    ("`x`", "'x'"),
    ("“Hi” 😀", "“Hi” 😀"),
    ("Привет", "Привет"),
]


@pytest.mark.parametrize(("text", "expected"), DOWNGRADES)
def test_downgrade_writes_the_nearest_neighbours_or_nothing(text: str, expected: str) -> None:
    assert downgrade(text) == expected


@given(st.text(max_size=60))
@example("\uf900")
def test_downgrade_is_gsm7_or_leaves_the_text_alone(text: str) -> None:
    found = downgrade(text)
    assert measure(found).encoding is GSM7 or found == text
    assert downgrade(found) == found


def test_why_ucs2_names_each_offender_once_with_its_cure() -> None:
    first, second = why_ucs2("a “b“ 😀")
    assert (first.char, first.count, first.replacement) == ("“", 2, '"')
    assert first.name == "U+201C LEFT DOUBLE QUOTATION MARK"
    assert (second.char, second.replacement) == ("😀", None)
    assert why_ucs2("plain €") == ()
