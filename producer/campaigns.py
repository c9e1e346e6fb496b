"""What can be done with a campaign: create, start, pause, resume, cancel. API and command line both call these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from config.accounts import Account
from models.msisdn import Msisdn, parse_msisdn
from models.options import DEFAULT_PARTS, MAX_PARTS, MOST_PARTS, stored_options
from models.priority import PRIORITY
from models.queries import note_event
from models.segments import downgrade, measure
from models.states import CAMPAIGN_TRANSITIONS, CampaignState
from models.steering import Spread, Steering
from models.tables import Campaign, Message
from models.types import new_id
from producer import quota
from producer.dispatch import open_lanes
from producer.plan import RouteError
from producer.planner import begin_plan, resume_plan
from producer.quota import QuotaExceeded
from producer.route import Route
from producer.template import Template, TemplateError
from providers.base import Failure, FailureClass, Outgoing, Provider


class CampaignError(ValueError):
    """A campaign cannot be made or steered so. `field` is the place, the text says what to do."""

    def __init__(self, field_name: str, text: str) -> None:
        super().__init__(text)
        self.field = field_name


class OnUnknown(StrEnum):
    GIVE_UP = "give_up"
    RESEND = "resend"


@dataclass(frozen=True, slots=True)
class CampaignSpec:
    """What a client asks for. `validity` in seconds, `max_rate` in messages a second over all accounts; `failover`:
    messages may move to another account of the route while theirs is out of order.

    `routing`: rules, failover, senders, allow, deny as in `producer.route`. `missing` stands for a value that a row has
    not (None: the row is refused). A text of more than `max_parts` parts is refused, too. `template_name` and
    `template_version` say where the text was taken from.
    """

    name: str
    sender: str
    template: str
    route: Mapping[str, int]
    routing: Mapping[str, Any] = field(default_factory=dict)
    template_name: str | None = None
    template_version: int | None = None
    missing: str | None = None
    gsm7_only: bool = False
    region: str | None = None
    stream: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    priority: str = "normal"
    weight: int = 1
    max_rate: float | None = None
    failover: bool = True
    validity: int | None = None
    max_parts: int = DEFAULT_PARTS
    on_unknown: str = OnUnknown.GIVE_UP
    start_at: datetime | None = None
    source: str | None = None
    steering: Steering = field(default_factory=Steering)
    api_key_id: UUID | None = None  # whose endpoints are told of its events


RESCHEDULABLE = frozenset({CampaignState.DRAFT, CampaignState.SCHEDULED, CampaignState.PAUSED})
MAX_VALIDITY = 30 * 86_400  # seconds
LEAST_RATE, MOST_RATE = 0.0001, 1e6  # messages a second: one in three hours; times that are longer overflow
SAMPLE = "+12025550123"  # a number of the fiction range, to ask an adapter about senders and texts


def check_spec(spec: CampaignSpec, accounts: Mapping[str, Account], providers: Mapping[str, Provider]) -> Template:
    """Everything that can be wrong before a row is read. Raises CampaignError; nothing is written."""
    try:
        template = Template.parse(spec.template, missing=spec.missing)
    except TemplateError as error:
        raise CampaignError("template", str(error)) from error
    try:
        route = Route.parse({**spec.routing, "accounts": dict(spec.route)}, accounts)
    except RouteError as error:
        raise CampaignError("route", str(error)) from error
    _check_region(spec.region)
    if spec.stream and spec.start_at is not None:
        raise CampaignError("stream", "stream: a campaign that is sent while it is imported cannot have a start time")
    if spec.stream and isinstance(spec.steering.pacing, Spread):
        raise CampaignError("stream", "stream: what is to be spread evenly must be counted first; use slices instead")
    if not spec.name.strip():
        raise CampaignError("name", "name: found nothing, expected a text")
    if spec.priority not in PRIORITY:
        raise CampaignError("priority", f"priority: found {spec.priority!r}, expected one of {', '.join(PRIORITY)}")
    _check_numbers(spec)
    _check_parts(spec)
    if spec.on_unknown not in list(OnUnknown):
        raise CampaignError("on_unknown", f"on_unknown: found {spec.on_unknown!r}, expected give_up or resend")
    for name in route.weights:
        _check_sender(spec, accounts[name], providers[name], route)
    return template


def _check_numbers(spec: CampaignSpec) -> None:
    if spec.max_rate is not None and not LEAST_RATE <= spec.max_rate <= MOST_RATE:
        expected = f"messages a second, from {LEAST_RATE:g} to {MOST_RATE:,.0f}"
        raise CampaignError("max_rate", f"max_rate: found {spec.max_rate!r}, expected {expected}")
    if spec.validity is not None and not 1 <= spec.validity <= MAX_VALIDITY:
        expected = f"seconds, from 1 to {MAX_VALIDITY:,} ({MAX_VALIDITY // 86_400} days)"
        raise CampaignError("validity", f"validity: found {spec.validity!r}, expected {expected}")


def _check_parts(spec: CampaignSpec) -> None:
    if not 1 <= spec.max_parts <= MOST_PARTS:
        raise CampaignError("max_parts", f"max_parts: found {spec.max_parts}, expected 1 to {MOST_PARTS}")
    if MAX_PARTS in spec.options:
        raise CampaignError("options", f"options: {MAX_PARTS} is no provider's but the campaign's: give it by itself")


def _check_region(region: str | None) -> None:
    try:
        parse_msisdn("0", region)
    except ValueError as error:
        raise CampaignError("region", f"region: {error}") from None


def sender_for(account: Account, sender: str, senders: Mapping[str, str] | None = None) -> str:
    """The sender ID an account uses for a campaign: the one the campaign names for it, else its own, else the
    campaign's."""
    return (senders or {}).get(account.name) or account.sender_for(sender)


