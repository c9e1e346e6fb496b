"""A database full of campaigns in every state, for pictures and browser tests: made up, but shaped like real ones."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from config.accounts import Account, Counts, Limit, Webhook
from models.database import Database
from models.moves import Move, apply_moves
from models.number_index import add_numbers
from models.phase import phase_of
from models.states import BatchState, CampaignState, CanaryState, MessageState
from models.tables import AccountStatus, Batch, Campaign, CampaignCount, CampaignEvent, CampaignSample, Message, Reject
from models.types import new_id
from producer.samples import SLOT_SECONDS, slot_of
from producer.suppressions import add_suppressions

M, C = MessageState, CampaignState
TEXT = "Hi {{ name }}, your order {{ order }} leaves our depot in {{ city }} today. Reply STOP to opt out."
_PLACES = (
    ("GB", "+447700900{:03d}", 1000, 60), ("US", "+120255501{:02d}", 100, 15), ("FR", "+3363998{:04d}", 10_000, 10),
    ("DE", "+4917139200{:02d}", 100, 8), ("AU", "+6149157{:04d}", 10_000, 7),
)  # fmt: skip
_FAILURES = (
    (M.UNDELIVERED, "27", "temporary", "the phone was switched off or out of reach", 55),
    (M.UNDELIVERED, "1", "recipient", "the number is not in use", 25),
    (M.REJECTED, "REJECTED_DND", "recipient", "the number is on the operator's do-not-disturb list", 12),
    (M.EXPIRED, "no_dlr", "unspecified", "no report came in time", 5),
    (M.REJECTED, "REJECTED_SENDER", "sender", "the sender ID is not registered in that country", 3),
)

ACCOUNTS: dict[str, Account] = {
    account.name: account
    for account in (
        Account("qikli", "qikli", "http://127.0.0.1:9", {"username": "showcase", "password": "showcase"},
                (Limit(600, 60.0, Counts.MESSAGES),)),
        Account("quicksms", "quicksms", "http://127.0.0.1:9", {"api_key": "showcase"}, (Limit(1000, 60.0),),
                webhook=Webhook(secret="showcase")),
        Account("qikberry", "qikberry", "http://127.0.0.1:9", {"access_token": "showcase"},
                (Limit(50, 1.0, Counts.MESSAGES),), poll_limits=(Limit(1000, 60.0),), options={"service": "T"}),
        Account("cliqtel", "cliqtel", "http://127.0.0.1:9", {"api_key": "showcase"},
                (Limit(60, 60.0), Limit(10, 1.0, Counts.MESSAGES)), sender="+12025550123"),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scene:
    """One campaign. `states` says how many messages are in which state; `minutes` how long ago it began."""

    name: str
    state: CampaignState
    states: Mapping[MessageState, int]
    minutes: float | None = None
    ended: float | None = None  # minutes ago
    reason: str | None = None
    route: Mapping[str, int] = field(default_factory=lambda: {"quicksms": 70, "qikli": 30})
    steering: Mapping[str, Any] = field(default_factory=dict)
    canary: CanaryState | None = None
    rejected: int = 0
    events: tuple[tuple[float, str, str], ...] = ()  # minutes ago, kind, detail


SCENES = (
    Scene("Newsletter March", C.COMPLETED, {M.DELIVERED: 2388, M.UNDELIVERED: 88, M.SUPPRESSED: 24}, 1500, 1480),
    Scene("Depot closing times", C.CANCELLED, {M.DELIVERED: 310, M.UNDELIVERED: 12, M.CANCELLED: 678}, 700, 690,
          "wrong opening hours in the text"),
    Scene("Loyalty points", C.SCHEDULED, {M.QUEUED: 1200}),
    Scene("Invoices Q1", C.DRAFT, {M.QUEUED: 450}, rejected=6),
    Scene("Delivery windows", C.PAUSED, {M.QUEUED: 1900, M.DELIVERED: 61, M.UNDELIVERED: 39}, 22,
          reason="canary: 61 of 100 delivered (61%); failed: 27 28, 1 11; 80 were asked for (80%)",
          route={"cliqtel": 1}, steering={"canary": {"size": 100, "share": 0.8, "wait": 900}},
          canary=CanaryState.HALTED,
          events=((21.5, "canary_left", "100 messages; their reports are awaited"),
                  (12, "canary_halted", "canary: 61 of 100 delivered (61%); failed: 27 28, 1 11; 80 were asked for"))),
    Scene("Order updates", C.RUNNING,
          {M.QUEUED: 7050, M.SUBMITTING: 25, M.SUBMITTED: 900, M.SENT: 420, M.UNKNOWN: 3, M.DELIVERED: 11_240,
           M.UNDELIVERED: 246, M.REJECTED: 74, M.SUPPRESSED: 42},
          13.5, rejected=17, events=((14, "imported", "20,000 accepted, 17 rejected"),)),
)  # fmt: skip
"""Oldest first."""


def scaled(scenes: tuple[Scene, ...], by: int) -> tuple[Scene, ...]:
    """The same with fewer messages: a `by`-th of each state, at least one."""
    return tuple(replace(scene, states={state: -(-n // by) for state, n in scene.states.items()}) for scene in scenes)


def fill(database: Database, now: datetime, scenes: tuple[Scene, ...] = SCENES) -> dict[str, UUID]:
    """Everything a dashboard can show. The campaigns' ids by name."""
    made: dict[str, UUID] = {}
    with database.write() as session:
        for scene in scenes:
            made[scene.name] = _campaign(session, scene, now)
        _accounts(session, now)
        add_suppressions(session, [f"+4477009009{n:02d}" for n in range(30, 42)], "", "reply STOP", now)
        add_suppressions(session, ["+12025550147", "+33639980012"], "MyStore", "call centre", now)
    return made


