"""The commands that steer: their options, their JSON, their exit codes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from models.database import Database
from models.states import MessageState
from models.steering import CanaryRule, Caps, GuardRule, Slices, Spread
from models.windows import parse_window
from producer.campaigns import CampaignError
from producer.cli import steering
from tests.steering.world import World
from tests.support.terminal import Terminal

NOTHING: dict[str, Any] = {
    "window": None, "quiet": None, "window_zone": None, "spread": None, "slices": None, "canary": None,
    "canary_share": 0.8, "canary_wait": "30m", "canary_codes": (), "guard": None, "cap": None, "repeat": None,
}  # fmt: skip


def test_options_become_steering() -> None:
    found = steering.read(
        **{**NOTHING, "window": "09:00-20:00 mon-fri", "window_zone": "Europe/Berlin", "slices": "1000/10m",
           "canary": 100, "canary_codes": ["DLT-*"], "guard": "0.3/50", "cap": "3/24h", "repeat": "10m"}
    )  # fmt: skip
    assert found.window == parse_window("09:00-20:00 mon-fri", "Europe/Berlin")
    assert found.pacing == Slices(1000, 600)
    assert found.canary == CanaryRule(100, 0.8, 1800, ("DLT-*",))
    assert found.guard == GuardRule(0.3, 50)
    assert found.caps == Caps(3, 86_400, 600)


def test_other_spellings() -> None:
    found = steering.read(**{**NOTHING, "quiet": "21:00-08:00", "spread": "6h", "guard": "0.5", "cap": "0"})
    assert found.window == parse_window("08:00-21:00")
    assert (found.pacing, found.guard, found.caps) == (Spread(21_600), GuardRule(0.5), Caps(0))
    assert steering.read(**NOTHING).as_json() == {}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"window": "9-20"}, "window"),
        ({"window": "09:00-20:00", "quiet": "21:00-08:00"}, "window"),
        ({"window": "09:00-20:00", "window_zone": "Mars/Base"}, "window"),
        ({"spread": "1h", "slices": "1/1m"}, "spread"),
        ({"spread": "soon"}, "spread"),
        ({"slices": "1000"}, "slices"),
        ({"slices": "x/10m"}, "slices"),
        ({"canary": 10, "canary_wait": "soon"}, "canary_wait"),
        ({"guard": "much"}, "guard"),
        ({"guard": "0.3/2"}, "guard"),
        ({"cap": "3"}, "cap"),
        ({"repeat": "never"}, "repeat"),
        ({"spread": "9" * 400 + "d"}, "spread"),
        ({"slices": "9" * 5000 + "/10m"}, "slices"),
    ],
)
def test_a_wrong_option_is_refused_by_its_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(CampaignError) as refused:
        steering.read(**{**NOTHING, **options})
    assert refused.value.field == field


# --- commands --------------------------------------------------------------------------------------------------------


NUMBERS = ["+447700900001", "+12025550101"]


def test_a_campaign_is_sent_with_its_steering(terminal: Terminal) -> None:
    options = ("--window", "09:00-20:00", "--canary", "1", "--cap", "3/24h")
    campaign = terminal.draft(NUMBERS, *options)
    database = Database(f"sqlite:///{terminal.folder / 'test.db'}")
    assert set(World(database).get(UUID(campaign)).steering) == {"window", "canary", "caps"}
    database.close()


def test_a_campaign_is_given_another_time_and_listed(terminal: Terminal) -> None:
    campaign = terminal.draft(NUMBERS)
    found = terminal.json("reschedule", campaign, "2100-01-01T09:00", "--zone", "Europe/Berlin")
    assert found["start_at"] == "2100-01-01T08:00:00+00:00"
    assert terminal.run("resume", campaign)[0] == 0
    assert [item["id"] for item in terminal.json("schedule", "list")] == [campaign]


def test_a_campaign_is_repeated_and_no_more(terminal: Terminal) -> None:
    campaign = terminal.draft(NUMBERS)
    made = terminal.json("recurring", "add", campaign, "0 9 * * mon-fri", "--zone", "Europe/Berlin")
    assert [entry["id"] for entry in terminal.json("recurring", "list")] == [made["id"]]
    assert terminal.run("recurring", "remove", made["id"])[0] == 0
    assert terminal.json("recurring", "list") == []


def test_failures_are_sent_again(terminal: Terminal) -> None:
    campaign = terminal.draft(NUMBERS)
    terminal.run("resume", campaign)
    world = World(Database(f"sqlite:///{terminal.folder / 'test.db'}"))
    world.end(world.messages(UUID(campaign))[:1], MessageState.UNDELIVERED)
    world.database.close()
    found = terminal.json("retry-failed", campaign)
    assert (found["state"], found["states"]) == ("running", {"queued": 1})


@pytest.mark.parametrize(
    "option", [("--validity", "9000000000000000"), ("--max-rate", "1e-300"), ("--max-rate", "nan")], ids=" ".join
)
def test_a_number_that_would_stop_workers_is_refused_before_anything_is_stored(
    terminal: Terminal, option: tuple[str, str]
) -> None:
    (terminal.folder / "people.csv").write_text("phone\n+447700900001\n", "utf-8")
    given = ("--template", "Hello", "--route", "qikli", "--sender", "Drumline")
    code, out, err = terminal.run("send", str(terminal.folder / "people.csv"), *given, *option)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {option[0].strip('-').replace('-', '_')}: found {option[1]}, expected ")
    assert terminal.json("campaigns") == []


@pytest.mark.parametrize(
    "words",
    [
        ("reschedule", "ID", "tomorrow"),
        ("reschedule", "ID", "2001-01-01T00:00"),
        ("reschedule", "ID", "0001-01-01T00:00:00", "--zone", "Asia/Tokyo"),
        ("costs", "zzzz"),
        ("erase", "07700900123", "--region", "UK"),
        ("suppressions", "remove", "07700900123", "--region", "UK"),
        ("errors", "00000000-0000-0000-0000-000000000000"),
        ("retry-failed", "ID"),
        ("retry-failed", "ID", "--state", "unknown"),
        ("retry-failed", "ID", "--state", "lost"),
        ("recurring", "add", "ID", "0 9 * *"),
        ("recurring", "remove", "nothing"),
        ("reschedule", "zzzz", "2100-01-01T09:00"),
    ],
)
def test_wrong_input_ends_with_code_2_and_one_line(terminal: Terminal, words: tuple[str, ...]) -> None:
    campaign = terminal.draft(NUMBERS)
    code, out, err = terminal.run(*(campaign if word == "ID" else word for word in words))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")


@pytest.mark.parametrize("command", [("suppress",), ("suppressions", "add")], ids=" ".join)
def test_a_list_of_numbers_is_read_in_a_region_that_there_is(terminal: Terminal, command: tuple[str, ...]) -> None:
    file = terminal.folder / "stops.txt"
    file.write_text("07700 900123\n", "utf-8")
    code, _, err = terminal.run(*command, str(file), "--region", "UK")
    assert (code, err) == (2, "error: region: 'UK' is no country code of two letters, as GB or DE\n")
    assert terminal.run(*command, str(file), "--region", "gb")[0] == 0
