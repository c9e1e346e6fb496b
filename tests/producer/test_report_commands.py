"""The commands that show figures and find messages, and those about keys with a quota."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from config import settings as settings_module
from models.database import Database
from models.states import MessageState
from producer import cli
from tests.support.rows import add_batch, add_campaign, add_messages, number

Run = Callable[..., Any]


@pytest.fixture
def run(database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs a command with --json; what it printed, or its exit code where that is not 0."""
    monkeypatch.setenv("DRUMLINE_DATABASE_URL", database.url)
    settings_module.settings.cache_clear()

    def go(*arguments: str) -> Any:
        monkeypatch.setattr(sys, "argv", ["drumline", *arguments, "--json"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr().out
        return json.loads(printed) if ended.value.code == 0 else ended.value.code

    yield go
    settings_module.settings.cache_clear()


def test_figures_are_shown_by_day_and_messages_by_number(database: Database, run: Run) -> None:
    with database.write() as session:
        now = database.now()
        campaign = add_campaign(session, now)
        add_messages(session, campaign, add_batch(session, campaign, now), 3, state=MessageState.DELIVERED)
    [day] = run("figures")
    assert (day["campaigns"], day["messages"], day["states"]) == (1, 3, {"delivered": 3})
    assert [found["campaign_id"] for found in run("find", number(2))] == [str(campaign)]
    assert run("find", "no number") == 2


def test_a_key_has_a_quota_that_can_be_changed(database: Database, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run("keys", "create", "shop", "--daily-quota", "500")
    assert made["daily_quota"] == 500
    [listed] = run("keys", "list")
    assert (listed["daily_quota"], listed["used_today"]) == (500, 0)
    monkeypatch.setattr(sys, "argv", ["drumline", "keys", "quota", made["id"], "9"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert run("keys", "list")[0]["daily_quota"] == 9
    assert run("keys", "create", "shop", "--scope", "root") == 2


def test_costs_and_errors_take_a_part_of_an_id_like_any_command(database: Database, run: Run) -> None:
    with database.write() as session:
        now = database.now()
        campaign = add_campaign(session, now)
        batch = add_batch(session, campaign, now)
        add_messages(session, campaign, batch, 2, state=MessageState.FAILED, code="9", reason="r")
    for part in (str(campaign), str(campaign)[:13], str(campaign)[-8:].upper()):
        assert [row["messages"] for row in run("errors", part)] == [2]
        assert isinstance(run("costs", part), list)
    assert run("errors", "no-such") == 2
    assert run("costs", "no-such") == 2
