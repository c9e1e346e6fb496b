from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from models.database import Database
from models.queries import account_status
from models.tables import Attempt
from producer.metrics import render

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SNAPSHOT = {
    "breaker": {"state": "open"},
    "submit": {
        "windows": [{"limit": 60, "per": 60.0, "counts": "requests", "used": 45}],
        "blocked_for": 12.5,
        "messages_per_second": 0.9,
    },
}


@pytest.fixture
def database_file(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path / 'm.db'}")
    database.migrate()
    return database


def samples(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_an_empty_database_still_gives_well_formed_metrics(database_file: Database) -> None:
    with database_file.read() as session:
        found = samples(render(session, NOW))
    assert found[("drumline_inbox_pages_waiting", frozenset())] == 0


def test_limiter_breaker_and_latency_are_told_per_account(database_file: Database) -> None:
    with database_file.write() as session:
        account_status(session, "cliqtel").snapshot = SNAPSHOT
        for milliseconds in (40, 80, 400, 9000):
            session.add(
                Attempt(account="cliqtel", kind="submit", started_at=NOW - timedelta(seconds=5), status=201,
                        elapsed_ms=milliseconds)
            )  # fmt: skip
        session.add(Attempt(account="cliqtel", kind="submit", started_at=NOW - timedelta(hours=1), status=500))
    with database_file.read() as session:
        found = samples(render(session, NOW))
    account = ("account", "cliqtel")
    assert found[("drumline_breaker", frozenset({account, ("state", "open")}))] == 1
    assert found[("drumline_breaker", frozenset({account, ("state", "closed")}))] == 0
    assert found[("drumline_blocked_seconds", frozenset({account}))] == 12.5
    used = frozenset({account, ("counts", "requests"), ("per", "60.0")})
    assert found[("drumline_window_used", used)] == 0.75
    requests = frozenset({account, ("kind", "submit"), ("status", "201")})
    assert found[("drumline_requests_recent", requests)] == 4
    assert found[("drumline_request_seconds_recent", frozenset({account, ("le", "0.5")}))] == 0.75
