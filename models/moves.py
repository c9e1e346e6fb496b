"""Moving messages between states: the only code that changes `messages.state`.

Every move is checked against the declared transitions, written to the message's trail, and counted, in the caller's
transaction. A move that is not allowed from the row's present state does nothing and is left out of the answer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Dialect, Executable, Table, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from models.bulk import Update, among, expected_update, run_expected, update_by_id
from models.outbox import note_moves
from models.phase import in_state, phase_of
from models.plain import trail_line
from models.states import ACCEPTED_ONCE, FINAL, MessageState, may
from models.tables import CampaignCount, Message
from models.tallies import Tally, code_label, tally

_MESSAGES: Table = Message.__table__  # type: ignore[assignment]  # declared as FromClause, is a Table
_COUNTS: Table = CampaignCount.__table__  # type: ignore[assignment]  # as above


class Move(NamedTuple):
    """What shall become of one message. `attempt`: only if this is still its last attempt (a fence against a worker
    that wakes up after its lease). `only_from` narrows the declared sources. `values` are further columns."""

    message_id: UUID
    new: MessageState
    note: str = ""
    values: Mapping[str, Any] = MappingProxyType({})
    attempt: UUID | None = None
    only_from: frozenset[MessageState] | None = None


class Moved(NamedTuple):
    """What did become of it."""

    message_id: UUID
    campaign_id: UUID
    account: str
    old: MessageState
    new: MessageState


class Locked(NamedTuple):
    """A message as it stands, locked until the transaction ends."""

    message_id: UUID
    campaign_id: UUID
    account: str
    state: MessageState
    attempt_id: UUID | None
    msisdn: str
    provider_id: str | None
    group_id: str | None
    ref_round: int
    submitted_at: datetime | None
    deadline: datetime | None


_COLUMNS = (
    Message.id, Message.campaign_id, Message.account, Message.state, Message.attempt_id, Message.msisdn,
    Message.provider_id, Message.group_id, Message.ref_round, Message.submitted_at, Message.deadline,
)  # fmt: skip


def lock_messages(session: Session, ids: Iterable[UUID]) -> dict[UUID, Locked]:
    """The present rows, locked in a fixed order so that two transactions never cross."""
    wanted = set(ids)
    if not wanted:
        return {}
    query = select(*_COLUMNS).where(among(session, Message.id, wanted)).order_by(Message.id)
    return {row[0]: Locked._make(row) for row in session.execute(query.with_for_update())}


def apply_moves(
    session: Session, moves: Sequence[Move], now: datetime, locked: Mapping[UUID, Locked] | None = None
) -> list[Moved]:
    """Carry out what is allowed. At most one move per message in one call (the last one given wins).

    `locked`: the rows, where the caller has locked them already in this transaction.
    """
    wanted = {move.message_id: move for move in moves}
    rows = lock_messages(session, wanted) if locked is None else locked
    allowed = [
        (move, row)
        for message_id, row in rows.items()
        if (move := wanted.get(message_id)) is not None and _allowed(move, row)
    ]
    _write(session, [move for move, _ in allowed], now)
    done = [Moved(row.message_id, row.campaign_id, row.account, row.state, move.new) for move, row in allowed]
    ways = Counter(_Way(row.campaign_id, row.account, row.state, move.new, _code(move)) for move, row in allowed)
    _tell(session, ways, ((item.campaign_id, item.message_id, item.new) for item in done), now)
    return done


@dataclass(frozen=True, slots=True)
class Home:
    """Whose messages they are, where the caller knows it and the database need not say it again."""

    campaign_id: UUID
    account: str


@dataclass(frozen=True, slots=True)
class Expected:
    """Moves of messages that are taken to be in state `old` and at the attempt that their move names, ready to be
    carried out."""

    old: MessageState
    moves: Sequence[tuple[Home, Move]]
    updates: Sequence[Update]
    left: frozenset[UUID]
    """Whose move does not go from `old`."""
    at: datetime


def expect(dialect: Dialect, old: MessageState, moves: Mapping[Home, Sequence[Move]], now: datetime) -> Expected:
    """What can be made before the transaction. Raises ValueError for a transition that is not declared from `old`."""
    wanted = {move.message_id.int: (home, move) for home, several in moves.items() for move in several}
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], _Group] = defaultdict(_Group)
    left: set[UUID] = set()
    checked: MessageState | None = None
    moved: tuple[str, ...] = _MOVED
    for _, move in wanted.values():
        if move.only_from is not None and old not in move.only_from:
            left.add(move.message_id)
            continue
        if move.new is not checked and not may(old, move.new):
            raise ValueError(f"no transition from {old} to {move.new} is declared")
        if move.new is not checked:
            checked, moved = move.new, _moved(old, move.new)
        groups[tuple(move.values), moved].add(move, now)
    # An intent makes the attempt: before it there is none that could fence.
    expected = ("state",) if old is MessageState.QUEUED else ("state", "attempt_id")
    updates = [
        expected_update(dialect, _MESSAGES, (*names, *moved), expected, group.columns(names, old))
        for (names, moved), group in groups.items()
    ]
    return Expected(old, list(wanted.values()), updates, frozenset(left), now)


def apply_expected(session: Session, expected: Expected) -> list[Move]:
    """Carry them out without a look at the messages first; the moves that found something else, for `apply_moves`. The
    hot path of submits."""
    left = expected.left.union(*(run_expected(session, update) for update in expected.updates))
    done = [pair for pair in expected.moves if pair[1].message_id not in left] if left else expected.moves
    told = ((home.campaign_id, move.message_id, move.new) for home, move in done)
    _tell(session, _ways(expected.old, done), told, expected.at)
    return [move for _, move in expected.moves if move.message_id in left] if left else []


_MOVED: Final = ("state", "final_at", "trail")
_MOVED_ON: Final = (*_MOVED, "phase")


def _moved(old: MessageState, new: MessageState) -> tuple[str, ...]:
    """The columns that every move sets. Setting the phase renews its entries in the indexes, even to what it was."""
    return _MOVED if phase_of(old) is phase_of(new) else _MOVED_ON


@dataclass(slots=True)
class _Group:
    """Moves that set the same columns, as columns."""

    ids: list[UUID] = field(default_factory=list)
    news: list[MessageState] = field(default_factory=list)
    final: list[datetime | None] = field(default_factory=list)
    trail: list[str] = field(default_factory=list)
    attempts: list[UUID | None] = field(default_factory=list)
    values: list[tuple[Any, ...]] = field(default_factory=list)
    _note: str = ""

    def add(self, move: Move, now: datetime) -> None:
        if not self.ids or move.new is not self.news[-1] or move.note != self._note:
            self._note = move.note
            self.final.append(now if move.new in FINAL else None)
            self.trail.append(trail_line(move.new, move.note, now))
        else:  # as the one before: most are
            self.final.append(self.final[-1])
            self.trail.append(self.trail[-1])
        self.ids.append(move.message_id)
        self.news.append(move.new)
        self.attempts.append(move.attempt)
        self.values.append(tuple(move.values.values()))

    def columns(self, names: tuple[str, ...], old: MessageState) -> dict[str, Sequence[Any]]:
        """By name, with what is expected before."""
        return {
            **dict(zip(names, zip(*self.values, strict=True), strict=True)),
            "id": self.ids,
            "state": self.news,
            "phase": [phase_of(new) for new in self.news],
            "final_at": self.final,
            "trail": self.trail,
            "was_state": [old] * len(self.ids),
            "was_attempt_id": self.attempts,
        }


def _ways(old: MessageState, done: Sequence[tuple[Home, Move]]) -> Counter[_Way]:
    """How many went which way. Runs of the same are counted as one: most of a transaction is a few runs."""
    ways: Counter[_Way] = Counter()
    way: _Way | None = None
    whose: Home | None = None
    start = 0
    for place, (home, move) in enumerate(done):
        code = _code(move)
        if way is None or home is not whose or move.new is not way.new or code != way.code:
            if way is not None:
                ways[way] += place - start
            way, whose, start = _Way(home.campaign_id, home.account, old, move.new, code), home, place
    if way is not None:
        ways[way] += len(done) - start
    return ways


def move_all(session: Session, which: ColumnElement[bool], old: MessageState, move: Move, now: datetime) -> int:
    """Carry out one move for every message in state `old` that matches, in one statement; the number moved.

    For what is decided for many at once (a cancelled campaign): several times faster than one by one. `move` says the
    new state, note and columns; its id is not looked at. Keep `which` to some thousand messages: they stay locked until
    the transaction ends. Raises ValueError for a transition that is not declared.
    """
    if not may(old, move.new):
        raise ValueError(f"no transition from {old} to {move.new} is declared")
    row = _row(move, now, {})
    line = row.pop("trail")
    del row["id"]
    statement = (
        update(_MESSAGES)
        .where(which, in_state(old))
        .values(**row, trail=_MESSAGES.c.trail + line)
        .returning(_MESSAGES.c.id, _MESSAGES.c.campaign_id, _MESSAGES.c.account)
    )
    rows = session.execute(statement).all()
    ways = Counter(_Way(campaign_id, account, old, move.new, _code(move)) for _, campaign_id, account in rows)
    _tell(session, ways, ((campaign_id, message_id, move.new) for message_id, campaign_id, _ in rows), now)
    return len(rows)


class _Way(NamedTuple):
    """What moves have in common, as far as counters and metrics tell them apart."""

    campaign_id: UUID
    account: str
    old: MessageState
    new: MessageState
    code: str | None


def _code(move: Move) -> str | None:
    code: str | None = move.values.get("code")
    return code


def _tell(
    session: Session, ways: Mapping[_Way, int], told: Iterable[tuple[UUID, UUID, MessageState]], now: datetime
) -> None:
    """Counters, metrics and events of moves that were carried out."""
    delta: Counter[tuple[UUID, str, str]] = Counter()
    for way, n in ways.items():
        delta[(way.campaign_id, way.account, way.old)] -= n
        delta[(way.campaign_id, way.account, way.new)] += n
    add_counts(session, delta)
    _tally(session, ways)
    note_moves(session, {(way.campaign_id, way.new) for way in ways}, told, now)


_NOT_YET_TAKEN = frozenset({MessageState.QUEUED, MessageState.SUBMITTING, MessageState.UNKNOWN})


def _tally(session: Session, ways: Mapping[_Way, int]) -> None:
    """What the metrics tell of these moves. A later report that names another end counts as one more outcome."""
    for (_, account, old, new, code), n in ways.items():
        if old in _NOT_YET_TAKEN and new in ACCEPTED_ONCE:
            tally(session, Tally.SUBMITTED, account, n=n)
        if new in FINAL:
            tally(session, Tally.OUTCOMES, account, (new, code_label(code)), n)
        elif new is MessageState.UNKNOWN:
            tally(session, Tally.UNKNOWN, account, n=n)


def _write(session: Session, moves: Iterable[Move], now: datetime) -> None:
    """One statement for each set of columns."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    lines: dict[tuple[MessageState, str], str] = {}
    for move in moves:
        row = _row(move, now, lines)
        groups[tuple(row)].append(row)
    for names, group in groups.items():
        update_by_id(session, _MESSAGES, tuple(name for name in names if name != "id"), group)


