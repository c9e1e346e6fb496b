"""What becomes of a message: decided by the last four digits of its number, else by the outcome mix.

Number endings (switch off with `suffix_rules = false`):

    …0000  undelivered (absent subscriber)       …9997  refused at submit: invalid number
    …9999  expired                               …9996  accepted, but no report ever
    …9998  rejected by the carrier               …9995  refused at submit: blocked (do-not-disturb)

0000 and 9999 are QuickSMS's documented sandbox rules (QuickSMS API 2.0, Simulated Delivery Outcomes); the others are
the sandbox's own.
"""

from collections.abc import Mapping
from enum import StrEnum
from random import Random


class Outcome(StrEnum):
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    EXPIRED = "expired"
    REJECTED = "rejected"
    NO_REPORT = "no_report"


class Refusal(StrEnum):
    """Why a number is refused at submit; each provider says it in its own words."""

    INVALID_NUMBER = "invalid_number"
    BLOCKED = "blocked"


_OUTCOMES = {str(outcome): outcome for outcome in Outcome}  # a look-up; calling the enumeration takes ten times as long

OUTCOME_BY_SUFFIX = {
    "0000": Outcome.UNDELIVERED,
    "9999": Outcome.EXPIRED,
    "9998": Outcome.REJECTED,
    "9996": Outcome.NO_REPORT,
}
REFUSAL_BY_SUFFIX = {"9997": Refusal.INVALID_NUMBER, "9995": Refusal.BLOCKED}


def draw(mix: Mapping[str, float], rng: Random) -> Outcome:
    """One outcome by weight; weights need not sum to one. A mix of a single outcome draws nothing from `rng`."""
    if len(mix) == 1:
        return _OUTCOMES[next(iter(mix))]
    point = rng.random() * sum(mix.values())
    for name, share in mix.items():
        point -= share
        if point < 0:
            return _OUTCOMES[name]
    return _OUTCOMES[name]
