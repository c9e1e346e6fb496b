"""What a campaign's steering means for one batch that is about to leave: its window, its validity, its caps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from models import leases
from models.leases import Lease
from models.numberzones import zones_of
from models.states import BatchState, MessageState
from models.steering import Caps, planned_for, steering_of
from models.tables import Batch, Campaign, Message
from models.windows import Window, closing, next_open, zones_from, zones_key

log = structlog.get_logger("drumline.brief")

DEFERRED_AT_ONCE = 5000  # batches: bounds how long the others wait for the database
NEVER = timedelta(days=3650)


@dataclass(slots=True)
class Brief:
    """`expires_at`: nothing of this batch may leave after it. `shut_until` remembers the window between looks."""

    window: Window | None = None
    zones: tuple[str, ...] = ()
    expires_at: datetime | None = None
    caps: Caps | None = None
    _open_until: datetime | None = None

    def shut_until(self, now: datetime) -> datetime | None:
        """When the window opens again; None: it is open, or there is none. Cheap: asked before every wave."""
        if self.window is None or (self._open_until is not None and now < self._open_until):
            return None
        opens = next_open(self.window, self.zones, now)
        if opens == now:
            self._open_until = closing(self.window, self.zones, now)
            return None
        return opens if opens is not None else now + NEVER


def brief_of(session: Session, lease: Lease, default: Caps) -> Brief:
    """Read once per lease."""
    query = (
        select(Campaign.steering, Campaign.anchor_at, Campaign.validity, Campaign.rows_accepted, Batch.position,
               Batch.zones)
        .join(Batch, Batch.campaign_id == Campaign.id)
        .where(Batch.id == lease.batch_id)
    )  # fmt: skip
    row = session.execute(query).one()
    steering = steering_of(row.steering)
    caps = (Caps() if steering.caps is None else steering.caps).over(default)
    zones: tuple[str, ...] = ()
    if steering.window is not None:
        zones = zones_from(row.zones if row.zones is not None else _zones_of_messages(session, lease))
    expires_at = None
    if row.validity is not None and row.anchor_at is not None:
        planned = planned_for(steering, row.anchor_at, row.position, row.rows_accepted)
        expires_at = planned + timedelta(seconds=row.validity)
    return Brief(steering.window, zones, expires_at, caps or None)


def _zones_of_messages(session: Session, lease: Lease) -> str:
    """A batch that was not cut by zones: its window must be open for everybody in it to whom something may leave yet,
    be it that it was not accepted after all."""
    in_batch = Message.batch_id == lease.batch_id
    waits = and_(Message.phase == MessageState.QUEUED, in_batch)
    doubtful = and_(Message.account == lease.account, Message.phase == MessageState.UNKNOWN, in_batch)
    numbers: Sequence[str] = session.execute(select(Message.msisdn).where(or_(waits, doubtful))).scalars().all()
    return zones_key(zone for number in numbers for zone in zones_of(number))


def defer(session: Session, lease: Lease, opens: datetime) -> None:
    """The window closed: back to the plan until it opens, this batch and all the others of its campaign that are in the
    same zones and due before, so that they need not be taken up one by one to find out."""
    batch = session.execute(select(Batch.zones, Batch.campaign_id).where(Batch.id == lease.batch_id)).one()
    if not leases.give_back(session, lease, opens):
        return
    others = (
        select(Batch.id)
        .where(
            Batch.account == lease.account,
            Batch.campaign_id == batch.campaign_id,
            Batch.state == BatchState.PLANNED,
            Batch.not_before < opens,
            Batch.zones == batch.zones,
        )
        .limit(DEFERRED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    ids = session.execute(others).scalars().all()
    if ids:
        session.execute(update(Batch).where(Batch.id.in_(ids)).values(not_before=opens))
    log.info("window_closed", deferred=len(ids) + 1, opens=opens.isoformat(timespec="seconds"))
