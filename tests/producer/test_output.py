"""What commands print: nothing that came from a file is a command to the terminal, or markup."""

from __future__ import annotations

import json
import re

import pytest

from producer.cli.output import complain, print_json, print_table, say
from tests.support.terminal import Terminal

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\x08\r\x7f"
SHOWN = r"\x1b[2J\x1b]0;owned\x07\x9b31m\x08\x0d\x7f"
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def test_control_characters_are_shown_and_never_sent_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(f"title {EVIL}", ["name"], [[f"cell {EVIL}"]])
    say(f"said {EVIL}")
    complain(f"complained {EVIL}")
    printed = capsys.readouterr()
    assert f"title {SHOWN}" in printed.out
    assert f"cell {SHOWN}" in printed.out
    assert f"said {SHOWN}\nerror: complained {SHOWN}\n" == printed.err
    assert not CONTROL.search(printed.out + printed.err)


def test_nothing_is_markup_and_the_ends_of_lines_stay(capsys: pytest.CaptureFixture[str]) -> None:
    told = r"[bold]x[/] \[red] :smile:"
    print_table(told, ["name"], [[told], ["one\ntwo"]])
    say(f"{told}\n{told}")
    printed = capsys.readouterr()
    assert printed.out.count(told) == 2
    assert [line.strip() for line in printed.out.splitlines()][-3:-1] == ["one", "two"]
    assert printed.err == f"{told}\n{told}\n"


def test_json_holds_no_raw_control_character_and_means_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": EVIL, "other": "Ünïcödé Â£"})
    out = capsys.readouterr().out
    assert not CONTROL.search(out)
    assert json.loads(out) == {"name": EVIL, "other": "Ünïcödé Â£"}


def test_what_a_recipient_is_called_cannot_write_on_the_screen(terminal: Terminal) -> None:
    file = terminal.folder / "people.csv"
    file.write_text(f"phone,name\n+447700900001,A{EVIL[:5]}\n12345{EVIL[:4]},B\n", "utf-8")
    given = ("--template", "Hi {{ name }}", "--route", "qikli", "--sender", "Drumline")
    for words in (("preview", str(file), *given), ("send", str(file), *given, "--name", f"Sale{EVIL[:4]}")):
        code, out, err = terminal.run(*words)
        assert code == 0, err
        assert not CONTROL.search(out + err)
    campaign = terminal.json("campaigns")[0]["id"]
    for command in (("campaigns",), ("rejects", campaign), ("status", campaign)):
        code, out, err = terminal.run(*command)
        assert code == 0, err
        assert not CONTROL.search(out + err)
