"""Runs `drumline` commands in forks of a process that has everything imported: a command costs milliseconds, not a
second. Each is a process of its own all the same, with its own folder, environment and streams.

`python -m tests.docs.command_server SOCKET`; the client is `bin/drumline` of the project (see tests/docs/project.py).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

from producer import cli
from producer.cli import preview  # noqa: F401  # imported early, like whatever commands import late
from producer.demo import run  # noqa: F401


def serve(path: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks here
    while True:
        connection, _ = listener.accept()
        message, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        if os.fork() == 0:
            listener.close()
            run_one(connection, json.loads(message), streams)
        for stream in streams:
            os.close(stream)
        connection.close()


def run_one(connection: socket.socket, asked: dict[str, object], streams: list[int]) -> None:
    """Never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    code = 1
    try:
        os.chdir(str(asked["folder"]))
        os.environ.clear()
        os.environ.update(asked["environment"])  # type: ignore[call-overload]  # a table of texts
        sys.argv = ["drumline", *asked["words"]]  # type: ignore[misc]  # a list of texts
        cli.main()
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(str(code).encode())
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
