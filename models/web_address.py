"""Where events may be sent: what a URL must look like, and which addresses are nobody's business but our own. Pure.

A customer names the URL, our worker fetches it: without these rules that would be a way into our own network, or to
the credentials that clouds hand out at 169.254.169.254.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST = 2000
# Public by their number, private by their use: a cloud's own services, and the prefixes that wrap an IPv4 address.
_RESERVED: tuple[Network, ...] = (ip_network("168.63.129.16/32"), ip_network("192.88.99.0/24"))
_NAT64 = ip_network("64:ff9b::/96")


def networks(text: str) -> tuple[Network, ...]:
    """Networks from a comma-separated list. Raises ValueError naming the one that is none."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def may_connect(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether events may go there: to the public internet, or where the operator said so."""
    inner = _inner(address)
    if any(inner in network for network in allowed if network.version == inner.version):
        return True
    return (
        inner.is_global
        and not inner.is_multicast
        and not any(inner in n for n in _RESERVED if n.version == inner.version)
    )


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, Teredo, NAT64): that is where it leads."""
    if isinstance(address, IPv4Address):
        return address
    wrapped = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
    if wrapped is not None:
        return wrapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def url_fault(url: str, allowed: Sequence[Network]) -> str | None:
    """Why a URL cannot be an endpoint, as far as it shows without asking DNS; None: nothing to object."""
    if len(url) > LONGEST or not url.isascii() or any(c.isspace() or not c.isprintable() for c in url):
        return "expected a plain URL of at most 2000 characters"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "expected a URL like https://example.com/events"
    if parts.scheme not in ("https", "http") or not host:
        return "expected a URL like https://example.com/events"
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "expected a URL without user name, password and fragment"
    if parts.scheme == "http" and not allowed:
        return "expected https"
    literal = literal_address(host)
    if literal is not None and not may_connect(literal, allowed):
        return "the address is private"
    return None


def literal_address(host: str) -> Address | None:
    """The address a host is written as, or None for a name."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None
