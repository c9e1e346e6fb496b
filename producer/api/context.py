"""What one API process has, and how a handler gets it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from config import names
from config.accounts import Account
from config.prices import Prices
from config.settings import Settings
from models.database import Database
from producer.api.bell import Bell
from producer.api.inbox import Inbox
from producer.api.options import ApiOptions
from producer.api.throttle import LoginThrottle
from producer.importer import Importer
from providers.base import Provider


@dataclass(frozen=True, slots=True)
class Context:
    """Made once per process. `ping_redis` raises RedisError."""

    settings: Settings
    options: ApiOptions
    database: Database
    accounts: Mapping[str, Account]
    providers: Mapping[str, Provider]
    now: Callable[[], datetime]
    ping_redis: Callable[[], None]
    bell: Bell
    inbox: Inbox
    throttle: LoginThrottle
    uploads: asyncio.Semaphore
    prices: Prices

    def importer(self) -> Importer:
        return Importer(
            self.database,
            self.accounts,
            self.providers,
            self.now,
            self.settings.batch_seconds,
            self.settings.default_region or None,
            wake=lambda: self.bell.ring(names.DISPATCH, names.CONTROL_QUEUE),
        )


Part = TypeVar("Part")


def part_of(request: Request, name: str, kind: type[Part]) -> Part:
    """What `create_app` put into the app under this name."""
    found = getattr(request.app.state, name, None)
    if not isinstance(found, kind):
        raise TypeError(f"the app was made without {name}")
    return found


def context_of(request: Request) -> Context:
    """The context of the app that this request came to."""
    return part_of(request, "context", Context)


Here = Annotated[Context, Depends(context_of)]
