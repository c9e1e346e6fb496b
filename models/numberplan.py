"""The numbering plans as tables for the fast path: built from phonenumbers' metadata, one country code at a time, on
first use.

`accept` and `fast_national` say "yes, surely" or None, "ask phonenumbers"; they never refuse. Whatever they accept,
the slow path (`models.numberlookup`) accepts with the same result. They follow phonenumbers' own order of questions,
because the patterns of one country may overlap: the first kind that matches is the number's kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from phonenumbers.phonemetadata import PhoneMetadata, PhoneNumberDesc
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE

Matcher: TypeAlias = Callable[[str], "re.Match[str] | None"]

NEVER = frozenset({"premium_rate", "shared_cost", "pager", "uan", "voicemail"})
"""Kinds that get no message, or get it at a price that somebody else collects."""
NO_COUNTRY = "001"
"""What phonenumbers calls the region of satellite, freephone and shared codes."""
MIN_DIGITS, MAX_DIGITS = 7, 15
"""Of an international number; 15 by ITU-T E.164, 7 as the QuickSMS manual demands (Numbers, `^[1-9]\\d{6,14}$`)."""

_SPECIAL = ("premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail")
"""The kinds that phonenumbers tries before fixed line and mobile, in its order."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The patterns of one region for national numbers of one length."""

    general: Matcher
    special: Matcher
    mobile: Matcher
    ordinary: Matcher

    def is_known(self, nsn: str) -> bool:
        """Whether the region has such a number, of whatever kind."""
        return self.general(nsn) is not None and (self.ordinary(nsn) is not None or self.special(nsn) is not None)

    def may_get_messages(self, nsn: str, strict: bool) -> bool:
        """True only when sure: an assigned mobile number (strict), or nothing that is of a kind in `NEVER`."""
        special = self.special(nsn)
        if strict:
            return special is None and self.mobile(nsn) is not None and self.general(nsn) is not None
        return special is None or special.lastgroup not in NEVER


class RegionPlan:
    """The plan of one region, its shapes made as lengths turn up."""

    __slots__ = ("_meta", "_shapes", "leading", "region")

    def __init__(self, region: str) -> None:
        self.region = region
        self._meta = metadata(region)
        leading = self._meta.leading_digits
        self.leading: Matcher | None = re.compile(leading).match if leading is not None else None
        self._shapes: dict[int, Shape] = {}

    def owns(self, nsn: str) -> bool:
        """Whether the number belongs to this region rather than to another of the same country code."""
        return self.leading(nsn) is not None if self.leading else self.shape(len(nsn)).is_known(nsn)

    def shape(self, length: int) -> Shape:
        shape = self._shapes.get(length)
        return shape if shape is not None else self._shapes.setdefault(length, _shape(self._meta, length))


class CodePlan:
    """Everything under one country code."""

    __slots__ = ("_others", "_prefix", "code", "main", "mobile_lengths", "size")

    def __init__(self, code: str) -> None:
        regions = COUNTRY_CODE_TO_REGION_CODE[int(code)]
        meta = metadata(regions[0])
        self.code = code
        self.size = len(code)
        self.main = RegionPlan(regions[0])
        self._others = tuple(RegionPlan(region) for region in regions[1:])
        self._prefix = _prefix_matcher(meta)
        self.mobile_lengths = _lengths(meta.mobile, meta)

    def has_mobile_length(self, digits: str) -> bool:
        return len(digits) - self.size in self.mobile_lengths

    def country(self, digits: str) -> str:
        """The country of international digits; of an unassigned number the first country of the code."""
        return self.region_plan(digits[self.size :]).region

    def region_plan(self, nsn: str) -> RegionPlan:
        if not self._others or self.main.owns(nsn):
            return self.main
        return next((plan for plan in self._others if plan.owns(nsn)), self.main)

    def accept(self, digits: str, strict: bool) -> str | None:
        nsn = digits[self.size :]
        length = len(nsn)
        if length not in self.mobile_lengths:
            return None
        prefix = self._prefix(nsn)
        if prefix is not None and prefix.end():  # some patterns also match nothing, which changes nothing
            return None
        plan = self.region_plan(nsn) if self._others else self.main
        return plan.region if plan.shape(length).may_get_messages(nsn, strict) else None


