"""Draining a read-once list of reports: a server hands out pages until there is no more, the poller pulls them all."""

from __future__ import annotations

import asyncio
import math
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench import dlr_data as data
from bench.redis import embedded_redis
from config.accounts import Account, Poll
from config.settings import Settings
from models.database import Database
from providers.accounts import open_provider
from providers.base import Provider
from workers.poll import poll_reports
from workers.runtime import Runtime

Apply = Callable[[Database, Provider], int]


@contextmanager
def reports_server(total: int) -> Iterator[str]:
    """Answers GET /sms/1/reports with the next thousand reports of `total`, each once."""
    given = iter(range(0, total, data.PAGE))
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with lock:
                first = next(given, total)
            body = data.page_of(range(first, min(first + data.PAGE, total)))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def drain(database: Database, total: int, apply_all: Apply, resident: Callable[[], int]) -> dict[str, Any]:
    """Poll until the server has no more, then apply; what each took, and how the memory grew."""
    with reports_server(total) as url, embedded_redis() as redis_url, tempfile.TemporaryDirectory() as folder:
        account = Account(
            data.ACCOUNT, "qikli", url, credentials={"username": "bench", "password": "bench"},
            poll=Poll(limit=data.PAGE),
        )  # fmt: skip
        settings = Settings(redis_url=redis_url, state_dir=Path(folder))
        runtime = Runtime(settings, {account.name: account}, database, lambda *_, **__: None)
        try:
            runtime.run(_warm(runtime, account.name))
            with watched(resident) as pulling:
                started = time.perf_counter()
                pages = runtime.run(poll_reports(runtime, account.name))
                pulled = time.perf_counter() - started
            with watched(resident) as applying:
                started = time.perf_counter()
                done = apply_all(database, open_provider(account))
                applied = time.perf_counter() - started
        finally:
            runtime.close()
    return {
        "reports": done,
        "pages": pages,
        "pulled_per_second": round(total / pulled),
        "applied_per_second": round(done / applied),
        "grown_mb": max(pulling.most, applying.most) - pulling.first,
        "mb_by_tenths": {"pulling": pulling.by_tenths(), "applying": applying.by_tenths()},
        "grown_after_two_tenths_mb": max(pulling.grown_late(), applying.grown_late()),
    }


@dataclass
class Memory:
    """MB, all along."""

    seen: list[int]

    @property
    def first(self) -> int:
        return self.seen[0]

    @property
    def most(self) -> int:
        return max(self.seen)

    def by_tenths(self) -> list[int]:
        """At the start, and the most of each tenth of the time."""
        size = max(1, math.ceil(len(self.seen) / 10))
        return [self.first, *(max(self.seen[at : at + size]) for at in range(0, len(self.seen), size))]

    def grown_late(self) -> int:
        """What came on top once caches and pools are full, which the first two tenths of the time are for."""
        tenths = self.by_tenths()
        return max(0, max(tenths[3:], default=0) - max(tenths[:3]))


@contextmanager
def watched(resident: Callable[[], int], every: float = 0.1) -> Iterator[Memory]:
    """Looks at the memory all along."""
    memory = Memory([resident()])
    over = threading.Event()

    def look() -> None:
        while not over.wait(every):
            memory.seen.append(resident())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        over.set()
        thread.join()


async def _warm(runtime: Runtime, account: str) -> None:
    """Everything is opened before the memory is taken."""
    await runtime.account(account)
    await asyncio.sleep(0)