def _check_sender(spec: CampaignSpec, account: Account, provider: Provider, route: Route) -> None:
    sender = sender_for(account, spec.sender, route.senders)
    if not sender.strip():
        raise CampaignError("sender", f"sender: found nothing, and account {account.name} has none of its own")
    if not sender.isprintable():
        raise CampaignError("sender", f"sender: {sender!r} has a character that cannot be shown, such as a line's end")
    if account.senders and sender not in account.senders:
        raise CampaignError(
            "sender",
            f"sender: {sender!r} is not one of the senders of account {account.name}: {', '.join(account.senders)}",
        )
    failure = _sample_failure(spec, sender, provider)
    if failure is not None and failure.klass is FailureClass.SENDER:
        raise CampaignError("sender", f"sender: account {account.name} would refuse {sender!r}: {failure.reason}")


def _sample_failure(spec: CampaignSpec, sender: str, provider: Provider) -> Failure | None:
    text = "Hello"
    measured = measure(text)
    sample = Outgoing(
        id=str(new_id()), ref="sample", msisdn=Msisdn(SAMPLE), sender=sender, text=text,
        encoding=measured.encoding, segments=measured.segments, validity=spec.validity, options=spec.options,
    )  # fmt: skip
    return provider.check(sample)


def create(session: Session, spec: CampaignSpec, template: Template, now: datetime) -> UUID:
    """A draft. The spec was checked."""
    route = Route.stored(spec.route, spec.routing)
    campaign = Campaign(
        id=new_id(),
        name=spec.name.strip()[:200],
        state=CampaignState.DRAFT,
        sender=spec.sender,
        template=spec.template,
        template_name=spec.template_name,
        template_version=spec.template_version,
        missing=spec.missing,
        gsm7_only=spec.gsm7_only,
        common_text=_common_text(spec, template),
        route=route.weights,
        routing=route.routing,
        region=spec.region,
        stream=spec.stream,
        options=stored_options(spec.options, spec.max_parts),
        priority=spec.priority,
        weight=spec.weight,
        max_rate=spec.max_rate,
        failover=spec.failover,
        validity=spec.validity,
        on_unknown=spec.on_unknown,
        start_at=spec.start_at,
        source=spec.source,
        steering=spec.steering.as_json(),
        api_key_id=spec.api_key_id,
        created_at=now,
    )
    session.add(campaign)
    session.flush()
    open_lanes(session, campaign.id, route.weights)
    note_event(session, campaign.id, "created", "", now)
    return campaign.id


def forget(session: Session, campaign_id: UUID) -> None:
    """A campaign that never came to be, with whatever was imported for it."""
    session.execute(delete(Message).where(Message.campaign_id == campaign_id))
    session.execute(delete(Campaign).where(Campaign.id == campaign_id))


def _common_text(spec: CampaignSpec, template: Template) -> str | None:
    """The text of every message, where it is the same for all."""
    if not template.is_constant:
        return None
    text = template.render({})
    return downgrade(text) if spec.gsm7_only else text


def find(session: Session, campaign_id: UUID) -> Campaign:
    """The campaign, locked for this transaction. Raises CampaignError."""
    query = select(Campaign).where(Campaign.id == campaign_id).with_for_update()
    campaign = session.execute(query).scalar_one_or_none()
    if campaign is None:
        raise CampaignError("id", f"there is no campaign {campaign_id}")
    return campaign


def start(session: Session, campaign_id: UUID, now: datetime) -> CampaignState:
    """Run it now, or schedule it for its time. Raises CampaignError, or QuotaExceeded of the key that made it."""
    campaign = find(session, campaign_id)
    if campaign.copy_due:
        raise CampaignError("state", "the recipients are still being copied; the campaign starts by itself")
    if campaign.rows_accepted == 0:
        raise CampaignError("recipients", "the campaign has no recipient to send to; import some first")
    later = campaign.start_at is not None and campaign.start_at > now
    return _move(session, campaign, CampaignState.SCHEDULED if later else CampaignState.RUNNING, "", now)


def begin_streaming(session: Session, campaign: Campaign, now: datetime) -> None:
    """Let what is already imported leave while the rest is still being read."""
    _move(session, campaign, CampaignState.RUNNING, "sending while it is imported", now)


def pause(session: Session, campaign_id: UUID, reason: str, now: datetime) -> CampaignState:
    """Nothing leaves any more within a second; what left is followed to its end."""
    return _move(session, find(session, campaign_id), CampaignState.PAUSED, reason, now)


