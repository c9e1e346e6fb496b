"""Which providers there are: every module of this package that holds an adapter class.

Found, not listed, so that a new provider is one file. A module is an adapter's when it defines a class with the
`name` and `credential_names` of `Provider`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Protocol, cast

import providers
from providers.base import AccountSettings, Provider

_NOT_ADAPTERS = frozenset({"accounts", "base", "http", "registry", "shared", "transport", "wire"})
"""Not even imported: the registry shall not pull an HTTP client into processes that never send."""


class Adapter(Provider, Protocol):
    """A provider as it is built: from its account's settings. Raises ValueError naming what is wrong in them."""

    def __init__(self, settings: AccountSettings) -> None: ...


def _adapters_of(module_name: str) -> Iterator[type[Adapter]]:
    module = importlib.import_module(f"providers.{module_name}")
    for value in vars(module).values():
        if (
            isinstance(value, type)
            and value.__module__ == module.__name__
            and {"name", "credential_names"} <= set(vars(value))
        ):
            yield cast("type[Adapter]", value)


def _discover() -> dict[str, type[Adapter]]:
    names = [m.name for m in pkgutil.iter_modules(providers.__path__) if m.name not in _NOT_ADAPTERS]
    return {adapter.name: adapter for module_name in sorted(names) for adapter in _adapters_of(module_name)}


PROVIDERS: dict[str, type[Adapter]] = _discover()


def build(provider: str, settings: AccountSettings) -> Adapter:
    """The adapter of one account. Raises ValueError for an unknown provider or wrong settings."""
    adapter = PROVIDERS.get(provider)
    if adapter is None:
        raise ValueError(f"provider: found {provider!r}, expected one of {', '.join(sorted(PROVIDERS))}")
    return adapter(settings)
