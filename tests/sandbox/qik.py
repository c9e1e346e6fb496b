"""A live sandbox over loopback HTTP, and a webhook receiver, for the tests of Qikli and Qikberry."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from hypothesis import strategies as st

from sandbox.exchange import Call, Reply
from sandbox.server import Options, Running, Sandbox, serve


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(slots=True)
class Live:
    """One running sandbox. Paths are relative to the port: `/qikli/sms/1/reports`."""

    running: Running
    session: aiohttp.ClientSession

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        async with self.session.request(method, self.running.url + path, **options) as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def control(self, method: str, path: str, body: object = None) -> Any:
        answer = await self.ask(method, f"/_sandbox{path}", json=body)
        assert answer.status == 200, answer.body
        return answer.json

    async def configure(self, provider: str, **changes: object) -> None:
        await self.control("POST", "/config", {provider: changes})

    async def faults(self, provider: str, *rules: dict[str, object]) -> None:
        await self.control("POST", "/faults", {provider: list(rules)})

    async def settle(self) -> None:
        """Every planned report comes now."""
        await self.control("POST", "/settle", {})

    async def push(self) -> None:
        await self.control("POST", "/push", {})

    async def advance(self, seconds: float) -> None:
        await self.control("POST", "/clock", {"advance": seconds})

    async def ledger(self, provider: str) -> list[dict[str, Any]]:
        answer = await self.ask("GET", f"/_sandbox/ledger?provider={provider}")
        return [orjson.loads(line) for line in answer.body.splitlines()]

    async def stats(self, provider: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.control("GET", f"/stats?provider={provider}"))["providers"][provider]
        return found


@dataclass(frozen=True, slots=True)
class Hit:
    """One request that a webhook received."""

    method: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(slots=True)
class Receiver:
    """A client's webhook. `respond` decides each answer as (status, body)."""

    url: str = ""
    hits: list[Hit] = field(default_factory=list)
    respond: Callable[[Hit], tuple[int, bytes]] = field(default=lambda _: (200, b'{"status":"OK"}'))

    async def handle(self, request: web.BaseRequest) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        hit = Hit(request.method, dict(request.query), headers, await request.read())
        self.hits.append(hit)
        status, body = self.respond(hit)
        return web.Response(status=status, body=body, content_type="application/json")


@asynccontextmanager
async def live(provider: str, **switches: Any) -> AsyncIterator[Live]:
    """Reports of the provider wait for `settle`: their usual delay is longer than any test."""
    running = await serve(Options(config={provider: {"dlr_delay": 600, **switches}}))
    try:
        async with aiohttp.ClientSession() as session:
            yield Live(running, session)
    finally:
        await running.stop()


def answer_offline(provider: str, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
    """The answer of a fresh simulator without any socket, for properties over many requests."""
    sandbox = Sandbox(Options())
    return sandbox.providers[provider].answer(Call(method, path, headers, {}, body, "", sandbox.world.clock.now()))


_ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def nearly(value: object) -> st.SearchStrategy[bytes]:
    """A valid body in which any part may have been replaced by any JSON."""
    return _nearly(value).map(lambda made: json.dumps(made).encode())


def _nearly(value: object) -> st.SearchStrategy[object]:
    kept: st.SearchStrategy[object] = st.just(value)
    if isinstance(value, dict):
        kept = st.fixed_dictionaries({name: _nearly(part) for name, part in value.items()})
    elif isinstance(value, list):
        kept = st.lists(_nearly(value[0]), min_size=1, max_size=2)
    return st.one_of(kept, kept, kept, kept, kept, _ODD)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    runner = web.ServerRunner(web.Server(found.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield found
    finally:
        await runner.cleanup()
