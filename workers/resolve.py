"""Finding out what became of messages whose outcome is unknown, each provider in its own way.

Nothing here guesses. Found at the provider: its id and state are adopted. Proven absent, where the provider's answer
is a proof and everything it shows instead belongs to other messages: back to `queued`. Otherwise the message stays
`unknown` until a report comes or the provider's memory ends; then the campaign's policy decides, and every report says
so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models import leases
from models.moves import Move, apply_moves
from models.states import MessageState
from models.tables import Attempt, Campaign, Message
from models.types import new_id
from providers.base import (
    Accepted,
    FailureClass,
    Found,
    LookUpBy,
    LookUpPolicy,
    NoAnswer,
    NotThere,
    Outcome,
    Outgoing,
    Refused,
    Report,
    Sighting,
    Sought,
    Unclear,
)
from providers.wire import Reply
from workers.charged import HORIZON, look_up, send_at_slot
from workers.decide import FOLLOWS, Decision, Follow, Position, Rules, decide
from workers.fold import report_move
from workers.gate import LEAVE_WITHIN, Boarding, Cost, Pass, Wait
from workers.outgoing import outgoing
from workers.readings import Answer
from workers.record import Answered
from workers.runtime import AccountRuntime, Runtime
from workers.toll import ACCOUNT_HORIZON, Toll, sender_budget

log = structlog.get_logger("drumline.resolve")

AT_ONCE = 50  # unknown messages taken in one run
LONGEST_DOUBT: Final = 3600.0  # seconds between two looks at what only a person can tell apart
UNANSWERED_SHARE: Final = 0.25  # of an unknown outcome's age, until it is looked for again where there was no answer
UNANSWERED_MOST: Final = 600.0  # seconds
SENT_AGAIN: Final = "never proven; sent again as the campaign says"
"""The line in the history of a message that may arrive twice because its campaign wants it so."""


class OnUnknown(StrEnum):
    """What a campaign wants done with messages whose fate can never be proven."""

    GIVE_UP = "give_up"
    RESEND = "resend"


@dataclass(frozen=True, slots=True)
class Case:
    """One unknown message, with everything a look needs."""

    message: Outgoing
    position: Position
    attempt_id: UUID | None
    attempted_at: datetime
    body: bytes | None
    on_unknown: OnUnknown
    batch_id: UUID | None = None

    @property
    def id(self) -> UUID:
        return UUID(self.message.id)


async def resolve_unknown(runtime: Runtime, account_name: str) -> int:
    """Look for the unknown messages of an account that are due; the number looked for."""
    account = await runtime.account(account_name)
    seconds = runtime.settings.look_up_claim_seconds
    claimed = time.monotonic()
    cases = await runtime.write(claim, account_name, runtime.now(), seconds, AT_ONCE)
    if not cases:
        return 0
    policy = account.policy
    over = [case for case in cases if past_memory(case, policy, runtime.now())]
    await runtime.write(_apply, [_by_policy(case) for case in over], runtime.now())
    looking = [case for case in cases if case not in over]
    match policy.by:
        case LookUpBy.REPLAY:
            for case in looking:
                if runtime.stopping or time.monotonic() > claimed + seconds / 2:
                    break  # the rest is due again when the claim ends
                await _replay(runtime, account, case, claimed + seconds)
        case LookUpBy.QUERY | LookUpBy.EVIDENCE:
            await _query(runtime, account, looking)
        case LookUpBy.NONE:
            await runtime.write(_apply, [_wait_on(case, policy, runtime.now()) for case in looking], runtime.now())
    return len(cases)


# --- pure decisions --------------------------------------------------------------------------------------------------


def past_memory(case: Case, policy: LookUpPolicy, now: datetime) -> bool:
    """Whether nothing can be learnt any more."""
    return (now - case.attempted_at).total_seconds() >= policy.give_up_after


def next_look(case: Case, policy: LookUpPolicy, now: datetime) -> datetime:
    """When to look again: the policy's schedule counts from the attempt, its last gap goes on for ever."""
    looks = case.position.looks + 1
    after = policy.after
    if looks < len(after):
        due = case.attempted_at + timedelta(seconds=after[looks])
    else:
        gap = after[-1] - (after[-2] if len(after) > 1 else 0.0) if after else 900.0
        due = now + timedelta(seconds=gap)
    return max(due, now + timedelta(seconds=1))


