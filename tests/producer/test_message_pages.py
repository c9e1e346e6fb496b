"""Pages of a campaign's messages: what is leaving is told apart from what waits, which the indexes do not do."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from models.database import Database
from models.states import BatchState, MessageState
from producer.message_pages import Wanted, page
from tests.support.rows import add_batch, add_campaign, add_messages

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
Q, S, D = MessageState.QUEUED, MessageState.SUBMITTING, MessageState.DELIVERED
ROWS = [D, Q, S, Q, D, S, Q, S]  # from row 1 on
CASES: list[tuple[list[MessageState], list[int]]] = [
    ([Q], [2, 4, 7]),
    ([S], [3, 6, 8]),
    ([D], [1, 5]),
    ([Q, S], [2, 3, 4, 6, 7, 8]),
    ([S, D], [1, 3, 5, 6, 8]),
    ([], [1, 2, 3, 4, 5, 6, 7, 8]),
]


@pytest.fixture
def campaign(database: Database) -> UUID:
    with database.write() as session:
        found = add_campaign(session, NOW)
        batch = add_batch(session, found, NOW, state=BatchState.LEASED, lease_until=NOW)
        for row_no, state in enumerate(ROWS, 1):
            add_messages(session, found, batch, 1, row_no=row_no, state=state)
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
@pytest.mark.parametrize(("states", "rows"), CASES)
def test_every_message_in_a_wanted_state_is_on_one_page(
    database: Database, campaign: UUID, states: list[MessageState], rows: list[int], limit: int
) -> None:
    seen: list[int] = []
    wanted: Wanted | None = Wanted(campaign, states)
    with database.read() as session:
        while wanted is not None:
            found = page(session, wanted, limit)
            assert len(found.messages) <= limit
            seen += [message.row_no for message in found.messages]
            wanted = None if found.next is None else Wanted(campaign, states, after=found.next)
    assert seen == rows
