"""Verdict, chart, samples, counts and words: pure, or over a few rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update

from config.prices import Price, Prices
from models.database import Database
from models.moves import Move, apply_moves
from models.states import CampaignState, CanaryState, MessageState
from models.steering import CanaryRule
from models.tables import Campaign, CampaignSample, Message
from producer.overview import Progress
from producer.samples import SLOT_SECONDS, Sample, Totals, by_step, history, rates, slot_of, take_samples, totals_of
from producer.web.breakdown import Breakdowns
from producer.web.chart import HEIGHT, MOST_COLUMNS, WIDTH, chart, step_for
from producer.web.formats import ago, count, money, per_minute, percent, span, window
from producer.web.verdict import Facts, verdict
from tests.support.rows import ACCOUNT, add_batch, add_campaign, add_messages

M, C = MessageState, CampaignState
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
THIN = "\N{NARROW NO-BREAK SPACE}"


# --- verdict ---------------------------------------------------------------------------------------------------------


def facts(
    state: CampaignState,
    states: Mapping[MessageState, int],
    campaign: Mapping[str, object] | None = None,
    **more: object,
) -> Facts:
    row = Campaign(**{"name": "x", "state": state, "copy_due": False, **(campaign or {})})
    return Facts(Progress(row, {"qikli": dict(states)}), NOW, **more)  # type: ignore[arg-type]  # a test's own values


@pytest.mark.parametrize(
    ("given", "tone", "text"),
    [
        (facts(C.DRAFT, {}), "quiet", "Not started: it has no recipients yet."),
        (facts(C.DRAFT, {M.QUEUED: 1200}), "quiet", "Not started: 1,200 messages are ready."),
        (facts(C.IMPORTING, {M.QUEUED: 34_000}), "busy", "Recipients are being read: 34,000 messages so far."),
        (
            facts(C.SCHEDULED, {M.QUEUED: 5}, {"start_at": NOW + timedelta(hours=3)}),
            "quiet", "Scheduled: 5 messages begin to leave on 1 Mar 2026, 15:00 UTC (in 3 hours).",
        ),
        (
            facts(C.RUNNING, {M.QUEUED: 11_368, M.DELIVERED: 984, M.REJECTED: 16}, rate=13.5333, allowed=1000 / 60),
            "good",
            f"Sending at 812/min of 1,000/min allowed; 98.4{THIN}% of answered were accepted; "
            "all sent in about 14 minutes.",
        ),
        (facts(C.RUNNING, {M.QUEUED: 10, M.DELIVERED: 1, M.REJECTED: 9}, rate=1.0), "warn", "Sending at 60/min; 10"),
        (
            facts(C.RUNNING, {M.QUEUED: 10}, rate=0.0, troubles=["qikli is stopped: 401"]),
            "bad", "Nothing leaves: qikli is stopped: 401. 10 messages wait.",
        ),
        (
            facts(C.RUNNING, {M.QUEUED: 10, M.SENT: 5}, rate=1.0, troubles=["qikli is stopped: 401"]),
            "warn", f"Sending at 60/min; 100{THIN}% of answered were accepted; all sent in about 10 seconds. But qikli",
        ),
        (
            facts(C.RUNNING, {M.QUEUED: 10}, rate=0.0, next_at=NOW + timedelta(hours=10)),
            "quiet", "Waits for its hour: the next of 10 messages leave on 1 Mar 2026, 22:00 UTC (in 10 hours).",
        ),
        (facts(C.RUNNING, {M.QUEUED: 10}, rate=0.0), "warn", "Nothing has left for a minute, and 10 messages wait."),
        (facts(C.RUNNING, {M.QUEUED: 10}), "busy", "Sending: 10 messages wait; the rate is known in a few seconds."),
        (
            facts(C.RUNNING, {M.SENT: 3, M.UNKNOWN: 2, M.DELIVERED: 95}),
            "good",
            "All 100 have left; 3 reports are still to come; 2 outcomes are being looked up; "
            f"100{THIN}% of reported were delivered.",
        ),
        (facts(C.RUNNING, {M.SENT: 3, M.UNDELIVERED: 9}), "warn", "All 12 have left; 3 reports are still to come; 0"),
        (
            facts(C.RUNNING, {M.QUEUED: 900, M.SENT: 40, M.DELIVERED: 60}, {"canary": CanaryState.WAITING},
                  canary=CanaryRule(100)),
            "busy", "The canary is out: 60 delivered, 0 failed so far; the rest follow when 80% of 100 are.",
        ),
        (
            facts(C.PAUSED, {M.QUEUED: 1900, M.DELIVERED: 61, M.UNDELIVERED: 39},
                  {"canary": CanaryState.HALTED, "state_reason": "canary: 61 of 100 delivered (61%)"},
                  canary=CanaryRule(100)),
            "bad",
            f"Paused by the canary: 61{THIN}% of reported were delivered, the rule asks for 80%. 1,900 messages wait.",
        ),
        (
            facts(C.PAUSED, {M.QUEUED: 9}, {"state_reason": "paused by the guard: 12 of 20 are errors"}),
            "bad", "Paused by the guard: 12 of 20 are errors. 9 messages wait.",
        ),
        (facts(C.PAUSED, {M.QUEUED: 9}, {"state_reason": "lunch"}), "warn", "Paused: lunch. 9 messages wait; resuming"),
        (
            facts(C.COMPLETED, {M.DELIVERED: 98, M.UNDELIVERED: 2, M.SUPPRESSED: 4},
                  {"started_at": NOW - timedelta(minutes=14), "finished_at": NOW}),
            "good", f"Done: 98 of 104 delivered (98{THIN}% of those sent), 2 failed, 4 were not sent, in 14 minutes.",
        ),
        (facts(C.COMPLETED, {M.DELIVERED: 1, M.UNDELIVERED: 9}), "warn", "Done: 1 of 10 delivered"),
        (facts(C.CANCELLED, {M.DELIVERED: 30, M.CANCELLED: 70}), "quiet", "Cancelled. 30 had left, 70 never will."),
        (facts(C.FAILED, {}, {"state_reason": "no column"}), "bad", "The recipients could not be imported"),
    ],
)  # fmt: skip
def test_one_sentence_says_whether_it_is_well(given: Facts, tone: str, text: str) -> None:
    found = verdict(given)
    assert (found.tone, found.text[: len(text)]) == (tone, text)
    assert found.text.endswith(".")


def test_every_state_has_a_verdict() -> None:
    for state in CampaignState:
        for states in ({}, {M.QUEUED: 1}, {M.DELIVERED: 1}):
            assert verdict(facts(state, states)).say


def test_what_is_read_aloud_does_not_change_with_every_figure() -> None:
    said = {verdict(facts(C.RUNNING, {M.QUEUED: n, M.SENT: 9}, rate=n / 7)).say for n in range(5, 60)}
    assert len(said) == 1


# --- words -----------------------------------------------------------------------------------------------------------


def test_shares_are_never_rounded_to_all_or_nothing() -> None:
    assert [percent(n, 10_000) for n in (0, 1, 50, 9_999, 10_000)] == [
        f"0{THIN}%", f"<{THIN}0.1{THIN}%", f"0.5{THIN}%", f"99.9{THIN}%", f"100{THIN}%",
    ]  # fmt: skip
    assert percent(0, 0) == "–"


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_a_share_of_less_than_all_never_reads_as_all(part: int, more: int) -> None:
    assert percent(part, part + more) != f"100{THIN}%"
    assert percent(more, part + more) != f"0{THIN}%"


def test_times_and_amounts_read_as_people_say_them() -> None:
    assert [span(s) for s in (0.2, 1, 45, 60, 840, 3600, 12_000, 90_000, 400_000)] == [
        "less than a second", "1 second", "45 seconds", "1 minute", "14 minutes", "1 hour", "3 hours 20 minutes",
        "1 day", "4 days",
    ]  # fmt: skip
    assert (ago(NOW, NOW), ago(None, NOW)) == ("now", "never")
    assert (ago(NOW - timedelta(minutes=5), NOW), ago(NOW + timedelta(hours=1), NOW)) == ("5 minutes ago", "in 1 hour")
    assert (per_minute(None), per_minute(0.05), per_minute(13.5333)) == ("–", "3.0/min", "812/min")
    assert (count(None), count(1_234_567)) == ("–", "1,234,567")
    assert (money(Decimal("0.0385"), "EUR"), money(Decimal("1234.5"))) == (f"0.0385{THIN}EUR", "1,234.50")
    assert [window(s) for s in (0.25, 1, 10, 60, 3600)] == ["250 ms", "second", "10 seconds", "minute", "hour"]


# --- samples and chart -----------------------------------------------------------------------------------------------


@pytest.fixture
def running(database: Database) -> UUID:
    with database.write() as session:
        campaign = add_campaign(session, NOW)
        add_messages(session, campaign, add_batch(session, campaign, NOW), 100)
    return campaign


def leave(database: Database, campaign: UUID, many: int, now: datetime) -> None:
    with database.write() as session:
        query = select(Message.id).where(Message.campaign_id == campaign, Message.state == M.QUEUED).limit(many)
        ids = list(session.execute(query).scalars())
        for state in (M.SUBMITTING, M.SUBMITTED):
            apply_moves(session, [Move(message_id, state) for message_id in ids], now)


def test_a_sample_is_taken_only_when_something_changed(database: Database, running: UUID) -> None:
    assert take_samples(database, NOW) == 1
    assert take_samples(database, NOW + timedelta(seconds=1)) == 0  # the same five seconds
    assert take_samples(database, NOW + timedelta(seconds=6)) == 0  # nothing changed
    leave(database, running, 10, NOW)
    assert take_samples(database, NOW + timedelta(seconds=11)) == 1
    with database.read() as session:
        assert [sample.totals.gone for sample in history(session, running, 1)] == [0, 10]


def test_the_rate_is_that_of_the_last_minute(database: Database, running: UUID) -> None:
    take_samples(database, NOW)
    leave(database, running, 30, NOW)
    with database.read() as session:
        young = rates(session, NOW + timedelta(seconds=10), {running: Totals(30, 0, 0)}, {running: NOW})
    assert young[running] == pytest.approx(3.0)
    take_samples(database, NOW + timedelta(seconds=30))
    late = NOW + timedelta(seconds=300)
    with database.read() as session:
        assert rates(session, late, {running: Totals(30, 0, 0)}, {running: NOW})[running] == 0.0
        assert rates(session, late, {running: Totals(90, 0, 0)}, {running: NOW})[running] == pytest.approx(1.0)
        assert rates(session, late, {UUID(int=1): Totals(1, 0, 0)}, {}) == {}


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 50)), max_size=40),
    st.sampled_from([1, 2, 6, 12]),
)
def test_columns_add_up_to_what_has_left(steps: list[tuple[int, int]], step: int) -> None:
    started, gone, samples = datetime.fromtimestamp(slot_of(NOW) * SLOT_SECONDS, UTC), 0, []
    for slot, more in sorted(dict(steps).items()):
        gone += more
        samples.append(Sample(started + timedelta(seconds=slot * SLOT_SECONDS), Totals(gone, 0, 0)))
    end = started + timedelta(seconds=401 * SLOT_SECONDS)
    spans = by_step(samples, started, end, step)
    assert sum(added.gone for _, added in spans) == gone
    assert all(added.gone >= 0 for _, added in spans)


@given(st.integers(1, 3_000_000), st.integers(1, 2_000_000), st.one_of(st.none(), st.floats(0.01, 100_000)))
def test_every_chart_stays_within_its_picture(seconds: int, gone: int, allowed: float | None) -> None:
    end = NOW + timedelta(seconds=seconds)
    samples = [
        Sample(NOW + (end - NOW) * part / 7, Totals(gone * part // 7, gone * part // 9, 0)) for part in range(1, 8)
    ]
    found = chart(samples, NOW, end, step_for(seconds), allowed)
    if found is None:
        assert seconds < 2 * SLOT_SECONDS * step_for(seconds)
        return
    assert len(found.columns) <= MOST_COLUMNS + 1
    for column in found.columns:
        assert 0 <= column.x <= column.x + column.width <= WIDTH
        assert 0 <= column.y <= column.y + column.height <= HEIGHT
    assert found.allowed_y is None or 0 <= found.allowed_y <= HEIGHT


def test_totals_count_what_reached_a_provider() -> None:
    states = {M.QUEUED: 1, M.SUBMITTING: 2, M.SENT: 4, M.DELIVERED: 8, M.EXPIRED: 16, M.SUPPRESSED: 32}
    assert totals_of(states) == Totals(gone=28, delivered=8, failed=16)


def test_samples_go_with_their_campaign(database: Database, running: UUID) -> None:
    take_samples(database, NOW)
    with database.write() as session:
        session.execute(delete(Campaign).where(Campaign.id == running))
        assert session.execute(select(func.count()).select_from(CampaignSample)).scalar_one() == 0


# --- counts that cost a pass -----------------------------------------------------------------------------------------


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_campaign_is_counted_again_only_after_a_hundred_times_its_own_duration(
    database: Database, running: UUID, tmp_path: Path
) -> None:
    clock = Seconds()
    kept = Breakdowns(database, lambda: NOW, clock)
    first = kept.of(running, {M.QUEUED: 100}, wait=10)
    assert first is not None
    assert [(line.country, line.messages) for line in first.countries] == [("GB", 100)]
    leave(database, running, 40, NOW)
    moved = {M.QUEUED: 60, M.SUBMITTED: 40}
    assert kept.of(running, moved) is first
    clock.now = 1000.0
    assert kept.of(running, {M.QUEUED: 100}) is first, "nothing moved, so nothing is counted"
    assert kept.of(running, moved) is first, "nobody waits for a new count"
    event = kept._counting.get(running)
    assert event is None or event.wait(10)
    second = kept.of(running, moved)
    assert second is not None
    assert {cell.state: cell.messages for cell in second.cells} == moved


def test_costs_take_the_providers_price_before_the_tables_and_add_up_no_currencies(
    database: Database, running: UUID
) -> None:
    with database.write() as session:
        ids = list(session.execute(select(Message.id).limit(3)).scalars())
        for message_id, currency in zip(ids, ("EUR", "EUR", "USD"), strict=True):
            values = {"price": Decimal("0.05"), "currency": currency, "state": M.DELIVERED}
            session.execute(update(Message).where(Message.id == message_id).values(**values))
    found = Breakdowns(database, lambda: NOW).of(running, {M.QUEUED: 97, M.DELIVERED: 3}, wait=10)
    assert found is not None
    prices = Prices({ACCOUNT: {"GB": Price(Decimal("0.04"), "EUR")}})
    told = {cost.currency: (cost.named, cost.named_messages, cost.expected) for cost in found.costs(prices)}
    assert told == {
        "EUR": (Decimal("0.10"), 2, Decimal("0.10") + 97 * Decimal("0.04")),
        "USD": (Decimal("0.05"), 1, Decimal("0.05")),
    }
