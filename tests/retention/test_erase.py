"""One number leaves every table; its neighbours, the figures and the wish not to be written to stay."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from models.database import Database
from models.forgotten import WrongKey, digest_of, suppressed
from models.plain import trail_line
from models.states import MessageState
from models.tables import (
    Attempt,
    Campaign,
    InboundMessage,
    InboxPage,
    Message,
    Suppression,
    SuppressionDigest,
)
from producer.erase import EraseRefused, Keep, erase
from producer.suppressions import add_suppressions, remove_suppressions
from tests.retention.world import NAME, NOW, TEXT, in_files, leave_traces, phone, statistics, where

KEY = b"0123456789abcdef0123456789abcdef"
ME, OTHER = phone(1), phone(2)


def key() -> bytes:
    return KEY


def erase_me(database: Database, keep: Keep = Keep.AS_DIGEST) -> None:
    erase(database, ME, keep, key)


@pytest.fixture
def traced(database: Database) -> Database:
    """Two campaigns wrote to the number, and it stands in texts of others."""
    with database.write() as session:
        leave_traces(session)
        leave_traces(session, 2)
        session.add(InboundMessage(account="acme", inbound_id="i", msisdn=OTHER, to="1", received_at=NOW,
                                   text=f"do not call {ME[1:]}, call me"))  # fmt: skip
        session.add(InboxPage(account="acme", kind="pull", received_at=NOW, parsed_at=NOW, body=b"[%s]" % ME.encode(),
                              error="item 3: no status"))  # fmt: skip
    return database


def test_after_an_erasure_the_number_stands_nowhere_and_the_others_stay(traced: Database) -> None:
    assert len(where(traced, ME[1:])) > 12
    done = erase(traced, ME, Keep.AS_DIGEST, key)
    assert where(traced, ME[1:]) == set()
    assert where(traced, OTHER[1:]) >= {"messages.msisdn", "delivery_reports.msisdn", "inbox.body"}
    assert done.messages == 2
    with traced.read() as session:
        texts = session.execute(select(InboundMessage.text)).scalars().all()
    assert "do not call …, call me" in texts


def test_the_texts_to_the_number_go_with_it_and_other_texts_stay(traced: Database) -> None:
    erase_me(traced)
    with traced.read() as session:
        mine = session.execute(select(Message.text, Message.reference).where(Message.msisdn == "")).all()
        others = session.execute(select(Message.text).where(Message.msisdn == OTHER)).scalars().all()
    assert [tuple(row) for row in mine] == [(None, None)] * 2
    assert all(text is not None and TEXT in text for text in others)


def test_what_a_request_of_an_earlier_account_was_answered_goes_too(traced: Database) -> None:
    """The answer names the person and not the number: only the message's history leads to it."""
    with traced.write() as session:
        mine = session.execute(select(Message).where(Message.msisdn == ME)).scalars().first()
        assert mine is not None
        first = Attempt(account="acme", kind="submit", batch_id=uuid4(), started_at=NOW, reason=NAME,
                        message_ids=[str(mine.id)])  # fmt: skip
        session.add(first)
        session.flush()
        mine.trail += trail_line(MessageState.SUBMITTING, str(first.id), NOW)
        first_id = first.id
    erase_me(traced)
    with traced.read() as session:
        assert session.get_one(Attempt, first_id).reason is None


def test_the_figures_are_the_same_before_and_after(traced: Database) -> None:
    with traced.read() as session:
        ids = session.execute(select(Campaign.id)).scalars().all()
    before = [statistics(traced, one) for one in ids]
    erase_me(traced)
    assert [statistics(traced, one) for one in ids] == before


def test_the_file_itself_forgets(tmp_path: Path, migrated_sqlite: Path) -> None:
    file = tmp_path / "drumline.db"
    file.write_bytes(migrated_sqlite.read_bytes())
    database = Database(f"sqlite:///{file}")
    with database.write() as session:
        leave_traces(session)
    erase_me(database)
    database.close()
    assert in_files(tmp_path, ME[1:]) == []
    assert in_files(tmp_path, OTHER[1:]) == ["drumline.db"]


