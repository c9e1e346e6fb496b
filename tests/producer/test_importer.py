"""A file becomes messages and batches, everything or nothing."""

from __future__ import annotations

from collections import Counter as Tally
from datetime import timedelta
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from config.accounts import Account, Limit
from models.database import Database
from models.queries import counts, insert_new, recount
from models.states import CampaignState
from models.states import MessageState as S
from models.tables import Batch, Campaign, CampaignCount, Message, Reject, Suppression
from producer.campaigns import CampaignError, CampaignSpec, create, start
from producer.importer import IMPORT_LEASE, Importer
from producer.template import Template
from providers.base import Failure, FailureClass, Outgoing
from tests.support.clock import Clock
from tests.support.rows import number
from tests.support.scripted import Scripted
from workers.sweep import fail_dead_imports


class Desk:
    def __init__(self, database: Database, **providers: Scripted) -> None:
        self.database = database
        self.clock = Clock()
        self.providers = providers or {"acme": Scripted()}
        self.accounts = {
            name: Account(name, "scripted", "http://127.0.0.1:1", limits=(Limit(1, 1.0),)) for name in self.providers
        }
        self.importer = Importer(database, self.accounts, self.providers, self.clock)

    def campaign(self, template: str = "Hi {{ name }}", **changes: Any) -> UUID:
        route = changes.pop("route", dict.fromkeys(self.accounts, 1))
        spec = CampaignSpec("Test", "MyStore", template, route, **changes)
        with self.database.write() as session:
            return create(session, spec, Template.parse(template), self.clock())

    def count(self, table: Any) -> int:
        with self.database.read() as session:
            return session.execute(select(func.count()).select_from(table)).scalar_one()

    def row(self, campaign: UUID) -> Campaign:
        with self.database.read() as session:
            return session.get_one(Campaign, campaign)

    def messages(self) -> list[Message]:
        with self.database.read() as session:
            return list(session.execute(select(Message).order_by(Message.row_no)).scalars())


def csv(many: int, *more: str) -> BytesIO:
    rows = [f"{number(row)},Ann{row}" for row in range(1, many + 1)]
    return BytesIO("\n".join(["phone,name", *rows, *more]).encode())


def test_every_good_row_becomes_a_message_and_every_bad_one_a_reject(database: Database) -> None:
    desk = Desk(database)
    campaign = desk.campaign()
    found = desk.importer.run(campaign, csv(25, "not a number,Bob", f"{number(1)},Twice"))
    assert (found.accepted, found.rejected) == (25, 2)
    assert [row.text for row in desk.messages()][:2] == ["Hi Ann1", "Hi Ann2"]
    assert {row.state for row in desk.messages()} == {S.QUEUED}
    assert desk.count(Reject) == 2
    row = desk.row(campaign)
    assert (row.state, row.rows_total, row.rows_accepted, row.segments_total) == (CampaignState.DRAFT, 27, 25, 25)
    with database.read() as session:
        assert counts(session, campaign) == recount(session, campaign) == {"acme": {S.QUEUED: 25}}


def test_batches_hold_ten_seconds_of_their_account_and_every_message_is_in_one(database: Database) -> None:
    desk = Desk(database)
    desk.importer.run(desk.campaign(), csv(25))
    with database.read() as session:
        sizes = dict(session.execute(select(Batch.id, Batch.size)).all())
        members = Tally(session.execute(select(Message.batch_id)).scalars())
    assert sorted(sizes.values()) == [5, 10, 10]
    assert members == sizes


def test_the_route_shares_the_messages_by_weight(database: Database) -> None:
    desk = Desk(database, one=Scripted(), two=Scripted())
    desk.importer.run(desk.campaign(route={"one": 3, "two": 1}), csv(40))
    assert Tally(row.account for row in desk.messages()) == {"one": 30, "two": 10}


def test_a_message_one_account_would_refuse_goes_to_another_of_the_route(database: Database) -> None:
    picky = Scripted()

    def check(message: Outgoing) -> Failure | None:
        return Failure("9", FailureClass.RECIPIENT, "not there") if message.msisdn.endswith("5") else None

    picky.check = check  # type: ignore[method-assign]  # one that refuses every tenth
    desk = Desk(database, picky=picky, other=Scripted())
    found = desk.importer.run(desk.campaign(), csv(20))
    assert found.rejected == 0
    assert {row.account for row in desk.messages() if row.msisdn.endswith("5")} == {"other"}