def _campaign(session: Session, scene: Scene, now: datetime) -> UUID:
    started = now - timedelta(minutes=scene.minutes) if scene.minutes else None
    ended = now - timedelta(minutes=scene.ended) if scene.ended else None
    total = sum(scene.states.values())
    created = (started or now) - timedelta(minutes=5)
    campaign = Campaign(
        id=new_id(), name=scene.name, state=scene.state, state_reason=scene.reason, sender="MyStore", template=TEXT,
        route=dict(scene.route), options={}, created_at=created, started_at=started, finished_at=ended,
        start_at=now + timedelta(hours=9) if scene.state is C.SCHEDULED else None, source="orders.csv",
        rows_total=total + scene.rejected, rows_accepted=total, rows_rejected=scene.rejected, segments_total=total,
        steering=dict(scene.steering), canary=scene.canary, anchor_at=started,
    )  # fmt: skip
    session.add(campaign)
    session.flush()
    _events(session, campaign, scene, now)
    _messages(session, campaign, scene, started or now)
    if started:
        _samples(session, campaign, scene, started, ended or now)
    for row in range(scene.rejected):
        session.add(Reject(campaign_id=campaign.id, row_no=row * 37 + 4, column="phone", value="07…", code="too_short",
                           reason="the number is too short for its country"))  # fmt: skip
    return campaign.id


def _events(session: Session, campaign: Campaign, scene: Scene, now: datetime) -> None:
    told = [(campaign.created_at, "created", "")]
    told += [(now - timedelta(minutes=minutes), kind, detail) for minutes, kind, detail in scene.events]
    if campaign.started_at:
        told.append((campaign.started_at, "running", ""))
    if scene.state in {C.PAUSED, C.CANCELLED, C.COMPLETED}:
        at = campaign.finished_at or now - timedelta(minutes=11.9)
        told.append((at, str(scene.state), scene.reason or "every message is final"))
    for at, kind, detail in sorted(told, key=lambda item: item[0]):
        session.add(CampaignEvent(campaign_id=campaign.id, at=at, kind=kind, detail=detail))


def _messages(session: Session, campaign: Campaign, scene: Scene, at: datetime) -> None:
    chance = random.Random(scene.name)
    batch = Batch(
        campaign_id=campaign.id, account=next(iter(scene.route)), size=1, state=BatchState.DONE, not_before=at
    )
    session.add(batch)
    session.flush()
    states: list[MessageState] = [state for state, n in scene.states.items() if state is not M.QUEUED for _ in range(n)]
    chance.shuffle(states)
    states += [state for state, n in scene.states.items() if state is M.QUEUED for _ in range(n)]
    rows = [_message(chance, campaign, batch.id, row, state, at) for row, state in enumerate(states, 1)]
    session.connection().execute(insert(Message), rows)
    add_numbers(session, [(row["msisdn"], row["id"].hex) for row in rows])
    counted = Counter((row["account"], row["state"]) for row in rows)
    session.execute(
        insert(CampaignCount),
        [{"campaign_id": campaign.id, "account": a, "state": s, "n": n} for (a, s), n in counted.items()],
    )


def _message(
    chance: random.Random, campaign: Campaign, batch_id: UUID, row: int, state: MessageState, at: datetime
) -> dict[str, Any]:
    country, form, many, _ = chance.choices(_PLACES, [place[3] for place in _PLACES])[0]
    account = chance.choices(list(campaign.route), list(campaign.route.values()))[0]
    left = state not in {M.QUEUED, M.SUPPRESSED, M.CANCELLED}
    moment = at + timedelta(seconds=row * 0.055)
    values: dict[str, Any] = {
        "id": new_id(), "campaign_id": campaign.id, "batch_id": batch_id, "row_no": row, "account": account,
        "msisdn": form.format(chance.randrange(many)), "country": country, "sender": "MyStore",
        "text": f"Hi Ama, your order {row} leaves our depot in Leeds today. Reply STOP to opt out.", "encoding": "GSM7",
        "segments": 1, "reference": f"order-{row}", "state": state, "phase": phase_of(state),
        "code": None, "klass": None, "reason": None, "price": None, "currency": None, "trail": _trail(state, moment),
        "submitted_at": moment if left else None,
        "attempted_at": moment if left else None, "provider_id": f"p-{row}" if left else None,
        "final_at": moment + timedelta(seconds=4) if state in {M.DELIVERED, M.UNDELIVERED, M.REJECTED} else None,
    }  # fmt: skip
    if state in {M.DELIVERED, M.UNDELIVERED}:
        values |= {"price": Decimal("0.0385") if account == "quicksms" else Decimal("0.041"),
                   "currency": "GBP" if account == "quicksms" else "EUR"}  # fmt: skip
    fits = [failure for failure in _FAILURES if failure[0] is state]
    if fits:
        _, code, klass, reason, _ = chance.choices(fits, [failure[4] for failure in fits])[0]
        values |= {"code": code, "klass": klass, "reason": reason}
    return values


