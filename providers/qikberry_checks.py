"""What Qikberry would refuse, said before the wire under its own names, and what it would change on the way."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator

from providers.base import Failure, FailureClass, Outgoing
from providers.qikberry_codes import BY_NAME, failure_of
from providers.qikberry_options import MAX_UNITS, MOST_TAGS, TYPES, Account
from providers.qikberry_requests import template_data
from providers.qikberry_senders import sender_warning
from providers.shared import digits

_INTERNATIONAL = re.compile(r"\+[1-9][0-9]{6,14}")
MOST_CHARACTERS = 4096  # "Send Text Message" (channels), public documentation of the same platform
MOST_VARIABLE = 30  # code 783: "Template variable exceeded 30 characters", in India

# "If any characters other than the following … are present … during the sending of a campaign type normal, they will
# be replaced with a question mark" (SMS, Overview).
_NORMAL = frozenset(
    string.whitespace
    + string.ascii_letters
    + string.digits
    + "@£$€¥èéùìòÇØøÅå?_ÆæßÉ!\"#¤%&'()*+,-./:;<=>¡ÖÑÜ§¿öñüàäÄ\\{}~[]"
)


def check(account: Account, message: Outgoing) -> Failure | None:
    """The first thing the provider would refuse in this message, or None."""
    return next((failure for rule in _CHECKS if (failure := rule(account, message)) is not None), None)


def _content(code: str, reason: str) -> Failure:
    return Failure(code, FailureClass.CONTENT, reason)


def _number(account: Account, message: Outgoing) -> Failure | None:
    """E.164 with the country code: some deployments prepend 91 to a number without one."""
    return None if _INTERNATIONAL.fullmatch(message.msisdn) else failure_of(BY_NAME["INV-NUMBER"])


def _sender(account: Account, message: Outgoing) -> Failure | None:
    if message.sender.strip() or account.mode == "template":  # a template brings its own sender
        return None
    return Failure("INV-SENDER", FailureClass.SENDER, "the sender is empty")


def _text(account: Account, message: Outgoing) -> Failure | None:
    if not message.text.strip():
        return _content("empty_text", "the text is empty")
    if any("\ud800" <= ch <= "\udfff" for ch in message.text):  # half of a character cannot be written as JSON
        return _content("invalid_text", "the text holds half of a surrogate pair")
    return None


def _parts(account: Account, message: Outgoing) -> Failure | None:
    units = account.said(message, "max_units")
    most = min(account.max_parts, int(units)) if units in MAX_UNITS else account.max_parts
    if message.segments <= most:
        return None
    return _content("too_long", f"the text needs {message.segments} parts, at most {most} are allowed")


def _characters(account: Account, message: Outgoing) -> Failure | None:
    """ "Characters" is not defined there: the larger of code points and UTF-16 units counts."""
    length = max(len(message.text), len(message.text.encode("utf-16-le", "surrogatepass")) // 2)
    if account.mode != "channels" or length <= MOST_CHARACTERS:
        return None
    return _content("too_long", f"the text has {length} characters, at most {MOST_CHARACTERS} are allowed")


def _campaign(account: Account, message: Outgoing) -> Failure | None:
    """A campaign's own options: the account's were read at start."""
    if account.said(message, "type") not in TYPES:
        return _content("invalid_option", f"option type: expected one of {', '.join(TYPES)}")
    if account.said(message, "max_units") not in ("", *MAX_UNITS):
        return _content("invalid_option", f"option max_units: expected one of {', '.join(MAX_UNITS)}")
    if len(account.tags(message)) > MOST_TAGS:
        return _content("too_many_tags", f"at most {MOST_TAGS} opt-out tags are allowed")
    return None


def _template(account: Account, message: Outgoing) -> Failure | None:
    if account.mode != "template":
        return None
    if not (account.said(message, "template_alias") or account.said(message, "template")):
        return _content("TEMPLATE-NOT-FOUND", "the campaign names no template (template_alias or template)")
    longest = max(map(len, template_data(account, message).values()), default=0)
    if message.msisdn.startswith("+91") and longest > MOST_VARIABLE:
        return failure_of(BY_NAME["DLT-TM-VAR-EXECEED"])
    return None


_CHECKS: tuple[Callable[[Account, Outgoing], Failure | None], ...] = (
    _number,
    _sender,
    _text,
    _parts,
    _characters,
    _campaign,
    _template,
)


def warnings(account: Account, message: Outgoing) -> Iterator[str]:
    """What the provider carries all the same, but not as it is."""
    number = digits(message.msisdn)
    sender = sender_warning(number, message.sender, account.promotional) if message.sender else None
    if sender:
        yield sender
    if number.startswith("91") and not _registered(account, message):
        yield "India: without entity_id and template_id (DLT) operators refuse the message"
    if account.said(message, "type") == "N" and set(message.text) - _NORMAL:
        yield "type N: characters outside the normal set are replaced by question marks"


def _registered(account: Account, message: Outgoing) -> bool:
    """Whether the DLT ids are given; a template of the provider holds them itself."""
    if account.mode == "template":
        return True
    return bool(account.said(message, "entity_id") and account.said(message, "template_id"))
