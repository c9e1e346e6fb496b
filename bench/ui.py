"""What the dashboard costs: a campaign's page and its live updates, while the campaign's messages move.

Run: python -m bench.ui [--messages 1000000] [--seconds 30] [--databases sqlite,postgresql] [--json FILE]

The server is a process of its own, as in production; another process moves messages and takes the samples that beat
would take. Measured are the time until a whole page has arrived (fresh connections, one after the other) and the share
of one core that the server spends while one viewer has the page open live, less what it spends without any viewer.
Counting errors, countries and costs takes a pass over the messages, once in a hundred times its own duration. Where
that is longer than the seconds measured, its share is added: it is not left to luck whether one falls into them.

Exits with 1 where a promise is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import delete, text, update

from bench import dlr_data as data
from bench.postgres import embedded_postgres
from bench.showcase import ACCOUNTS, send
from bench.web_server import serve
from config.settings import ROOT
from models.database import Database
from models.tables import Campaign, CampaignCount
from producer.figures import cells
from producer.keys import create_key
from producer.samples import take_samples
from producer.web.breakdown import LEAST, SHARE

PAGE_MS = 300.0  # milliseconds a page may take
CORE_SHARE = 0.02  # of one core, for one viewer's live updates
PAGES = 60
MOVED = 50  # messages of each state in one step, every fifth of a second
TICKS = os.sysconf("SC_CLK_TCK")
CAMPAIGN = data.campaign_id(0)

_SPREAD = """
UPDATE messages SET
  state = CASE WHEN row_no % 10 < 4 THEN 'queued' WHEN row_no % 10 < 8 THEN 'delivered'
               WHEN row_no % 10 = 8 THEN 'undelivered' ELSE 'submitted' END,
  country = CASE row_no % 7 WHEN 0 THEN 'DE' WHEN 1 THEN 'FR' WHEN 2 THEN 'US' ELSE 'GB' END,
  code = CASE WHEN row_no % 10 = 8 THEN CAST(row_no % 30 AS VARCHAR(3)) END,
  klass = CASE WHEN row_no % 10 = 8 THEN 'temporary' END,
  reason = CASE WHEN row_no % 10 = 8 THEN 'absent subscriber' END,
  price = CASE WHEN row_no % 10 IN (4, 5, 6, 7, 8) THEN 37500000 END,
  currency = CASE WHEN row_no % 10 IN (4, 5, 6, 7, 8) THEN 'EUR' END
"""


def fill(database: Database, messages: int) -> None:
    """One campaign half an hour under way: four in ten wait, five have an end, one waits for its report."""
    data.fill(database, messages, campaigns=1)
    with database.write() as session:
        session.execute(text(_SPREAD))
        session.execute(delete(CampaignCount))
    with database.write() as session:
        data.count(session)
        rows = {"rows_accepted": messages, "rows_total": messages, "segments_total": messages}
        session.execute(update(Campaign).values(started_at=database.now() - timedelta(minutes=30), **rows))
    if database.dialect == "postgresql":
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE messages")


# --- the other processes ---------------------------------------------------------------------------------------------


def run_server(url: str, folder: Path) -> None:
    """Until it is killed. Says its address on the first line."""
    database = Database(url)
    with serve(database, folder, ACCOUNTS) as server:
        print(server.url, flush=True)
        threading.Event().wait()


def run_mover(url: str) -> None:
    """Messages leave and reports come in, until it is killed."""
    database = Database(url)
    while True:
        send(database, CAMPAIGN, database.now(), MOVED)
        take_samples(database, database.now())
        time.sleep(0.2)


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "bench.ui", *arguments]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        yield started
    finally:
        started.kill()
        started.wait(20)


def core_seconds(pid: int) -> float:
    """Seconds of a core that a process has spent so far, with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


# --- measuring -------------------------------------------------------------------------------------------------------


def sign_in(address: str, key: str) -> str:
    """The session's cookie."""
    with httpx.Client(base_url=address) as client:
        form = re.search(r'name="csrf" value="(\w+)"', client.get("/sign-in").text)
        assert form is not None
        sent = {"csrf": form[1], "key": key, "next": "/"}
        answer = client.post("/sign-in", data=sent, headers={"Origin": address})
        assert answer.status_code == 303, answer.text
        return client.cookies["drumline_session"]


def page_times(address: str, cookie: str, path: str) -> list[float]:
    """Milliseconds from asking to the last byte."""
    times = []
    for _ in range(PAGES):
        times.append(page_time(address, cookie, path))
        time.sleep(0.05)
    return times


def page_time(address: str, cookie: str, path: str) -> float:
    began = time.perf_counter()
    connection = HTTPConnection(address.removeprefix("http://"), timeout=60)
    connection.request("GET", path, headers={"Cookie": f"drumline_session={cookie}"})
    answer = connection.getresponse()
    page = answer.read()
    took = (time.perf_counter() - began) * 1000
    connection.close()
    assert answer.status == 200, page[:500]
    return took


