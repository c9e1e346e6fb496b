"""Several workers, a clock that runs, and pauses of any length: never two of them may write, and nothing gets stuck."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID, uuid4

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from config.accounts import Account
from models import leases
from models.database import Database
from models.leases import Lease
from models.moves import Move
from models.queries import counts, due_messages, recount
from models.states import BatchState, CampaignState, MessageState
from models.tables import Batch, Campaign, Message
from producer.dispatch import choose
from providers.base import Outgoing
from providers.wire import Request
from tests.support.clock import Clock
from tests.support.rows import ACCOUNT, add_batch, add_campaign, add_messages
from tests.support.scripted import QUERY
from workers import sweep
from workers.chunk import Chunk, Due
from workers.decide import Position
from workers.intents import Intent, attempt_row, prepare_intents
from workers.record import Answered, prepare_answers

S = MessageState
SECONDS = 60.0
WORKERS = 3
OPEN = Account(ACCOUNT, "scripted", "http://127.0.0.1:1")
WHO = st.integers(0, WORKERS - 1)


@dataclass
class Worker:
    """Does nothing by itself: between two of its steps any time may pass, as after SIGSTOP."""

    lease: Lease | None = None
    flying: list[tuple[UUID, UUID]] = field(default_factory=list)  # (attempt, message) whose answer is to come


class Leases(RuleBasedStateMachine):
    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.workers = [Worker() for _ in range(WORKERS)]
        with self.database.write() as session:
            self.campaign = add_campaign(session, self.clock())
            self.batch = add_batch(session, self.campaign, self.clock())
            self.ids = add_messages(session, self.campaign, self.batch, 4)

    def current(self) -> Batch:
        with self.database.read() as session:
            return session.get_one(Batch, self.batch)

    def owns(self, worker: Worker) -> bool:
        batch = self.current()
        return worker.lease is not None and batch.state is BatchState.LEASED and worker.lease.token == batch.lease_token

    # --- steps -------------------------------------------------------------------------------------------------------

    @rule()
    def dispatch(self) -> None:
        with self.database.write() as session:
            choose(session, OPEN, self.clock())

    @rule(who=WHO)
    def claim(self, who: int) -> None:
        with self.database.write() as session:
            lease = leases.claim(session, self.batch, f"worker-{who}", self.clock(), SECONDS)
        self.workers[who].lease = lease or self.workers[who].lease

    @rule(who=WHO)
    def extend(self, who: int) -> None:
        worker = self.workers[who]
        if worker.lease is None:
            return
        mine = self.owns(worker)
        with self.database.write() as session:
            assert leases.extend(session, worker.lease, self.clock(), SECONDS) is mine

    @rule(who=WHO)
    def write_an_intent(self, who: int) -> None:
        worker = self.workers[who]
        if worker.lease is None:
            return
        mine, before = self.owns(worker), self.states()
        with self.database.read() as session:
            due = due_messages(session, self.batch, self.clock(), 1)
        if not due:
            return
        attempt = uuid4()
        message = Outgoing(str(due[0].id), str(due[0].id), due[0].msisdn, "MyStore", "Hello")
        one = Due(due[0].id, message, Position(0, 0, 1, None))
        chunk = Chunk(attempt, (one,), Request("POST", "http://127.0.0.1:1/", {}))
        row = attempt_row(ACCOUNT, QUERY, worker.lease, chunk)
        with self.database.write() as session:
            ((state, stays),) = prepare_intents(
                self.database.engine.dialect, [Intent(worker.lease, [(chunk, row)])], self.clock()
            )(session)
        assert (state is CampaignState.RUNNING) is mine, "only the present owner may write"
        if mine:
            worker.flying += [(attempt, one.id)] if one.id not in stays else []
        else:
            assert self.states() == before, "what a lost owner writes has no effect"

    @rule(who=WHO, state=st.sampled_from([S.SUBMITTED, S.QUEUED, S.UNKNOWN, S.REJECTED]))
    def answer_comes(self, who: int, state: S) -> None:
        worker = self.workers[who]
        if not worker.flying:
            return
        attempt, message = worker.flying.pop(0)
        move = Move(message, state, "answer", {}, attempt)
        with self.database.write() as session:
            prepare_answers(
                self.database.engine.dialect, [Answered(attempt, 1, 200, "x", None, None, False, [move])], self.clock()
            )(session)

    @rule(who=WHO, later=st.booleans())
    def end_work(self, who: int, later: bool) -> None:
        worker = self.workers[who]
        if worker.lease is None or worker.flying:
            return
        mine = self.owns(worker)
        with self.database.write() as session:
            if later:
                assert leases.give_back(session, worker.lease, self.clock()) is mine
            else:
                assert (leases.finish(session, worker.lease, self.clock()) is not None) is mine
        worker.lease = None

    @rule(seconds=st.sampled_from([1.0, 20.0, 61.0, 200.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def sweep_up(self) -> None:
        self._sweep()

    def _sweep(self) -> None:
        with self.database.write() as session:
            sweep.end_leases(session, self.clock(), 10.0)
            sweep.requeue_lost_jobs(session, self.clock())
            sweep.free_orphans(session, self.clock(), SECONDS, 10.0)
            sweep.reopen_stranded(session, self.clock())

    # --- what always holds -------------------------------------------------------------------------------------------

    def states(self) -> dict[UUID, S]:
        with self.database.read() as session:
            return {row.id: row.state for row in session.execute(select(Message.id, Message.state))}

    @invariant()
    def never_two_owners(self) -> None:
        holding = 0
        for worker in self.workers:
            if worker.lease is not None:
                with self.database.write() as session:
                    holding += leases.hold(session, worker.lease) is not None
        assert holding <= 1

    @invariant()
    def counters_are_true(self) -> None:
        with self.database.read() as session:
            assert counts(session, self.campaign) == recount(session, self.campaign)

    def teardown(self) -> None:
        """Everybody dies: after one lease and a sweep nothing is under way, and what is queued is dispatched again."""
        for _ in range(2):
            self.clock.advance(SECONDS * 2 + 1)
            self._sweep()
        assert S.SUBMITTING not in self.states().values()
        if S.QUEUED in self.states().values():
            with self.database.write() as session:
                assert [job.batch_id for job in choose(session, OPEN, self.clock())] == [self.batch]
        with self.database.write() as session:
            session.get_one(Campaign, self.campaign).state = CampaignState.CANCELLED  # out of the next example's way
            session.get_one(Batch, self.batch).state = BatchState.DONE


QUICK = settings(
    max_examples=12, stateful_step_count=30, deadline=None, derandomize=True, phases=(Phase.generate,), database=None
)


def test_never_two_owners_and_nothing_stuck_whatever_happens(database: Database) -> None:
    machine = type("Machine", (Leases,), {"database": database})
    run_state_machine_as_test(machine, settings=QUICK)
