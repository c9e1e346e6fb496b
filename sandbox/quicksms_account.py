"""What the QuickSMS account refuses: senders, countries, content, repeats, hours, credits (Message Rejection Codes)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.clock import iso
from sandbox.exchange import Call, Reply, json_reply
from sandbox.outcomes import Refusal

if TYPE_CHECKING:
    from sandbox.ledger import Entry
    from sandbox.quicksms import QuickSms

REJECTION = {
    "SENDER_NOT_REGISTERED": "Sender ID is not registered or not approved.",
    "TEST_NUMBER_NOT_APPROVED": "The number is not in your approved test allowlist.",
    "COUNTRY_NOT_ALLOWED": "Sending to this destination country is not allowed.",
    "INSUFFICIENT_CREDITS": "Your balance is too low to send this message.",
    "CONTENT_BLOCKED": "Message content was blocked by the content filter.",
    "OUT_OF_HOURS": "Outside the permitted sending hours.",
    "DUPLICATE_MESSAGE": "An identical message was sent to this number recently.",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A valid request on its way through the account's rules."""

    msisdn: str
    text: str
    sender: str
    sandbox: bool
    test_key: bool
    rcs: bool
    encoding: str
    parts: int
    payload: dict[str, Any]


class AccountRules:
    """The rules of the account behind a connection, and the texts it sent recently (for anti-flood)."""

    def __init__(self, home: "QuickSms") -> None:
        self._home = home
        self._recent: dict[int, tuple[float, str]] = {}

    def clear(self) -> None:
        self._recent.clear()

    def rejection(self, call: Call, draft: Draft) -> Reply | None:
        """The message-level refusal, if any, in the order sender, number, content, account."""
        settings = self._home.settings
        if not self._sender_approved(draft):
            return self._rejection(draft, "SENDER_NOT_REGISTERED")
        if draft.test_key and not _listed(draft.msisdn, settings.test_allowlist):
            return self._rejection(draft, "TEST_NUMBER_NOT_APPROVED")
        if draft.msisdn.startswith(settings.blocked_countries):
            return self._rejection(draft, "COUNTRY_NOT_ALLOWED")
        if self._content_blocked(draft):
            return self._rejection(draft, "CONTENT_BLOCKED")
        return None if draft.sandbox else self._live_rejection(call, draft)

    def _sender_approved(self, draft: Draft) -> bool:
        settings = self._home.settings
        if draft.test_key:
            return draft.sender == settings.test_sender
        if draft.rcs:
            return True
        if len(draft.sender) > (15 if draft.sender.isdigit() else 11):
            return False
        return settings.approved_senders is None or draft.sender in settings.approved_senders

    def _content_blocked(self, draft: Draft) -> bool:
        if not draft.sandbox and self._home.refusal(draft.msisdn) is Refusal.BLOCKED:
            return True
        words = self._home.settings.blocked_words
        return bool(words) and re.search("|".join(map(re.escape, words)), draft.text, re.IGNORECASE) is not None

    def _live_rejection(self, call: Call, draft: Draft) -> Reply | None:
        """What sandbox mode does not check: anti-flood, hours and credits."""
        settings = self._home.settings
        if settings.anti_flood == "enforce" and (original := self._flood(call, draft)) is not None:
            return self._rejection(draft, "DUPLICATE_MESSAGE", original_message_id=original)
        if settings.out_of_hours == "reject":
            resume = iso(self._home.world.clock.wall() + settings.hours_resume_in)
            window = {"start": "08:00", "end": "20:00"}
            return self._rejection(draft, "OUT_OF_HOURS", window=window, resumes_at=resume)
        if settings.credits is not None and settings.credits < (1 if draft.rcs else draft.parts):
            return self._rejection(draft, "INSUFFICIENT_CREDITS")
        return None

    def _rejection(self, draft: Draft, code: str, **more: object) -> Reply:
        error = {"code": code, "message": REJECTION[code], **more}
        return json_reply(422, {"messages": [{"MSISDN": draft.msisdn, "status": "REJECTED", "error": error}]})

    def enter(self, call: Call, draft: Draft, entry: "Entry", billed: int) -> None:
        """An accepted message: take its credits and remember its text. Sandbox mode does neither."""
        settings = self._home.settings
        if draft.sandbox:
            return
        if settings.credits is not None:
            settings.credits -= billed
        if settings.anti_flood != "off":
            if self._flood(call, draft) is not None:
                self._home.ledger.counts.faults["flood_seen"] += 1
            self._recent[_content(call, draft)] = (call.now, entry.id)

    def _flood(self, call: Call, draft: Draft) -> str | None:
        seen = self._recent.get(_content(call, draft))
        return seen[1] if seen is not None and call.now - seen[0] < self._home.settings.anti_flood_window else None


def _listed(number: str, entries: Iterable[str]) -> bool:
    return any(number.startswith(item[:-1]) if item.endswith("*") else number == item for item in entries)


def _content(call: Call, draft: Draft) -> int:
    return hash((call.account, draft.msisdn, draft.text))
