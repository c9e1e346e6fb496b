"""Numbers: what is read, what is refused, and that the fast path is the slow path."""

from __future__ import annotations

import pickle

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.msisdn import (
    FAULT_TEXTS,
    BadNumber,
    LineType,
    Msisdn,
    NumberFault,
    line_type,
    parse_many,
    parse_msisdn,
    zones,
)
from models.numberlookup import Found, judge_in_region, judge_international
from models.numberplan import accept, fast_national

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)

READ = [
    ("+447700900123", None, "+447700900123", "GB"),
    ("+44 7700 900123", None, "+447700900123", "GB"),
    ("+44 (0)7700 900123", None, "+447700900123", "GB"),
    ("(+44) 7700-900-123", None, "+447700900123", "GB"),
    ("0044 7700 900123", None, "+447700900123", "GB"),
    ("447700900123", None, "+447700900123", "GB"),
    ("447700900123", "GB", "+447700900123", "GB"),
    ("07700 900123", "GB", "+447700900123", "GB"),
    ("07700 900123", "gb", "+447700900123", "GB"),
    ("'07700900123", "GB", "+447700900123", "GB"),
    ("tel:+447700900123", None, "+447700900123", "GB"),
    ("４４７７００９００１２３", None, "+447700900123", "GB"),
    ("＋４４ ７７００ ９００１２３", None, "+447700900123", "GB"),
    ("٠٧٧٠٠٩٠٠١٢٣", "GB", "+447700900123", "GB"),
    ("\u202a+44 7700\u2011900\u2011123\u202c", None, "+447700900123", "GB"),
    ("+44\u00a07700\u00a0900123", None, "+447700900123", "GB"),
    ("011 44 7700 900123", "US", "+447700900123", "GB"),
    ("(202) 555-0123", "US", "+12025550123", "US"),
    ("1-202-555-0123", "US", "+12025550123", "US"),
    ("+1.2025550123", None, "+12025550123", "US"),
    ("+14165550123", None, "+14165550123", "CA"),
    ("06.39.98.12.34", "FR", "+33639981234", "FR"),
    ("0171/3920001", "DE", "+491713920001", "DE"),
    ("0171.3920001", "DE", "+491713920001", "DE"),
    ("491713920008", "DE", "+491713920008", "DE"),
    ("+353209151234", None, "+353209151234", "IE"),
    ("0491 570 156", "AU", "+61491570156", "AU"),
    ("+233205072987", None, "+233205072987", "GH"),
    ("+31612345678", None, "+31612345678", "NL"),
    ("+442079460000", None, "+442079460000", "GB"),
]

