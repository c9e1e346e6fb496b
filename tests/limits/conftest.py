"""A cluster of workers over a strict sandbox, made by one call and ended after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from config.accounts import Account, Limit, Webhook
from tests.support.cluster import Cluster, SandboxProcess
from tests.support.redis_server import EmbeddedRedis

CREDENTIALS = {
    "quicksms": {"api_key": "sk_live_sandbox"},
    "cliqtel": {"api_key": "17|sandbox"},
    "qikli": {"username": "sandbox", "password": "sandbox"},
    "qikberry": {"access_token": "qb_sandbox"},
}
OPTIONS: Mapping[str, Mapping[str, object]] = {"qikberry": {"service": "T"}}
Sandbox = Callable[..., SandboxProcess]
MakeCluster = Callable[..., Cluster]


def account(sandbox: SandboxProcess, provider: str, *limits: Limit, name: str = "", **more: Any) -> Account:
    """An account of the sandbox's provider, with the limits that we keep."""
    return Account(
        name=name or provider,
        provider=provider,
        base_url=sandbox.base_urls[provider],
        credentials=CREDENTIALS[provider],
        limits=tuple(limits),
        webhook=Webhook(push=True, secret="x" * 16, token="t" * 16),
        options=OPTIONS.get(provider, {}),
        sender="+12025550123" if provider == "cliqtel" else None,
        **more,
    )


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(appendonly=True) as server:
        yield server


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    started: list[SandboxProcess] = []

    def start(**config: Mapping[str, Any]) -> SandboxProcess:
        quiet = {name: {"push": False, **config.get(name, {})} for name in CREDENTIALS}
        started.append(SandboxProcess(quiet))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def cluster(tmp_path: Path, redis_server: EmbeddedRedis) -> Iterator[MakeCluster]:
    made: list[Cluster] = []
    redis_server.wipe()

    def make(accounts: Sequence[Account], workers: int = 3) -> Cluster:
        made.append(Cluster(tmp_path, redis_server.url, accounts, workers))
        return made[-1]

    yield make
    for one in made:
        one.close()
