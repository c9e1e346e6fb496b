"""`drumline purge` and `drumline erase`: what they print, how they end, and the schedule that is off by default."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config import names
from config import settings as settings_module
from config.celery_app import make_app
from config.own_keys import suppression_key
from config.settings import ROOT, Settings
from models.database import Database
from models.states import CampaignState, MessageState
from models.tables import Message
from producer import retention
from tests.retention.world import NAME, TEXT, Traces, leave_traces, phone, where
from tests.support.terminal import Terminal as CommandLine


class Terminal(CommandLine):
    """Runs commands against one database."""

    def __init__(
        self, database: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
    ) -> None:
        super().__init__(capsys, monkeypatch, folder)
        self.database = database

    def traces(self, **changes: Any) -> Traces:
        with self.database.write() as session:
            return leave_traces(session, **changes)


@pytest.fixture
def terminal(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Terminal]:
    monkeypatch.setenv("DRUMLINE_DATABASE_URL", database.url)
    monkeypatch.setenv("DRUMLINE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DRUMLINE_ACCOUNTS_FILE", str(ROOT / "config/accounts.sandbox.toml"))
    monkeypatch.setenv("COLUMNS", "200")
    settings_module.settings.cache_clear()
    yield Terminal(database, capsys, monkeypatch, tmp_path)
    settings_module.settings.cache_clear()


def test_purge_says_what_it_would_do_then_does_it_and_the_figures_still_show(terminal: Terminal) -> None:
    left = terminal.traces()
    assert [one["id"] for one in terminal.json("purge", "--older-than", "90d", "--dry-run")["campaigns"]] == [
        str(left.campaign)
    ]
    before = terminal.json("status", str(left.campaign))
    assert terminal.json("purge", "--older-than", "90d", "--vacuum")["messages"] == 3
    after = terminal.json("status", str(left.campaign))
    assert after["purged_at"] is not None
    assert {**after, "purged_at": None} == before
    assert "purged on" in terminal.run("status", str(left.campaign))[1]
    assert terminal.json("costs", str(left.campaign), "--by", "country")[0]["messages"] == 3
    assert len(terminal.json("rejects", str(left.campaign))) == 1
    assert terminal.run("audit", str(left.campaign))[0] == 0


@pytest.mark.parametrize("age", ["90", "soon", "1h", "-3d", "99999999999d"])
def test_an_age_that_is_none_or_too_young_is_refused(terminal: Terminal, age: str) -> None:
    terminal.traces()
    code, _, err = terminal.run("purge", "--older-than", age)
    assert code == 2
    assert err.startswith("error: --older-than")
    assert where(terminal.database, TEXT) != set()


def test_erase_takes_one_number_and_says_how_much(terminal: Terminal) -> None:
    terminal.traces()
    found = terminal.json("erase", "+44 7700 900001", "--suppress")
    assert (found["messages"], found["suppressions_kept"]) == (1, 1)
    assert where(terminal.database, phone(1)[1:]) == set()
    assert terminal.run("suppressions", "remove", phone(1))[2].startswith("1 suppressions lifted")


def test_erase_names_what_is_still_open_and_ends_with_code_1(terminal: Terminal) -> None:
    left = terminal.traces(state=CampaignState.RUNNING, finished_at=None)
    with terminal.database.write() as session:
        session.get_one(Message, left.messages[0]).state = MessageState.SENT
    code, _, err = terminal.run("erase", phone(1))
    assert code == 1
    assert f"message {left.messages[0]} is sent" in err


def test_a_key_that_is_not_the_one_of_before_is_said_in_one_line(terminal: Terminal) -> None:
    terminal.json("erase", phone(1), "--suppress")
    (terminal.folder / "state" / "suppression.key").write_text("another key of another machine")
    code, _, err = terminal.run("erase", phone(2), "--suppress")
    assert code == 1
    assert err.startswith("error: the suppressions of erased numbers were made with another key")


@pytest.mark.parametrize(
    "words", [("nonsense",), ("07700900001",), ("+447700900001", "--suppress", "--forget-suppression")]
)
def test_what_cannot_be_meant_is_wrong_input(terminal: Terminal, words: tuple[str, ...]) -> None:
    assert terminal.run("erase", *words)[0] == 2


def test_the_key_of_erased_suppressions_is_made_once_for_us_alone(tmp_path: Path) -> None:
    configured = Settings(_env_file=None, state_dir=tmp_path / "state")
    assert suppression_key(configured) == suppression_key(configured)
    file = tmp_path / "state" / "suppression.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_database_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'made' / 'drumline.db'}")
    database.migrate()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "made").iterdir()}
    database.close()
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o700


def test_a_file_that_a_command_writes_is_for_its_owner_alone(terminal: Terminal) -> None:
    left = terminal.traces()
    terminal.run("rejects", str(left.campaign), "--out", str(terminal.folder / "bad.csv"))
    assert NAME in (terminal.folder / "bad.csv").read_text("utf-8")
    assert stat.S_IMODE((terminal.folder / "bad.csv").stat().st_mode) == 0o600


# --- the schedule ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "scheduled"), [(0, False), (90, True)])
def test_beat_purges_only_when_it_is_told_to(days: int, scheduled: bool) -> None:
    configured = Settings(
        _env_file=None, purge_after_days=days, redis_url="redis://127.0.0.1:1/0",
        accounts_file=ROOT / "config/accounts.sandbox.toml",
    )  # fmt: skip
    ticks = make_app(configured).conf.beat_schedule
    assert (names.PURGE in {tick["task"] for tick in ticks.values()}) is scheduled


def test_the_scheduled_purge_works_for_a_bounded_time(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    left = terminal.traces()
    configured = Settings(_env_file=None, purge_after_days=90)
    monkeypatch.setattr(retention, "TICK_BUDGET", 0.0)
    assert retention.tick(terminal.database, configured).left
    monkeypatch.undo()
    assert not retention.tick(terminal.database, configured).left
    assert where(terminal.database, TEXT) == set()
    assert left.messages
