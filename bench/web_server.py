"""The API with its dashboard on a free port of this machine, in a thread of its own, for pictures and measurements."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from config.accounts import Account
from config.settings import Settings
from models.database import Database
from producer.api.app import create_app
from producer.api.options import ApiOptions
from producer.keys import create_key
from providers.accounts import open_provider

PATIENCE = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class WebServer:
    """A running server. `rung`: the tasks it asked for."""

    url: str
    database: Database
    rung: list[str]

    def key(self, scope: str) -> str:
        with self.database.write() as session:
            return create_key(session, f"{scope} key", scope, self.database.now())[0]


@contextmanager
def serve(database: Database, folder: Path, accounts: Mapping[str, Account], **changes: object) -> Iterator[WebServer]:
    """Served on 127.0.0.1 until the block ends."""
    rung: list[str] = []

    def nudge(name: str, **_: object) -> None:
        rung.append(name)

    settings = Settings(_env_file=None, database_url=database.url, state_dir=folder).model_copy(update=changes)
    providers = {name: open_provider(account) for name, account in accounts.items()}
    app = create_app(
        settings, database, accounts, providers,
        nudge=nudge, options=ApiOptions(_env_file=None), ping_redis=lambda: None,
    )  # fmt: skip
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, name="web server", daemon=True)
    thread.start()
    try:
        yield WebServer(f"http://127.0.0.1:{_port(server)}", database, rung)
    finally:
        app.state.live.stop()
        server.should_exit = True
        thread.join(PATIENCE)


def _port(server: uvicorn.Server) -> int:
    deadline = time.monotonic() + PATIENCE
    while not server.started:
        if time.monotonic() > deadline:
            raise TimeoutError("the server did not start")
        time.sleep(0.01)
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port
