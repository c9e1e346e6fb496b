"""The control API under /_sandbox: look at the truth, change settings, switch faults, move time."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web

from sandbox.core import Provider, World
from sandbox.faults import FaultError
from sandbox.settings import SettingsError

LINES_PER_WRITE = 500

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Control:
    def __init__(self, world: World, providers: Mapping[str, Provider]) -> None:
        self._world = world
        self._providers = providers
        self._routes: dict[tuple[str, str], Answer] = {
            ("GET", "/healthz"): self._health,
            ("GET", "/stats"): self._stats,
            ("GET", "/ledger"): self._ledger,
            ("GET", "/arrivals"): self._arrivals,
            ("GET", "/config"): self._show_config,
            ("POST", "/config"): self._config,
            ("GET", "/faults"): self._show_faults,
            ("POST", "/faults"): self._faults,
            ("DELETE", "/faults"): self._clear_faults,
            ("POST", "/reset"): self._reset,
            ("POST", "/push"): self._push,
            ("POST", "/settle"): self._settle,
            ("POST", "/clock"): self._clock,
            ("POST", "/inbound"): self._inbound,
        }

    async def handle(self, request: web.BaseRequest, ours: bool, path: str) -> web.StreamResponse:
        answer = self._routes.get((request.method, path)) if ours else None
        if answer is None:
            return _json({"error": f"no such page: {request.method} {request.path}"}, 404)
        try:
            return await answer(request)
        except (SettingsError, FaultError, ValueError, TypeError, KeyError) as error:
            return _json({"error": str(error)}, 400)

    def configure(self, config: Mapping[str, Mapping[str, Any]]) -> None:
        """Provider name → changes. Errors: SettingsError naming provider and switch."""
        for name, changes in config.items():
            provider = self._named(name)
            try:
                self._apply(provider, dict(changes))
            except (SettingsError, FaultError) as error:
                raise SettingsError(f"{name}: {error}") from error

    def _apply(self, provider: Provider, changes: dict[str, Any]) -> None:
        """Settings, and under `faults` a list of fault rules."""
        if (rules := changes.pop("faults", None)) is not None:
            provider.faults.load(rules, self._world.clock.now())
        provider.settings.update(changes)
        if {"limits", "limit_scale"} & set(changes):
            provider.windows_changed()

    def _named(self, name: str) -> Provider:
        try:
            return self._providers[name]
        except KeyError:
            raise SettingsError(f"no provider {name!r}; known: {', '.join(self._providers)}") from None

    def _asked(self, request: web.BaseRequest) -> list[Provider]:
        """The one named by ?provider=, or all."""
        name = request.query.get("provider")
        return [self._named(name)] if name else list(self._providers.values())

    async def _health(self, request: web.BaseRequest) -> web.Response:
        return _json({"status": "ok"})

    async def _stats(self, request: web.BaseRequest) -> web.Response:
        shown = {p.name: p.ledger.counts.public() | {"windows": p.usage()} for p in self._asked(request)}
        world = self._world
        return _json(
            {"providers": shown, "pending_outcomes": len(world.agenda), "pending_pushes": world.pusher.pending()}
        )

    async def _ledger(self, request: web.BaseRequest) -> web.StreamResponse:
        """NDJSON, one accepted message per line, in order of acceptance; `from=N` skips the first N of each."""
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for provider in self._asked(request):
            await _stream(response, provider, int(request.query.get("from", "0")))
        await response.write_eof()
        return response

    async def _arrivals(self, request: web.BaseRequest) -> web.Response:
        """Per provider [monotonic seconds, account, method, messages, admitted], oldest first (bounded)."""
        return _json(
            {
                "now": self._world.clock.now(),
                "arrivals": {p.name: list(p.ledger.arrivals) for p in self._asked(request)},
            }
        )

    async def _show_config(self, request: web.BaseRequest) -> web.Response:
        return _json({p.name: asdict(p.settings) for p in self._asked(request)})

    async def _config(self, request: web.BaseRequest) -> web.Response:
        self.configure(await _body(request))
        return await self._show_config(request)

    async def _show_faults(self, request: web.BaseRequest) -> web.Response:
        return _json({p.name: [asdict(rule) for rule in p.faults.rules()] for p in self._asked(request)})

    async def _faults(self, request: web.BaseRequest) -> web.Response:
        for name, rules in (await _body(request)).items():
            self._named(name).faults.load(rules, self._world.clock.now())
        return await self._show_faults(request)

    async def _clear_faults(self, request: web.BaseRequest) -> web.Response:
        for provider in self._asked(request):
            provider.faults.clear()
        return _json({"cleared": True})

    async def _reset(self, request: web.BaseRequest) -> web.Response:
        self._world.agenda.clear()
        self._world.pusher.clear()
        for provider in self._providers.values():
            provider.reset()
        return _json({"reset": True})

    async def _push(self, request: web.BaseRequest) -> web.Response:
        """One attempt of everything that waits to be pushed, now; answers when all have been tried."""
        await self._world.pusher.flush()
        return _json({"pending_pushes": self._world.pusher.pending()})

    async def _settle(self, request: web.BaseRequest) -> web.Response:
        """All planned outcomes become final now; answers when their pushes have been tried once."""
        settled = self._world.agenda.run_all()
        await self._world.pusher.idle()
        return _json({"settled": settled})

    async def _clock(self, request: web.BaseRequest) -> web.Response:
        """`{"advance": seconds}`: what comes due in that time happens now; answers when due pushes have been tried."""
        self._world.clock.advance(float((await _body(request))["advance"]))
        self._world.agenda.catch_up()
        self._world.pusher.catch_up()
        await self._world.pusher.idle()
        return _json({"now": self._world.clock.now()})

    async def _inbound(self, request: web.BaseRequest) -> web.Response:
        """`{"provider": …, …}`: a message from a handset, pushed to the client or kept for its next pull."""
        fields = await _body(request)
        push = self._named(fields.pop("provider")).inbound(fields)
        if push is None:
            return _json({"kept": True})
        return _json({"delivered": await self._world.pusher.deliver(push)})


async def _stream(response: web.StreamResponse, provider: Provider, start: int) -> None:
    # By index, not by iterator: messages may be accepted while the client reads.
    total = len(provider.ledger.entries)
    for low in range(start, total, LINES_PER_WRITE):
        chunk = provider.ledger.entries[low : min(low + LINES_PER_WRITE, total)]
        await response.write(b"".join(orjson.dumps(entry.public()) + b"\n" for entry in chunk))


async def _body(request: web.BaseRequest) -> dict[str, Any]:
    try:
        value = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("expected a JSON object")
    return value


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(
        body=orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS), status=status, content_type="application/json"
    )