REFUSED = [
    ("", None, NumberFault.EMPTY),
    ("   ", None, NumberFault.EMPTY),
    ("\u200b", None, NumberFault.EMPTY),
    ("-", None, NumberFault.EMPTY),
    ("4.477e11", None, NumberFault.MANGLED),
    ("4.47701E+11", "GB", NumberFault.MANGLED),
    ("4,477E+11", None, NumberFault.MANGLED),
    ("447700900123.0", None, NumberFault.MANGLED),
    ("1713920001.0", "DE", NumberFault.MANGLED),
    ("447,700,900,123", None, NumberFault.MANGLED),
    ("-447700900123", None, NumberFault.MANGLED),
    ("########", None, NumberFault.MANGLED),
    ("02000000O01", "GB", NumberFault.LETTERS),
    ("1-800-FLOWERS", "US", NumberFault.LETTERS),
    ("call me", None, NumberFault.LETTERS),
    ("+44770090012*", None, NumberFault.BAD_CHARACTER),
    ("++447700900123", None, NumberFault.BAD_CHARACTER),
    ("+447700900123 ext. 5", None, NumberFault.EXTENSION),
    ("+12025550123x12", None, NumberFault.EXTENSION),
    ("+12025550123,,12", None, NumberFault.EXTENSION),
    ("+12025550123#12", None, NumberFault.EXTENSION),
    ("+447700900123;+447700900124", None, NumberFault.SEVERAL),
    ("+447700900123 / +447700900124", None, NumberFault.SEVERAL),
    ("07700900123 or 07700900124", "GB", NumberFault.SEVERAL),
    ("60777", None, NumberFault.SHORT_CODE),
    ("60777", "GB", NumberFault.SHORT_CODE),
    ("22333", "DE", NumberFault.SHORT_CODE),
    ("+44770", None, NumberFault.TOO_SHORT),
    ("+1234567890123456", None, NumberFault.TOO_LONG),
    ("1" * 2_000_000, None, NumberFault.TOO_LONG),
    ("07700900123", None, NumberFault.NO_COUNTRY),
    ("2025550123", None, NumberFault.NO_COUNTRY),
    ("7700900123", None, NumberFault.NO_COUNTRY),
    ("+999123456789", None, NumberFault.UNKNOWN_COUNTRY),
    ("+80012345678", None, NumberFault.UNKNOWN_COUNTRY),
    ("+44770090012", None, NumberFault.BAD_LENGTH),
    ("77009001234", "GB", NumberFault.BAD_LENGTH),
    ("+19005550123", None, NumberFault.NOT_MOBILE),
]


@pytest.mark.parametrize(("text", "region", "e164", "country"), READ)
def test_every_usual_human_form_is_read(text: str, region: str | None, e164: str, country: str) -> None:
    number = parse_msisdn(text, region)
    assert isinstance(number, Msisdn), number
    assert (number, number.country) == (e164, country)


@pytest.mark.parametrize(("text", "region", "fault"), REFUSED)
def test_dirt_is_refused_with_its_reason(text: str, region: str | None, fault: NumberFault) -> None:
    found = parse_msisdn(text, region)
    assert isinstance(found, BadNumber), found
    assert found.fault is fault
    assert found.reason.startswith(FAULT_TEXTS[fault])


def test_every_fault_has_a_text() -> None:
    assert set(FAULT_TEXTS) == set(NumberFault)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("+447700900123", NumberFault.UNASSIGNED),
        ("+33639981234", NumberFault.UNASSIGNED),
        ("+442079460000", NumberFault.NOT_MOBILE),
        ("+18005550123", NumberFault.NOT_MOBILE),
    ],
)
def test_strict_wants_an_assigned_mobile_number(text: str, fault: NumberFault) -> None:
    found = parse_msisdn(text, strict=True)
    assert isinstance(found, BadNumber)
    assert found.fault is fault
    assert parse_msisdn("+12025550123", strict=True) == "+12025550123"


def test_an_unknown_default_region_is_the_callers_error() -> None:
    with pytest.raises(ValueError, match="ZZ"):
        parse_msisdn("07700900123", "ZZ")


def test_a_number_is_a_string_whose_repr_is_masked() -> None:
    number = parse_msisdn("+447700900123")
    assert isinstance(number, Msisdn)
    assert number == "+447700900123"
    assert number.digits == "447700900123"
    assert number.masked() == "+44…23"
    assert "7700" not in repr(number)
    with pytest.raises(AttributeError):
        number.country = "US"  # type: ignore[misc]  # that it cannot be set is what is tested


def test_a_number_from_a_column_finds_its_country_and_survives_pickling() -> None:
    number = pickle.loads(pickle.dumps(Msisdn("+447700900123")))
    assert type(number) is Msisdn
    assert number.country == "GB"
    assert Msisdn("+999123").country == ""


def test_line_type_and_zones() -> None:
    assert line_type(Msisdn("+491713920001")) is LineType.MOBILE
    assert line_type(Msisdn("+12025550123")) is LineType.FIXED_OR_MOBILE
    assert line_type(Msisdn("+442079460000")) is LineType.FIXED
    assert line_type(Msisdn("+447700900123")) is LineType.UNKNOWN
    assert zones(Msisdn("+12025550123")) == ("America/New_York",)
    assert "Europe/London" in zones(Msisdn("+447700900123"))
    assert zones(Msisdn("+491713920001")) == ("Europe/Berlin",)


