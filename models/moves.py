"""Moving messages between states: the only code that changes `messages.state`.

Every move is checked against the declared transitions, written to the message's trail, and counted, in the caller's
transaction. A move that is not allowed from the row's present state does nothing and is left out of the answer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from models.states import FINAL, MessageState, may
from models.tables import CampaignCount, Message

_MESSAGES: Table = Message.__table__  # type: ignore[assignment]  # declared as FromClause, is a Table
_COUNTS: Table = CampaignCount.__table__  # type: ignore[assignment]  # as above
_CHUNK = 500  # ids per IN list: under SQLite's variable limit, and planned well by PostgreSQL


@dataclass(frozen=True, slots=True)
class Move:
    """What shall become of one message. `attempt`: only if this is still its last attempt (a fence against a worker
    that wakes up after its lease). `only_from` narrows the declared sources. `values` are further columns."""

    message_id: UUID
    new: MessageState
    note: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    attempt: UUID | None = None
    only_from: frozenset[MessageState] | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """What did become of it."""

    message_id: UUID
    campaign_id: UUID
    account: str
    old: MessageState
    new: MessageState


def apply_moves(session: Session, moves: Sequence[Move], now: datetime) -> list[Moved]:
    """Carry out what is allowed. At most one move per message in one call (the last one given wins)."""
    wanted = {move.message_id: move for move in moves}
    done: list[Moved] = []
    rows: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for message_id, campaign_id, account, state, attempt_id in _lock(session, sorted(wanted)):
        move = wanted[message_id]
        if _allowed(move, state, attempt_id):
            row = _row(move, now)
            rows[tuple(sorted(row))].append(row)
            done.append(Moved(message_id, campaign_id, account, state, move.new))
    for names, group in rows.items():
        session.connection().execute(_update(names), group)
    count(session, done)
    return done


def move_all(session: Session, which: ColumnElement[bool], old: MessageState, move: Move, now: datetime) -> int:
    """Carry out one move for every message in state `old` that matches, in one statement; the number moved.

    For what is decided for many at once (a cancelled campaign): several times faster than one by one. `move` says the
    new state, note and columns; its id is not looked at. Keep `which` to some thousand messages: they stay locked until
    the transaction ends. Raises ValueError for a transition that is not declared.
    """
    if not may(old, move.new):
        raise ValueError(f"no transition from {old} to {move.new} is declared")
    row = _row(move, now)
    line = row.pop("line")
    del row["b_id"]
    statement = (
        update(_MESSAGES)
        .where(which, _MESSAGES.c.state == old)
        .values(**row, trail=_MESSAGES.c.trail + line)
        .returning(_MESSAGES.c.campaign_id, _MESSAGES.c.account)
    )
    moved = Counter((campaign_id, account) for campaign_id, account in session.execute(statement))
    delta: Counter[tuple[UUID, str, str]] = Counter()
    for (campaign_id, account), n in moved.items():
        delta[(campaign_id, account, old)] -= n
        delta[(campaign_id, account, move.new)] += n
    add_counts(session, delta)
    return moved.total()


def count(session: Session, moved: Iterable[Moved]) -> None:
    """Keep the campaign's counters in step with moves, in a fixed order so that two transactions never cross."""
    delta: Counter[tuple[UUID, str, str]] = Counter()
    for item in moved:
        delta[(item.campaign_id, item.account, item.old)] -= 1
        delta[(item.campaign_id, item.account, item.new)] += 1
    add_counts(session, delta)


def add_counts(session: Session, delta: Mapping[tuple[UUID, str, str], int]) -> None:
    rows = [
        {"campaign_id": campaign, "account": account, "state": state, "n": n}
        for (campaign, account, state), n in sorted(delta.items(), key=str)
        if n
    ]
    if not rows:
        return
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(_COUNTS)
    statement = statement.on_conflict_do_update(
        index_elements=["campaign_id", "account", "state"], set_={"n": _COUNTS.c.n + statement.excluded.n}
    )
    session.connection().execute(statement, rows)


def trail_line(state: MessageState, note: str, now: datetime) -> str:
    """One line of a message's history: epoch milliseconds, state, note."""
    return f"{int(now.timestamp() * 1000)} {state} {note}".rstrip().replace("\n", " ") + "\n"


def _lock(session: Session, ids: Sequence[UUID]) -> Iterator[tuple[UUID, UUID, str, MessageState, UUID | None]]:
    """The present rows, locked in a fixed order."""
    columns = (Message.id, Message.campaign_id, Message.account, Message.state, Message.attempt_id)
    for start in range(0, len(ids), _CHUNK):
        part = ids[start : start + _CHUNK]
        query = select(*columns).where(Message.id.in_(part)).order_by(Message.id).with_for_update()
        yield from session.execute(query).tuples()


def _allowed(move: Move, state: MessageState, attempt_id: UUID | None) -> bool:
    if move.attempt is not None and move.attempt != attempt_id:
        return False
    if move.only_from is not None and state not in move.only_from:
        return False
    return may(state, move.new)


def _row(move: Move, now: datetime) -> dict[str, Any]:
    final = now if move.new in FINAL else None
    return {
        **move.values,
        "b_id": move.message_id,
        "state": move.new,
        "final_at": final,
        "line": trail_line(move.new, move.note, now),
    }


_UPDATES: dict[tuple[str, ...], Any] = {}


def _update(names: tuple[str, ...]) -> Any:
    """The update for this set of columns, made once."""
    if names not in _UPDATES:
        columns: dict[str, Any] = {name: bindparam(name) for name in names if name not in {"b_id", "line"}}
        columns["trail"] = _MESSAGES.c.trail + bindparam("line")
        _UPDATES[names] = update(_MESSAGES).where(_MESSAGES.c.id == bindparam("b_id")).values(columns)
    return _UPDATES[names]
