"""`drumline limits`, `drumline breaker`, `drumline unblock`: what they show, and that workers do what they ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.names import Order
from config.settings import settings
from models.database import Database
from models.queries import account_status
from producer.cli import app
from producer.cli.limits import rows_of
from producer.limits import Standing, give_order
from workers.orders import pending

ACCOUNTS = """\
[accounts.acme]
provider = "quicksms"
base_url = "http://127.0.0.1:9"
limits = [{ limit = 1000, per = "1m" }]
sender_limits = [{ limit = 5, per = "1s" }]
"""
WINDOW = {"limit": 1000, "per": 60.0, "counts": "requests", "used": 400, "ahead": 8, "foreign": 100, "remaining": 492}
SUBMIT = {
    "windows": [WINDOW], "blocked_for": 12.0, "reason": "429", "ramp": 0.25, "requests_per_second": 4.25,
    "messages_per_second": 4.25,
}  # fmt: skip
BREAKER = {
    "state": "open", "kind": "credentials", "reason": "401", "by": "worker", "for": 5.0, "probe_in": 890.0,
    "needs_operator": True,
}  # fmt: skip


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    (tmp_path / "accounts.toml").write_text(ACCOUNTS, "utf-8")
    url = f"sqlite:///{tmp_path / 'cli.db'}"
    monkeypatch.setenv("DRUMLINE_DATABASE_URL", url)
    monkeypatch.setenv("DRUMLINE_ACCOUNTS_FILE", str(tmp_path / "accounts.toml"))
    monkeypatch.setenv("DRUMLINE_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("DRUMLINE_REDIS_URL", raising=False)
    monkeypatch.setattr("producer.cli.limits.DONE_WITHIN", 0.2)
    settings.cache_clear()
    made = Database(url)
    made.migrate()
    with made.write() as session:
        status = account_status(session, "acme")
        status.snapshot, status.updated_at = {"submit": SUBMIT, "breaker": BREAKER}, made.now()
    yield made
    made.close()
    settings.cache_clear()


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_limits_tells_windows_use_block_breaker_queue_and_rate(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {**{"account": "acme"}, **json.loads(run("limits", "--json"))[0]}
    assert shown["submit"]["windows"] == [WINDOW]
    assert shown["breaker"]["reason"] == "401"
    assert shown["queue"] == {"dispatched": 0, "leased": 0}
    assert shown["age"] < 60


def test_the_table_says_everything_in_the_accounts_first_row() -> None:
    poll = {**SUBMIT, "windows": [], "blocked_for": 0.0, "ramp": 1.0}
    one = Standing("acme", {"submit": SUBMIT, "poll": poll, "breaker": BREAKER}, 1.0, 890.0, True, 1, 2, None)
    first, second = rows_of(one)
    assert first[:6] == ("acme", "1,000 requests / 60 s", "400 (+100 by others)", "492", "4.2 (25% ramp)", "12 s: 429")
    assert "open for 5 s (credentials: 401); next probe in 890 s" in first[6]
    assert "drumline breaker close acme" in first[6]
    assert first[7] == "1+2"
    assert second[:2] == ("acme (poll)", "no limit")
    assert second[6:] == ("", "")


def test_an_account_no_worker_has_spoken_of_says_so() -> None:
    [row] = rows_of(Standing("acme", {}, None, 0.0, False, 0, 0, None))
    assert row[6] == "no worker has spoken yet"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("breaker", "open", "acme", "--reason", "they asked us to stop"), Order.OPEN),
        (("breaker", "close", "acme"), Order.CLOSE),
        (("unblock", "acme"), Order.UNBLOCK),
    ],
)
def test_an_order_is_kept_in_the_database_when_no_worker_answers(
    database: Database, arguments: tuple[str, ...], word: Order
) -> None:
    result = run(*arguments)
    with database.read() as session:
        kept, note = pending(session, "acme")
    assert kept == word
    assert note
    assert "kept" in result


def test_a_newer_order_replaces_one_that_was_not_carried_out(database: Database) -> None:
    with database.write() as session:
        give_order(session, "acme", Order.OPEN, "first")
        give_order(session, "acme", Order.CLOSE, "second")
        assert pending(session, "acme") == ("close", "second")


def test_an_unknown_account_is_refused_and_nothing_is_ordered(database: Database) -> None:
    result = CliRunner().invoke(app, ["breaker", "open", "nobody"])
    assert "unknown account 'nobody', expected one of acme" in str(result.exception)
