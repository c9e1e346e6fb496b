"""Qikberry's status and error codes, as printed in its reference ("Gateway, Error Codes" and "DLR Status").

The table is the sandbox's own copy. It is not shared with any client, so that a slip in one of the two copies shows up
as a failing exchange instead of agreeing with itself.
"""

from __future__ import annotations

from typing import Final

from sandbox.outcomes import Outcome

OPEN: Final = "AWAITING-DLR"
SCHEDULED: Final = "SCHEDULED"
DELIVERED: Final = "DELIVRD"

# Code and name. Names repeat (three codes are INVALID-SUB): reports carry the name only, so a reader cannot tell them
# apart, and neither should one of our tests. 779 does not exist; 777 and 778 are printed in this order.
CODES: Final[dict[str, str]] = {
    "000": "DELIVRD",
    "001": "INVALID-SUB",
    "002": "INVALID-SUB",
    "003": "ABSENT-SUB",
    "004": "HANDSET-ERR",
    "005": "BARRED",
    "006": "HANDSET-ERR",
    "007": "HANDSET-ERR",
    "008": "NET-ERR",
    "009": "MEMEXEC",
    "010": "ABSENT-SUB",
    "011": "FAILED",
    "012": "NET-ERR",
    "013": "MOB-OFF",
    "014": "FAILED",
    "015": "INVALID-SUB",
    "016": "HANDSET-BUSY",
    "017": "NET-ERR",
    "018": "SERIES-BLK",
    "019": "NET-ERR",
    "020": "BARRED",
    "021": "EXPIRED",
    "034": "UNDELIV",
    "045": "FAILED",
    "099": "UNDELIV",
    "400": "SERIES-BLOCK",
    "401": "NO-CREDITS",
    "402": "NO-ACCOUNT",
    "403": "SERVER-ERR",
    "404": "INV-NUMBER",
    "405": "SERVER-ERR",
    "406": "SERVER-ERR",
    "407": "SPAM",
    "408": "DNDNUMB",
    "430": "SERVER-ERR",
    "431": "SERVER-ERR",
    "432": "SERVER-ERR",
    "433": "SERVER-ERR",
    "450": "BLACKLST",
    "451": "SNDR-BLOCK",
    "452": "TEMPLATE-NOT-FOUND",
    "453": "INV-TEMPLATE",
    "454": "INV-SENDER",
    "455": "NOT-OPTIN",
    "456": "OPTOUT-REJ",
    "457": "PROMO-TMOUT",
    "458": "REJECTED",
    "459": "NOTALLOWED",
    "460": "DUPLICATE",
    "461": "UNDELIV",
    "462": "FAILED",
    "463": "THROTTLED",
    "778": "REJ-MULTIPART",
    "777": "DLT-REJECTED",
    "780": "DLT-INV-TMID",
    "781": "DLT-INV-ENTITY",
    "782": "DLT-INV-TM-ID",
    "783": "DLT-TM-VAR-EXECEED",
    "784": "DLT-ENTITY-NOT-FOUND",
    "785": "DLT-TM-BLACKLST",
    "786": "DLT-ENTITY-BLACKLST",
    "787": "DLT-HEADER-INACTIVE",
    "788": "DLT-TM-INACTIVE",
    "789": "DLT-SENDER-NOT-REG-TM",
    "790": "INV-PROVISION",
    "791": "INV-SERVICE",
    "792": "INV-SCHEDULE",
}

# Words of the "Message Status" table, which reports may use instead of the short names.
LONG_FORM: Final[dict[str, str]] = {
    "DELIVRD": "DELIVERED",
    "UNDELIV": "UNDELIVERABLE",
    "AWAITING-DLR": "ENROUTE",
}

# Names a report may carry that stand in no code: status words of the pull chapter, the reports' own "no answer from the
# operator", and the short DLT names of the smart delivery chapter.
UNNUMBERED: Final[frozenset[str]] = frozenset(
    {
        "SCHEDULED", "AWAITING-DLR", "AWAITING_DLR", "ENROUTE", "EN_ROUTE", "DELIVERED", "DELETED", "UNDELIVERABLE",
        "TIMEOUT-DLR", "INV-PEID", "INV-TMID", "INV-ENTITY",
    }
)  # fmt: skip


_DELIVERED: Final = frozenset({"DELIVRD", "DELIVERED"})
_EXPIRED: Final = frozenset({"EXPIRED", "TIMEOUT-DLR"})
_OPEN: Final = frozenset({"SCHEDULED", "AWAITING-DLR", "AWAITING_DLR", "ENROUTE", "EN_ROUTE"})
# Failures on the way to the handset; every other name is a refusal by the provider or a carrier.
_UNDELIVERED: Final = frozenset(
    {
        "INVALID-SUB", "ABSENT-SUB", "HANDSET-ERR", "BARRED", "NET-ERR", "MEMEXEC", "FAILED", "MOB-OFF", "HANDSET-BUSY",
        "UNDELIV", "UNDELIVERABLE", "SERVER-ERR", "REJ-MULTIPART", "DELETED",
    }
)  # fmt: skip
_OUTCOMES: Final = (
    (_DELIVERED, Outcome.DELIVERED),
    (_EXPIRED, Outcome.EXPIRED),
    (_UNDELIVERED, Outcome.UNDELIVERED),
    (_OPEN, Outcome.NO_REPORT),
)


def outcome_of(name: str) -> Outcome:
    """The truth behind a status name."""
    return next((outcome for names, outcome in _OUTCOMES if name in names), Outcome.REJECTED)


def name_of(word: str) -> str:
    """The status a report carries for an outcome written as a code ("013") or already as a name ("MOB-OFF")."""
    return CODES.get(word, word)
