"""When which provider group is asked for again: each in its own rhythm, nothing lost over an outage."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from models.database import Database
from models.queries import account_status
from models.states import MessageState
from models.tables import AccountStatus, Message
from providers.base import AccountSettings, OpenWork, Page, Provider
from providers.registry import PROVIDERS, build
from providers.wire import Reply
from tests.support.clock import START
from tests.support.rows import ACCOUNT, add_batch, add_campaign, add_messages
from tests.support.world import World
from workers import poll
from workers.poll import due_polls, group_due, open_work, poll_reports

S = MessageState
BASE = 15.0


def ago(**time: float) -> datetime:
    return START - timedelta(**time)


def add(database: Database, left: datetime, group: str | None, state: S = S.SUBMITTED, **more: Any) -> UUID:
    with database.write() as session:
        campaign = add_campaign(session, START)
        batch = add_batch(session, campaign, START)
        values = {"state": state, "submitted_at": left, "attempted_at": left, "group_id": group, **more}
        (made,) = add_messages(session, campaign, batch, 1, **values)
    return made


def polled(database: Database, when: datetime) -> None:
    with database.write() as session:
        account_status(session, ACCOUNT).polled_at = when


def work(database: Database, now: datetime = START) -> OpenWork | None:
    with database.read() as session:
        return open_work(session, ACCOUNT, BASE, now)


@pytest.mark.parametrize(
    ("age", "every"), [(60.0, BASE), (1200.0, 4 * BASE), (2 * 3600.0, 20 * BASE), (24 * 3600.0, 60 * BASE)]
)
def test_a_group_is_due_once_in_each_beat_of_its_age(age: float, every: float) -> None:
    left = START - timedelta(seconds=age)
    due = 0
    last = START
    for second in range(0, int(every) * 4, 5):
        now = START + timedelta(seconds=second)
        if group_due(left, last, now, BASE):
            due += 1
        last = now
    assert 3 <= due <= 5


@pytest.mark.parametrize("hours", [1, 12, 71])
def test_after_an_outage_every_open_group_is_due_at_once(hours: int) -> None:
    for age in (1.0, 3600.0, 70 * 3600.0):
        left = START - timedelta(seconds=age)
        assert group_due(left, START - timedelta(hours=hours), START, BASE) or age / 3600 > hours * 10


def test_a_group_that_left_after_the_last_poll_is_due() -> None:
    assert group_due(START - timedelta(seconds=1), START - timedelta(seconds=5), START, BASE)


def test_the_first_poll_asks_for_every_group_the_youngest_first(database: Database) -> None:
    for hours in (5, 1, 3):
        add(database, ago(hours=hours), f"g{hours}")
    found = work(database)
    assert found is not None
    assert list(found.groups) == ["g1", "g3", "g5"]
    assert (found.oldest, found.ungrouped, found.all_grouped) == (ago(hours=5), None, True)


def test_an_old_group_is_left_alone_between_its_beats(database: Database) -> None:
    add(database, ago(hours=30, minutes=1), "old")
    add(database, ago(seconds=20), "young")
    polled(database, ago(seconds=30))
    found = work(database)
    assert found is not None
    assert list(found.groups) == ["young"]


def test_messages_no_group_will_find_are_asked_for_by_date(database: Database) -> None:
    add(database, ago(minutes=1), "g")
    add(database, ago(minutes=9), None)
    add(database, ago(minutes=20), None, S.UNKNOWN)
    found = work(database)
    assert found is not None
    assert found.ungrouped == ago(minutes=20)
    pages = qikberry().first_pages(found)
    assert [dict(page.query) for page in pages] == [{"group_id": "g"}, {"date": START.date().isoformat()}]


def test_with_more_groups_than_can_be_asked_for_the_days_are_read_instead(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll, "MOST_GROUPS", 3)
    for number in range(5):
        add(database, ago(minutes=number + 1), f"g{number}")
    found = work(database)
    assert found is not None
    assert list(found.groups) == []
    assert [set(page.query) for page in qikberry().first_pages(found)] == [{"date"}]


def test_when_no_group_is_due_nothing_is_asked(database: Database) -> None:
    add(database, ago(hours=30, seconds=40), "old")
    polled(database, ago(seconds=5))
    found = work(database)
    assert found is not None
    assert list(qikberry().first_pages(found)) == []


def qikberry() -> Provider:
    credentials = dict.fromkeys(PROVIDERS["qikberry"].credential_names, "x")
    return build("qikberry", AccountSettings(ACCOUNT, "http://127.0.0.1:1", credentials, {"service": "T"}))


def test_the_list_reaches_back_to_the_attempt_not_only_to_its_answer(database: Database) -> None:
    add(database, ago(minutes=5), None, attempted_at=ago(minutes=12))
    found = work(database)
    assert found is not None
    assert found.oldest == ago(minutes=12)


def test_a_poll_that_got_nothing_is_repeated_as_a_whole(world: World) -> None:
    sent = world.campaign(1)
    world.submit(sent.batch)
    world.line.answer = lambda request: Reply(500, {}, b"")
    assert world.run(poll_reports(world.runtime, ACCOUNT)) == 0
    with world.database.read() as session:
        status = session.get(AccountStatus, ACCOUNT)
    assert status is None or status.polled_at is None


def test_a_list_that_fails_costs_the_others_nothing(world: World) -> None:
    sent = world.campaign(1)
    world.submit(sent.batch)
    world.provider.pages = [Page(number=7), Page(number=8), Page(number=9)]
    world.line.answer = lambda request: Reply(404 if "page=8" in request.url else 200, {}, b"{}")
    assert world.run(poll_reports(world.runtime, ACCOUNT)) == 2
    with world.database.read() as session:
        assert session.get_one(AccountStatus, ACCOUNT).polled_at == world.clock()


def test_a_held_message_is_polled_for_at_the_pace_of_its_release(database: Database) -> None:
    made = add(database, ago(hours=20), None, S.HELD, held_until=ago(minutes=1))
    with database.write() as session:
        assert due_polls(session, {ACCOUNT: BASE}, START) == [ACCOUNT]
        assert account_status(session, ACCOUNT).next_poll_at == START + timedelta(seconds=BASE)
        session.get_one(Message, made).held_until = START + timedelta(minutes=2)
        account_status(session, ACCOUNT).next_poll_at = None
    with database.write() as session:
        due_polls(session, {ACCOUNT: BASE}, START)
        assert account_status(session, ACCOUNT).next_poll_at == START + timedelta(minutes=2, seconds=BASE)
