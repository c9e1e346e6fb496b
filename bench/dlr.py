"""What delivery reports cost: how many are applied a second in a full table, and whether a long drain needs memory.

Run: python -m bench.dlr [--messages 1000000] [--reports 200000] [--databases sqlite,postgresql] [--json FILE]

- `apply`: Qikli's pages of 1,000 rows are in the inbox already; measured is reading, matching, moving and counting
  them, in the transactions the worker uses, by one process. Reports come in about the order the messages left, each up
  to 50,000 places away from its own.
- `drain`: every message's report is pulled page by page from a server by the poller itself, and then applied; the
  process's memory is taken along the way.
- `copies`: ten copies of every report of a smaller campaign, in random order, against one copy in order: the tables
  must be the same.

Exits with 1 where a figure or a promise is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select, text, update

from bench import dlr_data as data
from bench.dlr_drain import drain
from bench.memory import children_cpu, resident
from bench.postgres import embedded_postgres
from config.accounts import Account
from models.database import Database
from models.states import MessageState
from models.tables import CampaignCount, DeliveryReport, InboxPage, Message
from providers.accounts import open_provider
from providers.base import Provider
from workers.reconcile import apply_inbox
from workers.runtime import spare_the_collector

WANTED = {"sqlite": 3000.0, "postgresql": 5000.0}  # reports applied a second
FLAT = 8  # MB that a drain may grow by after two tenths of its time: what fills later is no cache
NEAR = 50_000  # places a report may be away from its message's
NOW = data.START + timedelta(hours=1)

ACCOUNT = Account(data.ACCOUNT, "qikli", "http://127.0.0.1:1", credentials={"username": "bench", "password": "bench"})


def apply_all(database: Database, provider: Provider) -> int:
    """Rounds until the inbox is empty; the number of reports."""
    reports = 0
    while True:
        with database.write() as session:
            effect = apply_inbox(session, {data.ACCOUNT: provider}.get, NOW)
        if not effect:
            return reports
        reports += effect.reports


def shuffled_nearby(numbers: range, near: int, chance: random.Random) -> list[int]:
    return sorted(numbers, key=lambda number: number + chance.random() * near)


def measure_apply(database: Database, messages: int, reports: int) -> dict[str, Any]:
    """Reports about a stretch in the middle of the table."""
    first = (messages - reports) // 2
    numbers = shuffled_nearby(range(first, first + reports), NEAR, random.Random(1))
    data.store(database, data.pages(numbers))
    provider = open_provider(ACCOUNT)
    load, served = os.getloadavg()[0], server_cpu(database)
    started, cpu = time.perf_counter(), time.process_time()
    done = apply_all(database, provider)
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    served = server_cpu(database) - served
    check(database, reports, done)
    return {
        "messages": messages,
        "reports": done,
        "seconds": round(elapsed, 2),
        "reports_per_second": round(done / elapsed),
        "reports_per_processor_second": round(done / (cpu + served)),
        "own_cpu_us_per_report": round(cpu / done * 1e6),
        "server_cpu_us_per_report": round(served / done * 1e6),
        "load_before": round(load, 1),
    }


def server_cpu(database: Database) -> float:
    """Processor seconds of the PostgreSQL server so far; SQLite works in our own process."""
    if database.dialect == "sqlite":
        return 0.0
    with database.read() as session:
        folder = session.execute(text("SHOW data_directory")).scalar_one()
    return children_cpu(int((Path(folder) / "postmaster.pid").read_text("ascii").split()[0]))


def check(database: Database, wanted: int, done: int) -> None:
    with database.read() as session:
        moved = session.execute(
            text("SELECT count(*) FROM messages WHERE state IN ('delivered', 'undelivered')")
        ).scalar_one()
        counted = session.execute(
            text("SELECT sum(n) FROM campaign_counts WHERE state IN ('delivered', 'undelivered')")
        ).scalar_one()
    if not done == moved == counted == wanted:
        raise SystemExit(f"{wanted} reports, {done} settled, but {moved} messages moved and {counted} counted")


def measure_copies(database: Database, messages: int = 5000, copies: int = 10) -> dict[str, Any]:
    """The digest of the table after one copy in order, and after many in random order."""
    provider = open_provider(ACCOUNT)
    data.fill(database, messages)
    data.store(database, data.pages(range(messages)))
    apply_all(database, provider)
    in_order = rows(database)
    forget(database)
    numbers = list(range(messages)) * copies
    random.Random(2).shuffle(numbers)
    data.store(database, data.pages(numbers))
    apply_all(database, provider)
    return {"messages": messages, "copies": copies, "same": rows(database) == in_order}


def rows(database: Database) -> Sequence[Any]:
    """All of every message but our own times."""
    columns = [column for column in Message.__table__.columns if column.name not in ("trail", "final_at")]
    counts = select(CampaignCount.campaign_id, CampaignCount.state, CampaignCount.n).where(CampaignCount.n != 0)
    with database.read() as session:
        return [
            *session.execute(select(*columns).order_by(Message.id)).all(),
            *session.execute(counts.order_by(CampaignCount.campaign_id, CampaignCount.state)).all(),
        ]


def forget(database: Database) -> None:
    """As if nothing had been reported yet."""
    told = ("parts", "price", "currency", "network", "provider_at", "code", "klass", "reason", "final_at")
    with database.write() as session:
        session.execute(delete(DeliveryReport))
        session.execute(delete(InboxPage))
        session.execute(update(Message).values({"state": MessageState.SUBMITTED, **dict.fromkeys(told)}))
        session.execute(delete(CampaignCount))
        data.count(session)


@contextmanager
def opened(kind: str) -> Iterator[Database]:
    """A fresh, migrated database of a kind."""
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_postgres() if kind == "postgresql" else sqlite(Path(folder)) as url,
    ):
        database = Database(url)
        database.migrate()
        yield database
        database.close()


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder}/bench.db"


def analyze(database: Database) -> None:
    """What autovacuum does within a minute."""
    if database.dialect == "postgresql":
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))


def run(kind: str, messages: int, reports: int, drained: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with opened(kind) as database:
        say(f"{kind}: filling {messages} messages")
        data.fill(database, messages)
        analyze(database)
        found["apply"] = measure_apply(database, messages, reports)
        say(f"{kind}: {found['apply']}")
    if drained:
        with opened(kind) as database:
            data.fill(database, drained)
            analyze(database)
            found["drain"] = drain(database, drained, apply_all, resident)
            say(f"{kind}: {found['drain']}")
    with opened(kind) as database:
        found["copies"] = measure_copies(database)
        say(f"{kind}: {found['copies']}")
    return found


def missed(kind: str, found: dict[str, Any]) -> list[str]:
    faults = []
    if (rate := found["apply"]["reports_per_second"]) < WANTED[kind]:
        faults.append(f"{kind}: {rate} reports/s, wanted {WANTED[kind]:.0f}")
    if "drain" in found and (grown := found["drain"]["grown_after_two_tenths_mb"]) > FLAT:
        faults.append(f"{kind}: the drain went on growing, by {grown} MB, wanted at most {FLAT}")
    if not found["copies"]["same"]:
        faults.append(f"{kind}: ten copies in random order gave another table than one in order")
    return faults


def say(line: str) -> None:
    print(line, flush=True)


def main(write: Callable[[str], None] = say) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--reports", type=int, default=200_000)
    parser.add_argument("--drain", type=int, default=1_000_000, help="reports to drain; 0: leave it out")
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--json", type=Path, help="write the figures there")
    given = parser.parse_args()
    spare_the_collector()  # as every worker does
    kinds = given.databases.split(",")
    found = {kind: run(kind, given.messages, given.reports, given.drain if kind == kinds[0] else 0) for kind in kinds}
    document = {"python": platform.python_version(), "machine": platform.machine(), **found}
    if given.json:
        given.json.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    faults = [fault for kind, one in found.items() for fault in missed(kind, one)]
    for fault in faults:
        write(f"missed: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
