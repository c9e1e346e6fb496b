"""Runs the Lua scripts that several workers decide by together. Every failure of Redis is one error: fail closed."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

Edit = Callable[[str], str]


class CoordinationLost(Exception):
    """Redis did not answer, so nobody knows what the other workers do: whatever was asked for is refused."""


def read_source(*names: str) -> str:
    """The named .lua files of this package, one after the other."""
    return "\n".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in names)


class Script:
    """One Lua script, loaded on first use and again after a restart of Redis.

    A trip that takes longer than `timeout` seconds counts as a lost Redis. A repeated trip (redis-py repeats by itself
    after a broken connection) must only ever waste something, never grant it twice: the scripts see to that.
    """

    def __init__(self, redis: Redis, source: str, *, timeout: float, error: type[CoordinationLost]) -> None:
        self._redis, self._source, self._timeout, self._error = redis, source, timeout, error
        # Redis names scripts by SHA-1; nothing is protected by it.
        self._sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    async def run(self, keys: Sequence[str], args: Sequence[str | int | float]) -> list[Any]:
        """The script's answer, bytes decoded. Raises the script's own CoordinationLost."""
        try:
            async with asyncio.timeout(self._timeout):
                answer: list[Any] = _decode(await self._evaluate(keys, args))
        except (RedisError, OSError, TimeoutError) as error:
            raise self._error(f"Redis does not answer: {type(error).__name__}") from error
        return answer

    async def _evaluate(self, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        try:
            return await self._redis.evalsha(self._sha, len(keys), *keys, *args)
        except NoScriptError:
            return await self._redis.eval(self._source, len(keys), *keys, *args)


def _decode(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_decode(item) for item in answer]
    return answer.decode() if isinstance(answer, bytes) else answer
