"""Housekeeping drops what is older than a day, all of it, and nothing younger."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import insert, select

from config import names
from config.celery_app import _beat
from config.settings import Settings
from models.database import Database
from models.tables import IdempotentAnswer
from producer import idempotency
from producer.tidy import tidy_up


def test_every_old_answer_is_dropped_in_short_transactions_and_no_young_one(database: Database) -> None:
    now = database.now()
    old = [_answer(f"old {n}", now - timedelta(hours=25)) for n in range(2 * idempotency.FORGOTTEN_AT_ONCE + 7)]
    young = [_answer(f"young {n}", now - timedelta(hours=23)) for n in range(3)]
    with database.write() as session:
        session.execute(insert(IdempotentAnswer), old + young)
    assert tidy_up(database) == len(old)
    with database.read() as session:
        assert {row.key for row in session.execute(select(IdempotentAnswer)).scalars()} == {
            "young 0",
            "young 1",
            "young 2",
        }


def _answer(key: str, created_at: object) -> dict[str, object]:
    return {
        "key": key,
        "api_key_id": UUID(int=1),
        "digest": "d",
        "status": 200,
        "body": b"{}",
        "created_at": created_at,
    }


def test_beat_sees_to_it_every_minute() -> None:
    tick = _beat([], Settings(_env_file=None))["tidy"]
    assert (tick["task"], tick["schedule"].seconds, tick["options"]["queue"]) == (names.TIDY, 60.0, names.CONTROL_QUEUE)
