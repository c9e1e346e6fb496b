"""The providers' accounts: how they are set up, and what the workers last said of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field
from sqlalchemy import select

from config.accounts import Account
from models.tables import AccountStatus
from producer.api.access import Reader, guarded_router
from producer.api.context import Here
from providers.base import Provider

router = guarded_router("accounts")


class LimitOut(BaseModel):
    """At most `limit` of `counts` in any `per` seconds."""

    limit: int
    per: float
    counts: str


class AccountOut(BaseModel):
    """`status` is a snapshot of limiter and breaker that the workers take every few seconds; empty before the first."""

    name: str
    provider: str
    group: str
    sender: str | None
    senders: list[str]
    limits: list[LimitOut]
    pulls_reports: bool
    pushes_reports: bool
    parked_until: Annotated[datetime | None, Field(description="Nothing is sent before")]
    updated_at: datetime | None
    status: dict[str, Any]


class AccountList(BaseModel):
    items: list[AccountOut]


@router.get("/accounts", response_model=AccountList, summary="Accounts")
def listing(here: Here, caller: Reader) -> AccountList:
    """Every configured account, never its credentials."""
    with here.database.read() as session:
        found = {row.account: row for row in session.execute(select(AccountStatus)).scalars()}
    return AccountList(
        items=[_out(account, here.providers[name], found.get(name)) for name, account in here.accounts.items()]
    )


def _out(account: Account, provider: Provider, status: AccountStatus | None) -> AccountOut:
    return AccountOut(
        name=account.name,
        provider=account.provider,
        group=account.worker_group,
        sender=account.sender,
        senders=list(account.senders),
        limits=[LimitOut(limit=one.limit, per=one.per, counts=str(one.counts)) for one in account.limits],
        pulls_reports=provider.pulls,
        pushes_reports=provider.pushes,
        parked_until=status.parked_until if status else None,
        updated_at=status.updated_at if status else None,
        status=status.snapshot if status else {},
    )