def test_what_every_account_would_refuse_is_rejected_with_the_reason(database: Database) -> None:
    desk = Desk(database)
    desk.providers["acme"].check = lambda message: Failure("9", FailureClass.RECIPIENT, "not there")  # type: ignore[method-assign]  # refuses all
    desk.importer.run(desk.campaign(), csv(3))
    with database.read() as session:
        assert set(session.execute(select(Reject.code, Reject.reason)).all()) == {("provider_rule", "not there (9)")}
    assert desk.messages() == []


def test_a_common_text_is_kept_once_with_the_campaign(database: Database) -> None:
    desk = Desk(database)
    campaign = desk.campaign("The same for all")
    desk.importer.run(campaign, csv(3))
    assert {row.text for row in desk.messages()} == {None}
    assert desk.row(campaign).common_text == "The same for all"


def test_who_opted_out_is_left_out(database: Database) -> None:
    desk = Desk(database)
    with database.write() as session:
        rows = [{"msisdn": number(2), "sender": "", "source": "", "created_at": desk.clock()}]
        insert_new(session, Suppression, rows)
    assert desk.importer.run(desk.campaign(), csv(3)).accepted == 2
    assert number(2) not in {row.msisdn for row in desk.messages()}


def test_a_file_that_breaks_half_way_leaves_nothing_behind(database: Database) -> None:
    desk = Desk(database)
    campaign = desk.campaign()

    def fail(accepted: int, rejected: int) -> None:
        assert desk.count(Message) > 0, "some of it was written by now"
        raise OSError("the disk is gone")

    desk.importer.progress = fail
    with pytest.raises(OSError, match="disk"):
        desk.importer.run(campaign, csv(3000, "bad,row"))
    row = desk.row(campaign)
    assert row.state is CampaignState.FAILED
    assert "disk" in str(row.state_reason)
    assert [desk.count(table) for table in (Message, Batch, Reject, CampaignCount)] == [0, 0, 0, 0]


def test_an_import_whose_process_died_is_failed_and_a_late_writer_of_it_is_stopped(database: Database) -> None:
    desk = Desk(database)
    campaign = desk.campaign()

    def dead_meanwhile(accepted: int, rejected: int) -> None:
        desk.clock.advance(IMPORT_LEASE + 1)
        with database.write() as session:
            fail_dead_imports(session, desk.clock())

    desk.importer.progress = dead_meanwhile
    with pytest.raises(CampaignError, match="became failed while it was imported"):
        desk.importer.run(campaign, csv(3000))
    assert desk.row(campaign).state is CampaignState.FAILED
    assert [desk.count(table) for table in (Message, Batch, CampaignCount)] == [0, 0, 0]


def test_recipients_are_added_once_and_to_a_draft_only(database: Database) -> None:
    desk = Desk(database)
    campaign = desk.campaign()
    desk.importer.run(campaign, csv(2))
    with pytest.raises(CampaignError, match="has recipients already"):
        desk.importer.run(campaign, csv(2))
    with database.write() as session:
        start(session, campaign, desk.clock())
    with pytest.raises(CampaignError, match="running"):
        desk.importer.run(campaign, csv(2))
    with pytest.raises(CampaignError, match="there is no campaign"):
        desk.importer.run(UUID(int=1), csv(2))
    assert desk.count(Message) == 2


def test_while_it_is_imported_a_campaign_cannot_be_started(database: Database) -> None:
    desk = Desk(database)
    campaign = desk.campaign()
    refusals: list[str] = []

    def try_to_start(accepted: int, rejected: int) -> None:
        with pytest.raises(CampaignError) as caught, database.write() as session:
            start(session, campaign, desk.clock())
        refusals.append(caught.value.field)

    desk.importer.progress = lambda accepted, rejected: try_to_start(accepted, rejected) if not refusals else None
    desk.importer.run(campaign, csv(3000))
    assert refusals == ["recipients"]


@pytest.mark.parametrize("cell", ["nul \x00 inside", "tab\tand\x07bell"])
def test_odd_characters_in_a_name_cost_at_most_their_own_row(database: Database, cell: str) -> None:
    desk = Desk(database)
    found = desk.importer.run(desk.campaign(), csv(2, f"{number(9)},{cell}"))
    assert found.accepted >= 2
    assert found.rows == 3
    assert all("\x00" not in (row.text or "") for row in desk.messages())


def test_validity_counts_from_the_start_however_long_the_draft_lay(database: Database) -> None:
    desk = Desk(database)
    campaign = desk.campaign(validity=600)
    desk.importer.run(campaign, csv(2))
    desk.clock.advance(86_400)
    with database.write() as session:
        start(session, campaign, desk.clock())
    assert {row.expires_at for row in desk.messages()} == {desk.clock() + timedelta(seconds=600)}
