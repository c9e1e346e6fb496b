"""Addresses that failed to log in too often have to wait. In memory, per process, bounded.

Guessing a 256-bit key is hopeless; this keeps the guessing from costing us a database query each. A key that has just
worked from an address goes on working there, so that a broken client cannot lock out its neighbours behind one address.
"""

from __future__ import annotations

import hashlib
import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

WINDOW = 60.0  # seconds
KNOWN_FOR = 3600.0  # seconds
MOST = 10_000  # addresses, and keys, remembered: the oldest are forgotten first


@dataclass
class LoginThrottle:
    """`clock` in seconds, monotonic."""

    allowed: int
    clock: Callable[[], float]
    _failures: OrderedDict[str, list[float]] = field(default_factory=OrderedDict)
    _known: OrderedDict[tuple[str, bytes], float] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, address: str, key: str) -> float:
        """Seconds until this address may try this key; 0: now."""
        place, now = network(address), self.clock()
        with self._lock:
            if self._known.get((place, _digest(key)), -KNOWN_FOR) > now - KNOWN_FOR:
                return 0.0
            recent = [at for at in self._failures.get(place, []) if at > now - WINDOW]
            return recent[0] + WINDOW - now if len(recent) >= self.allowed else 0.0

    def failed(self, address: str, key: str) -> None:
        place, now = network(address), self.clock()
        with self._lock:
            self._known.pop((place, _digest(key)), None)
            recent = [at for at in self._failures.pop(place, []) if at > now - WINDOW]
            self._failures[place] = [*recent, now][-self.allowed :]
            _bound(self._failures)

    def succeeded(self, address: str, key: str) -> None:
        entry = (network(address), _digest(key))
        with self._lock:
            self._known[entry] = self.clock()
            self._known.move_to_end(entry)
            _bound(self._known)


def network(address: str) -> str:
    """The address, or of IPv6 the /64 that one customer has to itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((int(found), 64), strict=False))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _bound(entries: OrderedDict[str, list[float]] | OrderedDict[tuple[str, bytes], float]) -> None:
    while len(entries) > MOST:
        entries.popitem(last=False)
