"""Which account carries a message, and how messages become batches. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MOST_WEIGHT = 1_000_000
_EXPECTED = f"a whole number of at least 1 and at most {MOST_WEIGHT:,}"


class RouteError(ValueError):
    """A route that cannot be. The text names the part and what is possible."""


def parse_route(text: str, known: Iterable[str]) -> dict[str, int]:
    """'qikli=70,quicksms=30' (or 'qikli') to weights. Raises RouteError."""
    names = sorted(known)
    route: dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, weight = part.partition("=")
        name = name.strip()
        if name in route:
            raise RouteError(f"route: {name!r} is named twice")
        route[name] = _weight(name, weight.strip() or "1")
    return check_route(route, names)


def check_route(route: Mapping[str, int], known: Iterable[str]) -> dict[str, int]:
    """Raises RouteError for an unknown account, a weight below 1 or above a million, or an empty route."""
    names = sorted(known)
    if not route:
        raise RouteError(f"route: no account named, expected one or more of {', '.join(names)}")
    for name, weight in route.items():
        if name not in names:
            raise RouteError(f"route: unknown account {name!r}, expected one of {', '.join(names)}")
        if not 1 <= weight <= MOST_WEIGHT:
            raise RouteError(f"route: {name} has weight {weight}, expected {_EXPECTED}")
    return dict(route)


def _weight(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 20:  # Python itself refuses thousands of digits
        raise RouteError(f"route: {name} has weight {text[:20]!r}, expected {_EXPECTED}")
    return int(text)


class Rota:
    """Smooth weighted round-robin: after every cycle each account has had exactly its share, evenly interleaved."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        self.weights = weights
        self._credit = dict.fromkeys(weights, 0)
        self._total = sum(weights.values())
        self._only = next(iter(weights)) if len(weights) == 1 else None

    def next(self, allowed: frozenset[str] | None = None) -> str:
        """The account of the next message; `allowed` narrows the choice for this one."""
        if self._only is not None:
            return self._only
        credit, weights = self._credit, self.weights
        names = weights if allowed is None else [name for name in weights if name in allowed]
        for name in names:
            credit[name] += weights[name]
        chosen = max(names, key=credit.__getitem__)
        credit[chosen] -= self._total if allowed is None else sum(weights[name] for name in names)
        return chosen

    def give_back(self, chosen: str, allowed: frozenset[str] | None = None) -> None:
        """Take back the last `next(allowed)`, which gave `chosen`: the message went elsewhere."""
        if self._only is not None:
            return
        names = [name for name in self.weights if allowed is None or name in allowed]
        for name in names:
            self._credit[name] -= self.weights[name]
        self._credit[chosen] += sum(self.weights[name] for name in names)
