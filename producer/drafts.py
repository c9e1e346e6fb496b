"""Campaigns in the making: what their maker has said so far, and the file, until a campaign is made of them.

All of it is in the database: any API process and any browser of the same key can go on, and nothing is lost by a
restart. A file is kept in compressed pieces, written and read one by one, so memory does not grow with it. What nobody
touched for a week is dropped, file and all; what became a campaign drops its file at once.
"""

from __future__ import annotations

import json
import re
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, cast
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from models.database import Database
from models.tables import Draft, DraftPiece
from models.types import new_id

LASTS = timedelta(days=7)
PIECE = 1024 * 1024  # bytes of the file in one row
TAIL = 9  # last digits of a number that tell it apart, written with a country code or without
_NO_DIGIT = re.compile(rb"[^0-9]+")
_PACKED = (b"PK", b"\x1f\x8b")
MOST_DRAFTS = 50  # of one key; the oldest goes


class NoDraft(LookupError):
    """There is none of this id and key, or it has expired."""


def make(session: Session, api_key_id: UUID, name: str, now: datetime) -> UUID:
    """An empty one. The oldest of a key that has too many is dropped."""
    mine = select(Draft.id).where(Draft.api_key_id == api_key_id).order_by(Draft.changed_at.desc())
    if old := session.execute(mine.offset(MOST_DRAFTS - 1)).scalars().all():
        drop(session, old)
    made = Draft(
        id=new_id(), api_key_id=api_key_id, name=name, answers={}, sample={}, checked={}, file_size=0,
        created_at=now, changed_at=now,
    )  # fmt: skip
    session.add(made)
    session.flush()
    return made.id


def get(session: Session, draft_id: UUID, api_key_id: UUID, *, lock: bool = False) -> Draft:
    """Raises NoDraft, also for another key's."""
    query = select(Draft).where(Draft.id == draft_id, Draft.api_key_id == api_key_id)
    found = session.execute(query.with_for_update() if lock else query).scalar_one_or_none()
    if found is None:
        raise NoDraft(str(draft_id))
    return found


def unfinished(session: Session, api_key_id: UUID, limit: int = 10) -> list[Draft]:
    """What a key may go on with, the newest first."""
    query = select(Draft).where(Draft.api_key_id == api_key_id, Draft.campaign_id.is_(None), Draft.file_id.is_not(None))
    return list(session.execute(query.order_by(Draft.changed_at.desc()).limit(limit)).scalars())


def answer(draft: Draft, step: str, fields: Mapping[str, Any], now: datetime) -> None:
    """Keep a step's form as it was typed."""
    if draft.answers.get(step) != fields:
        draft.answers = {**draft.answers, step: dict(fields)}
    draft.changed_at = now


def discard(session: Session, draft_id: UUID, api_key_id: UUID) -> None:
    """Gone, file and all. Raises NoDraft."""
    drop(session, [get(session, draft_id, api_key_id).id])


def drop_expired(session: Session, now: datetime) -> int:
    """Forget what nobody touched for a week; how many there were."""
    old = session.execute(select(Draft.id).where(Draft.changed_at <= now - LASTS).limit(100)).scalars().all()
    drop(session, old)
    return len(old)


def holding(database: Database, digits: str) -> list[UUID]:
    """Drafts whose file or form may hold this number (E.164 without `+`), however it is written there. A packed file
    may hold anything, so it counts; better a file uploaded once more than a number that stays."""
    tail = digits[-TAIL:]
    with database.read() as session:
        found = list(session.execute(select(Draft)).scalars())
    return [draft.id for draft in found if _holds(database, draft, tail)]


def _holds(database: Database, draft: Draft, tail: str) -> bool:
    form = json.dumps([draft.name, draft.answers, draft.sample, draft.checked], ensure_ascii=False)
    if tail in _NO_DIGIT.sub(b"", form.encode("utf-8", "replace")).decode():
        return True
    return any(_file_holds(database, blob, tail.encode()) for blob in (draft.file_id, draft.rejects_id) if blob)


def _file_holds(database: Database, blob_id: UUID, tail: bytes) -> bool:
    before = b""
    for number, data in enumerate(pieces(database, blob_id)):
        if number == 0 and data.startswith(_PACKED):
            return True
        before = before[-TAIL:] + _NO_DIGIT.sub(b"", data)
        if tail in before:
            return True
    return False


def drop(session: Session, ids: Sequence[UUID]) -> None:
    """Gone, files and all."""
    if ids:
        session.execute(delete(DraftPiece).where(DraftPiece.draft_id.in_(ids)))
        session.execute(delete(Draft).where(Draft.id.in_(ids)))


# --- the file --------------------------------------------------------------------------------------------------------


def store(database: Database, draft_id: UUID, source: BinaryIO) -> UUID:
    """Put a file beside the draft, piece by piece; its id, to be kept in the draft."""
    blob_id, number = new_id(), 0
    while data := source.read(PIECE):
        piece = DraftPiece(blob_id=blob_id, number=number, draft_id=draft_id, data=zlib.compress(data, 1))
        with database.write() as session:
            session.add(piece)
        number += 1
    return blob_id


def forget(session: Session, draft_id: UUID, *, but: tuple[UUID | None, ...] = ()) -> None:
    """Drop the draft's files, save these."""
    kept = [blob_id for blob_id in but if blob_id is not None]
    session.execute(delete(DraftPiece).where(DraftPiece.draft_id == draft_id, DraftPiece.blob_id.not_in(kept)))


def pieces(database: Database, blob_id: UUID) -> Iterator[bytes]:
    """The file's content in order, a piece at a time."""
    number = 0
    while (data := _piece(database, blob_id, number)) is not None:
        yield zlib.decompress(data)
        number += 1


def _piece(database: Database, blob_id: UUID, number: int) -> bytes | None:
    query = select(DraftPiece.data).where(DraftPiece.blob_id == blob_id, DraftPiece.number == number)
    with database.read() as session:
        return session.execute(query).scalar_one_or_none()


@contextmanager
def opened(database: Database, blob_id: UUID, folder: Path) -> Iterator[BinaryIO]:
    """The file in a real one without a name: readers seek in it, and a child process reads it too."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder, prefix="draft-") as file:
        for data in pieces(database, blob_id):
            file.write(data)
        file.seek(0)
        yield cast(BinaryIO, file)


# --- to a campaign, once ---------------------------------------------------------------------------------------------


def settle(session: Session, draft_id: UUID, campaign_id: UUID) -> bool:
    """In the transaction that creates the campaign. False: it became one already, and nothing of this one may stay."""
    statement = (
        update(Draft)
        .where(Draft.id == draft_id, Draft.campaign_id.is_(None))
        .values(campaign_id=campaign_id)
        .returning(Draft.id)
    )
    return session.execute(statement).first() is not None


def release(session: Session, draft_id: UUID) -> None:
    """The campaign came to nothing: the draft can be worked on again."""
    session.execute(update(Draft).where(Draft.id == draft_id).values(campaign_id=None))