def absence_counts(case: Case, policy: LookUpPolicy, now: datetime) -> bool:
    """Whether "not there" is a proof by now: every planned look was made and the last one's time has passed."""
    enough_looks = case.position.looks + 1 >= len(policy.after)
    enough_time = (now - case.attempted_at).total_seconds() >= (policy.after[-1] if policy.after else 0.0)
    return policy.by is LookUpBy.QUERY and policy.proves_absence and enough_looks and enough_time


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one case: a move, or only another look at `look_at`."""

    case: Case
    decision: Decision | None = None
    look_at: datetime | None = None
    looks: int = 0
    doubt: bool = False  # what the provider shows may be this message with a changed text


def _wait_on(case: Case, policy: LookUpPolicy, now: datetime) -> Step:
    return Step(case, look_at=next_look(case, policy, now), looks=case.position.looks + 1)


def _by_policy(case: Case) -> Step:
    """The provider's memory ended without a proof."""
    if case.on_unknown is OnUnknown.RESEND:
        values: dict[str, Any] = {"not_before": None}
        return Step(case, Decision(MessageState.QUEUED, SENT_AGAIN, values))
    values = {"code": "outcome_unknown", "klass": "unspecified", "reason": "the provider never said what became of it"}
    return Step(case, Decision(MessageState.FAILED, "outcome_unknown", values))


def judge(
    case: Case, sighting: Sighting, linked: frozenset[str], policy: LookUpPolicy, now: datetime, rules: Rules
) -> Step:
    """From what the provider showed to the next step."""
    match sighting:
        case Found(candidates=candidates):
            ours = next((c for c in candidates if c.provider_id is None or c.provider_id not in linked), None)
            if ours is not None:
                return Step(case, _adopt(case, ours, now, rules))
            return judge(case, sighting.otherwise, linked, policy, now, rules)
        case NotThere(others=others) if others - linked:
            return _in_doubt(case, policy, now)
        case NotThere():
            return _absent(case, policy, now)
        case NoAnswer():
            return Step(case, look_at=_unanswered(case, now, rules), looks=case.position.looks)


def _unanswered(case: Case, now: datetime, rules: Rules) -> datetime:
    """Soon at first, then the later the longer nobody could say anything: looks cost the account's allowance, too."""
    age = (now - case.attempted_at).total_seconds()
    return now + timedelta(seconds=max(rules.look_again, min(age * UNANSWERED_SHARE, UNANSWERED_MOST)))


def _in_doubt(case: Case, policy: LookUpPolicy, now: datetime) -> Step:
    """Something is there that belongs to no message of ours, and may be this one with a changed text. It rarely gets
    better, so the waits grow: each as long as the time since the attempt, an hour at most."""
    step = _wait_on(case, policy, now)
    age = (now - case.attempted_at).total_seconds()
    later = now + timedelta(seconds=min(age, LONGEST_DOUBT)) if absence_counts(case, policy, now) else now
    return replace(step, look_at=max(step.look_at or now, later), doubt=True)


def _absent(case: Case, policy: LookUpPolicy, now: datetime) -> Step:
    if absence_counts(case, policy, now):
        return Step(case, Decision(MessageState.QUEUED, "proven absent at the provider", {"not_before": None}))
    return _wait_on(case, policy, now)


def _adopt(case: Case, report: Report, now: datetime, rules: Rules) -> Decision:
    """The look-up may already show how it ended; that is a report like any other."""
    values: dict[str, Any] = {
        "provider_id": report.provider_id,
        "submitted_at": case.attempted_at,
        "not_before": None,
        "deadline": rules.deadline(now, case.position.validity),
    }
    if report.group_id:
        values["group_id"] = report.group_id
    if report.state is None:
        return Decision(MessageState.SUBMITTED, "found at the provider", values)
    move = report_move(case.id, report)
    return Decision(move.new, f"found at the provider {report.raw_status}".strip(), {**values, **move.values})


# --- looking ---------------------------------------------------------------------------------------------------------


async def _query(runtime: Runtime, account: AccountRuntime, cases: Sequence[Case]) -> None:
    if not cases:
        return
    asked = runtime.now()  # what is not there counts for this moment, however long the answer or we take afterwards
    sought = [
        Sought(case.message, case.attempted_at, case.position.looks, str(case.attempt_id) if case.attempt_id else None)
        for case in cases
    ]
    sightings = await look_up(runtime, account, sought)
    for sighting in sightings.values():
        if isinstance(sighting, NoAnswer):
            await account.poll_gate.learn(sighting.signal, None, None)
    await runtime.write(_judge_all, account, cases, sightings, asked, runtime.now())


