"""Probes: what they find, that they send nothing, and that a wrong login is tried once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from config.accounts import Account, AccountsError, Counts, Limit
from config.settings import Settings
from models.database import Database
from models.tables import Attempt, Suppression
from providers.shared import basic_auth
from providers.wire import Reply
from tests.sandbox.qik import Live, live
from tests.support.redis_server import EmbeddedRedis
from tests.support.simulated import LOGINS, OPTIONS
from workers.breaker import BreakerState, OpenKind
from workers.opt_outs import Imported, OptOutsError, import_opt_outs
from workers.probe import Probed, Verdict, clock_ahead, probe_all, unusable
from workers.runtime import Runtime

PROVIDERS = ("qikli", "quicksms", "cliqtel", "qikberry")


@pytest.fixture
def store() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as server:
        yield server


def account(sandbox: Live, provider: str, **changes: Any) -> Account:
    bases: Any = sandbox.running.announcement()["base_urls"]
    values = {
        "name": provider,
        "provider": provider,
        "base_url": bases[provider],
        "credentials": LOGINS[provider],
        "options": OPTIONS.get(provider, {}),
        "limits": (Limit(60, 60.0, Counts.REQUESTS),),
    }
    return Account(**{**values, **changes})


@dataclass
class Room:
    settings: Settings
    sandbox: Live

    async def probe(self, *accounts: Account) -> list[Probed]:
        return await asyncio.to_thread(probe_all, self.settings, {one.name: one for one in accounts})

    def attempts(self) -> list[tuple[str, str | None]]:
        database = Database(self.settings.database_url)
        with database.read() as session:
            found = [(one.kind, one.outcome) for one in session.execute(select(Attempt)).scalars()]
        database.close()
        return found


@asynccontextmanager
async def room(folder: Path, redis_url: str, provider: str = "qikli", **switches: Any) -> AsyncIterator[Room]:
    settings = Settings(
        database_url=f"sqlite:///{folder}/d.db", redis_url=redis_url, state_dir=folder, public_url="http://127.0.0.1:9"
    )
    database = Database(settings.database_url)
    await asyncio.to_thread(database.migrate)
    database.close()
    async with live(provider, **switches) as sandbox:
        yield Room(settings, sandbox)


def verdicts(probed: Probed) -> dict[str, Verdict]:
    return {found.about: found.verdict for found in probed.findings}


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_probe_proves_the_login_sends_nothing_and_is_charged(
    provider: str, tmp_path: Path, store: EmbeddedRedis
) -> None:
    async with room(tmp_path, store.url, provider) as here:
        (probed,) = await here.probe(account(here.sandbox, provider))
        assert probed.charged
        assert set(verdicts(probed).values()) == {Verdict.OK}
        assert probed.clock is not None
        assert abs(probed.clock) < 2
        assert await here.sandbox.ledger(provider) == []
        asked = len(probed.findings)
        assert here.attempts() == [("probe", "answered")] * asked


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_wrong_login_is_tried_once_and_opens_the_breaker(
    provider: str, tmp_path: Path, store: EmbeddedRedis
) -> None:
    async with room(tmp_path, store.url, provider) as here:
        wrong = account(here.sandbox, provider, credentials=dict.fromkeys(LOGINS[provider], "wrong"))
        for _ in range(3):
            (probed,) = await here.probe(wrong)
            assert Verdict.WRONG in verdicts(probed).values()
        assert (await here.sandbox.stats(provider))["unauthorized"] == 1
        assert "breaker" in probed.findings[0].said


async def test_a_probe_consumes_no_report(tmp_path: Path, store: EmbeddedRedis) -> None:
    async with room(tmp_path, store.url) as here:
        login = basic_auth("sandbox", "sandbox")
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Authorization": login}
        send = {"messages": [{"from": "MyStore", "text": "Hi", "destinations": [{"to": "447700900123"}]}]}
        await here.sandbox.ask("POST", "/qikli/sms/2/text/advanced", json=send, headers=headers)
        await here.sandbox.settle()
        await here.probe(account(here.sandbox, "qikli"))
        page = await here.sandbox.ask("GET", "/qikli/sms/1/reports", headers=headers)
        assert len(page.json["results"]) == 1


async def test_without_redis_a_probe_goes_out_uncharged(tmp_path: Path) -> None:
    async with room(tmp_path, "") as here:
        (probed,) = await here.probe(account(here.sandbox, "qikli"))
        assert not probed.charged
        assert set(verdicts(probed).values()) == {Verdict.OK}
        assert here.attempts() == []


async def test_a_redis_that_does_not_answer_is_no_reason_not_to_ask(tmp_path: Path) -> None:
    async with room(tmp_path, f"unix://{tmp_path}/nobody.sock") as here:
        (probed,) = await here.probe(account(here.sandbox, "qikli"))
        assert not probed.charged
        assert set(verdicts(probed).values()) == {Verdict.OK}


async def test_one_bad_account_hides_no_other(tmp_path: Path, store: EmbeddedRedis) -> None:
    async with room(tmp_path, store.url) as here:
        nowhere = account(here.sandbox, "qikli", name="nowhere", base_url="http://127.0.0.1:1")
        good, bad = await here.probe(account(here.sandbox, "qikli"), nowhere)
        assert verdicts(good) == {"probe": Verdict.OK}
        assert verdicts(bad) == {"probe": Verdict.WRONG}
        assert "refused" in bad.findings[0].said


async def test_a_sender_the_provider_does_not_know_is_named(tmp_path: Path) -> None:
    async with room(tmp_path, "", "cliqtel") as here:
        wrong = account(here.sandbox, "cliqtel", sender="+12025550199", senders=("+12025550123",))
        right = account(here.sandbox, "cliqtel", sender="+12025550123")
        assert verdicts((await here.probe(right))[0]) == {"probe": Verdict.OK, "senders": Verdict.OK}
        (probed,) = await here.probe(wrong)
        assert verdicts(probed) == {"probe": Verdict.OK, "senders": Verdict.WRONG}
        assert "+12025550199" in probed.findings[1].said


async def test_a_missing_send_path_is_a_warning_that_stops_nothing(tmp_path: Path, store: EmbeddedRedis) -> None:
    async with room(tmp_path, store.url, "qikberry") as here:
        elsewhere = account(here.sandbox, "qikberry", options={"service": "T", "paths": {"json": "sms/nowhere"}})
        for _ in range(2):
            (probed,) = await here.probe(elsewhere)
            assert list(verdicts(probed).values()) == [Verdict.OK, Verdict.WARNING]
            assert "options.paths.json" in probed.findings[1].said


def test_an_account_that_cannot_be_built_is_told_with_its_reason() -> None:
    bad = Account("x", "qikli", "http://127.0.0.1:1", {"username": "u"})
    for found, said in ((bad, "password"), (AccountsError("no such variable"), "no such variable"), (None, "not in")):
        probed = unusable("x", found, "")
        assert probed is not None
        assert verdicts(probed) == {"account": Verdict.WRONG}
        assert said in probed.findings[0].said
    assert unusable("x", Account("x", "qikli", "http://127.0.0.1:1", dict(LOGINS["qikli"])), "") is None


@pytest.mark.parametrize(("told", "ahead"), [(0, 0.5), (-60, -59.5), (3600, 3600.5)])
def test_a_clock_is_compared_by_the_date_header(told: int, ahead: float) -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    date = format_datetime(datetime.fromtimestamp(now.timestamp() + told, UTC), usegmt=True)
    assert clock_ahead(Reply(200, {"Date": date}, b""), now) == ahead


@pytest.mark.parametrize("headers", [{}, {"date": "yesterday"}])
def test_a_provider_that_tells_no_time_is_not_judged_by_it(headers: dict[str, str]) -> None:
    assert clock_ahead(Reply(200, headers, b""), datetime.now(UTC)) is None


# --- unsubscribers ---------------------------------------------------------------------------------------------------


async def imported(here: Room, one: Account) -> Imported:
    def work() -> Imported:
        runtime = Runtime(here.settings, {one.name: one}, Database(here.settings.database_url), lambda *_, **__: None)
        try:
            return runtime.run(import_opt_outs(runtime, one.name))
        finally:
            runtime.close()

    return await asyncio.to_thread(work)


def suppressed(here: Room) -> set[tuple[str, str]]:
    database = Database(here.settings.database_url)
    with database.read() as session:
        found = {(row.msisdn, row.sender) for row in session.execute(select(Suppression)).scalars()}
    database.close()
    return found


async def unsubscribe(here: Room, number: str, **more: str) -> None:
    headers = {"Authorization": "Bearer qb_sandbox"}
    path = "/qikberry/api/v2/sms/suppressions/unsubscribers"
    answer = await here.sandbox.ask("POST", path, json={"receiver": number, **more}, headers=headers)
    assert answer.status == 200


async def test_unsubscribers_become_suppressions_page_by_page_and_a_second_run_changes_nothing(
    tmp_path: Path, store: EmbeddedRedis
) -> None:
    async with room(tmp_path, store.url, "qikberry") as here:
        for number in range(120):
            await unsubscribe(here, f"447700900{number:03d}", type="all")
        await unsubscribe(here, "447700900500", type="sender", value="MyStore")
        one = account(here.sandbox, "qikberry")
        first = await imported(here, one)
        assert (first.read, first.new, first.bad) == (121, 121, 0)
        assert first.pages > 1
        assert suppressed(here) >= {("+447700900000", ""), ("+447700900119", ""), ("+447700900500", "MyStore")}
        assert (await imported(here, one)).new == 0
        assert {kind for kind, _ in here.attempts()} == {"poll"}


async def test_an_import_that_fails_says_on_which_page_and_keeps_what_it_read(
    tmp_path: Path, store: EmbeddedRedis
) -> None:
    async with room(tmp_path, store.url, "qikberry") as here:
        await unsubscribe(here, "447700900001", type="all")
        elsewhere = {"service": "T", "paths": {"unsubscribers": "sms/nobody"}}
        with pytest.raises(OptOutsError, match=r"page 1: HTTP 404; see paths\.unsubscribers"):
            await imported(here, account(here.sandbox, "qikberry", options=elsewhere))
        assert suppressed(here) == set()


async def test_a_provider_without_such_a_list_says_so(tmp_path: Path, store: EmbeddedRedis) -> None:
    async with room(tmp_path, store.url) as here:
        with pytest.raises(OptOutsError, match="qikli has no list"):
            await imported(here, account(here.sandbox, "qikli"))


async def test_the_breaker_names_the_login_as_its_reason(tmp_path: Path, store: EmbeddedRedis) -> None:
    async with room(tmp_path, store.url) as here:
        wrong = account(here.sandbox, "qikli", credentials={"username": "sandbox", "password": "wrong"})
        await here.probe(wrong)

        def look() -> tuple[BreakerState, OpenKind | None]:
            runtime = Runtime(here.settings, {}, Database(here.settings.database_url), lambda *_, **__: None)
            try:
                snapshot = runtime.run(runtime.breaker.snapshot("qikli"))
            finally:
                runtime.close()
            return snapshot.state, snapshot.kind

        assert await asyncio.to_thread(look) == (BreakerState.OPEN, OpenKind.CREDENTIALS)
