"""Which providers there are: found, not listed, so that a new one is one file.

An adapter lives in the module of its own name: `providers/acme.py` holds the class whose `name` is "acme". A module is
imported when it is first asked for, so a process that never sends pulls in no HTTP client, and this module can be
imported by any other of the package.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Protocol, cast

import providers
from providers.base import AccountSettings, Provider


class Adapter(Provider, Protocol):
    """A provider as it is built: from its account's settings. Raises ValueError naming what is wrong in them."""

    def __init__(self, settings: AccountSettings) -> None: ...


@cache
def _adapter_in(module_name: str) -> type[Adapter] | None:
    module = importlib.import_module(f"providers.{module_name}")
    for value in vars(module).values():
        if isinstance(value, type) and value.__module__ == module.__name__ and _is_adapter(value, module_name):
            return cast("type[Adapter]", value)
    return None


def _is_adapter(value: type, module_name: str) -> bool:
    return vars(value).get("name") == module_name and "credential_names" in vars(value)


@cache
def _module_names() -> tuple[str, ...]:
    return tuple(sorted(module.name for module in pkgutil.iter_modules(providers.__path__)))


class _Providers(Mapping[str, "type[Adapter]"]):
    """Every adapter class by its name. Asking for one imports one module; listing them imports all."""

    def __getitem__(self, name: str) -> type[Adapter]:
        adapter = _adapter_in(name) if name in _module_names() else None
        if adapter is None:
            raise KeyError(name)
        return adapter

    def __iter__(self) -> Iterator[str]:
        return (name for name in _module_names() if _adapter_in(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


PROVIDERS: Mapping[str, type[Adapter]] = _Providers()


def build(provider: str, settings: AccountSettings) -> Adapter:
    """The adapter of one account. Raises ValueError for an unknown provider or wrong settings."""
    adapter = PROVIDERS.get(provider)
    if adapter is None:
        raise ValueError(f"provider: found {provider!r}, expected one of {', '.join(PROVIDERS)}")
    return adapter(settings)
