"""The real Redis server, empty at the start of each test."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.support.redis_server import EmbeddedRedis


@pytest.fixture
async def redis_client(redis_server: EmbeddedRedis) -> AsyncIterator[Redis]:
    redis_server.wipe()
    client = Redis.from_url(redis_server.url)
    yield client
    await client.aclose()
