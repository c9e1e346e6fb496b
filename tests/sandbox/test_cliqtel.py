"""Cliqtel simulator against the Cliqtel SMS API Reference, over real HTTP."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from tests.sandbox.lab import Answer, Lab, Receiver

BASE = "/cliqtel/api/v1/sms"
AUTH = {"Authorization": "Bearer 17|sandbox"}
GOOD = {"from": "+12025550123", "to": "+447700900001", "body": "Your order has shipped!"}
SECRET = b"cliqtel-application-key"
UNLIMITED: dict[str, Any] = {"limits": []}


async def send(lab: Lab, **changes: Any) -> Answer:
    body = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    return await lab.ask("POST", f"{BASE}/messages", json=body, headers=AUTH)


async def fetch(lab: Lab, path: str, **params: Any) -> Answer:
    return await lab.ask("GET", BASE + path, headers=AUTH, params=params)


def error(answer: Answer) -> tuple[int, str]:
    assert answer.json()["error"]["message"]
    return answer.status, answer.json()["error"]["code"]


def signature(payload: bytes) -> str:
    return hmac.new(SECRET, payload, hashlib.sha256).hexdigest()


async def test_a_message_is_created_as_the_document_shows(lab: Lab) -> None:
    answer = await send(lab)
    data = answer.json()["data"]
    assert answer.status == 201
    assert data.pop("created_at").endswith("+00:00")
    assert data == {
        "id": 42, "from": "+12025550123", "to": "+447700900001", "body": "Your order has shipped!",
        "direction": "outbound", "status": "queued", "segments": 1, "cost": 0.008, "currency": "EUR",
        "carrier": "didfarm",
    }  # fmt: skip
    assert (answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]) == ("60", "59")
    assert "Retry-After" not in answer.headers


async def test_a_number_id_serves_as_sender_and_segments_are_charged(lab: Lab) -> None:
    data = (await send(lab, **{"from": ..., "from_number_id": 6, "body": "a" * 161})).json()["data"]
    assert (data["from"], data["segments"], data["cost"]) == ("+12025550124", 2, 0.016)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": ...}, "validation_error"),
        ({"to": "447700900001"}, "validation_error"),
        ({"to": "+447700909997"}, "validation_error"),
        ({"body": ...}, "validation_error"),
        ({"body": ""}, "validation_error"),
        ({"body": "a" * 1601}, "validation_error"),
        ({"from": ...}, "validation_error"),
        ({"from_number_id": 11}, "validation_error"),
        ({"from": "MyStore"}, "validation_error"),
        ({"from": ..., "from_number_id": "11"}, "validation_error"),
        ({"status_callback_url": "not a url"}, "validation_error"),
        ({"from": "+12025550199"}, "number_not_found"),
        ({"from": "+12025550125"}, "number_not_found"),
        ({"from": ..., "from_number_id": 99}, "number_not_found"),
    ],
)
async def test_a_bad_request_is_refused_and_costs_nothing(lab: Lab, changes: dict[str, Any], code: str) -> None:
    assert error(await send(lab, **changes)) == (422, code)
    assert await lab.ledger("cliqtel") == []


async def test_a_body_that_is_no_json_is_a_validation_error(lab: Lab) -> None:
    answer = await lab.ask("POST", f"{BASE}/messages", data=b"{", headers=AUTH)
    assert error(answer) == (422, "validation_error")


async def test_keys_and_scopes_are_checked_and_rate_headers_are_on_every_answer(lab: Lab) -> None:
    await lab.config("cliqtel", keys={"17|sandbox": ["sms:read"]})
    missing = await lab.ask("GET", f"{BASE}/messages")
    assert error(missing) == (401, "unauthenticated")
    assert missing.headers["X-RateLimit-Limit"] == "60"
    assert error(await send(lab)) == (403, "insufficient_scope")
    assert (await fetch(lab, "/numbers")).status == 200


@pytest.mark.parametrize("status", [402, 422, 403])
async def test_an_empty_wallet_is_said_by_code_under_any_status(lab: Lab, status: int) -> None:
    await lab.config("cliqtel", wallet=0.01, balance_status=status)
    assert (await send(lab)).status == 201
    assert error(await send(lab)) == (status, "insufficient_balance")


async def test_a_carrier_refusal_is_send_failed_and_is_not_in_the_ledger(lab: Lab) -> None:
    assert error(await send(lab, to="+447700909995")) == (500, "send_failed")
    await lab.config("cliqtel", send_failed_share=1.0)
    assert error(await send(lab)) == (500, "send_failed")
    assert await lab.ledger("cliqtel") == []


async def test_polls_and_sends_share_sixty_requests_a_minute(lab: Lab) -> None:
    await lab.config("cliqtel", limits=[{"limit": 4, "per_seconds": 60}])
    used = [
        await send(lab),
        await fetch(lab, "/messages"),
        await fetch(lab, "/messages/42"),
        await fetch(lab, "/numbers"),
    ]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in used] == ["3", "2", "1", "0"]
    refused = await fetch(lab, "/numbers")
    assert error(refused) == (429, "rate_limited")
    await lab.advance(int(refused.headers["Retry-After"]))
    assert (await send(lab)).status == 201


async def test_the_eleventh_message_of_a_second_is_refused_while_polls_pass(lab: Lab) -> None:
    answers = [await send(lab) for _ in range(11)]
    assert [answer.status for answer in answers] == [201] * 10 + [429]
    assert answers[-1].headers["Retry-After"] == "1"
    assert (await fetch(lab, "/messages")).status == 200


async def test_status_goes_from_queued_over_sent_to_its_end(lab: Lab) -> None:
    await send(lab)
    await send(lab, to="+447700900000")
    await send(lab, to="+447700909996")
    statuses = []
    for _ in range(3):
        page = (await fetch(lab, "/messages")).json()["data"]
        statuses.append([item["status"] for item in page])
        await lab.advance(0.5)
    assert statuses == [["queued"] * 3, ["sent"] * 3, ["sent", "failed", "delivered"]]


async def test_one_message_is_found_by_its_id_only(lab: Lab) -> None:
    await send(lab)
    assert (await fetch(lab, "/messages/42")).json()["data"]["to"] == "+447700900001"
    assert error(await fetch(lab, "/messages/43")) == (404, "not_found")
    assert error(await fetch(lab, "/messages/x")) == (404, "not_found")


async def test_the_list_filters_by_every_documented_parameter(lab: Lab) -> None:
    await lab.config("cliqtel", **UNLIMITED)
    await send(lab)
    await send(lab, to="+447700900002", **{"from": "+12025550124"})
    await lab.settle()
    await send(lab, to="+447700900003")
    await lab.control(
        "/inbound", {"provider": "cliqtel", "from": "+447700900009", "to": "+12025550123", "body": "STOP"}
    )

    async def ids(**params: Any) -> list[int]:
        return [item["id"] for item in (await fetch(lab, "/messages", **params)).json()["data"]]

    assert await ids() == [45, 44, 43, 42]
    assert await ids(direction="inbound") == [45]
    assert await ids(direction="outbound") == [44, 43, 42]
    assert await ids(status="queued") == [44]
    assert await ids(status="delivered", direction="outbound") == [43, 42]
    assert await ids(number_id=6) == [43]
    assert await ids(**{"from": "+12025550124"}) == [43]
    assert await ids(to="+447700900001") == [42]


async def test_an_unencoded_plus_finds_nothing(lab: Lab) -> None:
    await send(lab)
    answer = await lab.ask("GET", f"{BASE}/messages?to=+447700900001", headers=AUTH)
    assert answer.json()["data"] == []


async def test_since_is_exclusive_in_whole_seconds(lab: Lab) -> None:
    await lab.config("cliqtel", **UNLIMITED)
    first = (await send(lab)).json()["data"]["created_at"]
    await lab.advance(5)
    await send(lab)
    page = (await fetch(lab, "/messages", since=first)).json()
    assert ([item["id"] for item in page["data"]], page["meta"]["total"]) == ([43], 1)
    assert (await fetch(lab, "/messages", since=first.replace("+00:00", "Z"))).json()["meta"]["total"] == 1


async def test_pages_are_counted_up_and_drift_when_messages_arrive(lab: Lab) -> None:
    await lab.config("cliqtel", **UNLIMITED)
    for _ in range(5):
        await send(lab)
    first = (await fetch(lab, "/messages", per_page=2)).json()
    await send(lab)
    second = (await fetch(lab, "/messages", per_page=2, page=2)).json()
    assert first["meta"] == {"total": 5, "page": 1, "per_page": 2, "total_pages": 3}
    assert [item["id"] for item in first["data"]] == [46, 45]
    assert [item["id"] for item in second["data"]] == [45, 44]
    assert (await fetch(lab, "/messages", per_page=2, page=9)).json()["data"] == []
    filtered = (await fetch(lab, "/messages", per_page=4, page=2, direction="outbound")).json()
    assert [item["id"] for item in filtered["data"]] == [43, 42]


@pytest.mark.parametrize(
    "params",
    [{"per_page": 101}, {"page": 0}, {"page": "x"}, {"status": "gone"}, {"direction": "up"}, {"since": "today"}],
)
async def test_a_bad_query_is_a_validation_error(lab: Lab, params: dict[str, Any]) -> None:
    assert error(await fetch(lab, "/messages", **params)) == (422, "validation_error")


async def test_numbers_lists_only_those_with_sms(lab: Lab) -> None:
    assert (await fetch(lab, "/numbers")).json()["data"] == [
        {"id": 11, "number": "+12025550123", "country_code": "US", "number_type": "local", "sms_enabled": True},
        {"id": 6, "number": "+12025550124", "country_code": "US", "number_type": "local", "sms_enabled": True},
    ]


async def test_each_status_change_is_pushed_and_signed_over_the_raw_body(lab: Lab, receiver: Receiver) -> None:
    await send(lab, status_callback_url=receiver.url)
    await lab.settle()
    hooks = sorted(receiver.hooks, key=lambda hook: hook.json()["data"]["status"])
    assert [hook.json()["data"]["status"] for hook in hooks] == ["delivered", "sent"]
    payload = hooks[0].json()
    assert (payload["event"], payload["timestamp"]) == ("sms.status_updated", payload["data"]["updated_at"])
    assert set(payload["data"]) == {
        "id", "from", "to", "direction", "status", "segments", "cost", "currency", "created_at", "updated_at",
    }  # fmt: skip
    assert all(hook.headers["X-Cliqtel-Signature"] == signature(hook.body) for hook in hooks)
    assert (await lab.ledger("cliqtel"))[0]["pushed"] == 1


async def test_the_stringify_form_signs_the_compact_payload_but_sends_other_bytes(lab: Lab, receiver: Receiver) -> None:
    await lab.config("cliqtel", signature="stringify", price=1, push_statuses=["delivered"])
    await send(lab, status_callback_url=receiver.url)
    await lab.settle()
    hook = receiver.hooks[0]
    compact = json.dumps(hook.json(), separators=(",", ":")).replace('"cost":1.0', '"cost":1').encode()
    assert hook.headers["X-Cliqtel-Signature"] == signature(compact)
    assert hook.headers["X-Cliqtel-Signature"] != signature(hook.body)


async def test_the_php_form_signs_escaped_slashes_but_sends_plain_ones(lab: Lab, receiver: Receiver) -> None:
    await lab.config("cliqtel", signature="php", currency="€/part", push_statuses=["delivered"])
    await send(lab, status_callback_url=receiver.url)
    await lab.settle()
    hook = receiver.hooks[0]
    escaped = json.dumps(hook.json(), separators=(",", ":")).replace("/", "\\/").encode()
    assert b"\\/" in escaped
    assert b"\\u20ac" in escaped
    assert hook.headers["X-Cliqtel-Signature"] == signature(escaped)
    assert hook.headers["X-Cliqtel-Signature"] != signature(hook.body)