def _judge_all(
    session: Session,
    account: AccountRuntime,
    cases: Sequence[Case],
    sightings: Mapping[str, Sighting],
    asked: datetime,
    now: datetime,
) -> None:
    """One after the other, so that one candidate is never adopted twice; what is found first, so that a row which one
    message takes is no other's doubt."""
    linked = set(_linked(session, account.name, sightings))
    policy, rules = account.policy, account.rules
    steps: list[Step] = []
    for case in sorted(cases, key=lambda one: not isinstance(sightings.get(one.message.id), Found)):
        sighting = sightings.get(case.message.id, NoAnswer("the look-up left it out"))
        step = judge(case, sighting, frozenset(linked), policy, asked, rules)
        steps.append(step)
        if step.decision and (adopted := step.decision.values.get("provider_id")):
            linked.add(adopted)
    _apply(session, steps, now)
    if doubts := sum(step.doubt for step in steps):
        why = "between the same numbers the provider lists texts that belong to none of our messages"
        log.warning("look_up_in_doubt", account=account.name, messages=doubts, why=why)


def _linked(session: Session, account: str, sightings: Mapping[str, Sighting]) -> list[str]:
    ids = {shown for sighting in sightings.values() for shown in _shown(sighting)}
    query = select(Message.provider_id).where(Message.account == account, Message.provider_id.in_(ids))
    return [found for found in session.execute(query).scalars() if found] if ids else []


def _shown(sighting: Sighting) -> Iterator[str]:
    """Ids of everything at the provider that this sighting is about."""
    match sighting:
        case Found(candidates=candidates, otherwise=otherwise):
            yield from (one.provider_id for one in candidates if one.provider_id)
            yield from _shown(otherwise)
        case NotThere(others=others):
            yield from others


# --- replaying -------------------------------------------------------------------------------------------------------


async def _replay(runtime: Runtime, account: AccountRuntime, case: Case, not_after: float) -> None:
    """The byte-identical request again under its idempotency key: safe whether or not the first one arrived, as long as
    the provider remembers the key. Nothing leaves after `not_after` (monotonic), when the claim ends."""
    cost = Cost(1, 1, case.message.segments)
    budget = sender_budget(account.account, case.message.sender)
    tolls = [Toll(runtime.limiter, budget, strict=True)] if budget else []
    passed = await account.gate.one(cost, ACCOUNT_HORIZON if tolls else HORIZON, tolls)
    if isinstance(passed, Wait):
        await runtime.write(_apply, [_look_soon(case, passed.seconds, runtime.now())], runtime.now())
        return
    request = account.provider.submit_request([case.message], str(case.attempt_id))
    if case.body is not None:
        request = replace(request, body=case.body)
    attempt_id = new_id()
    await passed.come_near()
    leave_by = time.monotonic() + LEAVE_WITHIN
    await runtime.write(_begin_replay, attempt_id, account.name, case, request.body, runtime.now())
    request = replace(request, not_after=min(not_after, leave_by))
    departed = await send_at_slot(account, account.gate, request, "replay", Boarding(passed, cost, leave_by, tolls))
    if departed is None:
        await runtime.recorder.record(Answered(attempt_id, 0, None, "not_sent", "permit not used", None, False))
        await runtime.write(_apply, [_look_soon(case, 1.0, runtime.now())], runtime.now())
        return
    outcome, status, request_id = await _replayed(account, case, departed.answer, departed.passed)
    await _record_replay(runtime, account, case, attempt_id, outcome, (departed.elapsed, status, request_id))


async def _replayed(
    account: AccountRuntime, case: Case, reply: Answer, passed: Pass
) -> tuple[Outcome, int | None, str | None]:
    if not isinstance(reply, Reply):
        await account.gate.failed(reply, passed)
        return Unclear(reply.reason), getattr(reply, "partial", None), None
    submission = account.provider.read_submit([case.message], reply)
    await account.gate.learn(submission.signal, submission.allowance, passed)
    outcome = submission.outcomes.get(case.message.id, Unclear("missing in the adapter's reading"))
    return outcome, reply.status, submission.request_id


