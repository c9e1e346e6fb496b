"""What steering means when a batch is about to leave: window, validity, caps. The real steps, without the wire."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest

from models import leases
from models.leases import Lease
from models.queries import BEFORE_ALL
from models.states import BatchState, CampaignState, MessageState
from models.steering import Caps, steering_of
from models.tables import Attempt, Batch, Campaign
from models.types import new_id
from producer.control import steer
from providers.wire import Request
from tests.steering.test_planner import WINDOW, due
from tests.steering.world import START, World, new_york, uk
from tests.support.scripted import QUERY
from workers.brief import Brief, brief_of, defer
from workers.caps import Candidate, Contact, judge, moves_against, span
from workers.chunk import Chunk
from workers.intents import Intent, attempt_row, close, look, prepare_intents

NOTHING = Caps(0, 86_400, 0)
NOBODY = UUID(int=9)


def lease(world: World, batch: Batch) -> Lease:
    world.set_batch(batch.id, BatchState.DISPATCHED)
    with world.database.write() as session:
        taken = leases.claim(session, batch.id, "tester", world.now, 60)
    assert taken is not None
    return taken


def brief(world: World, taken: Lease, default: Caps = NOTHING) -> Brief:
    with world.database.read() as session:
        return brief_of(session, taken, default)


def no_key() -> bytes:
    raise AssertionError("no number was erased: nobody asks for the key")


def load(world: World, taken: Lease, default: Caps = NOTHING) -> list[str]:
    """The numbers that would leave."""
    made = brief(world, taken, default)
    with world.database.write() as session:
        found = look(session, taken, made, world.now, 500, BEFORE_ALL, no_key)
        close(session, found.closing, world.now)
        return [one.message.msisdn for one in found.due]


# --- windows ---------------------------------------------------------------------------------------------------------


def test_a_window_that_closed_meanwhile_sends_nothing_until_it_opens(world: World) -> None:
    campaign = world.campaign(uk(2), WINDOW)
    steer(world.database, world.now)
    world.now = START.replace(hour=19)  # 20:00 in London
    taken = lease(world, world.batches(campaign)[0])
    opens = brief(world, taken).shut_until(world.now)
    assert opens == START.replace(day=4, hour=8)
    with world.database.write() as session:
        defer(session, taken, opens)
    batch = world.batches(campaign)[0]
    assert (batch.state, batch.not_before) == (BatchState.PLANNED, opens)


def test_a_window_that_closes_while_a_batch_is_at_work_stops_it(world: World) -> None:
    campaign = world.campaign(uk(2), WINDOW)
    made = brief(world, lease(world, world.batches(campaign)[0]))
    assert made.shut_until(START.replace(hour=18, minute=59)) is None
    assert made.shut_until(START.replace(hour=19)) == START.replace(day=4, hour=8)


def test_the_whole_zone_goes_back_to_the_plan_at_once(world: World) -> None:
    campaign = world.campaign(uk(60) + new_york(3), {**WINDOW, "pacing": {"slice": 20, "every": 1}})
    steer(world.database, world.now)
    world.now = START.replace(hour=19)
    taken = lease(world, world.batches(campaign)[0])
    opens = START.replace(day=4, hour=8)
    with world.database.write() as session:
        defer(session, taken, opens)
    later = [batch.not_before == opens for batch in world.batches(campaign) if batch.zones != "America/New_York"]
    assert later == [True, True, True]
    assert due(world) == 1


def test_a_batch_that_was_not_cut_by_zones_waits_for_all_its_recipients(world: World) -> None:
    campaign = world.campaign(uk(1) + new_york(1), start=False)
    taken = lease(world, world.batches(campaign)[0])
    with world.database.write() as session:
        session.get_one(Batch, taken.batch_id).zones = None
        session.get_one(Campaign, campaign).steering = steering_of(WINDOW).as_json()
    assert brief(world, taken).shut_until(START) == START.replace(hour=13)
    assert Brief().shut_until(START) is None


# --- validity --------------------------------------------------------------------------------------------------------


def test_nothing_leaves_after_its_validity(world: World) -> None:
    campaign = world.campaign(uk(3), validity=600)
    world.tick(minutes=10)
    assert load(world, lease(world, world.batches(campaign)[0])) == []
    assert world.states(campaign) == {"expired": 3}


def test_a_window_does_not_lengthen_validity(world: World) -> None:
    world.now = START.replace(hour=20)
    campaign = world.campaign(uk(3), WINDOW, validity=3600)
    steer(world.database, world.now)
    world.now = START.replace(day=4, hour=8)
    assert load(world, lease(world, world.batches(campaign)[0])) == []


# --- caps ------------------------------------------------------------------------------------------------------------


def sent_before(world: World, count: int, state: MessageState = MessageState.DELIVERED, text: str = "Before") -> None:
    for n in range(count):
        earlier = world.campaign(uk(2), template=f"{text} {n}")
        world.end(world.messages(earlier), state)


def test_a_number_over_its_cap_gets_nothing_and_the_reason_is_kept(world: World) -> None:
    sent_before(world, 2)
    campaign = world.campaign(uk(3), {"caps": {"most": 2, "period": 86_400}})
    assert load(world, lease(world, world.batches(campaign)[0])) == [uk(3)[2]]
    capped = world.messages(campaign)[0]
    assert (capped.state, capped.code) == (MessageState.SUPPRESSED, "frequency_cap")
    assert capped.reason == "the number had 2 or more messages within 24 h, the frequency cap"


def test_a_cap_counts_its_period_only(world: World) -> None:
    sent_before(world, 2)
    world.tick(hours=24)
    campaign = world.campaign(uk(2), {"caps": {"most": 2, "period": 86_400}})
    assert len(load(world, lease(world, world.batches(campaign)[0]))) == 2


@pytest.mark.parametrize("state", [MessageState.UNDELIVERED, MessageState.REJECTED, MessageState.FAILED])
def test_what_reached_nobody_does_not_count(world: World, state: MessageState) -> None:
    sent_before(world, 2, state)
    campaign = world.campaign(uk(2), {"caps": {"most": 1, "period": 86_400}})
    assert len(load(world, lease(world, world.batches(campaign)[0]))) == 2


def test_the_same_text_is_not_sent_twice_within_the_time(world: World) -> None:
    earlier = world.campaign(uk(2), template="Sale today")
    world.end(world.messages(earlier), MessageState.SENT)
    same = world.campaign(uk(3), {"caps": {"repeat": 600}}, template="Sale today")
    assert load(world, lease(world, world.batches(same)[0])) == [uk(3)[2]]
    refused = world.messages(same)[0]
    assert (refused.state, refused.code) == (MessageState.REJECTED, "repeated_text")
    other = world.campaign(uk(2), {"caps": {"repeat": 600}}, template="Sale tomorrow")
    assert len(load(world, lease(world, world.batches(other)[0]))) == 2
    world.tick(minutes=10)
    again = world.campaign(uk(2), {"caps": {"repeat": 600}}, template="Sale today")
    assert len(load(world, lease(world, world.batches(again)[0]))) == 2


def test_the_settings_hold_where_the_campaign_says_nothing(world: World) -> None:
    sent_before(world, 1)
    default = Caps(1, 86_400, 0)
    plain = world.campaign(uk(2))
    assert load(world, lease(world, world.batches(plain)[0]), default) == []
    free = world.campaign(uk(2), {"caps": {"most": 0}})
    assert len(load(world, lease(world, world.batches(free)[0]), default)) == 2


def test_a_campaign_that_overtakes_between_load_and_intent_is_seen(world: World) -> None:
    caps = Caps(1, 86_400, 0)
    campaign = world.campaign(uk(1))
    message = world.messages(campaign)[0]
    candidate = Candidate(message.id, message.msisdn, "Hello")
    with world.database.write() as session:
        assert moves_against(session, caps, [candidate], world.now) == []
    rival = world.campaign(uk(1), template="Rival")
    world.end(world.messages(rival), MessageState.SENT)
    with world.database.write() as session:
        assert len(moves_against(session, caps, [candidate], world.now)) == 1


def intent_of(world: World, template: str, caps: Caps) -> Intent:
    """A campaign of its own to the one number, ready to leave."""
    taken = lease(world, world.batches(world.campaign(uk(1), template=template))[0])
    with world.database.read() as session:
        first, *_ = look(session, taken, Brief(), world.now, 10, BEFORE_ALL, no_key).due
    chunk = Chunk(new_id(), (first,), Request("POST", "http://127.0.0.1:1/", {}))
    return Intent(taken, [(chunk, attempt_row("qikli", QUERY, taken, chunk))], caps)


def test_of_two_campaigns_that_write_their_intents_at_once_one_passes(world: World) -> None:
    ready = threading.Barrier(2)

    def intend(template: str) -> int:
        intent = intent_of(world, template, Caps(1, 86_400, 0))
        ready.wait(timeout=30)
        with world.database.write() as session:
            ((state, stays),) = prepare_intents(world.database.engine.dialect, [intent], world.now)(session)
        assert state is CampaignState.RUNNING
        return 1 - len(stays)

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(intend, ["One", "Two"])) == 1


def test_of_two_campaigns_in_one_transaction_one_passes(world: World) -> None:
    intents = [intent_of(world, template, Caps(1, 86_400, 0)) for template in ("One", "Two")]
    with world.database.write() as session:
        answers = prepare_intents(world.database.engine.dialect, intents, world.now)(session)
    assert [(state, len(stays)) for state, stays in answers] == [(CampaignState.RUNNING, 0), (CampaignState.RUNNING, 1)]
    written = [intent.rows[0][0].attempt_id for intent in intents]
    with world.database.read() as session:
        assert [session.get(Attempt, one) is not None for one in written] == [True, False]


def test_a_message_never_counts_against_itself() -> None:
    mine = Contact(NOBODY, START, "Hello")
    assert judge(Caps(1, 3600, 600), Candidate(NOBODY, "+447700900001", "Hello"), [mine], START) is None


def test_the_edge_of_the_period_is_outside() -> None:
    earlier = Contact(UUID(int=1), START - timedelta(hours=1), "x")
    candidate = Candidate(NOBODY, "+447700900001", "Hello")
    assert judge(Caps(1, 3600, 0), candidate, [earlier], START) is None
    assert judge(Caps(1, 3601, 0), candidate, [earlier], START) is not None


@pytest.mark.parametrize(("seconds", "text"), [(86_400, "24 h"), (600, "10 min"), (90, "90 s")])
def test_spans_are_said_plainly(seconds: int, text: str) -> None:
    assert span(seconds) == text
