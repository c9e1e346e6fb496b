"""Pulling reports: stored before parsed, one poller at a time, only while something is open."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from models.states import MessageState as S
from models.tables import AccountStatus, InboxPage
from providers.base import Misconfigured, OutOfCredit, Parsed, Report
from providers.wire import OutcomeUnknown, Reply, Request
from tests.support.rows import ACCOUNT
from tests.support.world import World
from workers.poll import due_polls, poll_every, poll_reports


def poll(world: World) -> int:
    return world.run(poll_reports(world.runtime, ACCOUNT))


def pages(world: World) -> list[InboxPage]:
    with world.database.read() as session:
        return list(session.execute(select(InboxPage).order_by(InboxPage.id)).scalars())


def open_one(world: World) -> str:
    sent = world.campaign(1)
    world.submit(sent.batch)
    world.line.sent.clear()
    return str(sent.message)


def test_a_page_is_stored_as_it_came_before_anybody_reads_it(world: World) -> None:
    ref = open_one(world)
    world.line.answer = lambda request: Reply(200, {"Content-Type": "application/json"}, b"the page")
    world.provider.parsed[b"the page"] = Parsed([Report("d", S.DELIVERED, ref=ref)])
    assert poll(world) == 1
    (page,) = pages(world)
    assert (page.body, page.content_type, page.kind, page.parsed_at) == (b"the page", "application/json", "pull", None)
    assert world.states() == [S.SUBMITTED]
    world.apply()
    assert world.states() == [S.DELIVERED]


def test_it_drains_page_after_page_until_the_provider_has_no_more(world: World) -> None:
    open_one(world)
    world.provider.last_page = 5
    assert poll(world) == 5
    assert [request.url[-1] for request in world.line.sent] == ["1", "2", "3", "4", "5"]


def test_with_nothing_open_nothing_is_asked(world: World) -> None:
    assert poll(world) == 0
    assert world.line.sent == []


def test_a_second_poller_meanwhile_does_nothing(world: World) -> None:
    open_one(world)
    inner: list[int] = []

    async def answer(request: Request) -> Reply:
        inner.append(await poll_reports(world.runtime, ACCOUNT))
        return Reply(200, {}, b"page")

    world.line.answer = answer
    assert poll(world) == 1
    assert inner == [0]


def test_a_poller_whose_lock_is_gone_stops_after_the_page_it_has(world: World) -> None:
    open_one(world)
    world.provider.last_page = 5

    async def answer(request: Request) -> Reply:
        await world.runtime.redis.delete(f"drumline:poll:{ACCOUNT}")
        return Reply(200, {}, b"page")

    world.line.answer = answer
    assert poll(world) == 1
    assert len(pages(world)) == 1, "what was read is kept"


@pytest.mark.parametrize("status", [401, 429, 500])
def test_an_answer_that_is_no_page_is_not_stored(world: World, status: int) -> None:
    open_one(world)
    world.line.answer = lambda request: Reply(status, {}, b"no")
    assert poll(world) == 0
    assert pages(world) == []


def test_no_answer_leaves_the_next_poll_free(world: World) -> None:
    open_one(world)

    def lost(request: Request) -> Reply:
        raise OutcomeUnknown("read_timeout")

    world.line.answer = lost
    assert poll(world) == 0
    world.line.answer = lambda request: Reply(200, {}, b"page")
    assert poll(world) == 1


@pytest.mark.parametrize(("once", "status", "kept"), [(True, 200, 1), (True, 500, 0), (False, 200, 0)])
def test_what_arrived_of_a_page_that_broke_is_kept_where_it_will_not_come_again(
    world: World, monkeypatch: pytest.MonkeyPatch, once: bool, status: int, kept: int
) -> None:
    open_one(world)
    if once:
        monkeypatch.setattr(world.provider, "hands_out_once", True, raising=False)

    def breaks(request: Request) -> Reply:
        raise OutcomeUnknown("truncated", "", status, b"half a p")

    world.line.answer = breaks
    assert poll(world) == 0
    assert [page.body for page in pages(world)] == [b"half a p"] * kept


def test_polls_are_due_only_while_something_is_open_and_slow_down_with_age(world: World) -> None:
    def due() -> list[str]:
        with world.database.write() as session:
            return due_polls(session, {ACCOUNT: 15.0}, world.clock())

    def gap() -> float:
        with world.database.read() as session:
            at = session.get_one(AccountStatus, ACCOUNT).next_poll_at
        assert at is not None
        return (at - world.clock()).total_seconds()

    assert due() == []
    open_one(world)
    assert (due(), due(), gap()) == ([ACCOUNT], [], 15.0)
    world.clock.advance(1800)
    assert (due(), gap()) == ([ACCOUNT], 60.0)


def test_what_leaves_after_a_slow_poll_does_not_wait_for_the_next_slow_one(world: World) -> None:
    def due() -> list[str]:
        with world.database.write() as session:
            return due_polls(session, {ACCOUNT: 15.0}, world.clock())

    open_one(world)
    world.clock.advance(7 * 3600)
    assert due() == [ACCOUNT]  # and again in a quarter of an hour, if nothing else leaves
    world.clock.advance(60)
    open_one(world)
    assert due() == []
    world.clock.advance(14)
    assert due() == []
    world.clock.advance(1)
    assert due() == [ACCOUNT]


def test_while_credit_is_missing_reports_are_read_and_nothing_is_sent(world: World) -> None:
    open_one(world)
    world.run(world.account().gate.learn(OutOfCredit("12", "no credit"), None, None))
    assert (poll(world), poll(world)) == (1, 1)
    sent = world.campaign(1)
    world.submit(sent.batch)
    assert world.message(sent.message).state is S.QUEUED
    world.run(world.account().gate.learn(Misconfigured("401", "wrong key"), None, None))
    assert poll(world) == 0


@pytest.mark.parametrize(("age", "every"), [(0.0, 10.0), (599.0, 10.0), (600.0, 40.0), (7200.0, 200.0), (1e9, 600.0)])
def test_the_older_the_rarer_but_never_never(age: float, every: float) -> None:
    assert poll_every(age, 10.0) == every


def test_an_unknown_outcome_is_polled_for_as_well(world: World) -> None:
    sent = world.campaign(1)
    world.change(sent.message, state=S.UNKNOWN, attempted_at=world.clock() - timedelta(seconds=5))
    assert poll(world) == 1
