"""Live streams: one producer for all viewers, only what changed, and always an end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.exc import OperationalError

from bench.showcase import send
from producer.keys import find_key, revoke_key
from producer.sessions import open_session
from producer.web import live as live_module
from producer.web.live import Fragments, Full, Hub, stream
from tests.web.conftest import Stage


class Maker:
    """Makes the fragments it was told to; counts how often it was asked."""

    def __init__(self, **parts: str) -> None:
        self.parts = parts
        self.final = False
        self.asked = 0
        self.fails = 0

    def __call__(self) -> Fragments:
        self.asked += 1
        if self.fails:
            self.fails -= 1
            self.parts["a"] = "2"
            raise OperationalError("SELECT", {}, Exception("away"))
        return Fragments(dict(self.parts), self.final)


async def always() -> bool:
    return True


def read(chunk: bytes) -> tuple[str, dict[str, str]]:
    name, data = chunk.decode().strip().split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def events(hub: Hub, make: Maker, key: str = "x") -> AsyncGenerator[tuple[str, dict[str, str]], None]:
    async with aclosing(stream(hub, key, make, always)) as chunks:
        async for chunk in chunks:
            if chunk.startswith(b"event"):
                yield read(chunk)


@pytest.fixture
def hub() -> Hub:
    return Hub(every=0.005)


async def test_a_viewer_gets_everything_once_and_then_only_what_changed(hub: Hub) -> None:
    make = Maker(a="<p id=a>1</p>", b="<p id=b>1</p>")
    seen = events(hub, make)
    first = [await anext(seen), await anext(seen)]
    assert [event[1]["html"] for event in first] == ["<p id=a>1</p>", "<p id=b>1</p>"]
    make.parts["b"] = "<p id=b>2</p>"
    assert await anext(seen) == ("fragment", {"html": "<p id=b>2</p>"})
    await seen.aclose()


async def test_any_number_of_viewers_cost_one_producer(hub: Hub) -> None:
    make = Maker(a="1")
    viewers = [events(hub, make) for _ in range(20)]
    for viewer in viewers:
        assert await anext(viewer) == ("fragment", {"html": "1"})
    assert (len(hub._topics), hub.viewers) == (1, 20)
    for viewer in viewers:
        await viewer.aclose()
    assert (hub._topics, hub.viewers) == ({}, 0)
    await asyncio.sleep(0)
    asked = make.asked
    await asyncio.sleep(0.03)
    assert make.asked == asked, "nobody watches, so nobody looks"


async def test_a_final_campaign_ends_its_streams(hub: Hub) -> None:
    make = Maker(a="1")
    make.final = True
    assert [event async for event in events(hub, make)] == [("fragment", {"html": "1"}), ("end", {})]
    assert hub._topics == {}


async def test_a_database_that_is_away_for_a_while_ends_no_stream(hub: Hub) -> None:
    make = Maker(a="1")
    seen = events(hub, make)
    await anext(seen)
    make.fails = 2
    assert await anext(seen) == ("fragment", {"html": "2"})
    await seen.aclose()


async def test_a_viewer_who_may_not_look_any_more_is_told_and_sees_nothing_further(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "CHECK", 0.0)

    async def never() -> bool:
        return False

    chunks = [chunk async for chunk in stream(hub, "x", Maker(a="secret"), never)]
    assert read(chunks[-1]) == ("gone", {})
    assert b"secret" not in b"".join(chunks)


async def test_silence_is_broken_by_a_heartbeat(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "HEARTBEAT", 0.01)
    seen = stream(hub, "x", Maker(a="1"), always)
    found = [await anext(seen) for _ in range(4)]
    assert found[0].startswith(b"retry:")
    assert found[-1].startswith(b":")
    await seen.aclose()


async def test_stopping_ends_every_stream_at_once_and_lets_nobody_in(hub: Hub) -> None:
    seen = events(hub, Maker(a="1"))
    await anext(seen)
    hub.stop()
    async with asyncio.timeout(1):
        assert [event async for event in seen] == []


async def test_more_viewers_than_a_process_carries_are_turned_away(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "MOST_VIEWERS", 1)
    async with hub.join("x", Maker()):
        with pytest.raises(Full):
            async with hub.join("y", Maker()):
                pass


# --- over the wire ---------------------------------------------------------------------------------------------------


def session_cookie(stage: Stage, scope: str) -> str:
    return open_with(stage, stage.keys[scope])[1]


def open_with(stage: Stage, key: str) -> tuple[UUID, str]:
    """The key's id, and the cookie of a session opened with it."""
    with stage.database.write() as session:
        row = find_key(session, key)
        assert row is not None
        return row.id, open_session(session, row.id, stage.database.now())


