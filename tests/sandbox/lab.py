"""What the sandbox's tests share: a running sandbox with a client, and a webhook receiver. Nothing here sleeps."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from sandbox.server import Options, Running, serve


@dataclass(slots=True)
class Answer:
    status: int
    headers: Any
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(slots=True)
class Lab:
    running: Running
    session: aiohttp.ClientSession

    async def ask(self, method: str, path: str, json: Any = None, headers: Any = None, **more: Any) -> Answer:
        async with self.session.request(method, self.running.url + path, json=json, headers=headers, **more) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def control(self, path: str, json: Any = None, method: str = "POST") -> Any:
        answer = await self.ask(method, "/_sandbox" + path, json=json)
        assert answer.status == 200, answer.body
        return answer.json()

    async def config(self, provider: str, **changes: Any) -> None:
        await self.control("/config", {provider: changes})

    async def faults(self, provider: str, *rules: dict[str, Any]) -> None:
        await self.control("/faults", {provider: list(rules)})

    async def counts(self, provider: str) -> dict[str, Any]:
        stats = await self.control(f"/stats?provider={provider}", method="GET")
        counts: dict[str, Any] = stats["providers"][provider]
        return counts

    async def ledger(self, provider: str) -> list[dict[str, Any]]:
        answer = await self.ask("GET", f"/_sandbox/ledger?provider={provider}")
        return [orjson.loads(line) for line in answer.body.splitlines()]

    async def settle(self) -> None:
        """Every planned outcome becomes final and is pushed once."""
        await self.control("/settle")

    async def advance(self, seconds: float) -> None:
        await self.control("/clock", {"advance": seconds})


@dataclass(slots=True)
class Hook:
    method: str
    path: str
    headers: Any
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(slots=True)
class Receiver:
    """Keeps what arrives; answers with the next of `statuses`, then 200, and with `text`."""

    url: str
    hooks: list[Hook] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    text: str = "OK"
    on_hook: Callable[[], None] | None = None

    async def handle(self, request: web.BaseRequest) -> web.Response:
        self.hooks.append(Hook(request.method, request.path_qs, request.headers.copy(), await request.read()))
        if self.on_hook is not None:
            self.on_hook()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200, text=self.text)


@asynccontextmanager
async def open_lab(**options: Any) -> AsyncIterator[Lab]:
    running = await serve(Options(**options))
    async with aiohttp.ClientSession() as session:
        yield Lab(running, session)
    await running.stop()


@asynccontextmanager
async def open_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver("")
    runner = web.ServerRunner(web.Server(receiver.handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    await runner.cleanup()