def resume(session: Session, campaign_id: UUID, now: datetime) -> CampaignState:
    """Go on exactly where it stopped: nothing is sent twice, nothing is left out."""
    campaign = find(session, campaign_id)
    if campaign.state is not CampaignState.PAUSED:
        raise CampaignError("state", f"the campaign is {campaign.state}, only a paused one can be resumed")
    later = campaign.started_at is None and campaign.start_at is not None and campaign.start_at > now
    if campaign.started_at is not None:
        resume_plan(session, campaign, now)
    return _move(session, campaign, CampaignState.SCHEDULED if later else CampaignState.RUNNING, "", now)


def reschedule(session: Session, campaign_id: UUID, start_at: datetime, now: datetime) -> CampaignState:
    """Another time for a campaign that has not begun: a draft keeps it for its start, all others wait for it."""
    campaign = find(session, campaign_id)
    if campaign.started_at is not None or campaign.state not in RESCHEDULABLE:
        raise CampaignError("state", f"the campaign is {campaign.state}; only one that has not begun has another time")
    if start_at <= now:
        raise CampaignError("start_at", f"start_at: {start_at.isoformat()} is past; start or resume it to send now")
    old, campaign.start_at = campaign.start_at, start_at
    if campaign.quota_day is not None:
        quota.hold(session, campaign, start_at, now)
    note_event(session, campaign.id, "rescheduled", f"from {_shown(old)} to {_shown(start_at)}", now)
    if campaign.state is CampaignState.DRAFT:
        return campaign.state
    return _move(session, campaign, CampaignState.SCHEDULED, "", now)


def _shown(moment: datetime | None) -> str:
    return moment.isoformat(timespec="seconds") if moment else "no time"


def halt(session: Session, campaign: Campaign, reason: str, now: datetime) -> None:
    """Pause by a rule; the campaign is running and locked."""
    _move(session, campaign, CampaignState.PAUSED, reason, now)


def cancel(session: Session, campaign_id: UUID, reason: str, now: datetime) -> CampaignState:
    """Nothing more leaves. The sweep turns what had not left into `cancelled`; that may take a while."""
    return _move(session, find(session, campaign_id), CampaignState.CANCELLED, reason, now)


def start_due(session: Session, now: datetime, grace: float) -> list[UUID]:
    """Scheduled campaigns whose time has come. One whose time was missed by more than `grace` seconds is not fired
    blindly: it is paused and says so."""
    query = (
        select(Campaign)
        .where(Campaign.state == CampaignState.SCHEDULED, Campaign.start_at <= now)
        .with_for_update(skip_locked=True)
    )
    started = []
    for campaign in session.execute(query).scalars():
        late = (now - campaign.start_at).total_seconds() if campaign.start_at else 0.0
        if late > grace:
            reason = f"its time was missed by {late / 60:.0f} minutes; resume it to send now, or cancel it"
            _move(session, campaign, CampaignState.PAUSED, reason, now)
        elif _starts(session, campaign, now):
            started.append(campaign.id)
    return started


def _starts(session: Session, campaign: Campaign, now: datetime) -> bool:
    """What it needs of its key's quota was taken when it was scheduled; only where a quota came later it may lack."""
    try:
        with session.begin_nested():
            quota.hold(session, campaign, campaign.start_at or now, now)
    except QuotaExceeded as error:
        _move(session, campaign, CampaignState.PAUSED, str(error), now)
        return False
    _move(session, campaign, CampaignState.RUNNING, "its time has come", now)
    return True


def _move(session: Session, campaign: Campaign, new: CampaignState, reason: str, now: datetime) -> CampaignState:
    old = campaign.state
    if old is new:
        return new  # asked twice: the answer is the same
    if (old, new) not in CAMPAIGN_TRANSITIONS:
        raise CampaignError("state", f"the campaign is {old}; it cannot become {new}")
    if campaign.started_at is None:
        _count_on_key(session, campaign, new, now)
    campaign.state = new
    campaign.state_reason = reason or None
    campaign.paused_at = now if new is CampaignState.PAUSED else None
    if new is CampaignState.RUNNING and campaign.started_at is None:
        campaign.started_at = now
        begin_plan(campaign, now)
    if new is CampaignState.CANCELLED and campaign.started_at is None:
        campaign.started_at = now  # so that the sweep closes what it holds
    note_event(session, campaign.id, str(new), reason, now)
    return new


def _count_on_key(session: Session, campaign: Campaign, new: CampaignState, now: datetime) -> None:
    """Before the start: what the campaign will need of its key's quota. Raises QuotaExceeded."""
    if new is CampaignState.SCHEDULED:
        quota.hold(session, campaign, campaign.start_at or now, now)
    elif new is CampaignState.RUNNING:
        late = campaign.state is CampaignState.SCHEDULED  # its time came: it stays on the day it was scheduled for
        quota.hold(session, campaign, (campaign.start_at if late else None) or now, now)
    elif new is CampaignState.CANCELLED:
        quota.give_back(session, campaign, now)