def watch(address: str, cookie: str, seconds: float) -> tuple[int, int]:
    """Keep the campaign's page open live; fragments and bytes that came."""
    host, port = address.removeprefix("http://").split(":")
    came = b""
    with socket.create_connection((host, int(port)), timeout=5) as opened:
        request = (
            f"GET /live/campaigns/{CAMPAIGN} HTTP/1.1\r\nHost: {host}\r\nCookie: drumline_session={cookie}\r\n\r\n"
        )
        opened.sendall(request.encode())
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            opened.settimeout(left)
            try:
                came += opened.recv(65536)
            except TimeoutError:
                break
    return came.count(b"event: fragment"), len(came)


def share_of_core(pid: int, seconds: float, work: threading.Thread | None = None) -> float:
    if work is not None:
        work.start()
        time.sleep(5)  # the first fragments, and templates that are read for the first time
    before, began = core_seconds(pid), time.monotonic()
    time.sleep(seconds)
    spent = (core_seconds(pid) - before) / (time.monotonic() - began)
    if work is not None:
        work.join()
    return spent


def measure(database: Database, folder: Path, seconds: float) -> dict[str, Any]:
    with database.write() as session:
        key, _ = create_key(session, "bench", "submit", database.now())
    with process("--serve", database.url, str(folder)) as server, process("--move", database.url):
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        cookie = sign_in(address, key)
        path = f"/campaigns/{CAMPAIGN}"
        first = page_time(address, cookie, path)
        took = _count_once(database, CAMPAIGN)
        time.sleep(3 * took + 2)  # the first count in the background is over
        times = page_times(address, cookie, path)
        quiet = share_of_core(server.pid, seconds)
        came: list[tuple[int, int]] = []
        viewer = threading.Thread(target=lambda: came.append(watch(address, cookie, seconds + 6)))
        live = share_of_core(server.pid, seconds, viewer)
    every = max(LEAST, SHARE * took)
    counting = 0.0 if every < seconds else took / every  # often enough to be among what was measured
    return {
        "first_page_ms": round(first, 1),
        "page_ms_median": round(statistics.median(times), 1),
        "page_ms_p95": round(sorted(times)[math.ceil(0.95 * len(times)) - 1], 1),
        "idle_core_share": round(quiet, 4),
        "live_core_share_measured": round(max(0.0, live - quiet), 4),
        "count_seconds": round(took, 3),
        "count_core_share": round(counting, 4),
        "live_core_share": round(max(0.0, live - quiet) + counting, 4),
        "fragments": came[0][0],
        "bytes": came[0][1],
    }


def _count_once(database: Database, campaign_id: UUID) -> float:
    """Seconds of one pass over the messages, as the server makes it."""
    began = time.perf_counter()
    with database.read() as session:
        cells(session, campaign_id)
    return time.perf_counter() - began


def well(found: dict[str, Any]) -> bool:
    return bool(found["page_ms_p95"] < PAGE_MS and found["live_core_share"] < CORE_SHARE and found["fragments"] > 0)


def run(kind: str, messages: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, _database(kind, Path(name)) as database:
        database.migrate()
        began = time.monotonic()
        fill(database, messages)
        print(f"{kind}: {messages:,} messages are there after {time.monotonic() - began:.0f} s", flush=True)
        found = {"database": kind, "messages": messages, **measure(database, Path(name), seconds)}
    found["well"] = well(found)
    print(
        f"{kind}: page {found['page_ms_median']} ms (p95 {found['page_ms_p95']}, first {found['first_page_ms']}; "
        f"allowed {PAGE_MS:g}), live {found['live_core_share']:.2%} of a core (allowed {CORE_SHARE:.0%}; "
        f"{found['live_core_share_measured']:.2%} measured + {found['count_core_share']:.2%} for counting "
        f"{found['count_seconds']} s), {found['fragments']} fragments: {'well' if found['well'] else 'MISSED'}",
        flush=True,
    )
    return found


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[Database]:
    if kind == "sqlite":
        opened = Database(f"sqlite:///{folder / 'ui.db'}")
        yield opened
        opened.close()
        return
    with embedded_postgres() as url:
        opened = Database(url)
        yield opened
        opened.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=30.0, help="of live updates to measure")
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--json", type=Path, default=ROOT / "var" / "bench-ui.json", help="write the figures there")
    parser.add_argument("--serve", nargs=2, metavar=("URL", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--move", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        run_server(given.serve[0], Path(given.serve[1]))
    if given.move:
        run_mover(given.move)
    results = [run(kind, given.messages, given.seconds) for kind in given.databases.split(",")]
    document = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "allowed": {"page_ms": PAGE_MS, "core_share": CORE_SHARE},
        "results": results,
    }
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    print(json.dumps(document, indent=2))
    return 0 if all(found["well"] for found in results) else 1


if __name__ == "__main__":
    sys.exit(main())
