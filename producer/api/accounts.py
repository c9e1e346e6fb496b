"""The providers' accounts: how they are set up, and what the workers last said of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import names
from config.accounts import Account
from config.names import Order
from models.tables import AccountStatus
from producer.api.access import Admin, Reader, guarded_router
from producer.api.context import Here
from producer.api.posting import Once
from producer.api.problems import Problem, responses
from producer.api.values import AccountName, Reason
from producer.limits import Standing, give_order, standings
from providers.base import Provider

router = guarded_router("accounts")


class LimitOut(BaseModel):
    """At most `limit` of `counts` in any `per` seconds."""

    limit: int
    per: float
    counts: str


class AccountOut(BaseModel):
    """`status` is a snapshot of limiter and breaker that the workers take every few seconds; empty before the first.
    Batches: `dispatched` wait on Redis for a worker, `leased` are being sent."""

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
    order: Annotated[Order | None, Field(description="What an operator wants done, until it is done")]
    dispatched: int
    leased: int
    status: dict[str, Any]


class AccountList(BaseModel):
    items: list[AccountOut]


@router.get("/accounts", response_model=AccountList, summary="Accounts")
def listing(here: Here, caller: Reader) -> AccountList:
    """Every configured account, never its credentials."""
    with here.database.read() as session:
        found = {row.account: row for row in session.execute(select(AccountStatus)).scalars()}
        work = {one.account: one for one in standings(session, here.accounts, here.now())}
    return AccountList(
        items=[
            _out(account, here.providers[name], found.get(name), work[name]) for name, account in here.accounts.items()
        ]
    )


class OrderIn(BaseModel):
    """`open`: nothing leaves by the account until it is closed; `close`: let it work again; `unblock`: end the block
    after a 429 early, the rate ramps up."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"order": "open", "note": "maintenance"}]}
    )

    order: Order
    note: Annotated[Reason, Field(max_length=300, description="Shown to everybody")] = ""


class OrderOut(BaseModel):
    """It waits for the account's workers, who look every two seconds and at once when they are called."""

    account: str
    order: Order


@router.post(
    "/accounts/{name}/orders",
    status_code=202,
    response_model=OrderOut,
    responses=responses(400, 404, 409, 413, 415),
    summary="Stop an account, or let it work",
)
def give(name: AccountName, body: OrderIn, caller: Admin, once: Once) -> Response:
    """Replaces an order that was not carried out yet. Needs scope admin."""
    here = once.here
    if name not in here.accounts:
        raise Problem(404, "not-found", f"there is no account {name}")

    def work(session: Session) -> OrderOut:
        give_order(session, name, body.order, body.note or f"by API key {caller.name}")
        return OrderOut(account=name, order=body.order)

    response = once.run(202, work)
    here.bell.ring(names.SNAPSHOT, names.account_queue(name), name)
    return response


def _out(account: Account, provider: Provider, status: AccountStatus | None, work: Standing) -> AccountOut:
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
        order=Order(work.order) if work.order else None,
        dispatched=work.on_redis,
        leased=work.in_work,
        status=status.snapshot if status else {},
    )
