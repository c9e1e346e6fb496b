"""Every status and error word of Qikberry, and what each means for a message.

Pulled and pushed reports carry the name; the number is what the panel and SMPP show. So a word is looked up by its
name, and by its number where one comes along: some names stand for several numbers with different meanings.

Codes, names and meanings: Qikberry developer documentation, "Error Codes" (000-792; 779 does not exist there) and
"Message Status". States and classes are our reading of those sentences. The provider adds that "the error codes and
status may vary depending on the region and operator": an unknown word moves nothing and is logged once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from models.states import MessageState as S
from providers.base import Failure
from providers.base import FailureClass as F
from providers.shared import tell_once, text, whole


@dataclass(frozen=True, slots=True)
class Word:
    """One status word. `klass` None: no failure. `state` None: known, but it says nothing about an outbound SMS."""

    name: str
    state: S | None
    klass: F | None
    reason: str
    read: bool = False


def _table(entries: dict[str, tuple[str, S, F | None, str]]) -> dict[str, Word]:
    return {code: Word(*entry) for code, entry in entries.items()}


# Qikberry developer documentation, SMS, "Error Codes". Beside each doubtful reading stands its reason.
BY_CODE: dict[str, Word] = _table(
    {
        "000": ("DELIVRD", S.DELIVERED, None, "delivered to the SIM"),
        "001": ("INVALID-SUB", S.UNDELIVERED, F.RECIPIENT, "unidentified subscriber"),
        "002": ("INVALID-SUB", S.UNDELIVERED, F.RECIPIENT, "illegal subscriber"),
        # The name says absent, the text "unidentified": the milder reading never suppresses a living number.
        "003": ("ABSENT-SUB", S.UNDELIVERED, F.TEMPORARY, "subscriber absent or unidentified"),
        "004": ("HANDSET-ERR", S.UNDELIVERED, F.RECIPIENT, "illegal equipment"),
        "005": ("BARRED", S.UNDELIVERED, F.RECIPIENT, "SMS is prohibited for this subscriber"),
        "006": ("HANDSET-ERR", S.UNDELIVERED, F.RECIPIENT, "the handset does not support SMS"),
        "007": ("HANDSET-ERR", S.UNDELIVERED, F.TEMPORARY, "the handset failed to receive"),
        "008": ("NET-ERR", S.UNDELIVERED, F.TEMPORARY, "facility not supported by the network"),
        "009": ("MEMEXEC", S.UNDELIVERED, F.TEMPORARY, "the handset's memory is full"),
        "010": ("ABSENT-SUB", S.UNDELIVERED, F.TEMPORARY, "absent subscriber"),
        "011": ("FAILED", S.UNDELIVERED, F.TEMPORARY, "SMSC system failure"),
        "012": ("NET-ERR", S.UNDELIVERED, F.TEMPORARY, "gateway mobile switching error"),
        "013": ("MOB-OFF", S.UNDELIVERED, F.TEMPORARY, "the handset is switched off"),
        "014": ("FAILED", S.UNDELIVERED, F.TEMPORARY, "roaming limitation"),
        "015": ("INVALID-SUB", S.UNDELIVERED, F.RECIPIENT, "unidentified subscriber"),
        "016": ("HANDSET-BUSY", S.UNDELIVERED, F.TEMPORARY, "the subscriber is busy"),
        "017": ("NET-ERR", S.UNDELIVERED, F.TEMPORARY, "no resources at the gateway MSC"),
        "018": ("SERIES-BLK", S.REJECTED, F.RECIPIENT, "the number series is blocked"),
        "019": ("NET-ERR", S.UNDELIVERED, F.CONTENT, "submission error or invalid input data"),
        "020": ("BARRED", S.UNDELIVERED, F.RECIPIENT, "rejected by a closed user group"),
        "021": ("EXPIRED", S.EXPIRED, F.TEMPORARY, "the SMS timed out"),
        "034": ("UNDELIV", S.UNDELIVERED, F.UNSPECIFIED, "undelivered, no reason given"),
        "045": ("FAILED", S.UNDELIVERED, F.UNSPECIFIED, "failed, no reason given"),
        "099": ("UNDELIV", S.UNDELIVERED, F.UNSPECIFIED, "undelivered, no reason given"),
        # "Temporarily or permanently": no evidence against the number either way.
        "400": ("SERIES-BLOCK", S.REJECTED, F.UNSPECIFIED, "the number series is blocked, for now or for good"),
        "401": ("NO-CREDITS", S.REJECTED, F.ACCOUNT, "the credit is exhausted"),
        "402": ("NO-ACCOUNT", S.REJECTED, F.ACCOUNT, "invalid account"),
        "403": ("SERVER-ERR", S.FAILED, F.TEMPORARY, "server error, no reason given"),
        "404": ("INV-NUMBER", S.REJECTED, F.RECIPIENT, "invalid destination number"),
        "405": ("SERVER-ERR", S.FAILED, F.ACCOUNT, "client error of the sending system"),
        "406": ("SERVER-ERR", S.FAILED, F.ACCOUNT, "client error of the sending system"),
        "407": ("SPAM", S.REJECTED, F.CONTENT, "illegal content"),
        "408": ("DNDNUMB", S.REJECTED, F.RECIPIENT, "the number is in the do-not-disturb register"),
        "430": ("SERVER-ERR", S.FAILED, F.TEMPORARY, "server error, no reason given"),
        "431": ("SERVER-ERR", S.FAILED, F.TEMPORARY, "server error, no reason given"),
        "432": ("SERVER-ERR", S.FAILED, F.TEMPORARY, "server error, no reason given"),
        "433": ("SERVER-ERR", S.FAILED, F.TEMPORARY, "server error, no reason given"),
        "450": ("BLACKLST", S.REJECTED, F.RECIPIENT, "the number is blocklisted"),
        "451": ("SNDR-BLOCK", S.REJECTED, F.SENDER, "the sender ID is blocked"),
        "452": ("TEMPLATE-NOT-FOUND", S.REJECTED, F.SENDER, "no template matches the text"),
        "453": ("INV-TEMPLATE", S.REJECTED, F.SENDER, "the template is not allotted to the account"),
        "454": ("INV-SENDER", S.REJECTED, F.SENDER, "the sender ID is not allotted to the account"),
        "455": ("NOT-OPTIN", S.REJECTED, F.RECIPIENT, "the number is not in the opt-in list"),
        "456": ("OPTOUT-REJ", S.REJECTED, F.RECIPIENT, "the number has opted out"),
        "457": ("PROMO-TMOUT", S.REJECTED, F.DEFERRED, "outside the promotional hours (09:00-21:00 in India)"),
        "458": ("REJECTED", S.REJECTED, F.UNSPECIFIED, "rejected, no reason given"),
        "459": ("NOTALLOWED", S.REJECTED, F.COUNTRY, "the account may not send to this country"),
        "460": ("DUPLICATE", S.REJECTED, F.DUPLICATE, "the same content was sent before"),
        "461": ("UNDELIV", S.UNDELIVERED, F.UNSPECIFIED, "undelivered, no reason given"),
        "462": ("FAILED", S.UNDELIVERED, F.UNSPECIFIED, "failed, no reason given"),
        "463": ("THROTTLED", S.REJECTED, F.THROTTLED, "the maximum sending limit is reached"),
        # The registration in India concerns sender and template; the account may well send elsewhere, so it goes on.
        "777": ("DLT-REJECTED", S.REJECTED, F.SENDER, "invalid sender ID or template (DLT)"),
        # Part of the text may have arrived: never to be sent again by itself.
        "778": ("REJ-MULTIPART", S.UNDELIVERED, F.UNSPECIFIED, "not all parts were delivered"),
        "780": ("DLT-INV-TMID", S.REJECTED, F.SENDER, "invalid DLT telemarketer ID"),
        "781": ("DLT-INV-ENTITY", S.REJECTED, F.SENDER, "invalid DLT entity ID"),
        "782": ("DLT-INV-TM-ID", S.REJECTED, F.SENDER, "invalid DLT template ID"),
        "783": ("DLT-TM-VAR-EXECEED", S.REJECTED, F.CONTENT, "a template variable exceeds 30 characters"),
        "784": ("DLT-ENTITY-NOT-FOUND", S.REJECTED, F.SENDER, "DLT entity ID not found"),
        "785": ("DLT-TM-BLACKLST", S.REJECTED, F.SENDER, "the DLT template is blocklisted"),
        "786": ("DLT-ENTITY-BLACKLST", S.REJECTED, F.SENDER, "the DLT entity is blocklisted"),
        "787": ("DLT-HEADER-INACTIVE", S.REJECTED, F.SENDER, "the sender is inactive (DLT)"),
        "788": ("DLT-TM-INACTIVE", S.REJECTED, F.SENDER, "the DLT template is inactive"),
        "789": ("DLT-SENDER-NOT-REG-TM", S.REJECTED, F.SENDER, "the sender is not registered for the DLT template"),
        "790": ("INV-PROVISION", S.REJECTED, F.SENDER, "the sender is not provisioned"),
        "791": ("INV-SERVICE", S.REJECTED, F.ACCOUNT, "invalid service type"),
        "792": ("INV-SCHEDULE", S.REJECTED, F.CONTENT, "invalid schedule"),
    }
)

# Names that stand for several codes: without the number the least that all of them have in common.
AMBIGUOUS: dict[str, Word] = {
    "INVALID-SUB": Word("INVALID-SUB", S.UNDELIVERED, F.RECIPIENT, "unidentified or illegal subscriber"),
    "ABSENT-SUB": Word("ABSENT-SUB", S.UNDELIVERED, F.TEMPORARY, "absent subscriber"),
    "HANDSET-ERR": Word("HANDSET-ERR", S.UNDELIVERED, F.UNSPECIFIED, "the handset could not receive"),
    "BARRED": Word("BARRED", S.UNDELIVERED, F.RECIPIENT, "SMS is barred for this subscriber"),
    "NET-ERR": Word("NET-ERR", S.UNDELIVERED, F.TEMPORARY, "network error"),
    "FAILED": Word("FAILED", S.UNDELIVERED, F.UNSPECIFIED, "failed, no reason given"),
    "UNDELIV": Word("UNDELIV", S.UNDELIVERED, F.UNSPECIFIED, "undelivered, no reason given"),
    "SERVER-ERR": Word("SERVER-ERR", S.FAILED, F.TEMPORARY, "server error, no reason given"),
}

# "Message Status" of the pull chapter, and the words of send answers (public documentation of the same platform).
_LIFECYCLE: dict[str, Word] = {
    "SCHEDULED": Word("SCHEDULED", S.HELD, None, "scheduled at the provider"),
    "AWAITING-DLR": Word("AWAITING-DLR", S.SUBMITTED, None, "accepted, report awaited"),
    "ENROUTE": Word("ENROUTE", S.SENT, None, "on its way"),
    "DELETED": Word("DELETED", S.FAILED, F.UNSPECIFIED, "cancelled or deleted at the message centre"),
    "TIMEOUT-DLR": Word("TIMEOUT-DLR", S.EXPIRED, F.UNSPECIFIED, "the operator sent no report in time"),
}

# "Status Info" of the RCS, Viber and WhatsApp chapters: a report of these channels may reach the same webhook, and
# there three words mean something else than for an SMS.
OTHER_CHANNELS: dict[str, Word] = {
    "QUEUED": Word("QUEUED", S.SUBMITTED, None, "received and queued"),
    "DISPATCHED": Word("DISPATCHED", S.SENT, None, "dispatched"),
    "SENT": Word("SENT", S.SENT, None, "sent to the end user"),
    "DELIVRD": Word("DELIVRD", S.DELIVERED, None, "delivered to the end user"),
    "READ": Word("READ", S.DELIVERED, None, "read by the end user", read=True),
    "DELETED": Word("DELETED", S.EXPIRED, F.UNSPECIFIED, "deleted or expired in the application"),
    "FAILED": Word("FAILED", S.FAILED, F.UNSPECIFIED, "failed, no reason given"),
    "BLACKLIST": Word("BLACKLIST", S.REJECTED, F.RECIPIENT, "the number is blocklisted"),
    "OFFLINE": Word("OFFLINE", S.SENT, None, "the device is offline, delivery goes on"),
    "REJECTED": Word("REJECTED", S.REJECTED, F.UNSPECIFIED, "the device rejected the message"),
    "EXPIRED": Word("EXPIRED", S.EXPIRED, F.TEMPORARY, "the end device could not be reached"),
}

# Voice statuses: none of them is the end of a text, so they are known and move nothing.
_VOICE = ("ANSWER", "COMPLETED", "BUSY", "NOANSWER", "CANCEL", "CONGESTION", "CHANUNAVAIL", "RECEIVED", "MISSED")

# Long names (pull chapter) and short ones (code table) of the same thing, and the smart-delivery names of DLT errors.
ALIASES: dict[str, str] = {
    "DELIVERED": "DELIVRD",
    "UNDELIVERABLE": "UNDELIV",
    "UNDELIVERED": "UNDELIV",
    "EN-ROUTE": "ENROUTE",
    "TIMEOUTDLR": "TIMEOUT-DLR",
    "AWAITINGDLR": "AWAITING-DLR",
    "INV-PEID": "DLT-INV-ENTITY",
    "INV-ENTITY": "DLT-INV-ENTITY",
    "INV-TMID": "DLT-INV-TMID",
    "DLT-TM-VAR-EXCEED": "DLT-TM-VAR-EXECEED",  # as the provider would write it without its slip
    "NOT-ALLOWED": "NOTALLOWED",
    "BLACKLISTED": "BLACKLST",
}

# The words for a person's no, or a register's ("Error Codes" 408, 450, 456; BLACKLIST is the longer spelling).
OPT_OUTS = frozenset({"DNDNUMB", "BLACKLST", "BLACKLIST", "OPTOUT-REJ"})

BY_NAME: dict[str, Word] = {
    **OTHER_CHANNELS,
    **{word.name: word for word in BY_CODE.values()},
    **AMBIGUOUS,
    **_LIFECYCLE,
    **{name: Word(name, None, None, "a voice call's status") for name in _VOICE},
}


def read_word(status: object, code: object = None, channel: str | None = None) -> Word | None:
    """The word for a status name (or number), helped by a code where one came along. None: unknown, told once.

    A code counts only when it belongs to the name: `code` is also what an envelope calls its HTTP status.
    """
    short = _is_short(status) and _is_short(code) and _is_short(channel)
    found = (_short if short else _word)(status, code, channel)
    if found is None and (written := text(status)) is not None:
        tell_once("qikberry", "status", written)
    return found


def _is_short(said: object) -> bool:
    """Whether it may be kept in memory: what a stranger writes may be long, or a list."""
    return said is None or type(said) is int or (type(said) is str and len(said) < 40)


def _word(status: object, code: object, channel: str | None) -> Word | None:
    written = text(status)
    if written is None:
        return None
    name = _normal(written)
    return _by_number(code, name) or _by_channel(name, channel) or BY_NAME.get(name) or BY_CODE.get(_number(status))


_short = lru_cache(maxsize=256, typed=True)(_word)
"""The rows of a page say the same few words."""


def _by_number(code: object, name: str) -> Word | None:
    word = BY_CODE.get(_number(code))
    return word if word is not None and word.name == name else None


def _by_channel(name: str, channel: str | None) -> Word | None:
    return None if channel is None or channel.lower() == "sms" else OTHER_CHANNELS.get(name)


def _normal(written: str) -> str:
    name = re.sub(r"[\s_]+", "-", written.strip().upper())
    return ALIASES.get(name, name)


def _number(value: object) -> str:
    """A code as the table writes it: three digits. Anything else becomes a key that no table has."""
    found = whole(value)
    return f"{found:03d}" if found is not None and found >= 0 else ""


def failure_of(word: Word) -> Failure | None:
    """The failure a word reports, under the provider's own name for it; None for a word that is none."""
    if word.klass is None:
        return None
    return Failure(word.name, word.klass, word.reason, opt_out=word.name in OPT_OUTS)
