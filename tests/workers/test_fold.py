"""What reports of one message together say, whatever order they come in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.moves import Locked
from models.states import FINAL, MessageState, may
from models.tables import client_ref
from providers.base import Failure, FailureClass, Report
from workers.fold import RANK, fold, is_older_try, place

S = MessageState
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = UUID(int=7)
REPORTED = [state for state in RANK if state is not None]


def row(state: S = S.SUBMITTED, *, ref_round: int = 1, provider_id: str | None = "p", deadline: float = 0.0) -> Locked:
    return Locked(
        ID, UUID(int=1), "acme", state, None, "+447700900001", provider_id, None, ref_round, NOW,
        NOW + timedelta(seconds=deadline) if deadline else None,
    )  # fmt: skip


def at(minute: int) -> datetime:
    return NOW + timedelta(minutes=minute)


def test_the_end_that_is_furthest_along_wins_and_brings_its_time_and_reason() -> None:
    failure = Failure("27", FailureClass.TEMPORARY, "absent")
    sent = Report("a", S.SENT, at=at(1), network="23415")
    gone = Report("b", S.UNDELIVERED, at=at(2), failure=failure, price=Decimal("0.5"), currency="EUR")
    verdict = fold(row(), [gone, sent], NOW)
    assert verdict.state is S.UNDELIVERED
    assert dict(verdict.facts) == {
        "network": "23415", "price": Decimal("0.5"), "currency": "EUR", "provider_at": at(2), "code": "27",
        "klass": "temporary", "reason": "absent", "not_before": None,
    }  # fmt: skip


reports = st.lists(
    st.builds(
        Report,
        dedupe=st.text("abcdef", min_size=1, max_size=4),
        state=st.sampled_from([None, *REPORTED]),
        at=st.one_of(st.none(), st.integers(0, 3).map(at)),
        parts=st.one_of(st.none(), st.integers(1, 3)),
        price=st.one_of(st.none(), st.integers(0, 3).map(Decimal)),
        read_at=st.one_of(st.none(), st.integers(0, 3).map(at)),
    ),
    max_size=4,
    unique_by=lambda report: report.dedupe,
)


@settings(max_examples=200, deadline=None)
@given(reports)
def test_the_order_reports_come_in_never_matters(given_: list[Report]) -> None:
    verdicts = [fold(row(), order, NOW) for order in permutations(given_)]
    assert all(verdict == verdicts[0] for verdict in verdicts)


@settings(max_examples=300, deadline=None)
@given(reports, st.sampled_from([S.SUBMITTED, S.UNKNOWN, S.SUBMITTING, S.SENT]))
def test_one_after_the_other_ends_where_all_together_end(given_: list[Report], start: S) -> None:
    together = fold(row(start), given_, NOW).state or start
    here, seen = start, []
    for report in given_:
        seen.append(report)
        here = fold(row(here), seen, NOW).state or here
    ends = {here, together}
    assert len(ends) == 1 or ends <= {S.SUBMITTED, S.HELD}


@pytest.mark.parametrize("first", REPORTED)
@pytest.mark.parametrize("second", REPORTED)
def test_of_two_ends_the_stronger_evidence_wins_in_either_order(first: S, second: S) -> None:
    stronger = max(first, second, key=lambda state: RANK[state])
    if RANK[first] != RANK[second] and stronger in FINAL:
        weaker = first if stronger is second else second
        assert may(weaker, stronger)
        assert not may(stronger, weaker) or weaker not in FINAL


def test_a_failure_the_provider_reported_is_not_undone_by_an_older_word() -> None:
    failed, sent = Report("f", S.FAILED, at=at(2)), Report("s", S.SENT, at=at(1))
    assert fold(row(S.FAILED), [failed, sent], NOW).state is None
    assert fold(row(S.FAILED), [sent], NOW).state is None  # what is final never becomes open again


def test_a_read_receipt_keeps_the_first_time_it_was_read() -> None:
    receipts = [Report(str(n), S.DELIVERED, at=at(n), read_at=at(n)) for n in (9, 5, 7)]
    assert fold(row(S.DELIVERED), receipts, NOW).facts["read_at"] == at(5)


def test_the_providers_id_is_taken_only_where_there_was_none() -> None:
    report = Report("a", S.SENT, provider_id="new", group_id="g")
    assert fold(row(provider_id=None), [report], NOW).facts["provider_id"] == "new"
    assert "provider_id" not in fold(row(), [report], NOW).facts


@pytest.mark.parametrize(("new", "longer"), [(S.HELD, True), (S.SENT, False)])
def test_a_hold_starts_the_clock_again(new: S, longer: bool) -> None:
    facts = fold(row(deadline=100.0), [Report("h", new)], at(60)).facts
    assert ("deadline" in facts) is longer
    if longer:
        assert facts["deadline"] == at(60) + timedelta(seconds=100)


@pytest.mark.parametrize("state", [S.REJECTED, S.EXPIRED, S.UNDELIVERED, S.SENT])
def test_an_older_trys_end_is_not_the_new_trys(state: S) -> None:
    old = Report("o", state, ref=client_ref(ID, 1))
    assert is_older_try(old, row(ref_round=2))
    assert not is_older_try(Report("n", state, ref=client_ref(ID, 2)), row(ref_round=2))
    assert fold(row(ref_round=2), [old], NOW).state is None


def test_an_older_try_that_arrived_is_the_one_that_counts_from_now_on() -> None:
    verdict = fold(row(ref_round=2), [Report("o", S.DELIVERED, ref=client_ref(ID, 1))], NOW)
    assert (verdict.state, verdict.facts["ref_round"]) == (S.DELIVERED, 1)


def test_without_times_the_dedupe_key_decides_so_that_there_is_always_one_answer() -> None:
    one, two = Report("a", S.DELIVERED, parts=1), Report("b", S.DELIVERED, parts=2)
    assert place(one) < place(two)
    assert fold(row(), [two, one], NOW).facts["parts"] == 2
