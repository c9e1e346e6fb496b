"""What a running campaign decides by itself, every second: plan, judge the canary, mind the error rate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from models.database import Database
from models.queries import counts, note_event, over_accounts
from models.states import CampaignState, CanaryState, MessageState
from models.steering import steering_of
from models.tables import Campaign
from producer import canary, guard
from producer.campaigns import halt
from producer.planner import plan_all

log = structlog.get_logger("drumline.control")


@dataclass(frozen=True, slots=True)
class Steered:
    """What one round did."""

    planned: int = 0
    passed: int = 0
    halted: int = 0

    def __bool__(self) -> bool:
        return bool(self.planned or self.passed or self.halted)


def steer(database: Database, now: datetime) -> Steered:
    """One round over the running campaigns. Safe to run twice at once: each campaign is decided under its lock."""
    with database.read() as session:
        judged = _to_judge(session)
    passed = halted = 0
    for campaign_id in judged:
        with database.write() as session:
            word = decide(session, campaign_id, now)
        passed += word is canary.Word.PASS
        halted += word is canary.Word.HALT
    return Steered(plan_all(database, now), passed, halted)


def _to_judge(session: Session) -> list[UUID]:
    """Campaigns with a canary in the air, or whose guard has seen new outcomes."""
    running = session.execute(select(Campaign).where(Campaign.state == CampaignState.RUNNING)).scalars()
    return [campaign.id for campaign in running if _in_the_air(campaign) or _guard_calls(session, campaign)]


def _in_the_air(campaign: Campaign) -> bool:
    return campaign.canary is CanaryState.WAITING


def _guard_calls(session: Session, campaign: Campaign) -> bool:
    """Whether the guard's marks would change: read first, so that a quiet campaign costs no write."""
    rule = steering_of(campaign.steering).guard
    if rule is None:
        return False
    marks = guard.marks_of(campaign.guard_marks)
    seen = guard.watch(rule, marks, guard.tally(_states(session, campaign.id)))
    return seen.reason is not None or seen.marks != marks


def decide(session: Session, campaign_id: UUID, now: datetime) -> canary.Word:
    """Judge one campaign. HALT: it is paused, by its canary or by its guard."""
    campaign = session.get(Campaign, campaign_id, with_for_update={"skip_locked": True})
    if campaign is None or campaign.state is not CampaignState.RUNNING:
        return canary.Word.WAIT
    word = canary.decide(session, campaign, now)
    if word is canary.Word.HALT:
        return word
    return canary.Word.HALT if _mind(session, campaign, now) else word


def _mind(session: Session, campaign: Campaign, now: datetime) -> bool:
    rule = steering_of(campaign.steering).guard
    if rule is None:
        return False
    seen = guard.watch(rule, guard.marks_of(campaign.guard_marks), guard.tally(_states(session, campaign.id)))
    campaign.guard_marks = guard.stored(seen.marks)
    if seen.reason is None:
        return False
    note_event(session, campaign.id, "guard_paused", seen.reason, now)
    halt(session, campaign, seen.reason, now)
    log.warning("campaign_paused_by_guard", campaign=str(campaign.id), reason=seen.reason)
    return True


def _states(session: Session, campaign_id: UUID) -> dict[MessageState, int]:
    return over_accounts(counts(session, campaign_id))
