"""What providers push: proved their own way, stored before it is answered, stored together."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import OperationalError

from config import names
from models.database import Database
from models.tables import InboxPage
from producer.api.inbox import Inbox, NotStored
from producer.api.webhooks import _Forgeries
from tests.producer.api.desk import START, Desk

BODY = b'{"results":[{"messageId":"m-1","to":"447700900001"}]}'
JSON = {"Content-Type": "application/json"}


def hmac_of(key: str, data: bytes) -> str:
    return hmac.new(key.encode(), data, hashlib.sha256).hexdigest()


def quicksms(body: bytes = BODY, at: float = START.timestamp(), key: str = "s3cr3t-webhook") -> dict[str, str]:
    """QuickSMS API 2.0, Webhook Signature: HMAC-SHA256 of `timestamp.body`."""
    stamp = str(int(at))
    return {
        "X-QuickSMS-Timestamp": stamp,
        "X-QuickSMS-Signature": "sha256=" + hmac_of(key, stamp.encode() + b"." + body),
        **JSON,
    }


def pages(desk: Desk) -> list[InboxPage]:
    with desk.database.read() as session:
        return list(session.execute(select(InboxPage).order_by(InboxPage.id)).scalars())


GENUINE: list[tuple[str, str, dict[str, str]]] = [
    ("qikli", "/v1/dlr/qikli/s3cr3t-token", JSON),  # an unguessable address is all the manual offers
    ("quicksms", "/v1/dlr/quicksms", quicksms()),
    ("cliqtel", "/v1/dlr/cliqtel", {"X-Cliqtel-Signature": hmac_of("17|s3cr3t-cliqtel", BODY), **JSON}),
    ("qikberry", "/v1/dlr/qikberry", {"Authorization": "Bearer s3cr3t-webhook", **JSON}),
]


@pytest.mark.parametrize(("account", "path", "headers"), GENUINE, ids=[case[0] for case in GENUINE])
async def test_a_genuine_push_is_stored_as_it_came_and_then_answered(
    desk: Desk, account: str, path: str, headers: dict[str, str]
) -> None:
    answer = await desk.nobody.post(path, content=BODY, headers=headers, params={"a": "1"})
    assert 200 <= answer.status_code < 300, answer.text
    (page,) = pages(desk)
    assert (page.account, page.kind, page.body, page.query) == (account, "push", BODY, "a=1")
    assert (page.content_type, page.received_at, page.parsed_at) == ("application/json", START, None)
    desk.app.state.context.bell.close()
    assert desk.rung == [(names.APPLY_REPORTS, names.REPORTS_QUEUE)]


FORGED: list[tuple[str, str, dict[str, str]]] = [
    ("no token", "/v1/dlr/qikli", JSON),
    ("wrong token", "/v1/dlr/qikli/s3cr3t-tokem", JSON),
    ("token in the query", "/v1/dlr/qikli?token=s3cr3t-token", JSON),
    ("no signature", "/v1/dlr/quicksms", JSON),
    ("other body", "/v1/dlr/quicksms", quicksms(b"{}")),
    ("other secret", "/v1/dlr/quicksms", quicksms(key="guess")),
    ("old", "/v1/dlr/quicksms", quicksms(at=START.timestamp() - 301)),
    ("from the future", "/v1/dlr/quicksms", quicksms(at=START.timestamp() + 301)),
    ("signature without sense", "/v1/dlr/quicksms", {**quicksms(), "X-QuickSMS-Signature": "sha256=é"}),
    ("no signature", "/v1/dlr/cliqtel", JSON),
    ("other body", "/v1/dlr/cliqtel", {"X-Cliqtel-Signature": hmac_of("17|s3cr3t-cliqtel", b"{}"), **JSON}),
    ("empty key", "/v1/dlr/cliqtel", {"X-Cliqtel-Signature": hmac_of("", BODY), **JSON}),
    ("no bearer", "/v1/dlr/qikberry", JSON),
    ("wrong bearer", "/v1/dlr/qikberry", {"Authorization": "Bearer s3cr3t-webhooK", **JSON}),
]


@pytest.mark.parametrize(("why", "path", "headers"), FORGED, ids=[f"{c[0]} {c[1]}" for c in FORGED])
async def test_a_forged_push_leaves_no_trace_and_learns_nothing(
    desk: Desk, why: str, path: str, headers: dict[str, str]
) -> None:
    raw = [(name.encode(), value.encode("utf-8")) for name, value in headers.items()]
    answer = await desk.nobody.post(path, content=BODY, headers=raw)
    assert (answer.status_code, answer.json()["detail"]) == (401, "the push is not proved to be the provider's")
    assert pages(desk) == []
    desk.app.state.context.bell.close()
    assert desk.rung == []


async def test_qikberrys_handshake_is_answered_and_not_stored(desk: Desk) -> None:
    body = json.dumps({"challenge": "abc123", "validation_key": "x"})
    path = "/v1/dlr/qikberry?token=s3cr3t-verify"
    answer = await desk.nobody.post(path, content=body, headers=JSON)
    assert (answer.status_code, answer.json(), pages(desk)) == (200, {"challenge": "abc123"}, [])
    other = await desk.nobody.post("/v1/dlr/qikberry?token=guess", content=body, headers=JSON)
    assert other.status_code == 401


async def test_an_unknown_account_is_404_and_put_is_refused(desk: Desk) -> None:
    assert (await desk.nobody.post("/v1/dlr/nobody", content=BODY)).status_code == 404
    assert (await desk.nobody.post("/v1/dlr/nobody/token", content=BODY)).status_code == 404
    assert (await desk.nobody.put("/v1/dlr/quicksms", content=BODY, headers=quicksms())).status_code == 405


async def test_a_get_is_verified_by_the_provider_too(desk: Desk) -> None:
    answer = await desk.nobody.get("/v1/dlr/qikberry?status=x", headers={"Authorization": "Bearer s3cr3t-webhook"})
    assert answer.status_code == 200
    assert [(page.query, page.body) for page in pages(desk)] == [("status=x", b"")]


async def test_a_push_over_the_limit_is_refused_unread(desk: Desk, tmp_path: Path) -> None:
    body = b"x" * (1024 * 1024 + 1)
    answer = await desk.nobody.post("/v1/dlr/quicksms", content=body, headers=quicksms(body))
    assert (answer.status_code, pages(desk)) == (413, [])


async def test_any_bytes_are_kept_byte_by_byte(desk: Desk) -> None:
    body = bytes(range(256)) * 200  # long enough to be verified in a thread
    answer = await desk.nobody.post("/v1/dlr/quicksms", content=body, headers=quicksms(body))
    assert (answer.status_code, [page.body for page in pages(desk)]) == (200, [body])


async def test_a_repeat_is_answered_well_and_stored_again(desk: Desk) -> None:
    for _ in range(3):
        assert (await desk.nobody.post("/v1/dlr/quicksms", content=BODY, headers=quicksms())).status_code == 200
    assert len(pages(desk)) == 3


async def test_redis_being_away_is_not_the_providers_business(desk: Desk) -> None:
    desk.redis_down.append(ConnectionError("gone"))
    assert (await desk.nobody.post("/v1/dlr/quicksms", content=BODY, headers=quicksms())).status_code == 200
    assert len(pages(desk)) == 1


async def test_what_cannot_be_stored_is_503_so_that_it_is_sent_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Inbox, rows: list[dict[str, Any]]) -> None:
        raise OperationalError("insert", {}, Exception("disk full"))

    monkeypatch.setattr(Inbox, "_insert", refuse)
    answer = await desk.nobody.post("/v1/dlr/quicksms", content=BODY, headers=quicksms())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    desk.app.state.context.bell.close()
    assert desk.rung == []


# --- stored together -------------------------------------------------------------------------------------------------


async def test_pushes_that_come_together_share_few_transactions_and_none_is_lost(desk: Desk) -> None:
    bodies = [f"push {n}".encode() for n in range(300)]

    async def push(body: bytes) -> int:
        answer = await desk.nobody.post("/v1/dlr/quicksms", content=body, headers=quicksms(body))
        return answer.status_code

    assert set(await asyncio.gather(*map(push, bodies))) == {200}
    assert sorted(page.body for page in pages(desk)) == sorted(bodies)
    assert desk.app.state.context.inbox.transactions < 100


def row(body: bytes, account: str = "quicksms") -> dict[str, Any]:
    return {
        "account": account, "kind": "push", "received_at": START, "content_type": "", "query": "", "body": body,
    }  # fmt: skip


async def test_one_page_that_cannot_be_stored_does_not_refuse_the_others(database: Database) -> None:
    class Picky(Inbox):
        def _insert(self, rows: list[dict[str, Any]]) -> None:
            with self.database.write() as session:
                session.connection().execute(insert(InboxPage), rows)
                if any(row["body"] == b"bad" for row in rows):
                    raise OperationalError("insert", {}, Exception("no"))

    inbox = Picky(database)
    stored = await asyncio.gather(*(inbox.store(row(body)) for body in (b"a", b"bad", b"c")), return_exceptions=True)
    assert [type(one) for one in stored] == [type(None), NotStored, type(None)]
    with database.read() as session:
        assert session.execute(select(InboxPage.body).order_by(InboxPage.id)).scalars().all() == [b"a", b"c"]
    await inbox.close()


async def test_a_push_whose_sender_hung_up_is_stored_all_the_same(database: Database) -> None:
    inbox = Inbox(database)
    gone = asyncio.create_task(inbox.store(row(b"gone")))
    stays = asyncio.create_task(inbox.store(row(b"stays")))
    await asyncio.sleep(0)
    gone.cancel()
    await stays
    with database.read() as session:
        assert set(session.execute(select(InboxPage.body)).scalars()) == {b"gone", b"stays"}
    await inbox.close()


async def test_when_too_many_wait_the_next_is_told_to_come_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.api.inbox.MOST_WAITING", 2)
    inbox = Inbox(database)
    waiting = [asyncio.create_task(inbox.store(row(b"x"))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(NotStored):
        await inbox.store(row(b"y"))
    await asyncio.gather(*waiting)
    await inbox.close()


def test_a_flood_of_forgeries_is_told_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    told = _Forgeries()
    for _ in range(1000):
        told.tell("qikli", "wrong token")
    assert told._untold == {"qikli": 999}


async def test_every_account_keeps_to_itself(desk: Desk, tmp_path: Path) -> None:
    """A push proved for one account does not enter at another."""
    answer = await desk.nobody.post("/v1/dlr/cliqtel", content=BODY, headers=quicksms())
    assert (answer.status_code, pages(desk)) == (401, [])
