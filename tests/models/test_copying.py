"""Rows in bulk: every value in its place, however many statements they need, in the caller's transaction."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from models.copying import ROWS, insert_flat, insert_rows
from models.database import Database
from models.tables import Reject
from tests.support.rows import add_campaign

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
COLUMNS = ("row_no", "column", "value", "code", "reason")


def rejects(numbers: range) -> list[tuple[Any, ...]]:
    return [(n, "" if n % 3 else "phone", f"+{n}", "bad_number", "a 'word', with \\ and \t") for n in numbers]


@pytest.mark.parametrize("count", [1, ROWS - 1, ROWS, ROWS + 1, 2 * ROWS + 7])
def test_every_value_comes_to_its_place(database: Database, count: int) -> None:
    rows = rejects(range(1, count + 1))
    with database.write() as session:
        campaign = add_campaign(session, NOW)
        same = {"campaign_id": campaign.hex, "source_no": 2}
        insert_flat(session, Reject, COLUMNS, [value for row in rows for value in row], same)
    with database.read() as session:
        query = select(*(getattr(Reject, name) for name in COLUMNS), Reject.campaign_id, Reject.source_no)
        found = session.execute(query.order_by(Reject.row_no)).all()
    assert [tuple(row) for row in found] == [(*row, campaign, 2) for row in rows]


def test_rows_are_the_same_as_one_list(database: Database) -> None:
    with database.write() as session:
        campaign = add_campaign(session, NOW)
        rows = [(campaign.hex, 1, *row) for row in rejects(range(1, 4))]
        insert_rows(session, Reject, ("campaign_id", "source_no", *COLUMNS), rows)
    with database.read() as session:
        assert session.execute(select(Reject.row_no).order_by(Reject.row_no)).scalars().all() == [1, 2, 3]


def test_no_rows_are_no_statement(database: Database) -> None:
    with database.write() as session:
        insert_rows(session, Reject, COLUMNS, [])
        insert_flat(session, Reject, COLUMNS, [], {"source_no": 1})


def test_a_row_that_cannot_be_stored_takes_the_others_back(database: Database) -> None:
    with database.write() as session:
        campaign = add_campaign(session, NOW)
    values = [value for row in rejects(range(1, 2 * ROWS)) for value in row]
    values[-5] = None  # the last row's number
    with pytest.raises(DBAPIError), database.write() as session:
        insert_flat(session, Reject, COLUMNS, values, {"campaign_id": campaign.hex, "source_no": 1})
    with database.read() as session:
        assert session.execute(select(func.count()).select_from(Reject)).scalar_one() == 0