def _trail(state: MessageState, at: datetime) -> str:
    if state in {M.QUEUED, M.CANCELLED, M.SUPPRESSED}:
        return ""
    first = int(at.timestamp() * 1000)
    steps = [(0, "submitting"), (180, "submitted"), (900, "sent"), (3900, str(state))]
    shown = steps[:2] if state in {M.SUBMITTED, M.UNKNOWN, M.SUBMITTING} else steps
    return "".join(f"{first + after} {word}\n" for after, word in shown)


def _samples(session: Session, campaign: Campaign, scene: Scene, started: datetime, until: datetime) -> None:
    """A start, a climb, a short block in the middle, and the present totals at the end."""
    chance = random.Random(campaign.name)
    never = (M.QUEUED, M.SUBMITTING, M.SUPPRESSED, M.CANCELLED)
    gone = sum(n for state, n in scene.states.items() if state not in never)
    delivered, failed = (
        scene.states.get(M.DELIVERED, 0),
        sum(scene.states.get(s, 0) for s in (M.UNDELIVERED, M.REJECTED)),
    )
    seconds = max(60.0, (until - started).total_seconds())
    many = int(min(seconds, 900 if scene.ended is None else 1200) // SLOT_SECONDS)
    weights = [min(1.0, (n + 2) / 8) * (0.12 if 0.42 < n / many < 0.5 else 1.0) * chance.uniform(0.93, 1.05)
               for n in range(many)]  # fmt: skip
    whole, sums, lagged = sum(weights), 0.0, [0.0] * 6
    first = slot_of(started) + 1
    for n, weight in enumerate(weights):
        sums += weight
        lagged.append(sums)
        share, late = sums / whole, lagged[-4] / sum(weights[:-3])
        session.add(CampaignSample(campaign_id=campaign.id, slot=first + n, gone=int(gone * share),
                                   delivered=int(delivered * late), failed=int(failed * late)))  # fmt: skip


def _accounts(session: Session, now: datetime) -> None:
    def windows(*given: tuple[int, float, str, int]) -> list[dict[str, Any]]:
        return [
            {"limit": limit, "per": per, "counts": counts, "used": used, "ahead": 0, "foreign": 0,
             "remaining": limit - used}
            for limit, per, counts, used in given
        ]  # fmt: skip

    def submit(speed: float, *given: tuple[int, float, str, int], **more: Any) -> dict[str, Any]:
        return {"windows": windows(*given), "blocked_for": 0.0, "reason": "", "ramp": 1.0,
                "requests_per_second": speed, "messages_per_second": speed, **more}  # fmt: skip

    closed = {
        "state": "closed",
        "kind": None,
        "reason": "",
        "by": "",
        "for": 900.0,
        "probe_in": 0.0,
        "needs_operator": False,
    }
    stopped = {**closed, "state": "open", "kind": "credentials", "for": 260.0, "needs_operator": True,
               "reason": "401: the API key is not valid"}  # fmt: skip
    snapshots: dict[str, dict[str, Any]] = {
        "qikli": {"breaker": closed, "submit": submit(7.6, (600, 60.0, "messages", 452))},
        "quicksms": {"breaker": closed, "submit": submit(8.1, (1000, 60.0, "requests", 489), ramp=0.62)},
        "qikberry": {"breaker": closed, "submit": submit(0.0, (50, 1.0, "messages", 0), blocked_for=34.0,
                                                         reason="429: too many requests"),
                     "poll": submit(0.2, (1000, 60.0, "requests", 12))},
        "cliqtel": {"breaker": stopped, "submit": submit(0.0, (60, 60.0, "requests", 0), (10, 1.0, "messages", 0))},
    }  # fmt: skip
    for account, snapshot in snapshots.items():
        # Workers speak every two seconds; here nobody does, so their last word is dated ahead.
        session.add(AccountStatus(account=account, snapshot=snapshot, updated_at=now + timedelta(days=1)))


def send(database: Database, campaign_id: UUID, now: datetime, many: int) -> int:
    """Some messages leave, as many reports come in. How many moved."""
    with database.write() as session:
        found = [
            Move(message_id, new)
            for old, new in ((M.QUEUED, M.SUBMITTING), (M.SUBMITTING, M.SUBMITTED), (M.SUBMITTED, M.DELIVERED))
            for message_id in session.execute(
                select(Message.id).where(Message.campaign_id == campaign_id, Message.state == old).limit(many)
            ).scalars()
        ]
        return len(apply_moves(session, found, now))
