"""The declared transitions: what may follow what, and what never can."""

from __future__ import annotations

import pytest

from models.states import (
    ACCEPTED_ONCE,
    BATCH_TRANSITIONS,
    CAMPAIGN_TRANSITIONS,
    FINAL,
    OPEN_AT_PROVIDER,
    TRANSITIONS,
    BatchState,
    CampaignState,
    MessageState,
    may,
    sources,
)

S = MessageState
LATE_TRUTH = {
    (S.FAILED, S.DELIVERED), (S.FAILED, S.UNDELIVERED), (S.FAILED, S.EXPIRED), (S.FAILED, S.REJECTED),
    (S.EXPIRED, S.DELIVERED), (S.EXPIRED, S.UNDELIVERED), (S.EXPIRED, S.REJECTED),
    (S.REJECTED, S.DELIVERED), (S.REJECTED, S.UNDELIVERED), (S.UNDELIVERED, S.DELIVERED),
}  # fmt: skip


def test_final_stays_final_save_for_late_truth() -> None:
    assert {move for move in TRANSITIONS if move[0] in FINAL} == LATE_TRUTH


@pytest.mark.parametrize("end", [S.DELIVERED, S.SUPPRESSED, S.CANCELLED])
def test_nothing_leads_out_of_a_true_end(end: S) -> None:
    assert [new for new in S if may(end, new)] == []


@pytest.mark.parametrize("state", sorted(ACCEPTED_ONCE))
def test_what_a_provider_took_is_never_queued_or_unknown_again(state: S) -> None:
    for new in (S.QUEUED, S.SUBMITTING, S.UNKNOWN, S.CANCELLED, S.SUPPRESSED):
        assert not may(state, new)


def test_only_a_queued_message_is_submitted() -> None:
    assert sources(S.SUBMITTING) == {S.QUEUED}


def test_only_what_is_under_way_becomes_unknown_and_nothing_dies_back_into_the_queue() -> None:
    assert sources(S.UNKNOWN) == {S.SUBMITTING}
    assert sources(S.QUEUED) == {S.SUBMITTING, S.UNKNOWN}


def test_a_cancelled_campaign_takes_back_only_what_has_not_left() -> None:
    assert sources(S.CANCELLED) == {S.QUEUED}
    assert sources(S.SUPPRESSED) == {S.QUEUED}


def test_no_state_leads_to_itself_and_every_move_has_its_reason() -> None:
    for table in (TRANSITIONS, BATCH_TRANSITIONS, CAMPAIGN_TRANSITIONS):
        for (old, new), reason in table.items():
            assert old != new
            assert len(reason) > 5


@pytest.mark.parametrize("state", [state for state in S if state not in FINAL])
def test_every_open_state_has_a_way_to_an_end(state: S) -> None:
    reached, edge = {state}, {state}
    while edge:
        edge = {new for old in edge for new in S if may(old, new)} - reached
        reached |= edge
    assert reached & FINAL


@pytest.mark.parametrize("state", sorted(OPEN_AT_PROVIDER))
def test_every_report_has_its_way_from_every_open_state(state: S) -> None:
    for end in (S.DELIVERED, S.UNDELIVERED, S.EXPIRED, S.REJECTED):
        assert may(state, end)


def test_every_batch_and_campaign_state_can_be_reached() -> None:
    assert {new for _, new in BATCH_TRANSITIONS} == set(BatchState)
    assert {new for _, new in CAMPAIGN_TRANSITIONS} | {CampaignState.DRAFT} == set(CampaignState)
