"""The real Redis server, empty at the start of each test; worlds to try the workers in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

import pytest
from redis.asyncio import Redis

from models.database import Database
from tests.support.redis_server import EmbeddedRedis
from tests.support.scripted import Scripted
from tests.support.world import World


@pytest.fixture
async def redis_client(redis_server: EmbeddedRedis) -> AsyncIterator[Redis]:
    redis_server.wipe()
    client = Redis.from_url(redis_server.url)
    yield client
    await client.aclose()


def _forget(server: EmbeddedRedis) -> None:
    """All but the log of the account that has no limits: rebuilding it takes half a second, in each test for nothing.
    So a test that limits or blocks an account gives it another name."""
    with server.client() as client:
        for key in client.scan_iter("*"):
            if "limit:{acme}" not in str(key):
                client.delete(key)


class MakeWorld(Protocol):
    def __call__(self, accounts: dict[str, Scripted] | None = None, **more: Any) -> World: ...


@pytest.fixture
def make_world(database: Database, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeWorld]:
    _forget(redis_server)
    made: list[World] = []
    providers: dict[str, Scripted] = {}
    monkeypatch.setattr("workers.runtime.open_provider", lambda account, public_url="": providers[account.name])

    def make(accounts: dict[str, Scripted] | None = None, **more: Any) -> World:
        given = accounts or {"acme": Scripted()}
        providers.update(given)
        made.append(World(database, redis_server.url, given, **more))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()
