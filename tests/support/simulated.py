"""An adapter, the real HTTP client and one simulated provider over loopback: for tests of the three together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from providers.base import OpenWork, Outcome, Outgoing, Parsed, Push, Raw, Report, Sighting, Sought, Submission, Verdict
from providers.http import HttpClient
from providers.registry import Adapter, build
from providers.wire import Reply, Request
from tests.sandbox.qik import Hit, Live, Receiver, live, receiver
from tests.support.cases import message, settings

TOKEN = "s3cr3t-path-token"
TIMEOUT = 10.0  # seconds: enough on a busy machine
PATIENCE = 0.6  # seconds that an adapter waits for an answer that is not to come in time

LOGINS: Mapping[str, Mapping[str, str]] = {
    "qikli": {"username": "sandbox", "password": "sandbox"},
    "quicksms": {"api_key": "sk_live_sandbox"},
    "cliqtel": {"api_key": "17|sandbox"},
    "qikberry": {"access_token": "qb_sandbox"},
}
SECRETS: Mapping[str, str] = {
    "quicksms": "quicksms-webhook-secret",
    "cliqtel": "cliqtel-application-key",
    "qikberry": "qikberry-webhook-secret",
}
OPTIONS: Mapping[str, Mapping[str, object]] = {"qikberry": {"service": "T"}}
SENDERS: Mapping[str, str] = {"cliqtel": "+12025550123"}


def reference(number: int) -> str:
    return f"0198c0de-0000-7000-8000-{number:012d}"


@dataclass
class Bench:
    """`pushed` counts the hits of the webhook that were read so far."""

    name: str
    live: Live
    client: HttpClient
    hook: Receiver
    adapter: Adapter
    pushed: int = 0
    _made: int = field(default=0)

    def message(self, number: str | None = None, **changes: Any) -> Outgoing:
        """A new message; its number ends in its place unless it is given."""
        self._made += 1
        values = {
            "id": reference(self._made),
            "ref": reference(self._made),
            "sender": SENDERS.get(self.name, "MyStore"),
        }
        return message(number or f"+447700900{100 + self._made:03d}", **{**values, **changes})

    def messages(self, count: int, text: str = "Hello") -> list[Outgoing]:
        return [self.message(text=text) for _ in range(count)]

    def rebuild(self, **changes: Any) -> Adapter:
        """Another account at the same simulator."""
        return build(self.name, _settings(self.name, self.live, self.hook, **changes))

    async def send(self, request: Request) -> Reply:
        return await self.client.send(request)

    async def submit(self, *chunk: Outgoing, adapter: Adapter | None = None, bulk: str = "BULK-1") -> Submission:
        used = adapter or self.adapter
        return used.read_submit(chunk, await self.send(used.submit_request(chunk, bulk)))

    async def outcome(self, one: Outgoing, adapter: Adapter | None = None) -> Outcome:
        return (await self.submit(one, adapter=adapter)).outcomes[one.id]

    async def pull(self, *groups: str, since: datetime | None = None) -> list[Report]:
        """Every report of every page, in the order they came. Nothing bad may be among them."""
        now = datetime.now(UTC)
        found: list[Report] = []
        self.pages = 0
        for first in self.adapter.first_pages(OpenWork(since or now - timedelta(minutes=5), groups, now)):
            page = first
            while page is not None:
                reply = await self.send(self.adapter.page_request(page))
                assert reply.status == 200, reply
                parsed = self.adapter.parse_reports(Raw(reply.body, reply.header("content-type") or ""))
                assert not parsed.bad
                found += parsed.reports
                self.pages += 1
                following = self.adapter.following(page, reply)
                if following is None:
                    break
                page = following
        return found

    async def look_up(self, *sought: Outgoing, before: float = 2.0) -> Mapping[str, Sighting]:
        attempted = datetime.now(UTC) - timedelta(seconds=before)
        return await self.adapter.look_up([Sought(one, attempted, 0, "BULK-1") for one in sought], self.send)

    def arrived(self) -> list[Hit]:
        """What the webhook got since the last call."""
        fresh, self.pushed = self.hook.hits[self.pushed :], len(self.hook.hits)
        return fresh

    def verdict(self, hit: Hit, token: str | None = TOKEN, adapter: Adapter | None = None, **late: float) -> Verdict:
        """What the adapter says of a push; `seconds` later, where given."""
        now = datetime.now(UTC) + timedelta(**late)
        return (adapter or self.adapter).verify(Push(hit.method, hit.headers, hit.query, hit.body, token), now)

    def read(self, hit: Hit) -> Parsed:
        kind = hit.headers.get("content-type", "")
        return self.adapter.parse_reports(Raw(hit.body, kind, urlencode(hit.query), "push", datetime.now(UTC)))


def _settings(name: str, sandbox: Live, hook: Receiver, **changes: Any) -> Any:
    bases: Any = sandbox.running.announcement()["base_urls"]
    options = {**OPTIONS.get(name, {}), **changes.pop("options", {})}
    base_url = changes.pop("base_url", bases[name])
    values = {
        "credentials": LOGINS[name],
        "timeout": TIMEOUT,
        "webhook_url": hook.url,
        "webhook_secret": SECRETS.get(name),
        "webhook_token": TOKEN,
    }
    return settings(base_url, options=options, **{**values, **changes})


@asynccontextmanager
async def bench(name: str, account: Mapping[str, Any] | None = None, **switches: Any) -> AsyncIterator[Bench]:
    """`account`: settings of the adapter; `switches`: of the simulator. Reports wait for `live.settle()`."""
    async with live(name, **switches) as sandbox, receiver() as hook, HttpClient() as client:
        adapter = build(name, _settings(name, sandbox, hook, **(account or {})))
        yield Bench(name, sandbox, client, hook, adapter)


def twin(one: Outgoing, **changes: Any) -> Outgoing:
    return one._replace(**changes)


def states(reports: Sequence[Report]) -> list[str]:
    return [str(report.state) for report in reports]
