"""After a purge no table and no file knows a number or a text any more, and every figure is what it was."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, update

from config.settings import Settings
from models.database import Database
from models.states import CampaignState, MessageState
from models.tables import Campaign, DeliveryReport, InboxPage, Message, Recurring
from models.types import new_id
from producer import campaigns, copies, recurring, retention_steps
from producer.audit import audit
from producer.overview import progress
from producer.retention import TooYoung, forecast, purge, vacuum
from producer.retention_steps import Purged
from tests.retention.world import NAME, NOW, OLD, TEXT, Traces, in_files, leave_traces, phone, statistics, where

AGE = timedelta(days=90)
SETTINGS = Settings(_env_file=None)


def no_rest(_seconds: float) -> None:
    """Nobody else wants to write."""


def traces(database: Database, many: int = 3, **changes: object) -> Traces:
    with database.write() as session:
        return leave_traces(session, many, **changes)  # type: ignore[arg-type]


def run(database: Database) -> Purged:
    return purge(database, AGE, SETTINGS, rest=no_rest)


def test_after_a_purge_no_column_of_any_table_knows_a_number_or_a_text(database: Database) -> None:
    left = traces(database)
    secrets = (*(phone(row)[1:] for row in (1, 2, 3)), TEXT, NAME)
    assert len(where(database, *secrets)) > 20, "the search would find them"
    done = run(database)
    assert where(database, *secrets) == set()
    assert (done.campaigns, done.messages, done.reports, done.pages, done.rejects) == (1, 3, 3, 3, 1)
    assert statistics(database, left.campaign)["rows"] == (0, 3, 1, 0)


def test_the_figures_are_the_same_before_and_after(database: Database) -> None:
    left = traces(database, 7)
    before = statistics(database, left.campaign)
    run(database)
    assert statistics(database, left.campaign) == before
    with database.read() as session:
        found, shown = audit(session, left.campaign), progress(session, left.campaign)
    assert found is not None
    assert found.differences == ()
    assert shown is not None
    assert shown.as_dict()["purged_at"] is not None


def test_the_file_itself_forgets(tmp_path: Path, migrated_sqlite: Path) -> None:
    file = tmp_path / "drumline.db"
    file.write_bytes(migrated_sqlite.read_bytes())
    database = Database(f"sqlite:///{file}")
    traces(database, 40)
    assert in_files(tmp_path, phone(7)[1:], TEXT) != []
    run(database)
    assert in_files(tmp_path, phone(7)[1:], TEXT) == []
    database.close()


def test_vacuum_works_on_both_and_keeps_every_row(database: Database) -> None:
    left = traces(database)
    before = statistics(database, left.campaign)
    vacuum(database)
    assert statistics(database, left.campaign) == before


def test_what_is_younger_or_not_over_or_still_needed_is_left_alone(database: Database) -> None:
    kept = [
        traces(database, at=NOW - timedelta(days=80)),
        traces(database, state=CampaignState.PAUSED),
        traces(database, state=CampaignState.DRAFT, finished_at=None),
    ]
    source = traces(database)
    with database.write() as session:
        session.add(Recurring(id=new_id(), name="weekly", campaign_id=source.campaign, cron="0 9 * * 1", zone="UTC",
                              next_at=NOW, created_at=OLD))  # fmt: skip
        still_open = leave_traces(session, 2)
        session.execute(
            update(Message).where(Message.id == still_open.messages[0]).values(state=MessageState.SUBMITTED)
        )
    before = [message_texts(database, one.campaign) for one in (*kept, source, still_open)]
    done = run(database)
    assert (done.campaigns, done.messages) == (0, 0)
    assert [message_texts(database, one.campaign) for one in (*kept, source, still_open)] == before


def message_texts(database: Database, campaign: UUID) -> list[tuple[str, str | None]]:
    with database.read() as session:
        query = select(Message.msisdn, Message.text).where(Message.campaign_id == campaign).order_by(Message.row_no)
        return [(msisdn, text) for msisdn, text in session.execute(query)]


def test_a_purge_that_is_killed_at_any_point_is_finished_by_the_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_steps, "MESSAGES", 2)
    left = traces(database, 7)
    before = statistics(database, left.campaign)
    for dies_after in (1, 2, 3, 5, 8):
        with pytest.raises(KeyboardInterrupt):
            purge(database, AGE, SETTINGS, rest=_dying(dies_after))
    run(database)
    assert where(database, phone(1)[1:], phone(7)[1:], TEXT, NAME) == set()
    assert statistics(database, left.campaign) == before


class _dying:  # noqa: N801  # used like a function
    """A rest in which the process is killed, after so many transactions."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, _seconds: float) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_each_transaction_is_small_and_leaves_room_for_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_steps, "MESSAGES", 10)
    traces(database, 55)
    rests: list[float] = []
    figures: list[Purged] = []
    purge(database, AGE, SETTINGS, rest=rests.append, tell=figures.append)
    sizes = [after.messages - before.messages for before, after in zip([Purged(), *figures], figures, strict=False)]
    assert max(sizes) == 10
    assert len(rests) == len(figures)
    assert min(rests) > 0