async def _record_replay(
    runtime: Runtime,
    account: AccountRuntime,
    case: Case,
    attempt_id: UUID,
    outcome: Outcome,
    answer: tuple[float, int | None, str | None],
) -> None:
    now = runtime.now()
    seconds, status, request_id = answer
    moves: list[Move] = []
    if not _inconclusive(outcome):
        decision = decide(outcome, case.position, now, account.rules)
        # What became known meanwhile stands; an acceptance is proof wherever the message is by now.
        proof = isinstance(outcome, Accepted)
        still = None if proof else frozenset({MessageState.UNKNOWN})
        attempt = None if proof else case.attempt_id
        moves = [Move(case.id, decision.state, f"replay: {decision.note}", decision.values, attempt, still)]
    else:
        step = _wait_on(case, account.policy, now)
        await runtime.write(_apply, [step], now)
    elapsed = round(seconds * 1000)
    word = type(outcome).__name__.lower()
    await runtime.recorder.record(
        Answered(attempt_id, elapsed, status, word, None, request_id, isinstance(outcome, Unclear), moves)
    )


def _inconclusive(outcome: Outcome) -> bool:
    """A refusal that is about now (throttled, account in trouble) says nothing about the first try, and one as a
    duplicate rather speaks for it: its report will tell."""
    if not isinstance(outcome, Refused):
        return isinstance(outcome, Unclear)
    klass = outcome.failure.klass
    return klass is FailureClass.DUPLICATE or FOLLOWS[klass] is not Follow.FINAL


def _look_soon(case: Case, seconds: float, now: datetime) -> Step:
    return Step(case, look_at=now + timedelta(seconds=max(seconds, 1.0)), looks=case.position.looks)


# --- database steps --------------------------------------------------------------------------------------------------


def claim(session: Session, account: str, now: datetime, seconds: float, limit: int) -> list[Case]:
    """Unknown messages whose next look is due; pushed ahead, so that nobody else takes them meanwhile."""
    due = (Message.account == account, Message.phase == MessageState.UNKNOWN, Message.not_before <= now)
    query = select(Message).where(*due).order_by(Message.not_before, Message.id).limit(limit)
    rows = session.execute(query.with_for_update(skip_locked=True)).scalars().all()
    if not rows:
        return []
    later = now + timedelta(seconds=seconds)
    session.execute(update(Message).where(Message.id.in_([row.id for row in rows])).values(not_before=later))
    return [_case(session, row, now) for row in rows]


def due_accounts(session: Session, now: datetime) -> set[str]:
    """Accounts with unknown messages whose next look is due."""
    query = select(Message.account).where(Message.phase == MessageState.UNKNOWN, Message.not_before <= now).distinct()
    return set(session.execute(query).scalars())


def _case(session: Session, row: Message, now: datetime) -> Case:
    campaign = session.get_one(Campaign, row.campaign_id)
    body = session.execute(select(Attempt.body).where(Attempt.id == row.attempt_id)).scalar_one_or_none()
    return Case(
        message=outgoing(row, campaign),
        position=Position(row.tries, row.looks, row.ref_round, campaign.validity),
        attempt_id=row.attempt_id,
        attempted_at=row.attempted_at or now,
        body=body,
        on_unknown=OnUnknown(campaign.on_unknown),
        batch_id=row.batch_id,
    )


def _begin_replay(session: Session, attempt_id: UUID, account: str, case: Case, body: bytes, now: datetime) -> None:
    session.add(
        Attempt(
            id=attempt_id,
            account=account,
            kind="replay",
            batch_id=case.batch_id,
            started_at=now,
            messages=1,
            segments=case.message.segments,
            message_ids=[case.message.id],
            body=body,
        )
    )


def _apply(session: Session, steps: Sequence[Step], now: datetime) -> None:
    """Carry out the steps. Messages are locked in the order in which everybody locks them.

    Fenced by the attempt: what was learnt of one says nothing about the next, should the message have left again while
    its looker slept."""
    ids = [step.case.id for step in steps]
    session.execute(select(Message.id).where(Message.id.in_(ids)).order_by(Message.id).with_for_update())
    for step in steps:
        if step.look_at is not None:
            session.execute(
                update(Message)
                .where(
                    Message.id == step.case.id,
                    Message.state == MessageState.UNKNOWN,
                    Message.attempt_id == step.case.attempt_id,
                )
                .values(not_before=step.look_at, looks=step.looks)
            )
    moves = [
        Move(step.case.id, step.decision.state, step.decision.note, step.decision.values,
             attempt=step.case.attempt_id, only_from=frozenset({MessageState.UNKNOWN}))
        for step in steps
        if step.decision
    ]  # fmt: skip
    moved = apply_moves(session, moves, now)
    leases.reopen(session, [item.message_id for item in moved if item.new is MessageState.QUEUED], now)
