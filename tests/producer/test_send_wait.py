"""`drumline send --wait` follows a campaign to its end, whatever the database does meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import OperationalError

from models.database import Database
from producer.cli import send


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What each look at the campaign gives, the last one first."""
    given: list[Any] = []

    def look(session: object, campaign_id: object) -> Any:
        if isinstance(answer := given.pop(), Exception):
            raise answer
        return answer

    monkeypatch.setattr(send, "progress", look)
    monkeypatch.setattr("producer.cli.send.time.sleep", lambda seconds: None)
    return given


def away() -> OperationalError:
    return OperationalError("SELECT", {}, OSError("terminating connection"))


def test_a_database_that_is_away_ends_no_wait_and_is_told_once_each_time(
    database: Database, answers: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    under_way = SimpleNamespace(over=False, messages=2, left=1, final=0)
    answers += [SimpleNamespace(over=True), away(), under_way, away(), away()]
    campaign = uuid4()
    assert send._wait(SimpleNamespace(database=database), campaign, None, quiet=True)  # type: ignore[arg-type]
    told = capsys.readouterr().err
    assert told.count("the database does not answer") == 2
    assert str(campaign) in told


def test_the_time_is_over_while_the_database_is_away(database: Database, answers: list[Any]) -> None:
    answers += [away()]
    assert not send._wait(SimpleNamespace(database=database), uuid4(), -1.0, quiet=True)  # type: ignore[arg-type]
