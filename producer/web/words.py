"""States, failure classes and events in words that an operator reads. Tables, no branches."""

from __future__ import annotations

from collections.abc import Mapping

from models.states import CampaignState, MessageState

_C, _M = CampaignState, MessageState

TONES: Mapping[str, str] = {
    _C.DRAFT: "quiet",
    _C.IMPORTING: "busy",
    _C.SCHEDULED: "quiet",
    _C.RUNNING: "busy",
    _C.PAUSED: "warn",
    _C.CANCELLED: "quiet",
    _C.COMPLETED: "good",
    _C.FAILED: "bad",
    _M.QUEUED: "quiet",
    _M.SUBMITTING: "busy",
    _M.SUBMITTED: "busy",
    _M.HELD: "busy",
    _M.SENT: "busy",
    _M.UNKNOWN: "warn",
    _M.DELIVERED: "good",
    _M.UNDELIVERED: "bad",
    _M.EXPIRED: "bad",
    _M.REJECTED: "bad",
    _M.SUPPRESSED: "quiet",
}
"""A state's colour, by meaning. `failed` and `cancelled` mean the same for campaigns and messages."""

MESSAGE_STATES: Mapping[MessageState, str] = {
    _M.QUEUED: "waits for its turn",
    _M.SUBMITTING: "is being handed over",
    _M.SUBMITTED: "accepted by the provider, report awaited",
    _M.HELD: "held back by the provider",
    _M.SENT: "on its way to the phone",
    _M.UNKNOWN: "outcome not known yet; it is being looked up, never sent again blindly",
    _M.DELIVERED: "arrived on the phone",
    _M.UNDELIVERED: "did not arrive",
    _M.EXPIRED: "ran out of time",
    _M.REJECTED: "refused for good",
    _M.FAILED: "given up",
    _M.SUPPRESSED: "not sent: the person opted out or was written to often enough",
    _M.CANCELLED: "not sent: the campaign was cancelled",
}

CLASSES: Mapping[str, str] = {
    "recipient": "The number itself: wrong, gone or barred. Never again to this number.",
    "content": "The text: the same text would fail again.",
    "temporary": "Passing: phone off, network down. Worth another try later.",
    "throttled": "Too fast for the provider. It is sent again by itself.",
    "account": "The account: credentials, settings or credit. Somebody has to look.",
    "sender": "The sender ID is not allowed there.",
    "country": "The account may not send to that country.",
    "deferred": "Not at this hour. It is sent again later.",
    "duplicate": "The provider had seen this message before.",
    "unspecified": "The provider gave no reason.",
}

EVENTS: Mapping[str, str] = {
    "created": "Created",
    "importing": "Import began",
    "imported": "Recipients imported",
    "draft": "Ready",
    "scheduled": "Scheduled",
    "rescheduled": "Another time",
    "running": "Started",
    "paused": "Paused",
    "cancelled": "Cancelled",
    "completed": "Completed",
    "failed": "Import failed",
    "purged": "Numbers and texts erased",
    "retried": "Failures sent again",
    "canary_left": "Canary has left",
    "canary_passed": "Canary passed",
    "canary_halted": "Canary halted the campaign",
    "guard_paused": "Guard paused the campaign",
}


def state_word(state: object) -> str:
    return str(state).replace("_", " ")


def tone(state: object) -> str:
    return TONES.get(str(state), "quiet")


def event_word(kind: str) -> str:
    return EVENTS.get(kind, kind.replace("_", " ").capitalize())


def class_words(klass: str | None) -> str:
    return CLASSES.get(klass or "", "")