def set_facts(session: Session, facts: Mapping[UUID, Mapping[str, Any]]) -> None:
    """Columns that are no state, of messages that the caller has locked. Raises ValueError for `state` and `phase`."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for message_id, values in sorted(facts.items()):
        if not values.keys().isdisjoint(("state", "phase")):
            raise ValueError("a state is moved, not set")
        groups[tuple(sorted(values))].append({"id": message_id, **values})
    for names, group in groups.items():
        if names:
            update_by_id(session, _MESSAGES, names, group)


def add_counts(session: Session, delta: Mapping[tuple[UUID, str, str], int]) -> None:
    """Keep the campaigns' counters in step, in a fixed order so that two transactions never cross."""
    rows = [
        {"campaign_id": campaign, "account": account, "state": state, "n": n}
        for (campaign, account, state), n in sorted(delta.items(), key=str)
        if n
    ]
    if rows:
        session.connection().execute(_adding(session.get_bind().dialect.name), rows)


@cache
def _adding(dialect: str) -> Executable:
    statement = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(_COUNTS)
    return statement.on_conflict_do_update(
        index_elements=["campaign_id", "account", "state"], set_={"n": _COUNTS.c.n + statement.excluded.n}
    )


def _allowed(move: Move, row: Locked) -> bool:
    if move.attempt is not None and move.attempt != row.attempt_id:
        return False
    if move.only_from is not None and row.state not in move.only_from:
        return False
    return may(row.state, move.new)


def _row(move: Move, now: datetime, lines: dict[tuple[MessageState, str], str]) -> dict[str, Any]:
    """The columns that a move sets; `lines` keeps the lines of the trail that moves have in common."""
    said = (move.new, move.note)
    line = lines.get(said)
    if line is None:
        line = lines[said] = trail_line(move.new, move.note, now)
    final_at = now if move.new in FINAL else None
    state = {"state": move.new, "phase": phase_of(move.new)}
    return {**move.values, "id": move.message_id, **state, "final_at": final_at, "trail": line}
