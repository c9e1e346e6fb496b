"""Campaigns in the making: kept for their key alone, piece by piece, for a week, and made into one campaign once."""

from __future__ import annotations

import io
import zlib
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func, select

from models.database import Database
from models.tables import Draft, DraftPiece
from models.types import new_id
from producer import drafts
from producer.drafts import LASTS, MOST_DRAFTS, PIECE, NoDraft
from producer.erase import Keep, erase
from producer.keys import create_key


def key_of(database: Database, name: str = "maker") -> UUID:
    with database.write() as session:
        return create_key(session, name, "submit", database.now())[1].id


def draft_of(database: Database, key: UUID, name: str = "Spring") -> UUID:
    with database.write() as session:
        return drafts.make(session, key, name, database.now())


def count(database: Database, table: type[Draft] | type[DraftPiece]) -> int:
    with database.read() as session:
        return session.execute(select(func.count()).select_from(table)).scalar_one()


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_a_file_comes_back_as_it_went_in(database: Database, tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    draft = draft_of(database, key_of(database))
    blob = drafts.store(database, draft, io.BytesIO(data[:size]))
    assert b"".join(drafts.pieces(database, blob)) == data[:size]
    with drafts.opened(database, blob, tmp_path / "uploads") as file:
        assert file.read() == data[:size]
    assert list((tmp_path / "uploads").iterdir()) == []


def test_pieces_are_bounded_and_compressed(database: Database) -> None:
    draft = draft_of(database, key_of(database))
    drafts.store(database, draft, io.BytesIO(b"+447700900123,Ann\n" * 150_000))
    with database.read() as session:
        held = session.execute(select(DraftPiece.data).order_by(DraftPiece.number)).scalars().all()
    assert [len(zlib.decompress(piece)) for piece in held] == [PIECE, PIECE, 18 * 150_000 - 2 * PIECE]
    assert all(len(piece) < PIECE / 20 for piece in held)


def test_a_new_file_leaves_nothing_of_the_old_one(database: Database) -> None:
    draft = draft_of(database, key_of(database))
    old, new = (drafts.store(database, draft, io.BytesIO(text)) for text in (b"old", b"new"))
    with database.write() as session:
        drafts.forget(session, draft, but=(new, None))
    assert (list(drafts.pieces(database, old)), list(drafts.pieces(database, new))) == ([], [b"new"])


def test_another_key_finds_nothing(database: Database) -> None:
    mine, other = key_of(database), key_of(database, "other")
    draft = draft_of(database, mine)
    with database.write() as session:
        assert drafts.get(session, draft, mine).name == "Spring"
        with pytest.raises(NoDraft):
            drafts.get(session, draft, other)
        with pytest.raises(NoDraft):
            drafts.discard(session, draft, other)


def test_answers_of_each_step_are_kept_beside_each_other(database: Database) -> None:
    key = key_of(database)
    draft = draft_of(database, key)
    for step, fields in (("columns", {"use-0": "number"}), ("message", {"text": "Hi “you” \N{PARTY POPPER}"})):
        with database.write() as session:
            drafts.answer(drafts.get(session, draft, key, lock=True), step, fields, database.now())
    with database.read() as session:
        kept = drafts.get(session, draft, key).answers
    assert kept == {"columns": {"use-0": "number"}, "message": {"text": "Hi “you” \N{PARTY POPPER}"}}


def test_it_becomes_one_campaign_until_that_comes_to_nothing(database: Database) -> None:
    draft = draft_of(database, key_of(database))
    first, second = new_id(), new_id()
    with database.write() as session:
        assert drafts.settle(session, draft, first)
        assert not drafts.settle(session, draft, second)
    with database.write() as session:
        drafts.release(session, draft)
        assert drafts.settle(session, draft, second)


def test_after_a_week_without_a_touch_it_is_gone_with_its_file(database: Database) -> None:
    key = key_of(database)
    old, touched = draft_of(database, key), draft_of(database, key)
    for draft in (old, touched):
        drafts.store(database, draft, io.BytesIO(b"numbers"))
    later = database.now() + LASTS + timedelta(seconds=1)
    with database.write() as session:
        drafts.answer(drafts.get(session, touched, key), "message", {"text": "x"}, later)
        session.flush()
        assert drafts.drop_expired(session, later) == 1
    assert (count(database, Draft), count(database, DraftPiece)) == (1, 1)


def test_a_key_has_a_bounded_number_of_drafts(database: Database) -> None:
    key = key_of(database)
    with database.write() as session:
        for n in range(MOST_DRAFTS + 3):
            drafts.make(session, key, f"{n}", database.now() + timedelta(seconds=n))
    assert count(database, Draft) == MOST_DRAFTS


FILES = {
    "as it is": (b"phone,name\n+447700900123,Ann\n", True),
    "with blanks": (b"phone\n07700 900 123\n", True),
    "utf-16": ("phone\n+447700900123\n".encode("utf-16"), True),
    "packed": (b"\x1f\x8b anything", True),
    "over two pieces": (b"x" * (PIECE - 5) + b"+447700900123", True),
    "another": (b"phone\n+447700900124\n", False),
}


@pytest.mark.parametrize("case", FILES)
def test_a_draft_that_may_hold_a_number_is_found_however_it_is_written(database: Database, case: str) -> None:
    data, expected = FILES[case]
    key = key_of(database)
    draft = draft_of(database, key)
    blob = drafts.store(database, draft, io.BytesIO(data))
    with database.write() as session:
        drafts.get(session, draft, key).file_id = blob
    assert drafts.holding(database, "447700900123") == ([draft] if expected else [])


def test_a_number_is_erased_with_the_drafts_that_hold_it(database: Database) -> None:
    key = key_of(database)
    holding, other = draft_of(database, key), draft_of(database, key)
    with database.write() as session:
        drafts.answer(drafts.get(session, holding, key), "recipients", {"pasted": "+44 7700 900123"}, database.now())
    done = erase(database, "+447700900123", Keep.NOTHING, lambda: b"k" * 32)
    assert done.others == 1
    with database.read() as session:
        assert session.execute(select(Draft.id)).scalars().all() == [other]
