"""What a submit asks of the database: the batch, what in it is due, and the intents. Each step is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from models import leases, queries
from models.bulk import among
from models.forgotten import suppressed
from models.leases import Lease, Terms
from models.moves import Home, Move, apply_expected, apply_moves
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
    """What is due, and what will never leave: it opted out, ran out of time, or is over a cap."""

    due: list[Due]
    closing: list[Move]


def look(session: Session, lease: Lease, brief: Brief, now: datetime, limit: int, key: Callable[[], bytes]) -> Look:
    """Reads only: so a look waits for no other writer, and none waits for it. `key`: of erased numbers' digests."""
    rows = due_messages(session, lease.batch_id, now, limit)
    if not rows:
        return Look([], [])
    opted_out = _opted_out(session, rows, key)
    closing = [move for row in rows if (move := _closing(row, opted_out, brief.expires_at, now))]
    closed = {move.message_id for move in closing}
    due = _due(session.get_one(Campaign, lease.campaign_id), [row for row in rows if row.id not in closed])
    capped = _against_caps(session, brief.caps, due, now)
    over = {move.message_id for move in capped}
    return Look([one for one in due if one.id not in over], [*closing, *capped])


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


def attempt_row(account: str, policy: LookUpPolicy, lease: Lease, chunk: Chunk) -> dict[str, object]:
    """The request's row in `attempts`; its bytes are kept where a replay may have to repeat them."""
    cost = chunk.cost
    return {
        "id": chunk.attempt_id,
        "account": account,
        "kind": "submit",
        "batch_id": lease.batch_id,
        "messages": cost.messages,
        "segments": cost.segments,
        "message_ids": [one.message.id for one in chunk.due],
        "body": chunk.request.body if policy.by is LookUpBy.REPLAY else None,
    }


def write_intents(
    session: Session, lease: Lease, rows: Sequence[tuple[Chunk, dict[str, object]]], caps: Caps | None, now: datetime
) -> tuple[CampaignState | None, frozenset[UUID]]:
    """`queued` to `submitting` with the attempts' rows, if the lease holds and the campaign runs. The messages that
    stay: those that were cancelled or taken meanwhile, or are over a cap."""
    state = leases.hold(session, lease)
    if state is not CampaignState.RUNNING:
        return state, frozenset()
    capped = _over_caps(session, [chunk for chunk, _ in rows], caps, now)
    attempts = [{**row, "started_at": now} for chunk, row in rows if not capped.issuperset(chunk.ids)]
    if attempts:
        session.connection().execute(insert(Attempt), attempts)
    moves = [move for chunk, _ in rows for move in _intents(chunk, capped, now)]
    left = apply_expected(session, MessageState.QUEUED, {Home(lease.campaign_id, lease.account): moves}, now)
    return state, frozenset((*capped, *(move.message_id for move in left)))


def _intents(chunk: Chunk, capped: set[UUID], now: datetime) -> list[Move]:
    values = {"attempt_id": chunk.attempt_id, "attempted_at": now, "not_before": None}
    note = str(chunk.attempt_id)
    return [Move(one.id, MessageState.SUBMITTING, note, values) for one in chunk.due if one.id not in capped]


def _over_caps(session: Session, chunks: Sequence[Chunk], caps: Caps | None, now: datetime) -> set[UUID]:
    """What another campaign overtook since it was loaded: it stays queued, the next look closes it."""
    if not caps:
        return set()
    lock(session)
    due = [one for chunk in chunks for one in chunk.due]
    return {move.message_id for move in _against_caps(session, caps, due, now)}
