"""The time zones of a number, fast: an import asks for every row, phonenumbers takes 40 µs to say.

Most countries have one set of zones for all their numbers. A North American number's zones are those of its area code,
mobile or not: phonenumbers says "anywhere between Samoa and Newfoundland" for a mobile of Jamaica, its table knows
better. All others are asked of phonenumbers (`models.msisdn.zones`).
"""

from __future__ import annotations

from functools import cache, lru_cache

from phonenumbers.tzdata import TIMEZONE_DATA

from models.numberlookup import zone_names
from models.numberplan import plan_of

_NANP = "1"
_NANP_PREFIXES = (7, 6, 5, 4)  # digits: the longest entry wins, an area code alone has 4 with the country code


def zones_of(e164: str) -> tuple[str, ...]:
    """IANA zones of a number in E.164 with `+`, sorted; empty if nothing is known."""
    digits = e164[1:]
    plan = plan_of(digits)
    if plan is None:
        return ()
    known = _of_area(digits) if plan.code == _NANP else _of_country(plan.code)
    return known if known is not None else _asked(digits)


@cache
def _of_country(code: str) -> tuple[str, ...] | None:
    """The zones of a country code whose every number has the same ones."""
    own = TIMEZONE_DATA.get(code)
    same = own is not None and all(zones == own for prefix, zones in TIMEZONE_DATA.items() if prefix.startswith(code))
    return tuple(sorted(own)) if own is not None and same else None


def _of_area(digits: str) -> tuple[str, ...] | None:
    """By area code; None for freephone and the like, which belong nowhere."""
    found = next((zones for length in _NANP_PREFIXES if (zones := TIMEZONE_DATA.get(digits[:length]))), None)
    return tuple(sorted(found)) if found is not None else None


@lru_cache(maxsize=100_000)
def _asked(digits: str) -> tuple[str, ...]:
    return zone_names("+" + digits)
