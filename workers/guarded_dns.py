"""Name look-ups for connections to addresses that others chose: only allowed addresses come out.

The connection is made to the very addresses that were checked, so a name that answers differently the second time
gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

from models.web_address import Network, may_connect


class AddressRefused(Exception):
    """The name leads to an address where events may not go."""


class GuardedResolver(AbstractResolver):
    """Raises AddressRefused if any address of the name is not allowed: a name with both kinds is no mistake."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        return [self._checked(host, port, entry) for entry in found]

    def _checked(self, host: str, port: int, entry: tuple[int, int, int, str, tuple[object, ...]]) -> ResolveResult:
        family, _, proto, _, where = entry
        address = str(where[0])
        if not may_connect(ip_address(address.partition("%")[0]), self._allowed):
            raise AddressRefused("the address is private")
        return ResolveResult(
            hostname=host, host=address, port=port, family=family, proto=proto, flags=socket.AI_NUMERICHOST
        )

    async def close(self) -> None:
        """Nothing is open."""
