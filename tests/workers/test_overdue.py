"""Reports that do not come are asked for: slower and slower, once more when they would be given up, and again where
nobody answered."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from models.states import MessageState as S
from providers.base import Found, LookUpBy, LookUpPolicy, NoAnswer, NotThere, Report, Sighting, Sought
from tests.support.rows import ACCOUNT
from tests.support.scripted import Scripted
from tests.support.world import Sent, World
from tests.workers.conftest import MakeWorld
from workers import sweep
from workers.overdue import again_after, ask_overdue, claim, overdue_accounts, under_way

OVERDUE = 600.0
POLICY = LookUpPolicy(LookUpBy.QUERY, (5.0,), True, 3600.0, OVERDUE)
NOTHING_NEW = Found([Report("d", S.SUBMITTED)])
ON_ITS_WAY = Found([Report("d", S.SENT)])
DELIVERED = Found([Report("d", S.DELIVERED)])


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    made = make_world({ACCOUNT: Scripted(policy=POLICY)})
    made.provider.sightings = lambda _: NOTHING_NEW
    return made


def left(world: World, many: int = 1) -> Sent:
    sent = world.campaign(many)
    world.submit(sent.batch)
    return sent


def deadline_of(world: World, sent: Sent) -> datetime:
    deadline = world.message(sent.message).deadline
    assert deadline is not None
    return deadline


def ask(world: World) -> int:
    """How many were asked for."""
    before = len(world.provider.looked_for)
    world.run(ask_overdue(world.runtime, ACCOUNT))
    return len(world.provider.looked_for) - before


def close(world: World) -> int:
    with world.database.write() as session:
        return sweep.close_unreported(session, world.clock(), {}, {ACCOUNT: under_way(world.settings)})


def test_it_is_asked_for_once_it_is_overdue_and_then_slower_and_slower(world: World) -> None:
    left(world)
    assert ask(world) == 0
    waits = []
    for _ in range(4):
        waited = 0
        while not ask(world):
            world.clock.advance(60)
            waited += 60
        waits.append(waited)
    assert waits == [660, 600, 1200, 2400]


def test_what_the_provider_knows_ends_the_message(world: World) -> None:
    sent = left(world, 2)
    known = str(sent.messages[0])
    world.provider.sightings = lambda one: DELIVERED if one.message.id == known else NOTHING_NEW
    world.clock.advance(OVERDUE + 1)
    with world.database.read() as session:
        assert overdue_accounts(session, {ACCOUNT: OVERDUE}, world.clock()) == {ACCOUNT}
    assert ask(world) == 2
    assert world.states() == [S.DELIVERED, S.SUBMITTED]
    with world.database.read() as session:
        assert overdue_accounts(session, {ACCOUNT: OVERDUE}, world.clock()) == set()


def test_what_is_only_on_its_way_is_asked_for_slower_and_slower_too(world: World) -> None:
    left(world)
    world.provider.sightings = lambda _: ON_ITS_WAY
    world.clock.advance(OVERDUE + 1)
    assert ask(world) == 1
    assert world.states() == [S.SENT]
    for wait in (OVERDUE, 2 * OVERDUE, 4 * OVERDUE):
        world.clock.advance(wait - 1)
        assert ask(world) == 0
        world.clock.advance(1)
        assert ask(world) == 1


@pytest.mark.parametrize("sighting", [NOTHING_NEW, NotThere(), ON_ITS_WAY])
def test_it_is_asked_for_once_more_at_its_deadline_and_then_given_up(world: World, sighting: Sighting) -> None:
    deadline = deadline_of(world, left(world))
    world.provider.sightings = lambda _: sighting
    world.clock.now = deadline - timedelta(seconds=10)
    assert ask(world) == 1
    world.clock.now = deadline + timedelta(seconds=1)
    assert close(world) == 0
    assert ask(world) == 1
    assert close(world) == 1
    assert world.states() == [S.EXPIRED]


def test_a_question_that_nobody_answered_is_put_again_soon_and_nothing_is_given_up_meanwhile(world: World) -> None:
    deadline = deadline_of(world, left(world))
    world.provider.sightings = lambda _: NoAnswer("http_500")
    world.clock.now = deadline + timedelta(seconds=1)
    for _ in range(5):
        assert ask(world) == 1
        assert close(world) == 0
        world.clock.advance(again_after(OVERDUE, world.settings).total_seconds())
    world.provider.sightings = lambda _: DELIVERED
    assert ask(world) == 1
    assert world.states() == [S.DELIVERED]


def test_nothing_is_given_up_while_its_question_is_under_way(world: World) -> None:
    deadline = deadline_of(world, left(world))
    given_up = list[int]()

    def meanwhile(_: Sought) -> Sighting:
        given_up.append(close(world))
        return NoAnswer("http_500")

    world.provider.sightings = meanwhile
    world.clock.now = deadline + timedelta(seconds=1)
    assert ask(world) == 1
    assert given_up == [0]
    world.clock.advance(again_after(OVERDUE, world.settings).total_seconds())
    world.provider.sightings = lambda _: DELIVERED
    assert ask(world) == 1
    assert world.states() == [S.DELIVERED]


def test_a_worker_that_dies_with_a_question_leaves_it_to_the_next_one(world: World) -> None:
    deadline = deadline_of(world, left(world))
    world.clock.now = deadline + timedelta(seconds=1)
    with world.database.write() as session:
        assert len(claim(session, ACCOUNT, OVERDUE, world.clock(), under_way(world.settings))) == 1
    assert (ask(world), close(world)) == (0, 0)
    world.clock.advance(under_way(world.settings).total_seconds())
    assert (ask(world), close(world)) == (1, 1)
    assert world.states() == [S.EXPIRED]


def test_an_answer_is_waited_for_an_hour_and_no_longer(world: World) -> None:
    deadline = deadline_of(world, left(world))
    world.provider.sightings = lambda _: NoAnswer("http_500")
    world.clock.now = deadline + sweep.LAST_LOOK
    ask(world)
    assert close(world) == 0
    world.clock.advance(1)
    assert close(world) == 1
