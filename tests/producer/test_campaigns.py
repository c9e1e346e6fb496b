"""What can be done with a campaign, when, and what a wrong wish is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from config.accounts import Account
from models.database import Database
from models.states import CAMPAIGN_TRANSITIONS, CampaignState
from models.tables import Campaign, CampaignEvent
from producer import campaigns
from producer.campaigns import LEAST_RATE, MAX_VALIDITY, CampaignError, CampaignSpec, check_spec
from producer.template import Template
from providers.base import Failure, FailureClass
from tests.support.clock import START
from tests.support.rows import add_campaign
from tests.support.scripted import Scripted
from workers.toll import campaign_budget

C = CampaignState
ACCOUNTS = {
    "acme": Account("acme", "scripted", "http://127.0.0.1:1"),
    "own": Account("own", "scripted", "http://127.0.0.1:1", sender="Own"),
    "strict": Account("strict", "scripted", "http://127.0.0.1:1", senders=("MyStore",)),
}
SPEC = CampaignSpec("Sale", "MyStore", "Hello {{ name }}", {"acme": 1})


def made(database: Database, **changes: Any) -> UUID:
    with database.write() as session:
        return add_campaign(session, START, **{"started_at": None, **changes})


def found(database: Database, campaign: UUID) -> Campaign:
    with database.read() as session:
        return session.get_one(Campaign, campaign)


def do(database: Database, what: str, campaign: UUID, *, at: float = 0.0) -> CampaignState:
    now = START + timedelta(seconds=at)
    with database.write() as session:
        if what in {"pause", "cancel"}:
            answer: CampaignState = getattr(campaigns, what)(session, campaign, "because", now)
        else:
            answer = getattr(campaigns, what)(session, campaign, now)
    return answer


ENDS = {"start": C.RUNNING, "pause": C.PAUSED, "cancel": C.CANCELLED, "resume": C.RUNNING}


@pytest.mark.parametrize(
    ("change", "field"),
    [({"max_parts": 0}, "max_parts"), ({"max_parts": 256}, "max_parts"), ({"options": {"max_parts": "25"}}, "options")],
)
def test_a_length_that_cannot_be_is_refused_at_its_place(change: dict[str, Any], field: str) -> None:
    with pytest.raises(CampaignError, match=f"^{field}: ") as caught:
        check_spec(replace(SPEC, **change), ACCOUNTS, {"acme": Scripted()})
    assert caught.value.field == field


@pytest.mark.parametrize("state", list(C))
@pytest.mark.parametrize("what", list(ENDS))
def test_only_declared_moves_are_made_and_every_other_is_refused(database: Database, what: str, state: C) -> None:
    campaign = made(database, state=state)
    wanted = ENDS[what]
    allowed = state is wanted or (state, wanted) in CAMPAIGN_TRANSITIONS
    if what == "resume":
        allowed = state is C.PAUSED
    if allowed:
        assert do(database, what, campaign) is wanted
    else:
        with pytest.raises(CampaignError, match=str(state)):
            do(database, what, campaign)
    assert found(database, campaign).state is (wanted if allowed else state)


def test_every_move_is_in_the_timeline_with_its_reason(database: Database) -> None:
    campaign = made(database, state=C.DRAFT)
    for what in ("start", "pause", "resume", "cancel"):
        do(database, what, campaign)
    with database.read() as session:
        lines = session.execute(select(CampaignEvent.kind, CampaignEvent.detail).order_by(CampaignEvent.id)).all()
    assert [tuple(line) for line in lines] == [
        ("running", ""), ("paused", "because"), ("running", ""), ("cancelled", "because"),
    ]  # fmt: skip


def test_asking_twice_gives_the_same_answer_and_one_line(database: Database) -> None:
    campaign = made(database, state=C.RUNNING)
    assert [do(database, "pause", campaign) for _ in range(2)] == [C.PAUSED, C.PAUSED]
    with database.read() as session:
        assert len(session.execute(select(CampaignEvent)).all()) == 1


def test_a_campaign_without_recipients_is_not_started(database: Database) -> None:
    campaign = made(database, state=C.DRAFT, rows_accepted=0)
    with pytest.raises(CampaignError) as caught:
        do(database, "start", campaign)
    assert caught.value.field == "recipients"


def test_a_campaign_with_a_time_waits_for_it_and_is_started_once(database: Database) -> None:
    campaign = made(database, state=C.DRAFT, start_at=START + timedelta(seconds=60))
    assert do(database, "start", campaign) is C.SCHEDULED

    def due(at: float) -> list[UUID]:
        with database.write() as session:
            return campaigns.start_due(session, START + timedelta(seconds=at), 900.0)

    assert due(59) == []
    assert due(61) == [campaign]
    assert due(62) == []
    assert found(database, campaign).started_at == START + timedelta(seconds=61)


def test_a_time_missed_by_more_than_the_grace_is_not_fired_blindly(database: Database) -> None:
    campaign = made(database, state=C.SCHEDULED, start_at=START)
    with database.write() as session:
        assert campaigns.start_due(session, START + timedelta(hours=9), 900.0) == []
    row = found(database, campaign)
    assert row.state is C.PAUSED
    assert "missed by 540 minutes" in str(row.state_reason)
    assert do(database, "resume", campaign, at=9 * 3600) is C.RUNNING


def test_paused_before_its_time_it_is_scheduled_again(database: Database) -> None:
    campaign = made(database, state=C.SCHEDULED, start_at=START + timedelta(seconds=60))
    do(database, "pause", campaign)
    assert do(database, "resume", campaign) is C.SCHEDULED


def test_a_campaign_that_is_not_there_says_so(database: Database) -> None:
    with pytest.raises(CampaignError, match="there is no campaign"):
        do(database, "pause", UUID(int=1))


# --- before a row is read --------------------------------------------------------------------------------------------


def check(**changes: Any) -> Template:
    providers = {name: Scripted() for name in ACCOUNTS}
    return check_spec(replace(SPEC, **changes), ACCOUNTS, providers)


@pytest.mark.parametrize(
    ("changes", "place", "words"),
    [
        ({"template": "Hi {{ name"}, "template", ""),
        ({"route": {}}, "route", "no account named"),
        ({"route": {"nobody": 1}}, "route", "unknown account 'nobody'"),
        ({"name": "  "}, "name", "expected a text"),
        ({"priority": "now"}, "priority", "expected one of high, normal, low"),
        ({"on_unknown": "guess"}, "on_unknown", "expected give_up or resend"),
        ({"validity": 9_000_000_000_000_000}, "validity", "expected seconds, from 1 to 2,592,000 (30 days)"),
        ({"validity": 0}, "validity", "found 0, expected seconds"),
        ({"max_rate": 1e-300}, "max_rate", "found 1e-300, expected messages a second, from 0.0001 to 1,000,000"),
        ({"max_rate": float("inf")}, "max_rate", "found inf"),
        ({"max_rate": float("nan")}, "max_rate", "found nan"),
        ({"sender": " "}, "sender", "account acme has none of its own"),
        ({"sender": "My\nShop"}, "sender", "has a character that cannot be shown"),
        ({"sender": "Else", "route": {"strict": 1}}, "sender", "not one of the senders of account strict: MyStore"),
    ],
)
def test_a_wrong_wish_names_the_field_and_what_is_possible(changes: dict[str, Any], place: str, words: str) -> None:
    with pytest.raises(CampaignError) as caught:
        check(**changes)
    assert caught.value.field == place
    assert words in str(caught.value)


def test_the_longest_validity_and_the_lowest_rate_overflow_no_time() -> None:
    check(validity=MAX_VALIDITY, max_rate=LEAST_RATE)
    (window,) = campaign_budget(UUID(int=1), LEAST_RATE).windows
    assert START - timedelta(seconds=window.per) + timedelta(seconds=MAX_VALIDITY) > START


def test_an_account_with_a_sender_of_its_own_needs_none_from_the_campaign() -> None:
    assert check(sender="", route={"own": 1}).is_constant is False


def test_a_sender_the_provider_would_refuse_is_said_before_anything_is_written() -> None:
    provider = Scripted()
    provider.check = lambda message: Failure("1", FailureClass.SENDER, "not registered")  # type: ignore[method-assign]  # refuses all
    with pytest.raises(CampaignError, match="would refuse 'MyStore': not registered"):
        check_spec(SPEC, ACCOUNTS, {"acme": provider})
