"""The index of numbers knows what the messages say, whichever way they change."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from models.database import Database
from models.tables import Message, MessageNumber
from tests.support.rows import add_batch, add_campaign, add_messages

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def known(session: Session) -> set[tuple[str, UUID]]:
    return {
        (msisdn, found) for msisdn, found in session.execute(select(MessageNumber.msisdn, MessageNumber.message_id))
    }


def said(session: Session) -> set[tuple[str, UUID]]:
    rows = session.execute(select(Message.msisdn, Message.id).where(Message.msisdn != ""))
    return {(msisdn, message_id) for msisdn, message_id in rows}


def planted(session: Session, many: int) -> list[UUID]:
    campaign = add_campaign(session, NOW)
    return add_messages(session, campaign, add_batch(session, campaign, NOW), many)


def test_new_messages_are_known_by_their_numbers(database: Database) -> None:
    with database.write() as session:
        planted(session, 1200)
        assert len(known(session)) == 1200
        assert known(session) == said(session)


def test_a_number_that_is_erased_is_known_no_more(database: Database) -> None:
    with database.write() as session:
        first, *_ = planted(session, 3)
        session.execute(update(Message).where(Message.id == first).values(msisdn=""))
        assert first not in {message_id for _, message_id in known(session)}
        assert len(known(session)) == 2


def test_a_number_that_changes_is_known_as_the_new_one(database: Database) -> None:
    with database.write() as session:
        planted(session, 3)
        session.execute(update(Message).values(msisdn="+12025550123"))
        assert known(session) == said(session)
        assert len(known(session)) == 3


def test_a_message_that_is_deleted_is_known_no_more(database: Database) -> None:
    with database.write() as session:
        first, *_ = planted(session, 3)
        session.execute(delete(Message).where(Message.id != first))
        assert known(session) == said(session)
        assert len(known(session)) == 1


def test_a_move_leaves_the_index_alone(database: Database) -> None:
    with database.write() as session:
        planted(session, 3)
        before = known(session)
        session.execute(update(Message).values(state="sent", reason="moved"))
        assert known(session) == before
