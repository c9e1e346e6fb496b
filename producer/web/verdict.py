"""One sentence about a campaign: is it well? Pure: plain values in, a tone and a sentence out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from models.states import OPEN_AT_PROVIDER, CampaignState, CanaryState, MessageState
from models.steering import CanaryRule
from producer.overview import Progress
from producer.samples import totals_of
from producer.web.formats import ago, count, day, per_minute, percent, span

WELL = 0.8  # a smaller share of accepted or delivered messages is worth a look
SOON = 5.0  # seconds: the next batch is due now or as good as


@dataclass(frozen=True, slots=True)
class Facts:
    """What the verdict is made from. Rates in messages a second; None: not known (`allowed`: no limit).

    `troubles`: what keeps accounts with waiting messages from sending. `next_at`: when the next batch is due.
    """

    progress: Progress
    now: datetime
    rate: float | None = None
    allowed: float | None = None
    troubles: Sequence[str] = ()
    next_at: datetime | None = None
    canary: CanaryRule | None = None

    @property
    def states(self) -> Mapping[MessageState, int]:
        return self.progress.by_state

    @property
    def left(self) -> int:
        return self.progress.left + self.states.get(MessageState.SUBMITTING, 0)

    @property
    def gone(self) -> int:
        return totals_of(self.states).gone

    @property
    def eta(self) -> float | None:
        """Seconds until the last has left, at the present rate."""
        return self.left / self.rate if self.rate and self.left else None

    @property
    def accepted(self) -> int:
        """Of those that were answered, how many a provider took."""
        return self.gone - sum(self.states.get(state, 0) for state in (MessageState.REJECTED, MessageState.FAILED))


@dataclass(frozen=True, slots=True)
class Verdict:
    """`say` is its gist: it changes only when something happened, so that it can be read aloud."""

    tone: str
    text: str
    say: str = ""


def verdict(facts: Facts) -> Verdict:
    campaign = facts.progress.campaign
    found = _BY_STATE[campaign.state](facts)
    return Verdict(found.tone, found.text, found.say or f"{campaign.state}: {found.tone}")


def _draft(facts: Facts) -> Verdict:
    n = facts.progress.messages
    if facts.progress.campaign.copy_due:
        return Verdict("busy", "Its recipients are being copied; it starts by itself.")
    if not n:
        return Verdict("quiet", "Not started: it has no recipients yet.")
    return Verdict("quiet", f"Not started: {count(n)} messages are ready. Nothing leaves before you start it.")


def _importing(facts: Facts) -> Verdict:
    return Verdict("busy", f"Recipients are being read: {count(facts.progress.messages)} messages so far.")


def _scheduled(facts: Facts) -> Verdict:
    at = facts.progress.campaign.start_at
    when = f"on {day(at)} ({ago(at, facts.now)})" if at else "soon"
    return Verdict("quiet", f"Scheduled: {count(facts.progress.messages)} messages begin to leave {when}.")


def _failed(facts: Facts) -> Verdict:
    why = facts.progress.campaign.state_reason
    return Verdict("bad", f"The recipients could not be imported; nothing was sent{f': {why}' if why else ''}.")


def _paused(facts: Facts) -> Verdict:
    campaign, waiting = facts.progress.campaign, f"{count(facts.left)} messages wait"
    reason = (campaign.state_reason or "").strip()
    if campaign.canary is CanaryState.HALTED and reason.startswith("canary:"):
        why = _canary_why(facts, reason.removeprefix("canary:").strip())
        return Verdict("bad", f"Paused by the canary: {why}. {waiting}.", f"paused by the canary: {why}")
    if reason.startswith("paused by the guard"):
        return Verdict("bad", f"{_capital(reason)}. {waiting}.", reason)
    why = f": {reason}" if reason else ""
    return Verdict("warn", f"Paused{why}. {waiting}; resuming goes on exactly where it stopped.")


def _canary_why(facts: Facts, reason: str) -> str:
    """Its share, where that decided; the timeline has the whole reason. A forbidden code is named."""
    if facts.canary is None or facts.canary.codes or not facts.progress.reported:
        return reason
    share = percent(facts.progress.delivered, facts.progress.reported)
    return f"{share} of reported were delivered, the rule asks for {facts.canary.share:.0%}"


def _running(facts: Facts) -> Verdict:
    if not facts.progress.messages:
        return Verdict("busy", "Running; its first recipients are being read.")
    if not facts.left:
        return _awaiting(facts)
    if facts.troubles and not facts.rate:
        return Verdict("bad", f"Nothing leaves: {'; '.join(facts.troubles)}. {count(facts.left)} messages wait.")
    if facts.progress.campaign.canary is CanaryState.WAITING:
        return _canary(facts)
    if not facts.rate and facts.next_at is not None and (facts.next_at - facts.now).total_seconds() > SOON:
        when = f"{day(facts.next_at)} ({ago(facts.next_at, facts.now)})"
        return Verdict("quiet", f"Waits for its hour: the next of {count(facts.left)} messages leave on {when}.")
    if facts.rate is None:
        return Verdict("busy", f"Sending: {count(facts.left)} messages wait; the rate is known in a few seconds.")
    if not facts.rate:
        return Verdict("warn", f"Nothing has left for a minute, and {count(facts.left)} messages wait.")
    return _sending(facts)


def _sending(facts: Facts) -> Verdict:
    allowed = f" of {per_minute(facts.allowed)} allowed" if facts.allowed else ""
    parts = [f"Sending at {per_minute(facts.rate)}{allowed}"]
    if facts.gone:
        parts.append(f"{percent(facts.accepted, facts.gone)} of answered were accepted")
    parts.append(f"all sent in about {span(facts.eta)}")
    well = facts.accepted >= WELL * facts.gone
    trouble = f". But {'; '.join(facts.troubles)}" if facts.troubles else ""
    tone = "good" if well and not trouble else "warn"
    return Verdict(tone, "; ".join(parts) + trouble + ".", f"sending: {tone}{trouble}")


def _canary(facts: Facts) -> Verdict:
    delivered, reported = facts.progress.delivered, facts.progress.reported
    asked = f"; the rest follow when {facts.canary.share:.0%} of {count(facts.canary.size)} are" if facts.canary else ""
    said = f"{count(delivered)} delivered, {count(reported - delivered)} failed"
    return Verdict("busy", f"The canary is out: {said} so far{asked}.", "the canary is out")


def _awaiting(facts: Facts) -> Verdict:
    open_ones = sum(facts.states.get(state, 0) for state in OPEN_AT_PROVIDER)
    unknown = facts.states.get(MessageState.UNKNOWN, 0)
    parts = [f"All {count(facts.gone)} have left"]
    if open_ones:
        parts.append(f"{count(open_ones)} reports are still to come")
    if unknown:
        parts.append(f"{count(unknown)} outcomes are being looked up")
    return _delivered(facts, parts)


def _delivered(facts: Facts, parts: Sequence[str]) -> Verdict:
    delivered, reported = facts.progress.delivered, facts.progress.reported
    told = [*parts, f"{percent(delivered, reported)} of reported were delivered"] if reported else [*parts]
    tone = "good" if delivered >= WELL * reported else "warn"
    return Verdict(tone, "; ".join(told) + ".", f"all have left: {tone}")


def _completed(facts: Facts) -> Verdict:
    campaign, n = facts.progress.campaign, facts.progress.messages
    parts = [f"Done: {count(facts.progress.delivered)} of {count(n)} delivered"]
    if facts.progress.failed:
        parts.append(f"{count(facts.progress.failed)} failed")
    if n - facts.progress.reported:
        parts.append(f"{count(n - facts.progress.reported)} were not sent")
    took = ""
    if campaign.started_at and campaign.finished_at:
        took = f", in {span((campaign.finished_at - campaign.started_at).total_seconds())}"
    well = facts.progress.delivered >= WELL * facts.progress.reported
    share = f" ({percent(facts.progress.delivered, facts.progress.reported)} of those sent)"
    return Verdict("good" if well else "warn", f"{parts[0]}{share}{''.join(f', {part}' for part in parts[1:])}{took}.")


def _cancelled(facts: Facts) -> Verdict:
    why = facts.progress.campaign.state_reason
    gone, never = facts.gone, facts.states.get(MessageState.CANCELLED, 0) + facts.left
    text = f"Cancelled{f': {why}' if why else ''}. {count(gone)} had left, {count(never)} never will"
    open_ones = sum(facts.states.get(state, 0) for state in OPEN_AT_PROVIDER)
    return Verdict("quiet", f"{text}{f'; {count(open_ones)} reports are still to come' if open_ones else ''}.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_BY_STATE: Mapping[CampaignState, Callable[[Facts], Verdict]] = {
    CampaignState.DRAFT: _draft,
    CampaignState.IMPORTING: _importing,
    CampaignState.SCHEDULED: _scheduled,
    CampaignState.RUNNING: _running,
    CampaignState.PAUSED: _paused,
    CampaignState.CANCELLED: _cancelled,
    CampaignState.COMPLETED: _completed,
    CampaignState.FAILED: _failed,
}
