"""What Prometheus is told: exact, cheap, bounded, and free of numbers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError

from config.accounts import Account, Limit
from config.settings import Settings
from models.database import Database
from models.moves import Move, apply_moves, move_all
from models.queries import account_status
from models.states import BatchState, CampaignState, MessageState
from models.tables import InboxPage, Message, TallyRow
from models.tallies import MOST_CODES, Tallies, Tally, tally, tally_value
from producer.api.timed import HttpTimes
from producer.metrics import KEEP_SECONDS, Metrics
from tests.support.rows import ACCOUNT, add_batch, add_campaign, add_messages

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SNAPSHOT = {
    "breaker": {"state": "open"},
    "submit": {
        "windows": [{"limit": 60, "per": 60.0, "counts": "requests", "used": 45, "foreign": 0}],
        "blocked_for": 12.5,
        "ramp": 0.5,
        "messages_per_second": 0.9,
    },
}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def metrics_of(database: Database, clock: Callable[[], float] | None = None, **settings: Any) -> Metrics:
    account = Account(ACCOUNT, "scripted", "http://127.0.0.1:1", limits=(Limit(600, 60.0),))
    given = Settings(**settings)
    own = HttpTimes().registry
    return Metrics(database, {ACCOUNT: account}, given, "1.0", own, clock or Clock())


def samples(text: bytes) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def shown(database: Database) -> Samples:
    return samples(metrics_of(database).render(lambda: NOW))


def value(found: Samples, name: str, **labels: str) -> float:
    return found[f"drumline_{name}", frozenset(labels.items())]


def test_an_empty_database_still_gives_well_formed_metrics(database: Database) -> None:
    found = shown(database)
    assert value(found, "inbox_pages") == 0
    assert value(found, "database_up") == 1
    assert value(found, "messages_submitted_total", account=ACCOUNT) == 0


def test_promtool_finds_nothing_to_complain_about(database: Database) -> None:
    """With something in every family: promtool sees only what has samples."""
    _send_three(database)
    for name, labels in (
        (Tally.WAITS, ("pace",)),
        (Tally.WAIT_TIME, ("pace",)),
        (Tally.REPORTS, ("delivered", "moved")),
    ):
        database.tallies.add(name, ACCOUNT, labels, 1.5)
    database.tallies.request(ACCOUNT, "submit", "201", 0.2)
    with database.write() as session:
        tally_value(session, Tally.REPORT_DELAY, ACCOUNT, 0.2)
    promtool = shutil.which("promtool")
    assert promtool, "promtool is part of Debian's package prometheus"
    text = metrics_of(database).render(lambda: NOW)
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def _send_three(database: Database) -> None:
    """Three messages at an account whose breaker is open: one delivered, one refused, one unknown."""
    with database.write() as session:
        campaign = add_campaign(session, NOW, state=CampaignState.RUNNING)
        batch = add_batch(session, campaign, NOW - timedelta(minutes=20), size=3)  # dispatched then, and due again
        ids = add_messages(session, campaign, batch, 3)
        status = account_status(session, ACCOUNT)
        status.snapshot, status.updated_at, status.polled_at, status.next_poll_at = SNAPSHOT, NOW, NOW, NOW
        add_batch(session, campaign, NOW, state=BatchState.LEASED, dispatched_at=NOW - timedelta(minutes=16))
    moves = [
        [Move(one, MessageState.SUBMITTING, values={"attempted_at": NOW - timedelta(seconds=90)}) for one in ids],
        [Move(ids[0], MessageState.SUBMITTED), Move(ids[1], MessageState.REJECTED, values={"code": "E22"}),
         Move(ids[2], MessageState.UNKNOWN)],
        [Move(ids[0], MessageState.DELIVERED, values={"code": "000"})],
    ]  # fmt: skip
    for step in moves:
        with database.write() as session:
            assert len(apply_moves(session, step, NOW)) == len(step)


def test_submitted_outcomes_and_unknowns_are_counted_by_account_and_code(database: Database) -> None:
    _send_three(database)
    found = shown(database)
    assert value(found, "messages_submitted_total", account=ACCOUNT) == 1
    assert value(found, "message_outcomes_total", account=ACCOUNT, state="delivered", code="000") == 1
    assert value(found, "message_outcomes_total", account=ACCOUNT, state="rejected", code="E22") == 1
    assert value(found, "messages_unknown_total", account=ACCOUNT) == 1
    assert value(found, "unknown_messages", account=ACCOUNT) == 1
    assert value(found, "oldest_unknown_age_seconds", account=ACCOUNT) == 90
    assert value(found, "campaign_messages", account=ACCOUNT, state="delivered") == 1


def test_what_is_moved_in_bulk_is_counted_too(database: Database) -> None:
    with database.write() as session:
        campaign = add_campaign(session, NOW)
        add_messages(session, campaign, add_batch(session, campaign, NOW), 5)
    with database.write() as session:
        values = {"code": "too_late"}
        move_all(session, Message.campaign_id == campaign, MessageState.QUEUED,
                 Move(campaign, MessageState.EXPIRED, values=values), NOW)  # fmt: skip
    assert value(shown(database), "message_outcomes_total", account=ACCOUNT, state="expired", code="too_late") == 5


def test_queue_breaker_limiter_and_polls_are_told_per_account(database: Database) -> None:
    _send_three(database)
    found = shown(database)
    assert value(found, "oldest_due_batch_age_seconds", account=ACCOUNT) == 1200
    assert value(found, "batches", account=ACCOUNT, state="due") == 1
    assert value(found, "batches", account=ACCOUNT, state="leased") == 1
    assert value(found, "campaigns_stalled") == 1
    assert value(found, "campaigns", state="running") == 1
    assert value(found, "breaker_state", account=ACCOUNT, state="open") == 1
    assert value(found, "breaker_state", account=ACCOUNT, state="closed") == 0
    assert value(found, "limiter_blocked_seconds", account=ACCOUNT, budget="submit") == 12.5
    window = {"account": ACCOUNT, "budget": "submit", "counts": "requests", "per_seconds": "60"}
    assert value(found, "limiter_window_used_ratio", **window) == 0.75
    assert value(found, "account_allowance_messages_per_second", account=ACCOUNT) == 10
    assert value(found, "last_poll_timestamp_seconds", account=ACCOUNT) == NOW.timestamp()


def test_report_lag_is_the_age_of_the_oldest_page(database: Database) -> None:
    with database.write() as session:
        for age in (10, 40):
            received = NOW - timedelta(seconds=age)
            session.add(InboxPage(account=ACCOUNT, kind="push", received_at=received, body=b"{}"))
    found = shown(database)
    assert (value(found, "report_lag_seconds"), value(found, "inbox_pages")) == (40, 2)


def test_histograms_cumulate_their_buckets(database: Database) -> None:
    for seconds in (0.04, 0.08, 0.4, 90.0):
        database.tallies.request(ACCOUNT, "submit", "201", seconds)
    found, name = shown(database), "provider_request_duration_seconds"
    buckets = [value(found, f"{name}_bucket", account=ACCOUNT, le=le) for le in ("0.05", "0.1", "0.5", "30", "+Inf")]
    assert buckets == [1, 2, 3, 3, 4]
    assert value(found, f"{name}_count", account=ACCOUNT) == 4
    assert value(found, f"{name}_sum", account=ACCOUNT) == pytest.approx(90.52)


def test_what_is_rolled_back_is_not_counted(database: Database) -> None:
    def count_and_fail() -> None:
        with database.write() as session:
            tally(session, Tally.SUBMITTED, ACCOUNT, n=7)
            raise KeyError

    with pytest.raises(KeyError):
        count_and_fail()
    assert value(shown(database), "messages_submitted_total", account=ACCOUNT) == 0


def test_two_processes_add_up(database: Database) -> None:
    other = Database(database.url)
    for one in (database, other):
        one.tallies.add(Tally.SUBMITTED, ACCOUNT, n=2)
        one.flush_tallies()
    other.close()
    assert value(shown(database), "messages_submitted_total", account=ACCOUNT) == 4


def test_the_last_counts_of_a_process_are_written_when_it_ends(database: Database) -> None:
    other = Database(database.url)
    other.tallies.add(Tally.SUBMITTED, ACCOUNT)
    other.close()
    assert value(shown(database), "messages_submitted_total", account=ACCOUNT) == 1


def test_counts_wait_for_a_database_that_is_away(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(self: Tallies, *_: object) -> None:
        raise OperationalError("INSERT", None, Exception("away"))

    database.tallies.add(Tally.SUBMITTED, ACCOUNT, n=3)
    with monkeypatch.context() as patched:
        patched.setattr(Tallies, "write", away)
        database.flush_tallies()
    assert value(shown(database), "messages_submitted_total", account=ACCOUNT) == 3


def test_a_provider_that_invents_codes_makes_no_more_series(database: Database) -> None:
    odd = [f"E{number}" for number in range(MOST_CODES + 30)]
    with database.write() as session:
        campaign = add_campaign(session, NOW)
        ids = add_messages(session, campaign, add_batch(session, campaign, NOW), len(odd) + 2)
        codes = [*odd, "447700900123", "what the | provider said"]
        moves = [Move(one, MessageState.REJECTED, values={"code": code}) for one, code in zip(ids, codes, strict=True)]
        apply_moves(session, moves, NOW)
    database.flush_tallies()
    with database.read() as session:
        labels = list(session.execute(select(TallyRow.labels)).scalars())
    assert len(labels) <= MOST_CODES + 1
    assert "447700900123" not in " ".join(labels)
    found = shown(database)
    total = sum(n for (name, _), n in found.items() if name == "drumline_message_outcomes_total")
    assert total == len(odd) + 2


def test_a_scrape_reads_no_message_but_by_an_index_and_is_kept_for_a_while(database: Database) -> None:
    """However often it is asked. The plan of every statement that touches the messages names an index."""
    _send_three(database)
    statements: list[str] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    clock = Clock()
    metrics = metrics_of(database, clock)
    first = metrics.render(lambda: NOW)
    asked = len(statements)
    metrics.render(lambda: NOW)
    assert len(statements) == asked
    clock.seconds += KEEP_SECONDS
    metrics.render(lambda: NOW)
    assert len(statements) > asked
    assert b"drumline_" in first
    of_messages = [statement for statement in statements if "FROM messages" in statement]
    assert not [statement for statement in of_messages if "count(" in statement.lower()]
    assert {"account" in statement and "phase" in statement for statement in of_messages} == {True}


def test_a_database_that_is_away_is_a_metric_and_no_error(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> Any:
        raise OperationalError("SELECT", None, Exception("away"))

    monkeypatch.setattr(database, "read", away)
    found = shown(database)
    assert value(found, "database_up") == 0
    assert ("drumline_inbox_pages", frozenset()) not in found


def test_the_disk_is_told_where_the_state_lies(database: Database, tmp_path: Any) -> None:
    text = metrics_of(database, state_dir=tmp_path).render(lambda: NOW)
    found = samples(text)
    assert 0 < value(found, "state_dir_free_bytes") <= value(found, "state_dir_size_bytes")
    assert isinstance(HttpTimes().registry, CollectorRegistry)
