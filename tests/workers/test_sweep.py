"""What a crash left behind and what time has decided. Every step twice does nothing more."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from models.moves import Move, apply_moves, set_facts
from models.states import BatchState, CampaignState
from models.states import MessageState as S
from models.tables import Batch, Campaign, CampaignCount, DeliveryReport, Lane, Message, Reject
from providers.base import Report
from tests.support.rows import add_batch, add_campaign, add_messages
from tests.support.world import World
from workers import sweep


def test_a_second_sweep_finds_nothing_to_do(world: World) -> None:
    sent = world.campaign(3)
    world.clock.advance(40)
    assert world.sweep().jobs_lost == 1
    assert not world.sweep()
    assert world.states() == [S.QUEUED] * 3
    assert world.batch(sent.batch).state is BatchState.PLANNED


def test_a_job_lost_with_redis_is_put_back_and_sent_once(world: World) -> None:
    sent = world.campaign(2)
    assert world.dispatch() == [], "it counts as dispatched, but nobody has it"
    world.clock.advance(sweep.JOB_LOST_SECONDS + 1)
    world.sweep()
    world.step()
    assert world.line.ids() == [str(message) for message in sent.messages]


def test_a_message_left_submitting_in_a_batch_nobody_holds_becomes_unknown(world: World) -> None:
    sent = world.campaign(1)
    with world.database.write() as session:
        apply_moves(session, [Move(sent.message, S.SUBMITTING, values={"attempted_at": world.clock()})], world.clock())
    assert world.sweep().orphans == 0
    world.clock.advance(world.settings.lease_seconds * 2 + 1)
    assert world.sweep().orphans == 1
    assert world.states() == [S.UNKNOWN]


def test_a_queued_message_in_a_batch_that_is_done_finds_its_way_back(world: World) -> None:
    sent = world.campaign(1)
    with world.database.write() as session:
        session.get_one(Batch, sent.batch).state = BatchState.DONE
    assert world.sweep().stranded == 1
    world.step()
    assert world.states() == [S.SUBMITTED]


def test_what_cannot_leave_in_time_expires_and_is_not_sent(world: World) -> None:
    sent = world.campaign(2)
    world.change(sent.message, expires_at=world.clock() + timedelta(seconds=5))
    assert world.sweep().expired == 0
    world.clock.advance(6)
    assert world.sweep().expired == 1
    world.submit(sent.batch)
    assert world.states() == [S.EXPIRED, S.SUBMITTED]


def test_no_report_by_the_deadline_closes_the_message_and_says_why(world: World) -> None:
    sent = world.campaign(1)
    world.submit(sent.batch)
    deadline = world.message(sent.message).deadline
    assert deadline is not None
    world.clock.now = deadline + timedelta(seconds=1)
    with world.database.write() as session:
        assert sweep.close_unreported(session, world.clock(), {"acme": "this account gets no reports"}) == 1
    row = world.message(sent.message)
    assert (row.state, row.code, row.reason) == (S.EXPIRED, "no_dlr", "this account gets no reports")


def test_a_report_that_waits_for_its_messages_id_is_tried_before_the_message_is_given_up(world: World) -> None:
    """The database was away so long that the answer was written after its report, and just before the deadline."""
    sent = world.campaign(2)
    world.report(Report("d", S.DELIVERED, provider_id=f"p-{sent.message}"))
    world.submit(sent.batch)
    deadline = world.message(sent.message).deadline
    assert deadline is not None
    with world.database.write() as session:
        session.execute(update(DeliveryReport).values(next_try_at=deadline + timedelta(hours=1)))
        set_facts(session, {one: {"provider_id": f"p-{one}"} for one in sent.messages})
    world.clock.now = deadline + timedelta(seconds=1)
    assert world.sweep().no_report == 1, "the other message has no report"
    world.apply()
    assert world.states() == [S.DELIVERED, S.EXPIRED]
    assert not world.sweep().no_report


def test_what_is_due_to_be_asked_for_is_asked_before_it_is_given_up_if_not_for_ever(world: World) -> None:
    """The control worker was down over the deadline: the provider may still know what became of it."""
    sent = world.campaign(2)
    world.submit(sent.batch)
    asked, due = sent.messages  # the second was asked for, too, but nobody answered
    deadline = world.message(due).deadline
    assert deadline is not None
    world.clock.now = deadline + timedelta(minutes=1)
    world.change(asked, not_before=world.clock() + timedelta(minutes=5))
    world.change(due, not_before=world.clock() + timedelta(seconds=20))

    def close() -> int:
        with world.database.write() as session:
            return sweep.close_unreported(session, world.clock(), {}, {"acme": timedelta(seconds=20)})

    assert close() == 1
    assert world.states() == [S.EXPIRED, S.SUBMITTED]
    world.clock.now = deadline + sweep.LAST_LOOK
    assert close() == 0
    world.clock.advance(1)
    assert close() == 1


def test_a_message_whose_answer_nobody_recorded_gets_a_deadline_too(world: World) -> None:
    """The worker died, then a report says SENT: without a deadline its campaign would wait for ever."""
    sent = world.campaign(1)
    with world.database.write() as session:
        apply_moves(session, [Move(sent.message, S.SUBMITTING, values={"attempted_at": world.clock()})], world.clock())
    world.report(Report("d", S.SENT, ref=str(sent.message)))
    assert world.message(sent.message).deadline is None
    with world.database.write() as session:
        assert sweep.give_deadlines(session, world.clock()) == 1
        assert sweep.give_deadlines(session, world.clock()) == 0
    row = world.message(sent.message)
    assert row.submitted_at == world.clock()
    world.clock.advance(53 * 3600)
    assert world.sweep().no_report == 1
    assert world.sweep().completed + (world.states() == [S.EXPIRED]) >= 1


def test_a_cancelled_campaign_sends_nothing_more_and_follows_what_left_to_its_end(world: World) -> None:
    sent = world.campaign(2, batches=2)
    world.submit(sent.batches[0])
    with world.database.write() as session:
        session.get_one(Campaign, sent.id).state = CampaignState.CANCELLED
    assert world.sweep().cancelled == 2
    assert world.states() == [S.SUBMITTED] * 2 + [S.CANCELLED] * 2
    with world.database.read() as session:
        assert session.get_one(Campaign, sent.id).finished_at is None
    for message in sent.messages[:2]:
        world.report(Report(str(message), S.DELIVERED, ref=str(message)))
    assert world.sweep().completed == 1
    with world.database.read() as session:
        row = session.get_one(Campaign, sent.id)
    assert (row.state, row.finished_at) == (CampaignState.CANCELLED, world.clock())


@pytest.mark.parametrize("last", [S.DELIVERED, S.UNDELIVERED, S.EXPIRED])
def test_a_campaign_is_completed_only_when_every_message_is_final(world: World, last: S) -> None:
    sent = world.campaign(2)
    world.submit(sent.batch)
    world.report(Report("1", S.DELIVERED, ref=str(sent.messages[0])))
    assert world.sweep().completed == 0
    world.report(Report("2", last, ref=str(sent.messages[1])))
    assert world.sweep().completed == 1
    assert world.sweep().completed == 0
    with world.database.read() as session:
        assert session.get_one(Campaign, sent.id).state is CampaignState.COMPLETED


def test_an_unknown_message_keeps_its_campaign_open(world: World) -> None:
    sent = world.campaign(1)
    world.change(sent.message, state=S.UNKNOWN)
    assert world.sweep().completed == 0


def test_an_import_whose_process_died_leaves_nothing_behind(world: World) -> None:
    with world.database.write() as session:
        campaign = add_campaign(
            session, world.clock(), state=CampaignState.IMPORTING, import_until=world.clock(), started_at=None
        )
        add_messages(session, campaign, add_batch(session, campaign, world.clock()), 3)
        session.add(Reject(campaign_id=campaign, row_no=9, code="x", reason="y"))
    world.clock.advance(1)
    with world.database.write() as session:
        parts = [sweep.fail_dead_imports(session, world.clock()) for _ in range(5)]
        assert (parts[0], parts[-1]) == (1, 0), "a part in every sweep, until nothing is left"
    with world.database.read() as session:
        assert session.get_one(Campaign, campaign).state is CampaignState.FAILED
        for table in (Message, Batch, Reject, CampaignCount, Lane):
            assert session.execute(select(func.count()).select_from(table)).scalar_one() == 0
