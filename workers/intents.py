"""What a submit asks of the database: the batch, what in it is due, and the intents. Each step is one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Dialect, select
from sqlalchemy.orm import Session

from models import leases, queries
from models.bulk import among
from models.copying import insert_flat
from models.forgotten import suppressed
from models.leases import Lease, Terms
from models.moves import Expected, Home, Move, apply_expected, apply_moves, expect
from models.plain import moment
from models.queries import due_messages
from models.states import CampaignState, MessageState
from models.steering import Caps
from models.tables import Attempt, Campaign, Suppression
from providers.base import LookUpBy, LookUpPolicy
from workers.brief import Brief, brief_of
from workers.caps import Candidate, lock, moves_against
from workers.chunk import Chunk, Due
from workers.decide import Position
from workers.outgoing import options_of, outgoing


@dataclass(frozen=True, slots=True)
class Taken:
    """A batch in our hands, and what its campaign asks of us."""

    lease: Lease
    brief: Brief
    terms: Terms


def take(
    session: Session, batch_id: UUID, owner: str, now: datetime, seconds: float, default_caps: Caps
) -> Taken | None:
    """Lease the batch. None: someone else has it, or it is not to be submitted now."""
    lease = leases.claim(session, batch_id, owner, now, seconds)
    if lease is None:
        return None
    return Taken(lease, brief_of(session, lease, default_caps), leases.terms(session, lease))


@dataclass(frozen=True, slots=True)
class Look:
    """What is due, and what will never leave: it opted out, ran out of time, or is over a cap. `last`: the last row
    that was looked at."""

    due: list[Due]
    closing: list[Move]
    last: int


def look(
    session: Session, lease: Lease, brief: Brief, now: datetime, limit: int, after: int, key: Callable[[], bytes]
) -> Look:
    """Reads only: so a look waits for no other writer, and none waits for it. Beyond row `after`. `key`: of erased
    numbers' digests."""
    rows = due_messages(session, lease.batch_id, now, limit, after)
    if not rows:
        return Look([], [], after)
    opted_out = _opted_out(session, rows, key)
    closing = [move for row in rows if (move := _closing(row, opted_out, brief.expires_at, now))]
    closed = {move.message_id for move in closing}
    due = _due(session.get_one(Campaign, lease.campaign_id), [row for row in rows if row.id not in closed])
    capped = _against_caps(session, brief.caps, due, now)
    over = {move.message_id for move in capped}
    return Look([one for one in due if one.id not in over], [*closing, *capped], rows[-1].row_no)


def close(session: Session, moves: Sequence[Move], now: datetime) -> None:
    apply_moves(session, moves, now)


def _opted_out(session: Session, rows: Sequence[queries.Due], key: Callable[[], bytes]) -> set[tuple[str, str]]:
    numbers = {row.msisdn for row in rows}
    query = select(Suppression.msisdn, Suppression.sender).where(among(session, Suppression.msisdn, numbers))
    return {*session.execute(query), *suppressed(session, sorted(numbers), key)}


def _closing(
    row: queries.Due, opted_out: set[tuple[str, str]], expires_at: datetime | None, now: datetime
) -> Move | None:
    if opted_out and ((row.msisdn, "") in opted_out or (row.msisdn, row.sender) in opted_out):
        return Move(row.id, MessageState.SUPPRESSED, "opted out after import")
    if (row.expires_at is not None and row.expires_at <= now) or (expires_at is not None and expires_at <= now):
        values = {"code": "too_late", "reason": "could not leave within its validity"}
        return Move(row.id, MessageState.EXPIRED, "too late to leave", values)
    return None


def _due(campaign: Campaign, rows: Sequence[queries.Due]) -> list[Due]:
    options, validity = options_of(campaign), campaign.validity
    return [
        Due(row.id, outgoing(row, campaign, options), Position(row.tries, row.looks, row.ref_round, validity))
        for row in rows
    ]


def _against_caps(session: Session, caps: Caps | None, due: Sequence[Due], now: datetime) -> list[Move]:
    if not caps:
        return []
    return moves_against(session, caps, [Candidate(one.id, one.message.msisdn, one.message.text) for one in due], now)


AttemptRow = tuple[Any, ...]
"""The values of `ATTEMPT`, as the database keeps them."""
ATTEMPT: Final = ("id", "account", "batch_id", "messages", "segments", "message_ids", "body")


