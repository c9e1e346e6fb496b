"""The two doors, the one clock, and what a wrong address gets."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import StatementError

from models.database import Database, DatabaseError
from models.states import CampaignState
from models.tables import Campaign, Message
from models.types import new_id, storable
from tests.support.rows import add_batch, add_campaign, add_messages

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "DRUMLINE_DATABASE_URL is not a database URL"),
        ("mysql://user:hunter2@host/db", "found 'mysql', expected sqlite or postgresql"),
        ("oracle://x", "found 'oracle'"),
    ],
)
def test_a_wrong_address_says_what_was_expected(url: str, words: str) -> None:
    with pytest.raises(DatabaseError, match=words) as caught:
        Database(url)
    assert "hunter2" not in str(caught.value)


def test_a_server_that_is_not_there_says_so() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
    with pytest.raises(DatabaseError, match="does not answer"):
        database.check()
    database.close()


@pytest.mark.parametrize("url", ["postgresql://u@h/d", "postgresql+psycopg2://u@h/d", "postgresql+asyncpg://u@h/d"])
def test_postgresql_always_means_the_one_driver(url: str) -> None:
    assert Database(url).engine.driver == "psycopg"


def test_a_sqlite_file_in_a_new_folder_is_made(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a' / 'b' / 'x.db'}")
    database.check()
    database.close()


def test_what_is_written_is_committed_at_the_end_of_the_block_or_not_at_all(database: Database) -> None:
    with database.write() as session:
        kept = add_campaign(session, NOW)
    lost = new_id()
    with pytest.raises(TypeError), database.write() as session:
        assert add_campaign(session, NOW, id=lost) / 0  # type: ignore[operator]  # something goes wrong
    with database.read() as session:
        assert session.get(Campaign, kept) is not None
        assert session.get(Campaign, lost) is None


def test_what_is_done_while_reading_is_never_kept(database: Database) -> None:
    with database.write() as session:
        campaign = add_campaign(session, NOW)
    with database.read() as session:
        session.get_one(Campaign, campaign).state = CampaignState.FAILED
        session.flush()
    with database.read() as session:
        assert session.get_one(Campaign, campaign).state is CampaignState.RUNNING


def test_writers_wait_for_each_other_and_none_fails(database: Database) -> None:
    """Each reads first and writes afterwards: the very thing that fails on SQLite without the lock taken at once."""
    with database.write() as session:
        campaign = add_campaign(session, NOW, rows_total=0)
    failures: list[BaseException] = []

    def add() -> None:
        try:
            for _ in range(10):
                with database.write() as session:
                    row = session.get_one(Campaign, campaign, with_for_update=True)
                    row.rows_total += 1
        except Exception as error:  # noqa: BLE001  # whatever it is, the test shows it
            failures.append(error)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.read() as session:
        assert session.get_one(Campaign, campaign).rows_total == 40


def test_the_clock_is_utc_and_goes_forward(database: Database) -> None:
    first, second = database.now(), database.now()
    assert first.tzinfo is UTC
    assert first <= second
    assert abs((datetime.now(UTC) - first).total_seconds()) < 60


def test_the_last_reading_of_the_clock_serves_while_the_server_is_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = database.now()
    monkeypatch.setattr("models.database.CLOCK_SECONDS", -1.0)
    monkeypatch.setattr(database, "engine", Database("postgresql://n@127.0.0.1:1/x?connect_timeout=1").engine)
    assert timedelta() <= database.now() - before < timedelta(seconds=30)


def test_times_come_back_as_the_same_moment_in_utc(database: Database) -> None:
    elsewhere = datetime(2026, 3, 1, 14, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with database.write() as session:
        campaign = add_campaign(session, elsewhere)
    with database.read() as session:
        found = session.get_one(Campaign, campaign).created_at
    assert (found, found.tzinfo) == (elsewhere, UTC)


def test_a_naive_time_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="naive"), database.write() as session:
        add_campaign(session, datetime(2026, 3, 1, 12, 0))  # the very thing


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (Decimal("0.000000001"), Decimal("0.000000001")), (Decimal("-1.5"), Decimal("-1.5")), (Decimal("NaN"), None),
        (Decimal("Infinity"), None), (Decimal("9e9"), None), (Decimal("8999999999"), Decimal("8999999999")),
    ],
)  # fmt: skip
def test_money_is_exact_and_what_is_none_is_not_kept(database: Database, given: Decimal, kept: Decimal | None) -> None:
    with database.write() as session:
        campaign = add_campaign(session, NOW)
        (message,) = add_messages(session, campaign, add_batch(session, campaign, NOW), 1, price=given)
    with database.read() as session:
        assert session.get_one(Message, message).price == kept


def test_an_unknown_word_in_the_database_is_an_error_not_a_string(database: Database) -> None:
    with database.write() as session:
        add_campaign(session, NOW)
        session.execute(text("UPDATE campaigns SET state = 'dancing'"))
    with pytest.raises(ValueError, match="dancing"), database.read() as session:
        session.execute(select(Campaign)).scalars().all()


def test_what_no_database_takes_is_replaced() -> None:
    assert storable("a\x00b\ud800c😀") == "a\ufffdb\ufffdc😀"


def test_writers_of_several_processes_wait_their_turn_without_polling(tmp_path: Path) -> None:
    """Each reads, then writes what it read plus one: a turn that two had at once would lose a count."""
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    database = Database(url)
    with database.write() as session:
        session.execute(text("CREATE TABLE counter (n INTEGER)"))
        session.execute(text("INSERT INTO counter VALUES (0)"))
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        list(pool.map(count_up, [url] * 3))
    with database.read() as session:
        assert session.execute(text("SELECT n FROM counter")).scalar_one() == 3 * 50
    database.close()


def count_up(url: str) -> None:
    database = Database(url)
    for _ in range(50):
        with database.write() as session:
            n = session.execute(text("SELECT n FROM counter")).scalar_one()
            session.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})
    database.close()


def test_a_writer_that_died_in_its_turn_holds_nobody_up(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    dying = get_context("spawn").Process(target=die_writing, args=(url,))
    dying.start()
    dying.join(30)
    assert dying.exitcode == -9
    database = Database(url)
    with database.write() as session:
        session.execute(text("CREATE TABLE free (n INTEGER)"))
    database.close()


def die_writing(url: str) -> None:
    with Database(url).write() as session:
        session.execute(text("CREATE TABLE never (n INTEGER)"))
        os.kill(os.getpid(), signal.SIGKILL)