@dataclass(frozen=True, slots=True)
class DialPlan:
    """How people of one region write numbers of their own."""

    code: str
    abroad: Matcher
    prefix: Matcher
    plain_prefix: bool
    general: Matcher
    lengths: frozenset[int]

    def international(self, digits: str) -> str | None:
        """The international digits of a national number, None when that is not plain to see."""
        prefix = self.prefix(digits)
        end = prefix.end() if prefix else 0
        if digits.startswith(self.code):
            return digits if not end and len(digits) > max(self.lengths) else None
        rest = digits[end:]
        if end and not (self.plain_prefix and len(rest) in self.lengths and self.general(digits) is None):
            return None
        return self.code + rest if rest and rest[0] != "0" else None


def accept(digits: str, strict: bool) -> str | None:
    """The country of international digits that surely pass (7 to 15 ASCII digits, no `+`), else None."""
    plan = _PLANS.get(digits[:3])
    if plan is None and (plan := plan_of(digits)) is None:
        return None
    return plan.accept(digits, strict)


def fast_national(digits: str, region: str) -> str | None:
    """The international digits of a number written without `+` in a region, when there is one plain reading, else
    None.
    """
    dial = dial_plan(region)
    if len(digits) < MIN_DIGITS or digits.startswith("00") or dial.abroad(digits):
        return None
    known = dial.international(digits)
    return known if known is not None and MIN_DIGITS <= len(known) <= MAX_DIGITS else None


def plan_of(digits: str) -> CodePlan | None:
    """The plan of the country code that international digits begin with; None if no country has it."""
    code = next((digits[:n] for n in (1, 2, 3) if int(digits[:n] or 0) in COUNTRY_CODE_TO_REGION_CODE), None)
    if code is None or COUNTRY_CODE_TO_REGION_CODE[int(code)][0] == NO_COUNTRY:
        return None
    return _PLANS.setdefault(digits[:3], _code_plan(code))


@cache
def dial_plan(region: str) -> DialPlan:
    meta = metadata(region)
    prefix = meta.national_prefix_for_parsing
    return DialPlan(
        code=str(meta.country_code),
        abroad=re.compile(meta.international_prefix or "$^").match,
        prefix=_prefix_matcher(meta),
        plain_prefix=not meta.national_prefix_transform_rule and not re.compile(prefix or "").groups,
        general=_matcher([meta.general_desc]),
        lengths=_lengths(meta.general_desc, meta),
    )


def metadata(region: str) -> PhoneMetadata:
    """phonenumbers' metadata of a region; `KeyError` for a region that it does not know."""
    meta = PhoneMetadata.metadata_for_region(region, None)
    if meta is None:
        raise KeyError(region)
    return meta


_PLANS: dict[str, CodePlan] = {}
"""By the first three digits, so that one look-up finds codes of one, two and three digits."""


@cache
def _code_plan(code: str) -> CodePlan:
    return CodePlan(code)


def _shape(meta: PhoneMetadata, length: int) -> Shape:
    mobile = meta.fixed_line if meta.same_mobile_and_fixed_line_pattern else meta.mobile
    special = {name: desc for name in _SPECIAL if _fits(desc := getattr(meta, name), length)}
    return Shape(
        general=_matcher(_of_length([meta.general_desc], length)),
        special=_matcher(special.values(), special),
        mobile=_matcher(_of_length([mobile], length)),
        ordinary=_matcher(_of_length([meta.mobile, meta.fixed_line], length)),
    )


def _of_length(descs: Iterable[PhoneNumberDesc | None], length: int) -> list[PhoneNumberDesc | None]:
    return [desc for desc in descs if _fits(desc, length)]


def _fits(desc: PhoneNumberDesc | None, length: int) -> bool:
    return desc is not None and bool(desc.national_number_pattern) and length in (desc.possible_length or (length,))


def _matcher(descs: Iterable[PhoneNumberDesc | None], names: Iterable[str] = ()) -> Matcher:
    """One alternation, in order: the name of the group that matched is the first kind that fits, as in phonenumbers."""
    patterns = [desc.national_number_pattern for desc in descs if desc is not None and desc.national_number_pattern]
    named = [f"(?P<{name}>{p})" for name, p in zip(names, patterns, strict=False)] or [f"(?:{p})" for p in patterns]
    return re.compile("|".join(named)).fullmatch if named else _nothing


def _nothing(_: str) -> None:
    return None


def _prefix_matcher(meta: PhoneMetadata) -> Matcher:
    prefix = meta.national_prefix_for_parsing
    return re.compile(prefix).match if prefix else _nothing


def _lengths(desc: PhoneNumberDesc | None, meta: PhoneMetadata) -> frozenset[int]:
    if desc is None:
        return frozenset()
    general = meta.general_desc.possible_length if meta.general_desc else ()
    return frozenset(desc.possible_length or general)
