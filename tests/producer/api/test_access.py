"""Who gets in, with what, and what the others are told."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from models.database import Database
from models.tables import ApiKey
from producer.api.access import GuardedRoute
from producer.api.throttle import MOST, LoginThrottle
from producer.keys import ApiKeyError, Scope, create_key, find_key, list_keys, revoke_key
from tests.producer.api.desk import START, Clock, Desk, client, open_desk, people

NOBODY = "00000000-0000-0000-0000-000000000000"


def routes(desk: Desk) -> list[tuple[str, str]]:
    found = [
        (method.upper(), re.sub(r"\{\w+_id\}", NOBODY, path))
        for path, methods in desk.app.openapi()["paths"].items()
        for method in methods
        if path.startswith("/v1/") and not path.startswith("/v1/dlr/")
    ]
    assert len(found) > 12
    return found


async def test_nobody_enters_any_route_without_a_key_not_even_with_a_broken_body(desk: Desk) -> None:
    object.__setattr__(desk.app.state.context.throttle, "allowed", 1000)
    for method, path in routes(desk):
        answer = await desk.nobody.request(method, path, content=b"{", headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthorized"), (method, path)
        assert answer.headers["www-authenticate"].startswith("Bearer")


ABOVE_READ = [
    ("POST", "/v1/campaigns"),
    ("POST", "/v1/campaigns/preview"),
    ("POST", "/v1/campaigns/{}/start"),
    ("POST", "/v1/campaigns/{}/cancel"),
    ("POST", "/v1/campaigns/{}/recipients"),
    ("POST", "/v1/suppressions"),
    ("GET", "/v1/suppressions"),
    ("GET", "/v1/event-endpoints"),
    ("POST", "/v1/event-endpoints"),
    ("GET", "/v1/keys"),
    ("POST", "/v1/accounts/qikli/orders"),
]


@pytest.mark.parametrize(("method", "path"), ABOVE_READ)
async def test_a_reader_changes_nothing(desk: Desk, method: str, path: str) -> None:
    answer = await desk.read.request(method, path.format(NOBODY), json={})
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")


async def test_only_an_admin_lifts_a_suppression(desk: Desk) -> None:
    await desk.submit.post("/v1/suppressions", json={"phones": ["+447700900001"]})
    assert (await desk.submit.delete("/v1/suppressions/+447700900001")).status_code == 403
    assert (await desk.admin.delete("/v1/suppressions/+447700900001")).status_code == 204


@pytest.mark.parametrize("change", ["", "x", "dk_", "Basic", "wrong secret", "wrong prefix", "cut"])
async def test_a_key_that_is_not_right_is_refused_without_a_hint(desk: Desk, change: str) -> None:
    key = desk.keys["admin"]
    wrong = {
        "wrong secret": key[:-4] + "AAAA",
        "wrong prefix": "dk_0000000000" + key[13:],
        "cut": key[:-1],
        "Basic": "dk_",
    }.get(change, change)
    header = f"{'Basic' if change == 'Basic' else 'Bearer'} {wrong}"
    answer = await desk.nobody.get("/v1/campaigns", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json()["detail"] == "send `Authorization: Bearer dk_…` with a valid key"


async def test_a_revoked_key_is_refused_from_the_next_request_on(desk: Desk) -> None:
    assert (await desk.read.get("/v1/campaigns")).status_code == 200
    with desk.database.write() as session:
        revoke_key(session, desk.keys["read"][3:13], desk.clock())
    assert (await desk.read.get("/v1/campaigns")).status_code == 401


async def test_last_use_is_written_at_most_once_a_minute(desk: Desk) -> None:
    def last_used() -> object:
        with desk.database.read() as session:
            return next(row.last_used_at for row in list_keys(session) if row.scope == "read")

    await desk.read.get("/v1/campaigns")
    assert last_used() == START
    desk.clock.pass_(seconds=59)
    await desk.read.get("/v1/campaigns")
    assert last_used() == START
    desk.clock.pass_(seconds=1)
    await desk.read.get("/v1/campaigns")
    assert last_used() == START + timedelta(seconds=60)


async def test_after_ten_failures_an_address_waits_but_a_key_that_works_there_goes_on(desk: Desk) -> None:
    await desk.read.get("/v1/campaigns")
    answers = [(await desk.nobody.get("/v1/campaigns")).status_code for _ in range(11)]
    assert answers == [401] * 10 + [429]
    blocked = await desk.submit.get("/v1/campaigns")  # a right key, never seen from here
    assert (blocked.status_code, blocked.headers["retry-after"]) == (429, "60")
    assert (await desk.read.get("/v1/campaigns")).status_code == 200
    desk.clock.pass_(seconds=61)
    assert (await desk.submit.get("/v1/campaigns")).status_code == 200


def test_the_throttle_forgets_the_oldest_and_counts_an_ipv6_network_as_one() -> None:
    throttle = LoginThrottle(1, Clock().seconds)
    throttle.failed("2001:db8::1", "k")
    assert throttle.wait("2001:db8::ffff", "k") > 0
    for number in range(MOST):
        throttle.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", "k")
    assert throttle.wait("2001:db8::1", "k") == 0.0
    assert len(throttle._failures) == MOST


def test_only_a_digest_of_a_key_is_kept(desk: Desk) -> None:
    with desk.database.write() as session:
        text, row = create_key(session, "shop", "submit", START)
    secret = text.split("_", 2)[2]
    assert len(secret) == 43
    assert secret not in str([getattr(row, column.key) for column in ApiKey.__table__.columns])
    with desk.database.read() as session:
        found = find_key(session, text)
        assert found is not None
        assert found.id == row.id


@pytest.mark.parametrize(("name", "scope"), [("", "read"), ("  ", "read"), ("x", "root")])
def test_a_key_without_name_or_with_an_unknown_scope_is_not_made(desk: Desk, name: str, scope: str) -> None:
    with pytest.raises(ApiKeyError), desk.database.write() as session:
        create_key(session, name, scope, START)


def test_scopes_include_those_below() -> None:
    assert [[a.covers(b) for b in Scope] for a in Scope] == [[True, False, False], [True, True, False], [True] * 3]


async def test_every_v1_route_but_the_webhooks_is_guarded(desk: Desk) -> None:
    def flat(found: object) -> list[APIRoute]:
        inner = getattr(getattr(found, "original_router", None), "routes", None) or getattr(found, "routes", None)
        return [found] if isinstance(found, APIRoute) else [leaf for item in inner or [] for leaf in flat(item)]

    leaves = [route for item in desk.app.router.routes for route in flat(item)]
    open_ones = {route.path for route in leaves if not isinstance(route, GuardedRoute)}
    assert {path for path in open_ones if path.startswith("/v1/")} <= {
        "/v1/dlr/{account}", "/v1/dlr/{account}/{token}"
    }  # fmt: skip
    assert any(isinstance(route, GuardedRoute) for route in leaves)


async def test_a_reader_sees_masked_numbers_and_no_text(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(1))
    for one, phone, text in ((desk.read, "+44…00", None), (desk.submit, "+447700900000", "Hi P0")):
        listed = (await one.get(f"/v1/campaigns/{campaign_id}/messages")).json()["items"][0]
        assert listed["phone"] == phone
        history = (await one.get(f"/v1/messages/{listed['id']}")).json()
        assert (history["phone"], history["text"]) == (phone, text)


async def test_no_answer_may_be_read_by_another_page(desk: Desk) -> None:
    asking = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "GET"}
    for answer in (
        await desk.read.get("/v1/campaigns", headers=asking),
        await desk.nobody.options("/v1/campaigns", headers=asking),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_only_pages_of_named_origins_may_read_answers(database: Database, tmp_path: Path) -> None:
    async with open_desk(database, tmp_path, cors_origins="https://shop.example.com, https://b.example") as desk:
        for origin, allowed in (("https://shop.example.com", True), ("https://elsewhere.example", False)):
            asking = {"Origin": origin, "Access-Control-Request-Method": "POST",
                      "Access-Control-Request-Headers": "authorization,idempotency-key"}  # fmt: skip
            answer = await desk.nobody.options("/v1/campaigns", headers=asking)
            assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)
            got = await desk.read.get("/v1/campaigns", headers={"Origin": origin})
            assert got.headers.get("access-control-allow-origin") == (origin if allowed else None)
            assert "access-control-allow-credentials" not in got.headers


async def test_an_address_is_not_taken_from_what_the_client_says(desk: Desk) -> None:
    spoofed = client(desk.app, None)
    answers = [
        (await spoofed.get("/v1/campaigns", headers={"X-Forwarded-For": f"192.0.2.{n}"})).status_code for n in range(11)
    ]
    await spoofed.aclose()
    assert answers[-1] == 429