def test_a_scheduled_purge_stops_when_its_time_is_up_and_the_next_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_steps, "MESSAGES", 1)
    traces(database, 4)
    rounds = 1
    while purge(database, AGE, SETTINGS, budget=0.0, rest=no_rest).left:
        rounds += 1
        monkeypatch.setattr(time, "monotonic", _faster(time.monotonic()))
        if rounds > 3:
            monkeypatch.undo()
            run(database)
            break
    assert rounds > 1
    assert where(database, TEXT) == set()


class _faster:  # noqa: N801  # used like a function
    def __init__(self, start: float) -> None:
        self.now = start

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_a_dry_run_names_the_campaigns_and_changes_nothing(database: Database) -> None:
    left = traces(database)
    places = where(database, TEXT, phone(1)[1:])
    with database.read() as session:
        found = forecast(session, NOW - AGE)
    assert [one.id for one in found.campaigns] == [left.campaign]
    assert (found.messages, found.pages, found.inbound) == (3, 3, 1)
    assert where(database, TEXT, phone(1)[1:]) == places


def test_numbers_that_the_caps_still_count_are_too_young(database: Database) -> None:
    counting = Settings(_env_file=None, cap_messages=3, cap_hours=240)
    with pytest.raises(TooYoung, match="10 days"):
        purge(database, timedelta(days=9), counting)


def test_a_purged_campaign_is_neither_retried_nor_repeated(database: Database) -> None:
    left = traces(database)
    run(database)
    with database.write() as session, pytest.raises(campaigns.CampaignError, match="erased by retention"):
        copies.retry_failed(session, left.campaign, NOW)
    with database.write() as session, pytest.raises(campaigns.CampaignError, match="erased by retention"):
        recurring.add(session, left.campaign, "@daily", "UTC", NOW)


def test_a_retry_keeps_its_numbers_until_its_original_goes(database: Database) -> None:
    """Whom a retry has tried already is known by the number: without it they would be tried again."""
    original = traces(database, at=NOW - timedelta(days=89), finished_at=NOW - timedelta(days=89))
    retry = traces(database, origin_id=original.campaign, origin={"kind": "retry", "states": []})
    assert run(database).campaigns == 0
    with database.write() as session:
        session.execute(update(Campaign).where(Campaign.id == original.campaign).values(finished_at=OLD))
    run(database)
    assert run(database).campaigns in (0, 1)
    assert message_texts(database, retry.campaign)[0] == ("", None)


def test_a_report_that_came_after_the_purge_goes_with_the_next(database: Database) -> None:
    left = traces(database)
    run(database)
    with database.write() as session:
        session.add(InboxPage(account="acme", kind="push", received_at=OLD, parsed_at=OLD, body=phone(1).encode()))
        session.add(DeliveryReport(account="acme", dedupe="late", received_at=OLD, msisdn=phone(1), details={},
                                   message_id=left.messages[0], applied_at=OLD))  # fmt: skip
    run(database)
    assert where(database, phone(1)[1:]) == set()
