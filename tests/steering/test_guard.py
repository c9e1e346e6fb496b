"""Auto-pause on too many errors, from counters alone."""

from models.states import CampaignState, MessageState
from models.steering import GuardRule
from producer.control import steer
from producer.guard import Tally, Watch, marks_of, stored, watch
from tests.steering.world import World, uk

RULE = GuardRule(0.5, last=100)
ZERO = (Tally(0, 0),)


def test_the_watch_begins_with_a_mark_and_no_verdict() -> None:
    assert watch(RULE, (), Tally(500, 500)) == Watch((Tally(500, 500),))


def test_few_errors_let_it_run() -> None:
    assert watch(RULE, ZERO, Tally(100, 49)).reason is None


def test_too_many_errors_pause_and_say_the_figures() -> None:
    assert watch(RULE, ZERO, Tally(100, 50)).reason == (
        "paused by the guard: 50 of the last 100 outcomes are errors; it pauses at 50% of 100"
    )


def test_errors_that_cannot_be_made_up_for_pause_before_the_window_is_full() -> None:
    assert watch(RULE, ZERO, Tally(50, 49)).reason is None
    assert watch(RULE, ZERO, Tally(50, 50)).reason is not None


def test_errors_long_ago_are_forgotten() -> None:
    marks: tuple[Tally, ...] = ZERO
    for outcomes in range(10, 1010, 10):
        seen = watch(RULE, marks, Tally(outcomes, min(outcomes, 40)))
        assert seen.reason is None
        marks = seen.marks
    assert 10 <= len(marks) <= 12
    assert watch(RULE, marks, Tally(1060, 100)).reason is not None


def test_a_burst_that_outruns_the_rounds_is_judged_as_a_whole() -> None:
    assert watch(RULE, ZERO, Tally(10_000, 4000)).reason is None
    assert watch(RULE, ZERO, Tally(10_000, 5000)).reason is not None


def test_marks_survive_their_column() -> None:
    assert marks_of(stored((Tally(3, 1), Tally(5, 2)))) == (Tally(3, 1), Tally(5, 2))
    assert marks_of(None) == ()


def test_a_campaign_is_paused_and_counts_anew_when_resumed(world: World) -> None:
    campaign = world.campaign(uk(60), {"guard": {"share": 0.5, "last": 20}})
    messages = world.messages(campaign)
    world.end(messages[:8], MessageState.DELIVERED)
    assert steer(world.database, world.now).halted == 0
    world.end(messages[8:20], MessageState.UNDELIVERED)
    assert steer(world.database, world.now).halted == 1
    paused = world.get(campaign)
    assert paused.state is CampaignState.PAUSED
    assert "12 of the last" in (paused.state_reason or "")
    assert world.events(campaign)[-2:] == ["guard_paused", "paused"]
    world.resume(campaign)
    assert steer(world.database, world.now).halted == 0
    world.end(messages[20:29], MessageState.REJECTED)
    assert steer(world.database, world.now).halted == 0
    world.end(messages[29:31], MessageState.EXPIRED)
    assert steer(world.database, world.now).halted == 1