def attempt_row(account: str, policy: LookUpPolicy, lease: Lease, chunk: Chunk) -> AttemptRow:
    """The request's row in `attempts`; its bytes are kept where a replay may have to repeat them."""
    cost = chunk.cost
    ids = orjson.dumps([one.message.id for one in chunk.due]).decode()
    body = chunk.request.body if policy.by is LookUpBy.REPLAY else None
    return (chunk.attempt_id.hex, account, lease.batch_id.hex, cost.messages, cost.segments, ids, body)


class Intent(NamedTuple):
    """What one batch is about to send: its chunks with their attempts' rows, and what caps its campaign."""

    lease: Lease
    rows: Sequence[tuple[Chunk, AttemptRow]]
    caps: Caps | None = None

    @property
    def messages(self) -> int:
        return sum(len(chunk.due) for chunk, _ in self.rows)


class Intended(NamedTuple):
    """The campaign's state (None: the lease is lost; only RUNNING sends), and the messages that stay: those that were
    cancelled or taken meanwhile, or are over a cap."""

    state: CampaignState | None
    stays: frozenset[UUID] = frozenset()


def prepare_intents(dialect: Dialect, intents: Sequence[Intent], now: datetime) -> Callable[[Session], list[Intended]]:
    """What brings messages from `queued` to `submitting`, with the attempts' rows, where the lease holds and the
    campaign runs: in a transaction of the caller's."""
    free = [intent for intent in intents if not intent.caps]
    ready = _ready(dialect, free, frozenset(), now)

    def write(session: Session) -> list[Intended]:
        states = leases.hold_all(session, [intent.lease for intent in intents])
        running = [intent for intent in intents if states.get(intent.lease) is CampaignState.RUNNING]
        left = [intent for intent in running if not intent.caps]
        stays = _write(session, ready if len(left) == len(free) else _ready(dialect, left, frozenset(), now))
        for intent in running:
            if intent.caps:  # one after the other: they have to see each other's
                capped = _over_caps(session, intent, now)
                stays |= capped | _write(session, _ready(dialect, [intent], capped, now))
        return [Intended(states.get(intent.lease), _of(intent, stays)) for intent in intents]

    return write


def _of(intent: Intent, stays: frozenset[UUID]) -> frozenset[UUID]:
    return stays.intersection(one for chunk, _ in intent.rows for one in chunk.ids) if stays else stays


class _Ready(NamedTuple):
    """Rows of attempts, what they have in common, and the moves of their messages."""

    attempts: list[Any]
    same: Mapping[str, Any]
    moves: Expected


def _ready(dialect: Dialect, intents: Sequence[Intent], capped: frozenset[UUID], now: datetime) -> _Ready:
    rows = [row for one in intents for chunk, row in one.rows if not (capped and capped.issuperset(chunk.ids))]
    moves: dict[Home, list[Move]] = defaultdict(list)
    for lease, chunks, _ in intents:
        moves[Home(lease.campaign_id, lease.account)] += [
            move for chunk, _ in chunks for move in _intents(chunk, capped, now)
        ]
    same = {"kind": "submit", "started_at": moment(now, dialect.name)}
    return _Ready(list(chain.from_iterable(rows)), same, expect(dialect, MessageState.QUEUED, moves, now))


def _write(session: Session, ready: _Ready) -> frozenset[UUID]:
    """The messages that were not queued any more."""
    insert_flat(session, Attempt, ATTEMPT, ready.attempts, ready.same)
    return frozenset(move.message_id for move in apply_expected(session, ready.moves))


def _intents(chunk: Chunk, capped: frozenset[UUID], now: datetime) -> list[Move]:
    values = {"attempt_id": chunk.attempt_id, "attempted_at": now, "not_before": None}
    note = str(chunk.attempt_id)
    return [Move(one.id, MessageState.SUBMITTING, note, values) for one in chunk.due if one.id not in capped]


def _over_caps(session: Session, intent: Intent, now: datetime) -> frozenset[UUID]:
    """What another campaign overtook since it was loaded: it stays queued, the next look closes it."""
    lock(session)
    due = [one for chunk, _ in intent.rows for one in chunk.due]
    return frozenset(move.message_id for move in _against_caps(session, intent.caps, due, now))
