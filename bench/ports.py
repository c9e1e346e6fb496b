"""Ports for services that are started later than their port is chosen, or more than once."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

# Below what the kernel gives away by itself (Linux: from 32768 on): nobody comes across one while its service is down.
_RANGE = range(12_000, 32_000)


def free_ports(many: int) -> list[int]:
    """On loopback. All held until all are known, so that no two are the same."""
    with ExitStack() as held:
        found: list[int] = []
        for port in random.SystemRandom().sample(_RANGE, len(_RANGE)):
            if len(found) == many:
                break
            probe = held.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
        return found


def free_port() -> int:
    return free_ports(1)[0]
