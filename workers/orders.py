"""What an operator wants done to an account: written in SQL by the command line or the API, done here.

The order stays until it is done: without Redis it waits. The newest one counts.
"""

from __future__ import annotations

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from config.names import Order
from models.tables import AccountStatus
from workers.runtime import AccountRuntime, Runtime

log = structlog.get_logger("drumline.orders")

Pending = tuple[str | None, str | None]


async def obey_order(runtime: Runtime, account: AccountRuntime) -> None:
    """Carry out the account's order, if there is one. Raises CoordinationLost; the order then stays."""
    word, note = await runtime.read(pending, account.name)
    if word is None:
        return
    if word in list(Order):
        await _obey(runtime, account, Order(word), note or "by an operator")
    await runtime.write(_done, account.name, (word, note))
    log.info("order_done", account=account.name, order=word, note=note)


async def _obey(runtime: Runtime, account: AccountRuntime, order: Order, note: str) -> None:
    match order:
        case Order.OPEN:
            await runtime.breaker.open(account.name, note)
        case Order.CLOSE:
            await runtime.breaker.close(account.name)
        case Order.UNBLOCK:
            for gate in {account.gate, account.poll_gate}:
                await runtime.limiter.unblock(gate.budget)


def pending(session: Session, account: str) -> Pending:
    """The order that waits at an account: (word, note), or (None, None)."""
    query = select(AccountStatus.order_word, AccountStatus.order_note).where(AccountStatus.account == account)
    row = session.execute(query).one_or_none()
    return (row.order_word, row.order_note) if row else (None, None)


def _done(session: Session, account: str, order: Pending) -> None:
    """Unless another one was given meanwhile."""
    session.execute(
        update(AccountStatus)
        .where(
            AccountStatus.account == account,
            AccountStatus.order_word == order[0],
            AccountStatus.order_note.is_not_distinct_from(order[1]),
        )
        .values(order_word=None, order_note=None)
    )
