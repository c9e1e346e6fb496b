"""The protocol between commit and send, played in every order Hypothesis can think of.

Workers crash, sleep past their lease, answer late; the sweep, the look-ups and the dispatcher come whenever they like,
and a look-up's findings may be applied long after they were made. The database steps are the real ones.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select, update

from models import leases
from models.database import Database
from models.leases import Lease
from models.moves import Move, add_counts, apply_moves
from models.queries import counts, due_messages, recount
from models.segments import Encoding
from models.states import BatchState, CampaignState, MessageState
from models.tables import Base, Batch, Campaign, Message
from models.types import new_id
from providers.base import (
    Accepted,
    Failure,
    FailureClass,
    Found,
    LookUpBy,
    LookUpPolicy,
    NotThere,
    Refused,
    Report,
    Sighting,
    Unclear,
)
from providers.base import Outcome as Reading
from providers.wire import NotSent
from workers import resolve, sweep
from workers.decide import Position, Rules, decide
from workers.gate import LEAVE_WITHIN
from workers.record import Answered, prepare_answers
from workers.runtime import AccountRuntime
from workers.submit import SEND_MARGIN

START = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = 10.0
CLAIM = 15.0
POLICY = LookUpPolicy(LookUpBy.QUERY, (2.0, 6.0, 20.0), True, 10_000.0)
RULES = Rules(max_tries=1_000, backoff=lambda tries: 1.0, first_look=2.0, report_deadline=1_000.0)
ACCOUNT = "acme"
MESSAGES = 3
WORKERS = 2


@dataclass
class Flight:
    """A request whose intent is committed. `answer` None: it has not left."""

    message_id: UUID
    attempt: UUID
    leave_by: datetime
    answer: Reading | NotSent | None = None


@dataclass
class Worker:
    lease: Lease | None = None
    safe_until: datetime = START
    flights: list[Flight] = field(default_factory=list)


@dataclass
class Look:
    cases: list[resolve.Case]
    sightings: dict[str, Sighting]
    asked: datetime


class Protocol(RuleBasedStateMachine):
    """The provider is `accepted`: how often it took each message."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="dl-protocol-"))
        self.database = Database(f"sqlite:///{self.folder / 'test.db'}")
        Base.metadata.create_all(self.database.engine)
        self.now = START
        self.accepted: dict[UUID, int] = {}
        self.workers = [Worker() for _ in range(WORKERS)]
        self.looks: list[Look] = []

    def teardown(self) -> None:
        try:
            if self.accepted:
                self._bring_to_an_end()
        finally:
            self.database.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    @initialize()
    def a_campaign(self) -> None:
        campaign, batch = new_id(), new_id()
        ids = [new_id() for _ in range(MESSAGES)]
        with self.database.write() as session:
            session.add(
                Campaign(
                    id=campaign, name="c", state=CampaignState.RUNNING, sender="s", template="t", common_text="t",
                    route={ACCOUNT: 1}, created_at=START, started_at=START, rows_accepted=MESSAGES,
                )
            )  # fmt: skip
            session.flush()
            session.add(Batch(id=batch, campaign_id=campaign, account=ACCOUNT, size=MESSAGES, not_before=START))
            for place, message_id in enumerate(ids):
                session.add(
                    Message(
                        id=message_id, campaign_id=campaign, batch_id=batch, row_no=place, account=ACCOUNT,
                        msisdn=f"+44770090000{place}", sender="s", encoding=str(Encoding.GSM7), segments=1,
                    )
                )  # fmt: skip
            session.flush()
            add_counts(session, {(campaign, ACCOUNT, MessageState.QUEUED): MESSAGES})
        self.campaign, self.batch = campaign, batch
        self.accepted = dict.fromkeys(ids, 0)

    # --- time and the dispatcher -------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0, 7.0, 12.0, 25.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def dispatch(self) -> None:
        with self.database.write() as session:
            session.execute(
                update(Batch)
                .where(Batch.state == BatchState.PLANNED, Batch.not_before <= self.now)
                .values(state=BatchState.DISPATCHED, dispatched_at=self.now)
            )

    @rule()
    def sweep(self) -> None:
        with self.database.write() as session:
            sweep.end_leases(session, self.now, {ACCOUNT: 2.0})
            sweep.requeue_lost_jobs(session, self.now, 5.0)
            sweep.free_orphans(session, self.now, LEASE, {ACCOUNT: 2.0})
            sweep.reopen_stranded(session, self.now)

    # --- workers -----------------------------------------------------------------------------------------------------

    @rule(number=st.integers(0, WORKERS - 1))
    def take_the_lease(self, number: int) -> None:
        worker = self.workers[number]
        if worker.lease is not None:
            return
        with self.database.write() as session:
            worker.lease = leases.claim(session, self.batch, f"w{number}", self.now, LEASE)
        worker.safe_until = self.now + timedelta(seconds=LEASE - SEND_MARGIN)

    @rule(number=st.integers(0, WORKERS - 1))
    def extend_the_lease(self, number: int) -> None:
        worker = self.workers[number]
        if worker.lease is None:
            return
        with self.database.write() as session:
            kept = leases.extend(session, worker.lease, self.now, LEASE)
        if kept:
            worker.safe_until = self.now + timedelta(seconds=LEASE - SEND_MARGIN)
        else:
            worker.lease = None

    @rule(number=st.integers(0, WORKERS - 1), most=st.integers(1, MESSAGES))
    def commit_intents(self, number: int, most: int) -> None:
        worker = self.workers[number]
        if worker.lease is None:
            return
        with self.database.write() as session:
            if leases.hold(session, worker.lease) is not CampaignState.RUNNING:
                worker.lease = None
                return
            moves = []
            for row in due_messages(session, self.batch, self.now, most):
                attempt = new_id()
                values = {"attempt_id": attempt, "attempted_at": self.now, "not_before": None}
                moves.append(Move(row.id, MessageState.SUBMITTING, str(attempt), values))
            moved = {item.message_id for item in apply_moves(session, moves, self.now)}
        leave_by = min(self.now + timedelta(seconds=LEAVE_WITHIN), worker.safe_until)
        worker.flights += [
            Flight(move.message_id, move.values["attempt_id"], leave_by) for move in moves if move.message_id in moved
        ]

    @rule(
        number=st.integers(0, WORKERS - 1),
        place=st.integers(0, MESSAGES - 1),
        accepts=st.booleans(),
        answers=st.booleans(),
    )
    def send(self, number: int, place: int, accepts: bool, answers: bool) -> None:
        """The request leaves, if its time is not over: taken or refused, answered or not."""
        waiting = [flight for flight in self.workers[number].flights if flight.answer is None]
        if place >= len(waiting):
            return
        flight = waiting[place]
        if self.now >= flight.leave_by:
            flight.answer = NotSent("too_late")
            return
        if accepts:
            self.accepted[flight.message_id] += 1
        taken = Accepted(provider_id=f"p-{flight.message_id}")
        refused = Refused(Failure("busy", FailureClass.TEMPORARY, "try again"))
        flight.answer = (taken if accepts else refused) if answers else Unclear("no answer")

    @rule(number=st.integers(0, WORKERS - 1), place=st.integers(0, MESSAGES - 1))
    def record(self, number: int, place: int) -> None:
        """Whenever the database lets it: before or after the lease's end, the sweep, a look-up, another attempt."""
        answered = [flight for flight in self.workers[number].flights if flight.answer is not None]
        if place >= len(answered):
            return
        flight = answered[place]
        self.workers[number].flights.remove(flight)
        self._write(flight)

    def _write(self, flight: Flight) -> None:
        answer = flight.answer
        if answer is None:
            raise AssertionError("nothing to write")
        decision = decide(answer, Position(0, 0, 1, None), self.now, RULES)
        move = Move(flight.message_id, decision.state, decision.note, decision.values, flight.attempt)
        answered = Answered(flight.attempt, 1, None, "", None, None, True, [move])
        with self.database.write() as session:
            prepare_answers(self.database.engine.dialect, [answered], self.now)(session)

    @rule(number=st.integers(0, WORKERS - 1))
    def die(self, number: int) -> None:
        self.workers[number] = Worker()

    @rule(number=st.integers(0, WORKERS - 1))
    def finish(self, number: int) -> None:
        worker = self.workers[number]
        if worker.lease is None or worker.flights:
            return
        with self.database.write() as session:
            leases.finish(session, worker.lease, self.now)
        worker.lease = None

    # --- look-ups ----------------------------------------------------------------------------------------------------

    @rule()
    def look(self) -> None:
        with self.database.write() as session:
            cases = resolve.claim(session, ACCOUNT, self.now, CLAIM, 10)
        if cases:
            self.looks.append(Look(cases, {case.message.id: self._sighting(case.id) for case in cases}, self.now))

    def _sighting(self, message_id: UUID) -> Sighting:
        if not self.accepted[message_id]:
            return NotThere()
        return Found([Report(dedupe="d", state=MessageState.SUBMITTED, provider_id=f"p-{message_id}")])

    @precondition(lambda self: self.looks)
    @rule(place=st.integers(0, 3))
    def apply_what_was_seen(self, place: int) -> None:
        look = self.looks.pop(min(place, len(self.looks) - 1))
        account = cast(AccountRuntime, SimpleNamespace(name=ACCOUNT, policy=POLICY, rules=RULES))
        with self.database.write() as session:
            resolve._judge_all(session, account, look.cases, look.sightings, look.asked, self.now)

    # --- the promises ------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_accepted_twice(self) -> None:
        assert all(times <= 1 for times in self.accepted.values()), self._trails()

    @invariant()
    def the_counters_are_what_the_messages_say(self) -> None:
        if self.accepted:
            with self.database.read() as session:
                assert counts(session, self.campaign) == recount(session, self.campaign)

    def _bring_to_an_end(self) -> None:
        """A world without further trouble: everything that was accepted is known to be, everything else gets sent."""
        for _ in range(60):
            self.time_passes(3.0)
            for number, worker in enumerate(self.workers):
                self._work(number, worker)
            self.look()
            while self.looks:
                self.apply_what_was_seen(0)
            self.sweep()
            self.dispatch()
            if all(state is MessageState.SUBMITTED for state in self._states()):
                break
        assert self._states() == [MessageState.SUBMITTED] * MESSAGES, self._trails()
        assert set(self.accepted.values()) == {1}

    def _work(self, number: int, worker: Worker) -> None:
        self.take_the_lease(number)
        self.extend_the_lease(number)
        self.commit_intents(number, MESSAGES)
        while worker.flights:
            if worker.flights[0].answer is None:
                self.send(number, 0, True, True)
            self.record(number, 0)
        self.finish(number)
        self.nothing_is_accepted_twice()

    def _states(self) -> list[MessageState]:
        with self.database.read() as session:
            return list(session.execute(select(Message.state)).scalars())

    def _trails(self) -> dict[str, Any]:
        with self.database.read() as session:
            return {str(m.id): (m.state, m.trail.splitlines()) for m in session.execute(select(Message)).scalars()}


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
