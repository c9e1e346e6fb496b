"""Countries with numbers of their own, by ISO code, as phonenumbers names them in English."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import phonenumbers


def is_country(code: str) -> bool:
    return code in phonenumbers.SUPPORTED_REGIONS


@cache
def countries() -> Mapping[str, str]:
    """Code to name, by name."""
    from phonenumbers.geodata.locale import LOCALE_DATA  # half a megabyte that only these pages need

    named = {code: _name(LOCALE_DATA.get(code, {}), code) for code in phonenumbers.SUPPORTED_REGIONS}
    return dict(sorted(named.items(), key=lambda one: one[1]))


def _name(by_language: Mapping[str, str], code: str) -> str:
    """Its English name; `*aa` says: the same as in Afar."""
    name = by_language.get("en", code)
    return by_language.get(name[1:], code) if name.startswith("*") else name
