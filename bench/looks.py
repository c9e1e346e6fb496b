"""How long looks that run by themselves take on PostgreSQL while millions of messages wait, and its statistics are of a
time when none did (or, with --fresh, of now).

Run: python -m bench.looks [--messages 2000000] [--fresh]

One campaign is done, one waits (with a canary in the air), one is cancelled and awaits a report. Nothing is changed for
good: each look is rolled back. Prints the median of three, in milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from bench.dlr import analyze, opened
from bench.dlr_data import ACCOUNT, count
from models.database import Database
from models.queries import all_final
from models.states import BatchState, CampaignState, CanaryState, MessageState
from models.steering import CanaryRule
from models.tables import Base, Batch, Campaign, Message
from models.types import new_id
from producer import canary
from workers import closing, sweep

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
IN_BATCH: Final = 100
RULE: Final = CanaryRule(1000)
CAMPAIGN: Final = {
    "sender": "Drumline", "template": "Hello", "common_text": "Hello", "route": {ACCOUNT: 1}, "options": {},
    "created_at": NOW, "started_at": NOW, "anchor_at": NOW, "rows_accepted": 1,
}  # fmt: skip
MESSAGE: Final = {
    "account": ACCOUNT, "msisdn": "+447700900001", "country": "GB", "sender": "Drumline", "encoding": "GSM7",
    "segments": 1,
}  # fmt: skip
Look = Callable[[Session], object]


def fill(session: Session, messages: int, batches: BatchState, message: Mapping[str, Any], **campaign: Any) -> UUID:
    """A campaign of so many messages, all alike, `IN_BATCH` in each batch but the first."""
    made, batch, first = new_id(), new_id(), new_id()
    session.add(Campaign(id=made, name=str(campaign["state"]), **{**CAMPAIGN, **campaign}))
    session.flush()
    session.add(Batch(id=batch, campaign_id=made, account=ACCOUNT, size=IN_BATCH, state=batches, not_before=NOW))
    values = {**MESSAGE, "id": first, "campaign_id": made, "batch_id": batch, "row_no": 0, **message}
    session.execute(insert(Message).values(**values))
    session.flush()
    place = f"(substr('{made}', 1, 24) || lpad(((g - 1) / {IN_BATCH})::text, 12, '0'))::uuid"
    _copies(session, Batch, batch, (messages, IN_BATCH), {"id": place, "position": "g"})
    ids = {"id": "gen_random_uuid()", "row_no": "g", "batch_id": place}
    _copies(session, Message, first, (messages, 1), ids)
    return made


def _copies(
    session: Session, table: type[Base], row: UUID, series: tuple[int, int], changed: Mapping[str, str]
) -> None:
    name, names = table.__tablename__, table.__table__.columns.keys()
    values = ", ".join(changed.get(column, f"t.{column}") for column in names)
    session.execute(
        text(
            f"INSERT INTO {name} ({', '.join(names)}) SELECT {values} "  # nosec B608  # names are ours
            f"FROM {name} t, generate_series(1, {series[0]}, {series[1]}) g WHERE t.id = :row"
        ),
        {"row": row},
    )


def prepare(database: Database, messages: int, *, fresh: bool) -> UUID:
    """The id of the campaign that waits."""
    left = {"submitted_at": NOW, "attempted_at": NOW, "deadline": NOW + timedelta(days=3)}
    with database.write() as session:
        for table in ("messages", "batches"):
            session.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = false)"))
        over = {"state": MessageState.DELIVERED, "phase": MessageState.DELIVERED, "final_at": NOW, **left}
        fill(session, messages // 4, BatchState.DONE, over, state=CampaignState.COMPLETED, finished_at=NOW)
        sent = {"state": MessageState.SUBMITTED, "phase": MessageState.SUBMITTED, **left}
        fill(session, 300 * IN_BATCH, BatchState.DONE, sent, state=CampaignState.CANCELLED)
    if not fresh:
        analyze(database)
    queued = {"state": MessageState.QUEUED, "phase": MessageState.QUEUED, "expires_at": NOW + timedelta(days=2)}
    with database.write() as session:
        waiting = fill(session, messages, BatchState.PLANNED, queued, state=CampaignState.RUNNING,
                       canary=CanaryState.WAITING)  # fmt: skip
        # What came back to the cancelled one: only for it the sweep looks at all.
        cancelled = (
            select(Message.campaign_id, Message.batch_id).where(Message.phase == MessageState.SUBMITTED).limit(1)
        )
        campaign, batch = session.execute(cancelled).one()
        back = {**MESSAGE, **queued, "id": new_id(), "campaign_id": campaign, "batch_id": batch, "row_no": 0}
        session.execute(insert(Message).values(**back))
        count(session)
    if fresh:
        analyze(database)
    return waiting


def looks(waiting: UUID) -> dict[str, Look]:
    of_it = Batch.campaign_id == waiting
    return {
        "too late to leave (each sweep)": lambda session: sweep.expire_queued(session, NOW),
        "came back to a cancelled campaign (each sweep)": lambda session: sweep.cancel_queued(session, NOW),
        "whether a campaign is over (each sweep)": lambda session: all_final(session, waiting),
        "a canary in the air (each second)": lambda session: canary.look(
            session, session.get_one(Campaign, waiting), RULE
        ),
        "2,000 messages of a campaign that is closed": lambda session: closing.close_some(
            session, of_it, closing.TOO_LATE, NOW
        ),
    }


def median_ms(database: Database, look: Look) -> float:
    return statistics.median(_once(database, look) for _ in range(3)) * 1000


def _once(database: Database, look: Look) -> float:
    with database.write() as session:
        began = time.perf_counter()
        look(session)
        took = time.perf_counter() - began
        session.rollback()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description="How long looks take while millions wait.")
    parser.add_argument("--messages", type=int, default=2_000_000)
    parser.add_argument("--fresh", action="store_true", help="statistics of now")
    given = parser.parse_args()
    with opened("postgresql") as database:
        waiting = prepare(database, given.messages, fresh=given.fresh)
        for name, look in looks(waiting).items():
            print(f"{name:<48} {median_ms(database, look):>10,.1f} ms", flush=True)


if __name__ == "__main__":
    main()
