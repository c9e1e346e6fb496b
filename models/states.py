"""The states of campaigns, batches and messages, and every allowed transition with its reason.

Decisions here are pure; `models.moves` applies them to rows.
"""

from __future__ import annotations

from enum import StrEnum


class CampaignState(StrEnum):
    DRAFT = "draft"  # exists, takes recipients, sends nothing
    IMPORTING = "importing"  # recipients are being read
    SCHEDULED = "scheduled"  # ready, waits for its time
    RUNNING = "running"
    PAUSED = "paused"  # by an operator or a rule; the reason is kept
    CANCELLED = "cancelled"  # nothing more will be submitted; what left is still followed to its end
    COMPLETED = "completed"  # every message is final
    FAILED = "failed"  # the import failed: nothing was sent


class CanaryState(StrEnum):
    WAITING = "waiting"  # the first messages leave, their reports are awaited
    PASSED = "passed"  # the rest may leave
    HALTED = "halted"  # the campaign is paused; resuming it overrules the canary


class BatchState(StrEnum):
    PLANNED = "planned"  # in SQL only
    DISPATCHED = "dispatched"  # a job for it is (or was) on Redis
    LEASED = "leased"  # a worker holds it until `lease_until`
    DONE = "done"  # nothing in it is due any more


class MessageState(StrEnum):
    QUEUED = "queued"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    HELD = "held"
    SENT = "sent"
    UNKNOWN = "unknown"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    EXPIRED = "expired"
    REJECTED = "rejected"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"


_M = MessageState

FINAL = frozenset({_M.DELIVERED, _M.UNDELIVERED, _M.EXPIRED, _M.REJECTED, _M.FAILED, _M.SUPPRESSED, _M.CANCELLED})
OPEN_AT_PROVIDER = frozenset({_M.SUBMITTED, _M.HELD, _M.SENT})
"""Accepted by a provider, report awaited."""

ACCEPTED_ONCE = OPEN_AT_PROVIDER | {_M.DELIVERED, _M.UNDELIVERED}
"""States that prove a provider took the message."""

TRANSITIONS: dict[tuple[MessageState, MessageState], str] = {
    # ours alone
    (_M.QUEUED, _M.SUBMITTING): "the intent is written before any byte leaves",
    (_M.QUEUED, _M.SUPPRESSED): "opted out between import and submit, or over the frequency cap",
    (_M.QUEUED, _M.CANCELLED): "the campaign was cancelled before it left",
    (_M.QUEUED, _M.EXPIRED): "could not leave within its validity",
    (_M.QUEUED, _M.REJECTED): "refused by our own check before the wire",
    (_M.QUEUED, _M.FAILED): "no account can carry it any more",
    (_M.QUEUED, _M.SUBMITTED): "a report proves that an earlier attempt was accepted after all",
    (_M.QUEUED, _M.HELD): "a report proves that an earlier attempt was accepted after all",
    (_M.QUEUED, _M.SENT): "a report proves that an earlier attempt was accepted after all",
    (_M.QUEUED, _M.DELIVERED): "a report proves that an earlier attempt was accepted after all",
    (_M.QUEUED, _M.UNDELIVERED): "a report proves that an earlier attempt was accepted after all",
    (_M.SUBMITTING, _M.QUEUED): "known not accepted: nothing was written, or an explicit retryable refusal",
    (_M.SUBMITTING, _M.SUBMITTED): "accepted",
    (_M.SUBMITTING, _M.HELD): "accepted, released later by the provider",
    (_M.SUBMITTING, _M.SENT): "the answer already says it is on its way",
    (_M.SUBMITTING, _M.REJECTED): "refused for good",
    (_M.SUBMITTING, _M.FAILED): "known not accepted, and no try is left",
    (_M.SUBMITTING, _M.UNKNOWN): "no answer, an unreadable one, or the worker died",
    # a report can beat our own commit of the answer
    (_M.SUBMITTING, _M.DELIVERED): "the report came before the answer was recorded",
    (_M.SUBMITTING, _M.UNDELIVERED): "the report came before the answer was recorded",
    (_M.SUBMITTING, _M.EXPIRED): "the report came before the answer was recorded",
    # an unknown outcome becomes known
    (_M.UNKNOWN, _M.SUBMITTED): "found at the provider, or the replay was answered",
    (_M.UNKNOWN, _M.HELD): "found at the provider, waiting there",
    (_M.UNKNOWN, _M.SENT): "found at the provider, on its way",
    (_M.UNKNOWN, _M.DELIVERED): "found at the provider, or its report came",
    (_M.UNKNOWN, _M.UNDELIVERED): "found at the provider, or its report came",
    (_M.UNKNOWN, _M.EXPIRED): "found at the provider, or its report came",
    (_M.UNKNOWN, _M.REJECTED): "the provider says it refused it",
    (_M.UNKNOWN, _M.QUEUED): "proven absent, or the campaign's policy is to send again",
    (_M.UNKNOWN, _M.FAILED): "can never be proven, and the campaign's policy is to give up",
    # at the provider
    (_M.SUBMITTED, _M.HELD): "the provider delays it",
    (_M.SUBMITTED, _M.SENT): "handed to the operator",
    (_M.SUBMITTED, _M.DELIVERED): "report",
    (_M.SUBMITTED, _M.UNDELIVERED): "report",
    (_M.SUBMITTED, _M.EXPIRED): "report, or none came in time",
    (_M.SUBMITTED, _M.REJECTED): "refused after acceptance",
    (_M.SUBMITTED, _M.FAILED): "the provider gave up without a better word",
    (_M.HELD, _M.SENT): "released",
    (_M.HELD, _M.SUBMITTED): "released",
    (_M.HELD, _M.DELIVERED): "report",
    (_M.HELD, _M.UNDELIVERED): "report",
    (_M.HELD, _M.EXPIRED): "report, or none came in time",
    (_M.HELD, _M.REJECTED): "refused at release",
    (_M.HELD, _M.FAILED): "deleted at the provider",
    (_M.SENT, _M.DELIVERED): "report",
    (_M.SENT, _M.UNDELIVERED): "report",
    (_M.SENT, _M.EXPIRED): "report, or none came in time",
    (_M.SENT, _M.REJECTED): "refused by the operator",
    (_M.SENT, _M.FAILED): "the provider gave up without a better word",
    # late truth wins over our own giving up, and over an expiry; but what is final never becomes open again
    (_M.FAILED, _M.DELIVERED): "a late report proves we gave up too early",
    (_M.FAILED, _M.UNDELIVERED): "a late report names the real end",
    (_M.FAILED, _M.EXPIRED): "a late report names the real end",
    (_M.FAILED, _M.REJECTED): "a late report names the real end",
    (_M.EXPIRED, _M.REJECTED): "a late report names the real end",
    (_M.EXPIRED, _M.UNDELIVERED): "a late report names the real end",
    (_M.EXPIRED, _M.DELIVERED): "a late report: it arrived after all",
    # two reports that contradict each other: the stronger evidence wins, whichever came first
    (_M.REJECTED, _M.UNDELIVERED): "who tells of a failed delivery had it",
    (_M.REJECTED, _M.DELIVERED): "it arrived after all",
    (_M.UNDELIVERED, _M.DELIVERED): "it arrived after all",
}


