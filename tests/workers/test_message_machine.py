"""Whatever happens to a message, in whatever order: it only goes forward, and its history and the counters are true."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from models.database import Database
from models.moves import Move, apply_moves
from models.queries import counts, recount
from models.states import FINAL, CampaignState, MessageState, may
from models.tables import Campaign, DeliveryReport, InboxPage, Message
from providers.base import Accepted, Failure, FailureClass, Outcome, Parsed, Refused, Report, Unclear
from providers.wire import NotSent
from tests.support.clock import Clock
from tests.support.rows import ACCOUNT, add_batch, add_campaign, add_messages
from tests.support.scripted import Scripted
from workers import sweep
from workers.decide import Position, Rules, decide
from workers.reconcile import apply_inbox
from workers.record import Answered, prepare_answers

S = MessageState
MANY = 4
RULES = Rules(max_tries=2, backoff=lambda spent: 1.0, first_look=5.0, report_deadline=50.0)
WHICH = st.integers(0, MANY - 1)
OUTCOMES: st.SearchStrategy[Outcome | NotSent] = st.one_of(
    st.sampled_from([S.SUBMITTED, S.HELD, S.SENT]).map(lambda state: Accepted(None, state)),
    st.tuples(st.sampled_from(list(FailureClass)), st.booleans()).map(
        lambda drawn: Refused(Failure("E", drawn[0], "no"), 1.0, new_ref=drawn[1])
    ),
    st.just(Unclear("timeout")),
    st.just(NotSent("pool_timeout")),
)
REPORTED = st.sampled_from([S.SUBMITTED, S.HELD, S.SENT, S.DELIVERED, S.UNDELIVERED, S.EXPIRED, S.REJECTED, None])
QUICK = settings(
    max_examples=10, stateful_step_count=25, deadline=None, derandomize=True, phases=(Phase.generate,), database=None
)


class Messages(RuleBasedStateMachine):
    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.adapter = Scripted()
        self.attempts: list[list[UUID]] = [[] for _ in range(MANY)]
        self.seen: list[S] = [S.QUEUED] * MANY
        with self.database.write() as session:
            self.campaign = add_campaign(session, self.clock())
            batch = add_batch(session, self.campaign, self.clock())
            self.ids = add_messages(session, self.campaign, batch, MANY, expires_at=self.clock.advance(300))

    def row(self, which: int) -> Message:
        with self.database.read() as session:
            return session.get_one(Message, self.ids[which])

    # --- what may happen ---------------------------------------------------------------------------------------------

    @rule(which=WHICH)
    def intent(self, which: int) -> None:
        attempt = uuid4()
        values = {"attempt_id": attempt, "attempted_at": self.clock()}
        with self.database.write() as session:
            moved = apply_moves(session, [Move(self.ids[which], S.SUBMITTING, str(attempt), values)], self.clock())
        if moved:
            self.attempts[which].append(attempt)

    @rule(which=WHICH, outcome=OUTCOMES, back=st.integers(0, 3))
    def answer(self, which: int, outcome: Outcome | NotSent, back: int) -> None:
        """Of the last try, or a late one of a try before."""
        if len(self.attempts[which]) <= back:
            return
        attempt, row = self.attempts[which][-1 - back], self.row(which)
        found = decide(outcome, Position(row.tries, row.looks, row.ref_round, None), self.clock(), RULES)
        move = Move(row.id, found.state, found.note, found.values, attempt)
        with self.database.write() as session:
            prepare_answers(
                self.database.engine.dialect, [Answered(attempt, 1, 200, "x", None, None, False, [move])], self.clock()
            )(session)
        if back:
            after = self.row(which)
            assert (after.state, after.trail) == (row.state, row.trail), "a late answer never touches a newer try"

    @rule(which=WHICH, state=REPORTED, behind=st.integers(0, 1), copies=st.integers(1, 2))
    def report(self, which: int, state: S | None, behind: int, copies: int) -> None:
        row = self.row(which)
        round_ = max(1, row.ref_round - behind)
        ref = str(row.id) if round_ == 1 else f"{row.id}-r{round_}"
        report = Report(f"{ref}-{state}", state, ref=ref)
        for _ in range(copies):
            body = str(uuid4()).encode()
            self.adapter.parsed[body] = Parsed([report])
            with self.database.write() as session:
                session.add(InboxPage(account=ACCOUNT, kind="pull", received_at=self.clock(), body=body))
            with self.database.write() as session:
                apply_inbox(session, lambda account: self.adapter, self.clock())

    @rule(which=WHICH, again=st.booleans())
    def resolve(self, which: int, again: bool) -> None:
        word = S.QUEUED if again else S.FAILED
        with self.database.write() as session:
            move = Move(self.ids[which], word, "resolved", only_from=frozenset({S.UNKNOWN}))
            apply_moves(session, [move], self.clock())

    @rule(state=st.sampled_from([CampaignState.RUNNING, CampaignState.PAUSED, CampaignState.CANCELLED]))
    def steer(self, state: CampaignState) -> None:
        with self.database.write() as session:
            campaign = session.get_one(Campaign, self.campaign)
            if campaign.state is not CampaignState.CANCELLED:
                campaign.state = state

    @rule(seconds=st.sampled_from([1.0, 130.0, 400.0, 200_000.0]))
    def sweep(self, seconds: float) -> None:
        now = self.clock.advance(seconds)
        with self.database.write() as session:
            sweep.free_orphans(session, now, 60.0, 10.0)
            sweep.expire_queued(session, now)
            sweep.give_deadlines(session, now)
            sweep.close_unreported(session, now, {})
            sweep.cancel_queued(session, now)

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def counters_are_what_counting_gives(self) -> None:
        with self.database.read() as session:
            assert counts(session, self.campaign) == recount(session, self.campaign)

    @invariant()
    def every_step_was_declared_and_is_in_the_trail(self) -> None:
        for which in range(MANY):
            row = self.row(which)
            words = [S(line.split()[1]) for line in row.trail.splitlines()]
            path = [S.QUEUED, *words]
            assert all(may(old, new) for old, new in pairwise(path))
            assert path[-1] is row.state
            assert (row.final_at is not None) == (row.state in FINAL)

    @invariant()
    def a_true_end_stays(self) -> None:
        for which in range(MANY):
            before, now = self.seen[which], self.row(which).state
            if before in FINAL:
                assert now in FINAL, "a final message is never open again"
                assert now is before or may(before, now), "only stronger evidence names another end"
            if before in {S.DELIVERED, S.SUPPRESSED, S.CANCELLED}:
                assert now is before
            self.seen[which] = now

    @invariant()
    def no_report_is_applied_twice(self) -> None:
        with self.database.read() as session:
            reports: list[Any] = list(session.execute(select(DeliveryReport.account, DeliveryReport.dedupe)).all())
        assert len(reports) == len(set(reports))


def test_a_message_only_goes_forward_whatever_happens(database: Database) -> None:
    machine = type("Machine", (Messages,), {"database": database})
    run_state_machine_as_test(machine, settings=QUICK)
