"""`drumline send`: what it leaves behind, and what it says where nothing can be sent."""

from __future__ import annotations

import pytest

from tests.support.terminal import Terminal

GIVEN = ("--template", "Hi {{ name }}", "--route", "qikli", "--sender", "Drumline")


def send(terminal: Terminal, rows: str, *options: str) -> tuple[int, str, str]:
    (terminal.folder / "people.csv").write_text(f"phone,name\n{rows}", "utf-8")
    return terminal.run("send", str(terminal.folder / "people.csv"), *GIVEN, *options)


@pytest.mark.parametrize("stream", [(), ("--stream",)], ids=["whole", "stream"])
def test_a_file_without_a_good_row_says_why_and_leaves_nothing_behind(
    terminal: Terminal, stream: tuple[str, ...]
) -> None:
    code, out, err = send(terminal, "12345,Ama\n" * 1000, *stream)
    assert (code, out) == (2, "")
    assert err.startswith("error: all 1,000 rows were rejected; nothing was created. row 2, phone ")
    assert err.count("; row ") == 2
    assert err.endswith("; …. To list every row, import with --draft, then: drumline rejects ID\n")
    assert terminal.json("campaigns") == []


def test_a_draft_keeps_its_rejected_rows_to_be_listed(terminal: Terminal) -> None:
    code, _, err = send(terminal, "12345,Ama\n", "--draft")
    assert code == 0
    assert "1 rows rejected; list them with: drumline rejects" in err
    (campaign,) = terminal.json("campaigns")
    assert [row["row_no"] for row in terminal.json("rejects", campaign["id"])] == [2]


def test_one_good_row_is_sent_whatever_the_others_are(terminal: Terminal) -> None:
    assert send(terminal, "12345,Ama\n+447700900001,Ben\n")[0] == 0
    assert [item["messages"] for item in terminal.json("campaigns")] == [1]
