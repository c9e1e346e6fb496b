"""The canary: a few first, the rest only if these arrive."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import pytest

from models.states import BatchState, CampaignState, CanaryState, MessageState
from models.steering import CanaryRule
from models.tables import Message
from producer.canary import Flight, Word, judge, matches
from producer.control import steer
from tests.steering.test_planner import due
from tests.steering.world import START, World, uk

M = MessageState
RULE = CanaryRule(10, share=0.8, wait=900)
STRICT = CanaryRule(10, share=0.8, wait=900, codes=("DLT-*", "INV-SENDER"))


@pytest.mark.parametrize(
    ("rule", "outcomes", "waited", "word"),
    [
        (RULE, {(M.QUEUED, None): 10}, None, Word.WAIT),
        (RULE, {(M.SENT, None): 10}, 0, Word.WAIT),
        (RULE, {(M.DELIVERED, None): 8, (M.SENT, None): 2}, 0, Word.PASS),  # enough already
        (RULE, {(M.DELIVERED, None): 8, (M.QUEUED, None): 2}, None, Word.WAIT),  # not all left: the rest may still fail
        (RULE, {(M.DELIVERED, None): 7, (M.SENT, None): 3}, 899, Word.WAIT),
        (RULE, {(M.DELIVERED, None): 7, (M.SENT, None): 3}, 900, Word.HALT),
        (RULE, {(M.DELIVERED, None): 7, (M.UNDELIVERED, "EC-1"): 3}, 0, Word.HALT),  # cannot be reached any more
        (RULE, {(M.DELIVERED, None): 7, (M.UNKNOWN, None): 3}, 900, Word.HALT),
        (RULE, {(M.DELIVERED, None): 8, (M.REJECTED, "DLT-REJECTED"): 2}, 0, Word.PASS),
        (STRICT, {(M.DELIVERED, None): 9, (M.REJECTED, "DLT-REJECTED"): 1}, 0, Word.HALT),
        (STRICT, {(M.QUEUED, None): 9, (M.REJECTED, "dlt-rejected"): 1}, None, Word.HALT),  # at once
        (STRICT, {(M.DELIVERED, None): 9, (M.SENT, None): 1}, 0, Word.WAIT),  # its code may still be a forbidden one
        (STRICT, {(M.DELIVERED, None): 9, (M.SENT, None): 1}, 900, Word.PASS),
        (RULE, {(M.SUPPRESSED, None): 10}, 0, Word.HALT),
        (RULE, {(M.SUPPRESSED, None): 5, (M.DELIVERED, None): 4, (M.FAILED, "x"): 1}, 0, Word.PASS),  # 4 of 5
        (CanaryRule(10, share=0.0), {(M.SENT, None): 10}, 0, Word.PASS),
    ],
)
def test_the_verdict_follows_from_the_figures(
    rule: CanaryRule, outcomes: Mapping[tuple[MessageState, str | None], int], waited: float | None, word: Word
) -> None:
    left_at = None if waited is None else START - timedelta(seconds=waited)
    assert judge(rule, Flight(outcomes), left_at, START).word is word


def test_the_reason_says_the_figures() -> None:
    flight = Flight({(M.DELIVERED, None): 7, (M.UNDELIVERED, "EC-1"): 2, (M.EXPIRED, None): 1})
    assert judge(RULE, flight, START, START).reason == (
        "canary: 7 of 10 delivered (70%); failed: EC-1 2, expired 1; 8 were asked for (80%)"
    )


def test_codes_match_with_stars_and_in_any_case() -> None:
    assert matches("INV-123", ("inv-*",))
    assert not matches("XINV-1", ("INV-*",))


# --- in the database -------------------------------------------------------------------------------------------------


def flown(world: World, **rule: object) -> tuple[UUID, list[Message]]:
    """A campaign of 30 whose canary of 10 has just left."""
    campaign = world.campaign(uk(30), {"canary": {"size": 10, "wait": 900, **rule}})
    steer(world.database, world.now)
    assert due(world) == 1
    canary = world.messages(campaign)[:10]
    world.set_batch(canary[0].batch_id, BatchState.DONE)
    return campaign, canary


def test_only_the_canary_leaves_until_it_passed(world: World) -> None:
    campaign, canary = flown(world)
    world.end(canary, M.DELIVERED)
    assert due(world) == 0
    done = steer(world.database, world.now)
    assert (done.passed, done.planned) == (1, 1)
    assert due(world) == 1
    assert world.get(campaign).canary is CanaryState.PASSED
    assert "10 of 10 delivered" in world.last_event(campaign, "canary_passed")


def test_a_canary_that_does_not_arrive_pauses_the_campaign_and_says_why(world: World) -> None:
    campaign, canary = flown(world)
    world.end(canary[:5], M.DELIVERED)
    world.end(canary[5:], M.UNDELIVERED, "EC-1")
    assert steer(world.database, world.now).halted == 1
    paused = world.get(campaign)
    assert paused.state is CampaignState.PAUSED
    assert paused.canary is CanaryState.HALTED
    assert paused.state_reason == "canary: 5 of 10 delivered (50%); failed: EC-1 5; 8 were asked for (80%)"
    assert world.events(campaign)[-2:] == ["canary_halted", "paused"]
    assert due(world) == 0


def test_no_report_within_the_wait_halts(world: World) -> None:
    campaign, canary = flown(world)
    world.end(canary, M.SENT)
    steer(world.database, world.now)
    world.tick(seconds=899)
    assert steer(world.database, world.now).halted == 0
    world.tick(seconds=1)
    assert steer(world.database, world.now).halted == 1
    assert "10 without a report" in (world.get(campaign).state_reason or "")


def test_resuming_a_halted_campaign_overrules_its_canary(world: World) -> None:
    campaign, canary = flown(world)
    world.end(canary, M.UNDELIVERED)
    steer(world.database, world.now)
    world.tick(minutes=5)
    world.resume(campaign)
    assert "canary_overruled" in world.events(campaign)
    steer(world.database, world.now)
    assert due(world) == 1


def test_two_rounds_at_once_decide_once(world: World) -> None:
    campaign, canary = flown(world)
    world.end(canary, M.DELIVERED)
    assert steer(world.database, world.now).passed == 1
    assert steer(world.database, world.now).passed == 0
    assert world.events(campaign).count("canary_passed") == 1
