"""The HTTP server: one port, four providers under their prefixes, the control API under /_sandbox.

Simple requests are answered by front.py; the others by aiohttp's low-level server, without router and middlewares.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiohttp import web

from sandbox.answers import response
from sandbox.clock import Clock
from sandbox.control import Control
from sandbox.core import Provider, World
from sandbox.exchange import Call, Reply
from sandbox.fault_actions import Scene, perform
from sandbox.faults import BEFORE, Rule
from sandbox.front import Front, Plain
from sandbox.registry import provider_classes
from sandbox.reports import Agenda, Pusher

log = logging.getLogger(__name__)

CONTROL = "_sandbox"
BACKLOG = 1024  # connections that may wait to be accepted
GRACE = 0.2  # seconds that requests in hand have when it stops


@dataclass(frozen=True, slots=True)
class Options:
    """Where to listen and how to begin. `config`: provider name → settings, as in the TOML file; port 0 = any free."""

    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 0
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Sandbox:
    """The providers and what they share, without any socket."""

    def __init__(self, options: Options) -> None:
        clock = Clock()
        self.world = World(clock, Random(options.seed), Agenda(clock), Pusher(clock))
        self.providers: dict[str, Provider] = {cls.name: cls(self.world) for cls in provider_classes()}
        self.control = Control(self.world, self.providers)
        self.control.configure(options.config)

    def at_once(self, plain: Plain, remote: str) -> Reply | None:
        """The answer to a request that nothing delays and no fault can touch; None for all others, untouched."""
        name, path = _divided(plain.target)
        provider = self.providers.get(name)
        if provider is None or not provider.prompt:
            return None
        call = Call(plain.method, path, plain.headers, plain.query(), plain.body, remote, self.world.clock.now())
        provider.ledger.counts.requests += 1
        reply = provider.answer(call)
        _count(provider, reply.status)
        return reply

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        target = request.raw_path
        name, path = _divided(target)
        provider = self.providers.get(name)
        if provider is None:
            return await self.control.handle(request, name == CONTROL, path)
        return await self._serve(provider, request, path, "?" in target)

    async def _serve(
        self, provider: Provider, request: web.BaseRequest, tail: str, has_query: bool
    ) -> web.StreamResponse:
        body = await request.read() if request.can_read_body else b""
        query = request.query if has_query else {}
        call = Call(request.method, tail, request.headers, query, body, request.remote or "", self.world.clock.now())
        provider.ledger.counts.requests += 1
        reply = await self._reply(provider, request, call)
        if reply is None:
            return web.Response()  # the connection is closed; aiohttp wants a response all the same and drops it
        latency = provider.settings.latency
        if latency[1] > 0:
            await asyncio.sleep(self.world.rng.uniform(*latency))
        _count(provider, reply.status)
        return response(reply)

    async def _reply(self, provider: Provider, request: web.BaseRequest, call: Call) -> Reply | None:
        if not provider.faults.watches_requests:
            return await self._answer(provider, call)
        rule = provider.faults.for_request(call, provider.numbers_in)
        if rule is None:
            return await self._answer(provider, call)
        return await self._faulty(provider, request, call, rule)

    async def _faulty(self, provider: Provider, request: web.BaseRequest, call: Call, rule: Rule) -> Reply | None:
        reply = None if rule.kind in BEFORE else await self._answer(provider, call)
        return await perform(Scene(provider, request, call, rule, reply))

    async def _answer(self, provider: Provider, call: Call) -> Reply:
        reply = provider.answer(call)
        if call.early:
            await self._report_early(provider, call)
        return reply

    async def _report_early(self, provider: Provider, call: Call) -> None:
        """`report_early`: the final report reaches the client before the answer to its own request does."""
        pusher = self.world.pusher
        with pusher.collect() as pushes:
            for entry in call.early:
                for share, status in provider.progress(entry):
                    provider.step(entry, status, share >= 1.0)
        for push in pushes:
            await pusher.deliver(push)


def _divided(target: str) -> tuple[str, str]:
    """The first part of a request's target, and the path after it without the query."""
    path, _, _ = target.partition("?")
    _, name, *rest = path.split("/", 2)
    return name, "/" + (rest[0] if rest else "")


def _count(provider: Provider, status: int) -> None:
    counts = provider.ledger.counts
    counts.statuses[status] += 1
    if status == 429:
        counts.throttled += 1
    elif status == 401:
        counts.unauthorized += 1


@dataclass(slots=True)
class Running:
    """A sandbox that listens. `stop()` ends it; a second call does nothing."""

    sandbox: Sandbox
    url: str
    port: int
    _listener: asyncio.Server
    _server: web.Server
    _fronts: set[Front]

    def announcement(self) -> dict[str, object]:
        bases = {name: f"{self.url}/{name}{provider.mount}" for name, provider in self.sandbox.providers.items()}
        return {"port": self.port, "base_urls": bases, "control": f"{self.url}/{CONTROL}"}

    async def stop(self) -> None:
        self.sandbox.world.agenda.stop()
        await self.sandbox.world.pusher.stop()
        self._listener.close()
        for front in list(self._fronts):
            front.close()
        await self._server.shutdown(GRACE)


async def serve(options: Options) -> Running:
    """Start listening inside the running event loop. Errors: OSError (port taken), SettingsError (wrong config)."""
    sandbox = Sandbox(options)
    server = web.Server(sandbox.handle, access_log=None)
    fronts: set[Front] = set()
    listener = await asyncio.get_running_loop().create_server(
        lambda: Front(sandbox.at_once, server, fronts), options.host, options.port, backlog=BACKLOG
    )
    sandbox.world.agenda.start()
    sandbox.world.pusher.start()
    port = int(listener.sockets[0].getsockname()[1])
    return Running(sandbox, f"http://{options.host}:{port}", port, listener, server, fronts)
