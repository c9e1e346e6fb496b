"""What Qikberry does to a sender ID, by country: said as warnings, because the message is carried all the same.

Source: Qikberry developer documentation, "Sender ID Policies" and "Sender ID Format". A country that is not named
there takes a sender ID as it is. Countries are told by the dialling prefix (ITU E.164), the longest one winning: the
areas of +1 that belong to other countries than the United States and Canada are spelled out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Rule = Callable[[str, str], str | None]
"""(country, sender) -> the sentence to show, or None."""


@dataclass(frozen=True, slots=True)
class Country:
    name: str
    rule: Rule | None


def _alphabetic(sender: str) -> bool:
    return any(ch.isalpha() for ch in sender)


def _numeric(country: str, sender: str) -> str:
    return f"{country}: delivered from a numeric sender; {sender!r} is replaced"


def _registered(country: str, sender: str) -> str:
    return f"{country}: the sender must be registered there; {sender!r} may be refused or replaced"


def _template_too(country: str, sender: str) -> str:
    return f"{country}: sender {sender!r} and the template must be registered there"


def _generic_abroad(country: str, sender: str) -> str:
    return f"{country}: international senders are refused and replaced by a generic one; {sender!r} must be registered"


def _one_network(network: str) -> Rule:
    return lambda country, sender: f"{country}: the network {network} wants {sender!r} registered"


def _generic(country: str, sender: str) -> str:
    return f"{country}: delivered from a generic sender; {sender!r} is replaced"


def _short_number(country: str, sender: str) -> str:
    return f"{country}: delivered from a fixed short number; {sender!r} is replaced"


def _only_letters(country: str, sender: str) -> str | None:
    return None if _alphabetic(sender) else f"{country}: only alphabetic senders are carried, {sender!r} is none"


def _few_networks(country: str, sender: str) -> str:
    return f"{country}: only a few networks carry {sender!r} as it is"


def _letters_supported(country: str, sender: str) -> None:
    """Named in the table, and an alphabetic sender is carried: nothing to warn of."""
    return


_BY_RULE: tuple[tuple[Rule, Mapping[str, str]], ...] = (
    (
        _numeric,
        {
            "54": "Argentina",
            "55": "Brazil",
            "56": "Chile",
            "57": "Colombia",
            "506": "Costa Rica",
            "1767": "Dominica",
            "1809": "Dominican Republic",
            "1829": "Dominican Republic",
            "1849": "Dominican Republic",
            "593": "Ecuador",
            "33": "France",
            "594": "French Guiana",
            "36": "Hungary",
            "81": "Japan",
            "853": "Macau",
            "60": "Malaysia",
            "596": "Martinique",
            "52": "Mexico",
            "373": "Moldova",
            "64": "New Zealand",
            "507": "Panama",
            "27": "South Africa",
            "82": "South Korea",
            "886": "Taiwan",
            "380": "Ukraine",
            "1": "United States or Canada",
            "598": "Uruguay",
            "84": "Vietnam",
        },
    ),
    (
        _registered,
        {
            "387": "Bosnia & Herzegovina",
            "385": "Croatia",
            "53": "Cuba",
            "357": "Cyprus",
            "20": "Egypt",
            "995": "Georgia",
            "62": "Indonesia",
            "964": "Iraq",
            "962": "Jordan",
            "76": "Kazakhstan",
            "77": "Kazakhstan",
            "254": "Kenya",
            "965": "Kuwait",
            "1664": "Montserrat",
            "212": "Morocco",
            "977": "Nepal",
            "234": "Nigeria",
            "968": "Oman",
            "63": "Philippines",
            "974": "Qatar",
            "40": "Romania",
            "7": "Russia",
            "966": "Saudi Arabia",
            "421": "Slovakia",
            "963": "Syria",
            "255": "Tanzania",
            "971": "United Arab Emirates",
        },
    ),
    (_template_too, {"86": "China"}),
    (_generic_abroad, {"94": "Sri Lanka"}),
    (_one_network("Claro"), {"502": "Guatemala"}),
    (_one_network("Jawwal"), {"970": "Palestinian Territory"}),
    (_one_network("MTN"), {"256": "Uganda"}),
    (_generic, {"92": "Pakistan", "51": "Peru"}),
    (_short_number, {"32": "Belgium"}),
    (_only_letters, {"233": "Ghana"}),
    (_few_networks, {"93": "Afghanistan"}),
    (
        _letters_supported,
        {
            "253": "Djibouti",
            "996": "Kyrgyzstan",
            "227": "Niger",
            "48": "Poland",
            "351": "Portugal",
            "250": "Rwanda",
        },
    ),
)

# The areas of +1 whose countries take a sender as it is. Overseas areas that the table does not name (Guam, the Virgin
# Islands of the United States) stay with the rule of +1.
_FREE_AREAS = (
    *("1242", "1246", "1264", "1268", "1284", "1345", "1441", "1473", "1649", "1658", "1721", "1758", "1784", "1787"),
    *("1868", "1869", "1876", "1939"),
)

COUNTRIES: dict[str, Country] = {
    **{prefix: Country(name, rule) for rule, group in _BY_RULE for prefix, name in group.items()},
    **{prefix: Country("", None) for prefix in _FREE_AREAS},
}

_LONGEST = max(map(len, COUNTRIES))


def sender_warning(number: str, sender: str, promotional: bool = False) -> str | None:
    """What becomes of `sender` on the way to `number` (digits with country code), or None if it is carried as it is.

    India has a form of its own: `promotional` says which of its two senders is meant.
    """
    if number.startswith("91"):
        return _india(sender, promotional)
    country = next((COUNTRIES[number[:n]] for n in range(_LONGEST, 0, -1) if number[:n] in COUNTRIES), None)
    return country.rule(country.name, sender) if country is not None and country.rule is not None else None


def _india(sender: str, promotional: bool) -> str | None:
    if promotional:
        return (
            None if sender.isdecimal() else f"India: promotional senders are numeric, given by the operator: {sender!r}"
        )
    return None if re.fullmatch(r"[A-Z]{6}", sender) else f"India: senders have six capital letters, {sender!r} has not"