def connect(url: str, path: str, cookie: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    opened = socket.create_connection((host, int(port)), timeout=20)
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: drumline_session={cookie}\r\n\r\n"
    opened.sendall(request.encode())
    return opened


def read_until(opened: socket.socket, *wanted: bytes) -> bytes:
    found = b""
    while not all(one in found for one in wanted):
        chunk = opened.recv(65536)
        if not chunk:
            raise AssertionError(f"the stream ended before {wanted}: {found[-300:]!r}")
        found += chunk
    return found


def test_a_stream_brings_new_figures_while_messages_move(stage: Stage) -> None:
    campaign = stage.ids["Order updates"]
    with connect(stage.url, f"/live/campaigns/{campaign}", session_cookie(stage, "submit")) as opened:
        head = read_until(opened, b'id=\\"verdict\\"', b'id=\\"errors\\"', b'id=\\"actions\\"')
        assert b"content-type: text/event-stream" in head
        assert send(stage.database, campaign, stage.database.now(), 5) > 0
        news = read_until(opened, b'id=\\"funnel\\"')
        assert b'id=\\"actions\\"' not in news, "the buttons did not change"


def test_a_reader_gets_no_buttons_by_the_stream(stage: Stage) -> None:
    campaign = stage.ids["Order updates"]
    with connect(stage.url, f"/live/campaigns/{campaign}", session_cookie(stage, "read")) as opened:
        assert b'id=\\"actions\\"' not in read_until(opened, b'id=\\"events\\"')


def test_a_stream_ends_when_its_key_is_revoked(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "CHECK", 0.1)
    key_id, cookie = open_with(stage, stage.server.key("read"))
    with connect(stage.url, "/live/accounts", cookie) as opened:
        read_until(opened, b"account-qikli")
        with stage.database.write() as session:
            revoke_key(session, key_id, stage.database.now())
        read_until(opened, b"event: gone")


_SERVER = """
import sys
from pathlib import Path
import uvicorn
from bench.showcase import ACCOUNTS
from config.settings import Settings
from models.database import Database
from producer.api.app import create_app
from providers.accounts import open_provider

database = Database(sys.argv[1])
settings = Settings(_env_file=None, database_url=database.url, state_dir=Path(sys.argv[2]))
providers = {name: open_provider(account) for name, account in ACCOUNTS.items()}
app = create_app(settings, database, ACCOUNTS, providers, nudge=lambda *a, **k: None, ping_redis=lambda: None)
uvicorn.run(app, fd=int(sys.argv[3]), log_level="warning", access_log=False)
"""


def test_the_server_ends_at_once_although_streams_are_open(stage: Stage, tmp_path: Path) -> None:
    """uvicorn waits for open connections; a stream would keep it waiting until it is killed."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port, number = listening.getsockname()[1], listening.fileno()
        command = [sys.executable, "-c", _SERVER, stage.database.url, str(tmp_path), str(number)]
        server = subprocess.Popen(command, pass_fds=[number], env={**os.environ, "PYTHONPATH": str(Path.cwd())})
        try:
            with connect(f"http://127.0.0.1:{port}", "/live/accounts", session_cookie(stage, "read")) as opened:
                read_until(opened, b"account-qikli")
                began = time.monotonic()
                server.send_signal(signal.SIGTERM)
                assert server.wait(20) in (0, -signal.SIGTERM)
                assert time.monotonic() - began < 10
        finally:
            server.kill()
            server.wait(5)