def may(old: MessageState, new: MessageState) -> bool:
    """Whether this move is declared. A state never moves to itself: a repeat is no transition."""
    return (old, new) in TRANSITIONS


def sources(new: MessageState) -> frozenset[MessageState]:
    """Every state from which `new` may be entered."""
    return frozenset(old for old, to in TRANSITIONS if to is new)


BATCH_TRANSITIONS: dict[tuple[BatchState, BatchState], str] = {
    (BatchState.PLANNED, BatchState.DISPATCHED): "the dispatcher put a job on Redis",
    (BatchState.DISPATCHED, BatchState.LEASED): "a worker took the lease",
    (BatchState.DISPATCHED, BatchState.PLANNED): "the job got lost (Redis wiped) or the campaign is paused",
    (BatchState.LEASED, BatchState.PLANNED): "handed back: something in it is due later, or the lease ended",
    (BatchState.LEASED, BatchState.DONE): "nothing in it is due any more",
    (BatchState.DONE, BatchState.PLANNED): "an unknown message of it was proven absent",
    (BatchState.PLANNED, BatchState.DONE): "cancelled, or everything in it expired",
    (BatchState.DISPATCHED, BatchState.DONE): "cancelled",
}

CAMPAIGN_TRANSITIONS: dict[tuple[CampaignState, CampaignState], str] = {
    (CampaignState.DRAFT, CampaignState.IMPORTING): "recipients arrive",
    (CampaignState.IMPORTING, CampaignState.DRAFT): "recipients are in; not started yet",
    (CampaignState.IMPORTING, CampaignState.SCHEDULED): "recipients are in; starts at its time",
    (CampaignState.IMPORTING, CampaignState.RUNNING): "recipients are in; starts at once",
    (CampaignState.IMPORTING, CampaignState.FAILED): "the file could not be imported; nothing was sent",
    (CampaignState.DRAFT, CampaignState.SCHEDULED): "started with a time",
    (CampaignState.DRAFT, CampaignState.RUNNING): "started",
    (CampaignState.DRAFT, CampaignState.CANCELLED): "dropped",
    (CampaignState.SCHEDULED, CampaignState.RUNNING): "its time has come",
    (CampaignState.SCHEDULED, CampaignState.PAUSED): "by an operator, or its time was missed by more than the grace",
    (CampaignState.SCHEDULED, CampaignState.CANCELLED): "by an operator",
    (CampaignState.RUNNING, CampaignState.PAUSED): "by an operator or a rule",
    (CampaignState.RUNNING, CampaignState.CANCELLED): "by an operator",
    (CampaignState.RUNNING, CampaignState.COMPLETED): "every message is final",
    (CampaignState.PAUSED, CampaignState.RUNNING): "resumed",
    (CampaignState.PAUSED, CampaignState.SCHEDULED): "resumed before its time",
    (CampaignState.PAUSED, CampaignState.CANCELLED): "by an operator",
    (CampaignState.PAUSED, CampaignState.COMPLETED): "every message is final",
}
