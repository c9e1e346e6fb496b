"""An app with its accounts, a clock that stands still, and clients of every scope."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from config.accounts import Account, Limit, Webhook
from config.settings import Settings
from models.database import Database
from producer.api.app import create_app
from producer.api.options import ApiOptions
from producer.keys import create_key
from providers.accounts import open_provider

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

ACCOUNTS = {
    account.name: account
    for account in (
        Account(
            "qikli", "qikli", "http://127.0.0.1:1", {"username": "s3cr3t-user", "password": "s3cr3t-pass"},
            (Limit(60, 60.0),), webhook=Webhook(token="s3cr3t-token"),
        ),
        Account(
            "quicksms", "quicksms", "http://127.0.0.1:1", {"api_key": "sk_live_s3cr3t"},
            (Limit(1000, 60.0),), webhook=Webhook(secret="s3cr3t-webhook"),
        ),
        Account("cliqtel", "cliqtel", "http://127.0.0.1:1", {"api_key": "17|s3cr3t-cliqtel"}, (Limit(60, 60.0),)),
        Account(
            "qikberry", "qikberry", "http://127.0.0.1:1", {"access_token": "s3cr3t-token"}, (Limit(2000, 60.0),),
            webhook=Webhook(secret="s3cr3t-webhook"), options={"service": "T", "verification_token": "s3cr3t-verify"},
        ),
    )
}  # fmt: skip


@dataclass
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class Desk:
    """`submit`, `read`, `admin` are clients with a key of that scope, `nobody` has none."""

    app: FastAPI
    database: Database
    clock: Clock
    _rung: list[tuple[str, str]]
    folder: Path
    keys: dict[str, str] = field(default_factory=dict)
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)
    redis_down: list[Exception] = field(default_factory=list)

    @property
    def rung(self) -> list[tuple[str, str]]:
        """Tasks and queues of the jobs sent so far. They are sent by threads, which may still be at it."""
        self.app.state.context.bell.close()
        return self._rung

    @property
    def submit(self) -> httpx.AsyncClient:
        return self.clients["submit"]

    @property
    def read(self) -> httpx.AsyncClient:
        return self.clients["read"]

    @property
    def admin(self) -> httpx.AsyncClient:
        return self.clients["admin"]

    @property
    def nobody(self) -> httpx.AsyncClient:
        return self.clients["nobody"]

    async def draft(self, **changes: Any) -> str:
        answer = await self.submit.post("/v1/campaigns", json=campaign(**changes))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def left_over(self) -> list[Path]:
        """Files of uploads that stayed behind."""
        return [path for path in (self.folder / "uploads").glob("**/*") if path.is_file()]


def campaign(**changes: Any) -> dict[str, Any]:
    """A campaign that is right, with changes; None drops a field."""
    whole = {
        "name": "Spring", "sender": "MyStore", "template": "Hi {{ name }}", "route": {"qikli": 1}, **changes,
    }  # fmt: skip
    return {name: value for name, value in whole.items() if value is not None}


def people(count: int) -> list[dict[str, str]]:
    return [{"phone": f"+44770090{n:04}", "name": f"P{n}", "reference": f"r{n}"} for n in range(count)]


def csv_file(count: int, header: str = "phone,name") -> bytes:
    return "\n".join([header, *(f"+44770090{n:04},P{n}" for n in range(count)), ""]).encode()


def client(app: FastAPI, key: str | None, headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
    given = {} if key is None else {"Authorization": f"Bearer {key}"}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://drumline.test", headers={**given, **(headers or {})})


@asynccontextmanager
async def open_desk(database: Database, folder: Path, **options: Any) -> AsyncIterator[Desk]:
    clock = Clock()
    rung: list[tuple[str, str]] = []
    redis_down: list[Exception] = []

    def ping() -> None:
        if redis_down:
            raise redis_down[0]

    def nudge(name: str, *, queue: str, **_: object) -> None:
        if redis_down:
            raise redis_down[0]
        rung.append((name, queue))

    providers = {name: open_provider(account) for name, account in ACCOUNTS.items()}
    settings = Settings(_env_file=None, database_url=database.url, state_dir=folder, redis_url="redis://127.0.0.1:1/0")
    app = create_app(
        settings, database, ACCOUNTS, providers,
        nudge=nudge, options=ApiOptions(_env_file=None, **options), now=clock, clock=clock.seconds,
        ping_redis=ping,
    )  # fmt: skip
    app.state.context.bell.spacing = 0.0
    desk = Desk(app, database, clock, rung, folder, redis_down=redis_down)
    desk.clients["nobody"] = client(app, None)
    with database.write() as session:
        for scope in ("read", "submit", "admin"):
            desk.keys[scope], _ = create_key(session, f"the {scope} key", scope, clock())
    for scope, key in desk.keys.items():
        desk.clients[scope] = client(app, key)
    try:
        yield desk
    finally:
        for one in desk.clients.values():
            await one.aclose()
        await app.state.context.inbox.close()
        app.state.context.bell.close()
