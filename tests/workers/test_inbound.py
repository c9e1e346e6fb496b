"""What people answer: kept, and obeyed when they say stop."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from config.settings import Settings, SettingsError
from models.database import Database
from models.states import MessageState
from models.stopwords import START_WORDS, StopWords, languages
from models.tables import InboundMessage, InboxPage, Suppression
from producer.inbound import list_inbound
from providers.base import Failure, FailureClass, Inbound, OptOut, Parsed, Refused, Report
from tests.support.clock import START
from tests.support.rows import ACCOUNT
from tests.support.scripted import Scripted
from tests.support.world import World
from workers.reconcile import apply_inbox
from workers.suppress import Policy, SuppressOn, policy_of

PERSON = "447700900123"
OURS = "447700900999"
WORDS = StopWords.of(languages(["en", "de"]), START_WORDS)


class Mailbox:
    """People write to us through one account."""

    def __init__(self, database: Database, policy: Policy | None = None) -> None:
        self.database = database
        self.policy = policy or Policy(WORDS)
        self.provider = Scripted()
        self.pages = 0

    def page(self, parsed: Parsed) -> None:
        self.pages += 1
        body = f"page {self.pages}".encode()
        self.provider.parsed[body] = parsed
        with self.database.write() as session:
            row = {
                "account": ACCOUNT,
                "kind": "push",
                "received_at": START,
                "body": body,
                "query": "",
                "content_type": "",
            }
            session.execute(insert(InboxPage), [row])
        with self.database.write() as session:
            apply_inbox(session, {ACCOUNT: self.provider}.get, START, self.policy)

    def receive(self, *texts: str, sender: str = PERSON, first: int = 1, to: str = OURS) -> None:
        self.page(Parsed(inbound=[Inbound(f"in-{first + n}", sender, to, text) for n, text in enumerate(texts)]))

    def suppressed(self) -> set[tuple[str, str]]:
        with self.database.read() as session:
            return {(row.msisdn, row.sender) for row in session.execute(select(Suppression)).scalars()}

    def kept(self) -> list[InboundMessage]:
        with self.database.read() as session:
            return list(list_inbound(session))


def test_stop_suppresses_the_number_for_every_sender_and_is_kept(database: Database) -> None:
    box = Mailbox(database)
    box.receive("Stop!")
    assert box.suppressed() == {("+447700900123", "")}
    (kept,) = box.kept()
    assert (kept.text, kept.stop_word, kept.to) == ("Stop!", True, OURS)


def test_any_other_text_is_kept_and_stops_nothing(database: Database) -> None:
    box = Mailbox(database)
    box.receive("When do you open?", "Please don't stop")
    assert box.suppressed() == set()
    assert [row.stop_word for row in box.kept()] == [False, False]


def test_a_stop_may_count_for_the_number_it_was_sent_to_alone(database: Database) -> None:
    box = Mailbox(database, Policy(StopWords.of(languages(["en"]), per_sender=True)))
    box.receive("STOP")
    assert box.suppressed() == {("+447700900123", OURS), ("+447700900123", f"+{OURS}")}


def test_start_takes_a_stop_back_but_never_what_an_operator_said(database: Database) -> None:
    box = Mailbox(database)
    box.page(Parsed(opt_outs=[OptOut("+447700900124", None, "operator")]))
    box.receive("STOP", "START")
    box.receive("START", sender="447700900124", first=9)
    assert box.suppressed() == {("+447700900124", "")}


def test_a_stop_that_is_delivered_again_does_not_undo_a_later_start(database: Database) -> None:
    box = Mailbox(database)
    box.receive("STOP")
    box.receive("START", first=2)
    box.receive("STOP")
    assert box.suppressed() == set()
    assert len(box.kept()) == 2


def test_a_stop_from_a_name_is_kept_though_there_is_no_number_to_suppress(database: Database) -> None:
    box = Mailbox(database)
    box.receive("STOP", sender="MyBank")
    assert (box.suppressed(), box.kept()[0].stop_word) == (set(), True)


@pytest.mark.parametrize("hostile", ["\0stop", "stop\ud800", "x" * 100_000])
def test_hostile_texts_are_kept_without_harm(database: Database, hostile: str) -> None:
    box = Mailbox(database)
    box.page(Parsed(inbound=[Inbound("i" * 500, PERSON, "t" * 500, hostile)]))
    assert len(box.kept()) == 1


def test_the_list_is_filtered_and_goes_on_from_an_id(database: Database) -> None:
    box = Mailbox(database)
    box.receive("one", "STOP", "three")
    with database.read() as session:
        assert [row.text for row in list_inbound(session)] == ["three", "STOP", "one"]
        assert [row.text for row in list_inbound(session, stops=True)] == ["STOP"]
        assert [row.text for row in list_inbound(session, msisdn=f"+{PERSON}", limit=1)] == ["three"]
        assert list_inbound(session, account="other") == []
        last = list_inbound(session, limit=1)[0]
        assert [row.text for row in list_inbound(session, before=last.id)] == ["STOP", "one"]


# --- what operators say ----------------------------------------------------------------------------------------------

NO = Failure("10", FailureClass.RECIPIENT, "do not disturb", opt_out=True)
DEAD = Failure("1", FailureClass.RECIPIENT, "no such number")


def suppressed(world: World) -> set[str]:
    with world.database.read() as session:
        return set(session.execute(select(Suppression.msisdn)).scalars())


@pytest.mark.parametrize(
    ("reason", "failure", "expected"),
    [("opt_out", NO, 1), ("opt_out", DEAD, 0), ("recipient", NO, 1), ("recipient", DEAD, 1), ("nothing", NO, 0)],
)
def test_a_refusal_suppresses_as_far_as_the_setting_says(
    world: World, reason: str, failure: Failure, expected: int
) -> None:
    world.settings.suppress_on = reason  # type: ignore[assignment]  # one of the three words
    world.provider.outcome = lambda message: Refused(failure)
    sent = world.campaign(1)
    world.submit(sent.batch)
    assert world.states() == [MessageState.REJECTED]
    assert len(suppressed(world)) == expected


def test_a_report_of_an_opt_out_suppresses_the_messages_number_and_no_other(world: World) -> None:
    sent = world.campaign(2)
    world.submit(sent.batch)
    world.report(Report("r", MessageState.REJECTED, ref=str(sent.messages[0]), failure=NO, msisdn="447700900777"))
    assert suppressed(world) == {world.message(sent.messages[0]).msisdn}


def test_a_report_about_another_accounts_message_suppresses_nobody(make_world: Any) -> None:
    world = make_world({"acme": Scripted(), "other": Scripted()})
    sent = world.campaign(1)
    world.submit(sent.batch)
    world.report(Report("r", MessageState.REJECTED, ref=str(sent.message), failure=NO), account="other")
    assert suppressed(world) == set()
    assert world.states() == [MessageState.SUBMITTED]


def test_who_said_stop_after_the_import_is_not_written_to(world: World) -> None:
    sent = world.campaign(1)
    world.page(Parsed(opt_outs=[OptOut(world.message(sent.message).msisdn)]))
    world.apply()
    world.submit(sent.batch)
    assert world.states() == [MessageState.SUPPRESSED]
    assert world.line.sent == []


def test_an_unknown_language_in_the_settings_names_its_variable() -> None:
    with pytest.raises(SettingsError, match="DRUMLINE_STOP_LANGUAGES"):
        policy_of(Settings(stop_languages="en, klingon"))


def test_the_settings_make_the_policy() -> None:
    policy = policy_of(
        Settings(stop_languages="fr", stop_words="nix, basta cosi", start_words=False, suppress_on="nothing")
    )
    assert policy.words.meaning("NIX")
    assert policy.words.meaning("Arrêt")
    assert not policy.words.meaning("start")
    assert policy.suppress_on is SuppressOn.NOTHING


def test_a_released_hold_leaves_the_message_all_its_time_for_a_report(world: World) -> None:
    sent = world.campaign(1)
    world.submit(sent.batch)
    before = world.message(sent.message)
    assert before.deadline is not None
    world.clock.advance(48 * 3600)
    world.report(Report("h", MessageState.HELD, ref=str(sent.message)))
    world.clock.advance(24 * 3600)
    world.sweep()
    assert world.states() == [MessageState.HELD]
    world.report(Report("s", MessageState.SENT, ref=str(sent.message)))
    after = world.message(sent.message)
    assert after.deadline is not None
    assert after.deadline - before.deadline >= timedelta(hours=72)