def test_a_batch_is_read_in_order() -> None:
    found = parse_many(["07700900123", "x", "+12025550123"], "GB")
    assert [isinstance(one, Msisdn) for one in found] == [True, False, True]


def _example_digits() -> list[str]:
    kinds = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
    examples = [phonenumbers.example_number_for_type(region, kind) for region in REGIONS for kind in kinds]
    return [f"{number.country_code}{phonenumbers.national_significant_number(number)}" for number in examples if number]


EXAMPLES = _example_digits()


@st.composite
def international(draw: st.DrawFn) -> str:
    """Digits near the real plans: a real number with some digits changed, one more or one less."""
    digits = draw(st.sampled_from(EXAMPLES))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(1, len(digits) - 1))
        digits = digits[:at] + draw(st.sampled_from("0123456789")) + digits[at + draw(st.integers(0, 1)) :]
    return digits[: draw(st.integers(7, 15))] if draw(st.booleans()) else digits[:15]


@settings(max_examples=1500, deadline=None)
@given(international(), st.booleans())
@example("447700900123", False)
@example("353209151234", True)
@example("12025550123", True)
def test_the_fast_path_accepts_only_what_the_slow_path_accepts_with_the_same_result(digits: str, strict: bool) -> None:
    country = accept(digits, strict) if len(digits) >= 7 and digits[0] != "0" else None
    slow = judge_international(digits, strict)
    if country is not None:
        assert slow == Found("+" + digits, country)


def test_the_fast_path_takes_the_mobile_numbers_of_nearly_every_country() -> None:
    mobiles = [phonenumbers.example_number_for_type(r, phonenumbers.PhoneNumberType.MOBILE) for r in REGIONS]
    texts = [phonenumbers.format_number(m, phonenumbers.PhoneNumberFormat.E164)[1:] for m in mobiles if m]
    assert sum(accept(text, True) is not None for text in texts) > 0.95 * len(texts)


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(REGIONS), st.data(), st.booleans())
def test_a_national_number_read_fast_is_the_one_read_slowly(region: str, data: st.DataObject, strict: bool) -> None:
    national = data.draw(_national(region))
    known = fast_national(national, region)
    country = accept(known, strict) if known is not None else None
    if known is not None and country is not None:
        assert judge_in_region(national, region, strict) == Found("+" + known, country)


@st.composite
def _national(draw: st.DrawFn, region: str) -> str:
    number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    number = number or phonenumbers.example_number(region)
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL) if number else "0123456789"
    digits = "".join(char for char in written if char.isdigit()) or "0123456789"
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(digits) - 1))
        digits = digits[:at] + draw(st.sampled_from("0123456789")) + digits[at + draw(st.integers(0, 1)) :]
    prefix = draw(st.sampled_from(["", "", "0", "00", str(phonenumbers.country_code_for_region(region))]))
    return prefix + digits


@settings(max_examples=600, deadline=None)
@given(international())
def test_what_comes_out_is_read_back_as_itself(digits: str) -> None:
    number = parse_msisdn("+" + digits)
    if isinstance(number, Msisdn):
        again = parse_msisdn(str(number))
        assert (again, isinstance(again, Msisdn) and again.country) == (number, number.country)


@settings(max_examples=600, deadline=None)
@given(st.text(max_size=40) | st.text("0123456789+-(). /eEx,;#'٣４", max_size=25), st.sampled_from([None, *REGIONS]))
def test_no_text_raises(text: str, region: str | None) -> None:
    number = parse_msisdn(text, region)
    assert isinstance(number, BadNumber) or (number[0] == "+" and 7 <= len(number.digits) <= 15)