@pytest.mark.parametrize("state", [MessageState.QUEUED, MessageState.SUBMITTED, MessageState.UNKNOWN])
def test_while_a_message_to_it_is_open_nothing_is_erased_and_the_message_is_named(
    traced: Database, state: MessageState
) -> None:
    with traced.write() as session:
        open_one = session.execute(select(Message).where(Message.msisdn == ME)).scalars().first()
        assert open_one is not None
        open_one.state = state
        message_id, campaign_id = open_one.id, open_one.campaign_id
    before = where(traced, ME[1:])
    with pytest.raises(EraseRefused, match=f"message {message_id} is {state} at acme; campaign {campaign_id}"):
        erase_me(traced)
    assert where(traced, ME[1:]) == before


def test_a_request_that_may_have_to_be_repeated_for_others_is_waited_for(traced: Database) -> None:
    with traced.write() as session:
        session.execute(update(Message).where(Message.msisdn == OTHER).values(state=MessageState.UNKNOWN))
        attempt = session.execute(select(Attempt.id).where(Attempt.body.is_not(None))).scalars().first()
    with pytest.raises(EraseRefused, match=r"request .* carried it, and \d+ messages of that request are open"):
        erase_me(traced)
    with traced.read() as session:
        assert session.get_one(Attempt, attempt).body is not None


def test_a_page_that_is_not_read_yet_is_waited_for(traced: Database) -> None:
    with traced.write() as session:
        session.add(InboxPage(account="acme", kind="push", received_at=NOW, body=ME.encode()))
    with pytest.raises(EraseRefused, match="not read yet"):
        erase_me(traced)


def test_an_operators_own_text_that_names_the_number_is_left_alone_and_told(database: Database) -> None:
    with database.write() as session:
        shop = leave_traces(session, template=f"Call us: {ME}")
    assert erase(database, ME, Keep.AS_DIGEST, key).mentioned == (f"campaign {shop.campaign}",)
    assert where(database, ME[1:]) == {"campaigns.template"}


# --- suppressions ----------------------------------------------------------------------------------------------------


def test_a_suppression_survives_as_a_digest_that_still_holds(database: Database) -> None:
    with database.write() as session:
        add_suppressions(session, [ME], "", "call centre", NOW)
        add_suppressions(session, [ME], "MyStore", "inbound stop", NOW)
    erase_me(database)
    assert where(database, ME[1:]) == set()
    with database.read() as session:
        assert suppressed(session, [ME, OTHER], key) == {(ME, ""), (ME, "MyStore")}
        kept = session.execute(select(SuppressionDigest.digest, SuppressionDigest.source)).all()
    assert {digest for digest, _ in kept} == {digest_of(ME, KEY)}
    assert {source for _, source in kept} == {"call centre", "inbound stop"}


@pytest.mark.parametrize(("keep", "left"), [(Keep.AS_DIGEST, 0), (Keep.ADD, 1), (Keep.NOTHING, 0)])
def test_without_a_suppression_one_is_made_only_when_asked_for(database: Database, keep: Keep, left: int) -> None:
    erase_me(database, keep)
    with database.read() as session:
        assert len(suppressed(session, [ME], key)) == left


def test_to_keep_nothing_forgets_digests_as_well(database: Database) -> None:
    erase_me(database, Keep.ADD)
    with database.write() as session:
        add_suppressions(session, [ME], "MyStore", "x", NOW)
    erase_me(database, Keep.NOTHING)
    with database.read() as session:
        assert session.execute(select(Suppression)).first() is None
        assert session.execute(select(SuppressionDigest)).first() is None


def test_lifting_a_suppression_lifts_its_digest(database: Database) -> None:
    erase_me(database, Keep.ADD)
    with database.write() as session:
        assert remove_suppressions(session, [ME, OTHER], key) == 1
    with database.read() as session:
        assert suppressed(session, [ME], key) == set()


def test_with_another_key_nobody_can_tell_who_is_suppressed_and_nothing_goes_on(database: Database) -> None:
    erase_me(database, Keep.ADD)
    with database.read() as session, pytest.raises(WrongKey):
        suppressed(session, [OTHER], lambda: b"another key of sixteen bytes")


def test_without_digests_the_key_is_not_even_asked_for(database: Database) -> None:
    def forbidden() -> bytes:
        raise AssertionError("asked for the key")

    with database.read() as session:
        assert suppressed(session, [ME], forbidden) == set()


def test_a_number_that_was_never_here_is_no_error(database: Database) -> None:
    erase(database, "+12025550123", Keep.AS_DIGEST, key)
    assert where(database, str(uuid4()), datetime(1999, 1, 1, tzinfo=UTC).isoformat()) == set()
