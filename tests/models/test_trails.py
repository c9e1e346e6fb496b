"""Our own words in a message's history: understood again, and kept when others' words are erased."""

from __future__ import annotations

from datetime import UTC, datetime

from models.plain import trail_line
from models.states import MessageState as S
from models.trails import attempts_named, is_moved_note, moved_note, without_notes
from models.types import new_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIRST, SECOND = new_id(), new_id()


def trail(*lines: tuple[S, str]) -> str:
    return "".join(trail_line(state, note, NOW) for state, note in lines)


WHOLE = trail(
    (S.QUEUED, "imported Ann.csv"),
    (S.SUBMITTING, str(FIRST)),
    (S.QUEUED, f"not sent: {new_id()}"),
    (S.QUEUED, moved_note("acme-2", "errors: Ann said no")),
    (S.SUBMITTING, str(SECOND)),
    (S.UNKNOWN, str(new_id())),
)


def test_a_history_names_every_request_that_carried_its_message_and_nothing_else() -> None:
    assert attempts_named(WHOLE) == {FIRST, SECOND}
    assert attempts_named(trail((S.SUBMITTING, "attempt 1"), (S.SUBMITTING, ""))) == frozenset()


def test_a_change_of_account_is_known_by_its_note() -> None:
    assert is_moved_note(moved_note("acme", "credentials: why"))
    assert is_moved_note(moved_note("acme", "").rstrip())
    assert not is_moved_note("imported")


def test_what_others_wrote_goes_and_what_is_ours_stays() -> None:
    bare = without_notes(WHOLE)
    assert attempts_named(bare) == {FIRST, SECOND}
    assert [line.partition(" ")[2] for line in bare.splitlines()] == [
        "queued",
        f"submitting {FIRST}",
        "queued",
        "queued moved from acme-2:",
        f"submitting {SECOND}",
        "unknown",
    ]
    assert without_notes("no_line\n") == "no_line\n"
