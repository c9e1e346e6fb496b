"""What the workers last said of each account's limits and breaker, and orders for them.

The producer's room knows no Redis: it reads the snapshot that the workers write every two seconds, and leaves orders in
SQL, which they carry out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config import names
from config.accounts import Account
from config.names import Order
from models.queries import account_status
from models.states import BatchState
from models.tables import AccountStatus, Batch

Nudge = Callable[..., object]
STALE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Standing:
    """An account as operators see it. `snapshot` as in workers/snapshot.py, `age` seconds ago; None: never."""

    account: str
    snapshot: Mapping[str, Any]
    age: float | None
    parked_for: float
    trial: bool
    on_redis: int  # batches dispatched, not yet taken
    in_work: int  # batches a worker holds
    order: str | None

    @property
    def breaker(self) -> Mapping[str, Any]:
        return self.snapshot.get("breaker") or {}

    @property
    def stale(self) -> bool:
        return self.age is None or self.age > STALE_SECONDS

    def as_dict(self) -> dict[str, Any]:
        return {
            "account": self.account,
            "age": self.age,
            "parked_for": self.parked_for,
            "trial": self.trial,
            "queue": {"dispatched": self.on_redis, "leased": self.in_work},
            "order": self.order,
            **self.snapshot,
        }


def standings(session: Session, accounts: Mapping[str, Account], now: datetime) -> list[Standing]:
    """One for every configured account, in file order."""
    rows = {row.account: row for row in session.execute(select(AccountStatus)).scalars()}
    busy = _busy(session)
    return [_standing(name, rows.get(name), busy, now) for name in accounts]


def _standing(
    name: str, row: AccountStatus | None, busy: Mapping[tuple[str, BatchState], int], now: datetime
) -> Standing:
    parked = max(0.0, (row.parked_until - now).total_seconds()) if row and row.parked_until else 0.0
    return Standing(
        account=name,
        snapshot=row.snapshot if row else {},
        age=max(0.0, (now - row.updated_at).total_seconds()) if row and row.updated_at else None,
        parked_for=parked,
        trial=bool(row and row.trial),
        on_redis=busy.get((name, BatchState.DISPATCHED), 0),
        in_work=busy.get((name, BatchState.LEASED), 0),
        order=row.order_word if row else None,
    )


def _busy(session: Session) -> dict[tuple[str, BatchState], int]:
    states = (BatchState.DISPATCHED, BatchState.LEASED)
    query = (
        select(Batch.account, Batch.state, func.count())
        .where(Batch.state.in_(states))
        .group_by(Batch.account, Batch.state)
    )
    return {(account, state): count for account, state, count in session.execute(query)}


def give_order(session: Session, account: str, order: Order, note: str) -> None:
    """Leave an order; it replaces one that was not carried out yet."""
    status = account_status(session, account)
    status.order_word, status.order_note = str(order), note[:300]


def hurry(nudge: Nudge, account: str) -> None:
    """Ask the account's workers to look now. Losing this call costs two seconds: beat asks as well."""
    nudge(names.SNAPSHOT, args=(account,), queue=names.account_queue(account))
