"""An account is out of order: its undispatched messages go to other accounts of their campaign's route.

Only as much as the healthy accounts can use in the next while: if the account recovers, the rest leaves by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config.accounts import Account
from config.pace import batch_size
from models.queries import note_event
from models.reassign import Target, movable, reassign, stealable
from models.states import BatchState, CampaignState
from models.tables import AccountStatus, Batch, Campaign, Lane, Message
from providers.base import Provider
from workers.breaker import BreakerState, OpenKind
from workers.outgoing import outgoing

log = structlog.get_logger("drumline.failover")

BATCHES_AHEAD: Final = 3  # batches of a campaign that wait at an account which takes over
MOST_LOOKS: Final = 50  # batches looked at per campaign and run: some may hold nothing that another account would take
FRESH_SECONDS: Final = 30.0  # an older snapshot says nothing about now
ERRORS_SECONDS: Final = 60.0  # how long an account may have trouble answering before others take over
LASTING: Final = frozenset({OpenKind.CREDENTIALS, OpenKind.PAUSED, OpenKind.OPERATOR})

AdapterOf = Callable[[str], Provider | None]


@dataclass(frozen=True, slots=True)
class Health:
    """What the last snapshot says of an account."""

    out_of_order: str | None  # the reason, where waiting is no use
    healthy: bool


def health(snapshot: Mapping[str, Any], updated_at: datetime | None, parked_until: datetime | None,
           now: datetime) -> Health:  # fmt: skip
    """Pure. An account that was never used counts as healthy; one that nobody has heard of lately as neither."""
    if not snapshot:
        return Health(None, healthy=True)
    breaker = snapshot.get("breaker")
    if breaker is None or updated_at is None or now - updated_at > timedelta(seconds=FRESH_SECONDS):
        return Health(None, healthy=False)
    kind, state = breaker.get("kind"), breaker.get("state")
    if state == BreakerState.CLOSED or kind == OpenKind.UNPROVEN:
        return Health(None, healthy=parked_until is None or parked_until <= now)
    lasting = kind in LASTING or (kind == OpenKind.ERRORS and float(breaker.get("for", 0)) >= ERRORS_SECONDS)
    return Health(f"{kind}: {breaker.get('reason', '')}"[:200] if lasting else None, healthy=False)


@dataclass
class Failover:
    """One run over all accounts, in the caller's transaction."""

    session: Session
    accounts: Mapping[str, Account]
    adapter_of: AdapterOf
    batch_seconds: float
    now: datetime

    def run(self) -> int:
        """The number of messages moved."""
        found = self._health()
        out = {name: state.out_of_order for name, state in found.items() if state.out_of_order}
        healthy = {name for name in self.accounts if found.get(name, Health(None, healthy=True)).healthy}
        return sum(
            self._leave(name, reason, campaign, healthy)
            for name, reason in out.items()
            for campaign in self._waiting(name)
        )

    def _health(self) -> dict[str, Health]:
        rows = self.session.execute(select(AccountStatus)).scalars()
        return {row.account: health(row.snapshot, row.updated_at, row.parked_until, self.now) for row in rows}

    def _waiting(self, account: str) -> Iterable[Campaign]:
        """Running campaigns with a batch at the account that nobody works on."""
        planned = select(Batch.id).where(
            Batch.campaign_id == Campaign.id, Batch.account == account, Batch.state == BatchState.PLANNED
        )
        query = (
            select(Campaign)
            .join(Lane, (Lane.campaign_id == Campaign.id) & (Lane.account == account))
            .where(Campaign.state == CampaignState.RUNNING, Campaign.failover, planned.exists())
        )
        # Where rules say which account may carry which number, the other accounts are no substitute.
        return [campaign for campaign in self.session.execute(query).scalars() if not campaign.routing.get("rules")]

    def _leave(self, account: str, why: str, campaign: Campaign, healthy: set[str]) -> int:
        moved = 0
        for name in campaign.route:
            provider = self.adapter_of(name) if name in healthy and name != account else None
            if provider is not None:
                count = self._fill(account, self.accounts[name], provider, campaign, why)
                if count:
                    text = f"{count} messages from {account} to {name}: {why}"
                    note_event(self.session, campaign.id, "failover", text, self.now)
                    log.info("failover", campaign=str(campaign.id), account=account, to=name, messages=count)
                moved += count
        return moved

    def _fill(self, source: str, to: Account, provider: Provider, campaign: Campaign, why: str) -> int:
        """Give an account so much of a campaign that it has something to do until the next run."""
        size = batch_size(to, provider.max_recipients, self.batch_seconds)
        room = BATCHES_AHEAD * size - self._waiting_at(campaign.id, to.name)
        sender = campaign.routing.get("senders", {}).get(to.name) or to.sender_for(campaign.sender)
        target = Target(to.name, sender, size)
        moved = 0
        for _ in range(MOST_LOOKS):
            batch = stealable(self.session, campaign.id, source) if moved < room else None
            if batch is None:
                break
            rows = [row for row in movable(self.session, batch.id) if self._takes(to, provider, target, row, campaign)]
            if rows:
                reassign(self.session, batch, rows[: room - moved], target, why, self.now)
                moved += len(rows[: room - moved])
            if batch.state is BatchState.PLANNED:
                # To the end of the line, so that the next look sees another one.
                batch.not_before = max(batch.not_before, self.now + timedelta(seconds=1))
                self.session.flush()
        return moved

    def _waiting_at(self, campaign_id: UUID, account: str) -> int:
        query = select(func.coalesce(func.sum(Batch.size), 0)).where(
            Batch.campaign_id == campaign_id, Batch.account == account, Batch.state == BatchState.PLANNED
        )
        return int(self.session.execute(query).scalar_one())

    def _takes(self, to: Account, provider: Provider, target: Target, row: Message, campaign: Campaign) -> bool:
        if to.senders and target.sender not in to.senders:
            return False
        return provider.check(outgoing(row, campaign)._replace(sender=target.sender)) is None
