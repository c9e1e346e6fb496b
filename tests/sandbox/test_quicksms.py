"""QuickSMS simulator against QuickSMS API 2.0, over real HTTP."""

import base64
import hashlib
import hmac
import re
from itertools import pairwise
from typing import Any

import pytest

from tests.sandbox.lab import Answer, Lab, Receiver

URL = "/quicksms/v1/messages"
BEARER = {"Authorization": "Bearer sk_live_sandbox"}
TEST_KEY = {"Authorization": "Bearer sk_test_sandbox"}
GOOD = {"MSISDN": "447700900001", "msg": "Your order has been dispatched.", "sender": "MyStore"}


async def send(lab: Lab, headers: dict[str, str] | None = None, **changes: Any) -> Answer:
    body = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    return await lab.ask("POST", URL, json=body, headers=BEARER | (headers or {}))


def rejection(answer: Answer) -> tuple[int, str]:
    message = answer.json()["messages"][0]
    assert message["status"] == "REJECTED"
    return answer.status, message["error"]["code"]


def problem(answer: Answer) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    assert re.fullmatch(r"req_[0-9a-f]{8}", error["request_id"])
    return answer.status, error["code"], error.get("param")


async def test_an_accepted_message_is_answered_as_the_document_shows(lab: Lab) -> None:
    answer = await send(lab, customer_id="cust_abc123", metadata={"order_id": "12345"})
    body = answer.json()
    message = body["messages"][0]
    assert answer.status == 202
    assert re.fullmatch(r"msg_[0-9a-f]{16}", message.pop("quicksms_id"))
    assert message == {
        "MSISDN": "447700900001", "sender": "MyStore", "status": "ACCEPTED", "channel": "SMS", "encoding": "GSM-7",
        "message_parts": 1, "customer_id": "cust_abc123",
    }  # fmt: skip
    assert {name: body[name] for name in ("sandbox", "total", "accepted", "rejected")} == {
        "sandbox": False, "total": 1, "accepted": 1, "rejected": 0,
    }  # fmt: skip
    assert answer.headers["X-RateLimit-Limit"] == "1000"
    assert answer.headers["X-RateLimit-Remaining"] == "999"
    assert int(answer.headers["X-RateLimit-Reset"]) > 1_700_000_000


@pytest.mark.parametrize(
    ("text", "encoding", "parts"),
    [("a" * 160, "GSM-7", 1), ("a" * 161, "GSM-7", 2), ("€" * 81, "GSM-7", 2), ("a" * 1530, "GSM-7", 10),
     ("ж" * 70, "UCS-2", 1), ("ж" * 71, "UCS-2", 2), ("😀" * 36, "UCS-2", 2)],
)  # fmt: skip
async def test_parts_are_counted_as_the_encoding_chapter_says(lab: Lab, text: str, encoding: str, parts: int) -> None:
    message = (await send(lab, msg=text)).json()["messages"][0]
    assert (message["encoding"], message["message_parts"]) == (encoding, parts)


@pytest.mark.parametrize(
    ("changes", "status", "code", "param"),
    [
        ({"MSISDN": ...}, 400, "MISSING_FIELD", "MSISDN"),
        ({"msg": ...}, 400, "MISSING_FIELD", "msg"),
        ({"sender": ""}, 400, "MISSING_FIELD", "sender"),
        ({"MSISDN": "+447700900001"}, 422, "INVALID_PHONE_NUMBER", "MSISDN"),
        ({"MSISDN": "0447700900"}, 422, "INVALID_PHONE_NUMBER", "MSISDN"),
        ({"MSISDN": "447700"}, 422, "INVALID_PHONE_NUMBER", "MSISDN"),
        ({"MSISDN": "4477009000010000"}, 422, "INVALID_PHONE_NUMBER", "MSISDN"),
        ({"MSISDN": 447700900001}, 422, "INVALID_PHONE_NUMBER", "MSISDN"),
        ({"MSISDN": "447700909997"}, 422, "INVALID_PHONE_NUMBER", "MSISDN"),
        ({"msg": "a" * 1531}, 422, "CONTENT_TOO_LONG", "msg"),
        ({"sender": "TwelveLetter"}, 422, "VALIDATION_ERROR", "sender"),
        ({"sender": "1" * 16}, 422, "VALIDATION_ERROR", "sender"),
        ({"smart_routing": "yes"}, 422, "VALIDATION_ERROR", "smart_routing"),
        ({"sms_failover_sender": "much too long for it"}, 422, "VALIDATION_ERROR", "sms_failover_sender"),
        ({"expiry": 59}, 422, "VALIDATION_ERROR", "expiry"),
        ({"expiry": 259_201}, 422, "VALIDATION_ERROR", "expiry"),
        ({"expiry": True}, 422, "VALIDATION_ERROR", "expiry"),
        ({"customer_id": "c" * 129}, 422, "VALIDATION_ERROR", "customer_id"),
        ({"metadata": {str(n): "v" for n in range(11)}}, 422, "VALIDATION_ERROR", "metadata"),
        ({"metadata": {"k": "v" * 257}}, 422, "VALIDATION_ERROR", "metadata"),
        ({"callback_url": "http://x/" + "a" * 2048}, 422, "VALIDATION_ERROR", "callback_url"),
    ],
)
async def test_a_bad_field_is_refused_with_its_documented_code(
    lab: Lab, changes: dict[str, Any], status: int, code: str, param: str
) -> None:
    assert problem(await send(lab, **changes)) == (status, code, param)
    assert await lab.ledger("quicksms") == []


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff\xfe", b""])
async def test_a_body_that_is_no_json_object_is_a_bad_request(lab: Lab, body: bytes) -> None:
    answer = await lab.ask("POST", URL, data=body, headers=BEARER)
    assert problem(answer) == (400, "BAD_REQUEST", None)


async def test_basic_auth_takes_the_key_as_user_and_ignores_the_password(lab: Lab) -> None:
    token = base64.b64encode(b"sk_live_sandbox:whatever").decode()
    assert (await send(lab, {"Authorization": f"Basic {token}"})).status == 202


async def test_ten_failed_logins_lock_the_address_for_five_minutes(lab: Lab) -> None:
    wrong = {"Authorization": "Bearer sk_live_wrong"}
    for _ in range(10):
        assert problem(await send(lab, wrong)) == (401, "UNAUTHORIZED", None)
    locked = await send(lab)
    assert problem(locked) == (429, "AUTH_RATE_LIMITED", None)
    assert 290 <= int(locked.headers["Retry-After"]) <= 300
    await lab.advance(301)
    assert (await send(lab)).status == 202


async def test_a_good_login_forgets_the_failures_before_it(lab: Lab) -> None:
    wrong = {"Authorization": "Bearer sk_live_wrong"}
    for _ in range(9):
        await send(lab, wrong)
    assert (await send(lab)).status == 202
    for _ in range(9):
        assert (await send(lab, wrong)).status == 401
    assert (await send(lab)).status == 202


@pytest.mark.parametrize("state", ["draft", "suspended", "archived"])
async def test_only_an_active_connection_can_send(lab: Lab, state: str) -> None:
    await lab.config("quicksms", keys={"sk_live_sandbox": state})
    assert problem(await send(lab)) == (403, "ACCOUNT_INACTIVE", None)


async def test_an_address_outside_the_allowlist_is_forbidden(lab: Lab) -> None:
    await lab.config("quicksms", allowed_ips=["192.0.2.1"])
    assert problem(await send(lab)) == (403, "IP_NOT_ALLOWED", None)


async def test_the_thousand_and_first_request_in_a_minute_waits_for_the_window(lab: Lab) -> None:
    await lab.config("quicksms", limits=[{"limit": 3, "per_seconds": 60}])
    remaining = [(await send(lab)).headers["X-RateLimit-Remaining"] for _ in range(3)]
    refused = await send(lab)
    assert remaining == ["2", "1", "0"]
    assert problem(refused) == (429, "RATE_LIMITED", None)
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    await lab.advance(int(refused.headers["Retry-After"]))
    assert (await send(lab)).status == 202


async def test_a_key_with_the_same_payload_returns_the_same_answer_and_sends_once(lab: Lab) -> None:
    first = await send(lab, {"Idempotency-Key": "order-1"})
    again = await send(lab, {"Idempotency-Key": "order-1"})
    assert (again.status, again.body) == (202, first.body)
    assert len(await lab.ledger("quicksms")) == 1
    assert (await lab.counts("quicksms"))["replays"] == 1


async def test_a_key_with_another_payload_is_a_conflict(lab: Lab) -> None:
    await send(lab, {"Idempotency-Key": "order-1"})
    other = await send(lab, {"Idempotency-Key": "order-1"}, msg="Another text")
    assert problem(other) == (409, "IDEMPOTENCY_CONFLICT", None)


async def test_a_key_is_forgotten_after_a_day_and_a_refusal_is_never_cached(lab: Lab) -> None:
    key = {"Idempotency-Key": "order-1"}
    await lab.config("quicksms", blocked_words=["dispatched"])
    assert (await send(lab, key)).status == 422
    await lab.config("quicksms", blocked_words=[])
    assert (await send(lab, key)).status == 202
    await lab.advance(86_401)
    assert (await send(lab, key, msg="Tomorrow's text")).status == 202
    assert len(await lab.ledger("quicksms")) == 2


async def test_a_key_longer_than_128_characters_is_a_validation_error(lab: Lab) -> None:
    assert problem(await send(lab, {"Idempotency-Key": "k" * 129})) == (422, "VALIDATION_ERROR", None)
    assert (await send(lab, {"Idempotency-Key": "k" * 128})).status == 202


@pytest.mark.parametrize(
    ("config", "changes", "code"),
    [
        ({"approved_senders": ["Other"]}, {}, "SENDER_NOT_REGISTERED"),
        ({}, {"sender": "NotAnAgentButLong", "smart_routing": True}, "SENDER_NOT_REGISTERED"),
        ({"blocked_countries": ["353"]}, {"MSISDN": "353209150001"}, "COUNTRY_NOT_ALLOWED"),
        ({"credits": 1}, {"msg": "a" * 161}, "INSUFFICIENT_CREDITS"),
        ({"blocked_words": ["DISPATCHED"]}, {}, "CONTENT_BLOCKED"),
        ({}, {"MSISDN": "447700909995"}, "CONTENT_BLOCKED"),
        ({"out_of_hours": "reject"}, {}, "OUT_OF_HOURS"),
    ],
)
async def test_the_account_rejects_in_the_shape_of_a_message(
    lab: Lab, config: dict[str, Any], changes: dict[str, Any], code: str
) -> None:
    await lab.config("quicksms", **config)
    answer = await send(lab, **changes)
    assert rejection(answer) == (422, code)
    assert answer.json()["messages"][0]["MSISDN"] == (GOOD | changes)["MSISDN"]
    assert await lab.ledger("quicksms") == []


async def test_out_of_hours_names_the_window_and_the_time_it_opens(lab: Lab) -> None:
    await lab.config("quicksms", out_of_hours="reject")
    error = (await send(lab)).json()["messages"][0]["error"]
    assert error["window"] == {"start": "08:00", "end": "20:00"}
    assert error["resumes_at"].endswith("+00:00")


async def test_credits_are_taken_per_part(lab: Lab) -> None:
    await lab.config("quicksms", credits=3)
    assert [(await send(lab, msg="a" * 161)).status for _ in range(2)] == [202, 422]
    assert (await send(lab)).status == 202


async def test_a_held_message_is_released_at_its_time_and_then_reported(lab: Lab, receiver: Receiver) -> None:
    await lab.config("quicksms", out_of_hours="hold", hours_resume_in=3600, callback_url=receiver.url)
    held = (await send(lab)).json()
    assert set(held) == {"sandbox", "messages"}
    assert set(held["messages"][0]) == {"quicksms_id", "status", "scheduled_send_at"}
    await lab.advance(3590)
    assert receiver.hooks == []
    await lab.advance(20)
    assert receiver.hooks[0].json()["quicksms_id"] == held["messages"][0]["quicksms_id"]


async def test_anti_flood_enforce_refuses_a_repeat_inside_the_window_and_names_the_original(lab: Lab) -> None:
    await lab.config("quicksms", anti_flood="enforce", anti_flood_window=60)
    original = (await send(lab)).json()["messages"][0]["quicksms_id"]
    repeat = await send(lab)
    assert rejection(repeat) == (422, "DUPLICATE_MESSAGE")
    assert repeat.json()["messages"][0]["error"]["original_message_id"] == original
    assert (await send(lab, msg="Other text")).status == 202
    assert (await send(lab, sandbox=True)).status == 202
    await lab.advance(61)
    assert (await send(lab)).status == 202


async def test_anti_flood_monitor_sends_the_repeat(lab: Lab) -> None:
    await lab.config("quicksms", anti_flood="monitor")
    assert [(await send(lab)).status for _ in range(2)] == [202, 202]
    assert (await lab.counts("quicksms"))["faults"] == {"flood_seen": 1}


async def test_a_test_key_reaches_only_listed_numbers_with_the_test_sender_and_appends_its_note(lab: Lab) -> None:
    assert rejection(await send(lab, TEST_KEY))[1] == "SENDER_NOT_REGISTERED"
    assert (
        rejection(await send(lab, TEST_KEY, sender="QuickSMS", MSISDN="353209150001"))[1] == "TEST_NUMBER_NOT_APPROVED"
    )
    answer = await send(lab, TEST_KEY, sender="QuickSMS")
    assert answer.json()["sandbox"] is True
    assert (await lab.ledger("quicksms"))[0]["text"] == f"{GOOD['msg']} This is a QuickSMS test message"


async def test_sandbox_mode_skips_credits_and_hours_and_knows_only_two_endings(lab: Lab) -> None:
    await lab.config("quicksms", credits=0, out_of_hours="reject")
    for ending in ("0000", "9999", "9998", "9996", "9997", "0001"):
        assert (await send(lab, sandbox=True, MSISDN=f"44770090{ending}")).status == 202
    truths = [entry["truth"] for entry in await lab.ledger("quicksms")]
    assert truths == ["undelivered", "expired", "delivered", "delivered", "delivered", "delivered"]


async def test_a_report_is_signed_over_timestamp_and_raw_body(lab: Lab, receiver: Receiver) -> None:
    await lab.config("quicksms", callback_url="http://127.0.0.1:9/never", webhook_secret="s3cret")
    await send(lab, callback_url=receiver.url, customer_id="c-1", metadata={"order_id": "12345"})
    await lab.settle()
    hook = receiver.hooks[0]
    signed = hook.headers["X-QuickSMS-Timestamp"].encode() + b"." + hook.body
    assert hook.headers["X-QuickSMS-Signature"] == "sha256=" + hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
    assert (hook.headers["X-QuickSMS-Event"], hook.headers["X-QuickSMS-Delivery-Attempt"]) == ("dlr", "1")
    report = hook.json()
    assert (report["message_status"], report["status_code"], report["channel"]) == ("DELIVERED", 0, "SMS")
    assert (report["customer_id"], report["metadata"]) == ("c-1", {"order_id": "12345"})
    assert (report["read_receipt"], report["read_receipt_timestamp"]) == (None, None)
    assert (await lab.ledger("quicksms"))[0]["pushed"] == 1


async def test_without_a_secret_no_signature_and_without_a_url_no_webhook(lab: Lab, receiver: Receiver) -> None:
    await lab.config("quicksms", webhook_secret=None)
    await send(lab)
    await send(lab, callback_url=receiver.url)
    await lab.settle()
    assert len(receiver.hooks) == 1
    assert "X-QuickSMS-Signature" not in receiver.hooks[0].headers


@pytest.mark.parametrize(
    ("ending", "status", "code"),
    [("0000", "UNDELIVERED", 27), ("9999", "EXPIRED", 255), ("9998", "REJECTED", 13), ("0001", "DELIVERED", 0)],
)
async def test_number_endings_decide_the_report(
    lab: Lab, receiver: Receiver, ending: str, status: str, code: int
) -> None:
    await send(lab, MSISDN=f"44770090{ending}", callback_url=receiver.url)
    await lab.settle()
    report = receiver.hooks[0].json()
    assert (report["message_status"], report["status_code"]) == (status, code)


async def test_a_number_that_never_reports_stays_accepted(lab: Lab, receiver: Receiver) -> None:
    await send(lab, MSISDN="447700909996", callback_url=receiver.url)
    await lab.settle()
    entry = (await lab.ledger("quicksms"))[0]
    assert (entry["truth"], entry["status"], entry["final_at"], receiver.hooks) == ("no_report", "ACCEPTED", None, [])


async def test_an_unacknowledged_webhook_is_tried_five_times_with_a_fresh_signature_then_dropped(
    lab: Lab, receiver: Receiver
) -> None:
    receiver.statuses = [500, 404, 301, 503, 500, 200]
    await send(lab, callback_url=receiver.url)
    await lab.settle()
    for delay in (30, 120, 600, 3600, 7200):
        await lab.advance(delay)
    assert [hook.headers["X-QuickSMS-Delivery-Attempt"] for hook in receiver.hooks] == ["1", "2", "3", "4", "5"]
    stamps = [int(hook.headers["X-QuickSMS-Timestamp"]) for hook in receiver.hooks]
    assert [later - sooner >= 30 for sooner, later in pairwise(stamps)] == [True] * 4
    assert {hook.body for hook in receiver.hooks} == {receiver.hooks[0].body}
    counts = await lab.counts("quicksms")
    assert (counts["push_failed"], counts["push_dropped"], counts["pushed"]) == (5, 1, 0)


async def test_rcs_is_one_part_and_a_read_receipt_follows_delivery(lab: Lab, receiver: Receiver) -> None:
    answer = await send(lab, sender="BrandAgent", smart_routing=True, msg="a" * 400, callback_url=receiver.url)
    message = answer.json()["messages"][0]
    assert (message["channel"], message["encoding"], message["message_parts"]) == ("RCS", None, 1)
    await lab.advance(2)
    await lab.settle()
    receipts = [hook.json()["read_receipt"] for hook in receiver.hooks]
    assert receipts == [False, True]
    assert receiver.hooks[1].json()["read_receipt_timestamp"].endswith("+00:00")


async def test_rcs_that_falls_back_is_reported_as_sms_and_charged_per_part(lab: Lab, receiver: Receiver) -> None:
    await lab.config("quicksms", rcs_reach=0.0, credits=10)
    answer = await send(lab, sender="BrandAgent", smart_routing=True, msg="a" * 400, callback_url=receiver.url)
    assert answer.json()["messages"][0]["channel"] == "RCS"
    await lab.settle()
    report = receiver.hooks[0].json()
    assert (report["channel"], report["message_parts"], report["read_receipt"]) == ("SMS", 3, None)
    config = await lab.control("/config?provider=quicksms", method="GET")
    assert config["quicksms"]["credits"] == 7


async def test_pending_webhooks_come_before_the_final_one_when_switched_on(lab: Lab, receiver: Receiver) -> None:
    await lab.config("quicksms", pending_webhook=True, callback_url=receiver.url)
    await send(lab)
    await lab.advance(0.5)
    await lab.settle()
    assert [hook.json()["message_status"] for hook in receiver.hooks] == ["PENDING", "DELIVERED"]


async def test_health_needs_no_key_and_shows_degradation(lab: Lab) -> None:
    healthy = await lab.ask("GET", "/quicksms/v1/health")
    await lab.config("quicksms", degraded=True)
    degraded = await lab.ask("GET", "/quicksms/v1/health")
    assert (healthy.status, healthy.json()) == (200, {"status": "healthy"})
    assert (degraded.status, degraded.json()) == (503, {"status": "degraded"})


async def test_an_unknown_path_is_a_404_with_a_request_id(lab: Lab) -> None:
    assert problem(await lab.ask("POST", "/quicksms/v1/batches", json={}, headers=BEARER))[0] == 404


# -- legacy V1 ---------------------------------------------------------------------------------------------------------

V1_URL = "/quicksms/rcs/v2/api"
V1_AUTH = {"Authorization": "Basic " + base64.b64encode(b"sandbox:sandbox").decode()}
V1_GOOD = {"reqType": "BULK", "MSISDN": "447700900001", "msg": "test message", "sender": "TestSender"}


async def test_v1_answers_with_a_reference(lab: Lab) -> None:
    answer = await lab.ask("POST", V1_URL, json=V1_GOOD, headers=V1_AUTH)
    assert (answer.status, answer.json()) == (200, {"reference": "42"})


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"reqType": ""}, 203), ({"reqType": "SINGLE"}, 204), ({"msg": ""}, 205), ({"MSISDN": "+44"}, 207),
     ({"msg": "a" * 161}, 209), ({"msg": "a" * 1531, "multi": "true"}, 209), ({"sender": "TwelveLetter"}, 210)],
)  # fmt: skip
async def test_v1_refuses_with_its_own_codes(lab: Lab, changes: dict[str, str], code: int) -> None:
    answer = await lab.ask("POST", V1_URL, json=V1_GOOD | changes, headers=V1_AUTH)
    assert (answer.status, answer.json()["Error"]) == (400, code)
    assert answer.json()["Description"]


async def test_v1_checks_method_logins_and_credits(lab: Lab) -> None:
    wrong = {"Authorization": "Basic " + base64.b64encode(b"sandbox:wrong").decode()}
    assert (await lab.ask("GET", V1_URL)).json()["Error"] == 201
    assert (await lab.ask("POST", V1_URL, json=V1_GOOD)).json()["Error"] == 202
    for _ in range(10):
        assert (await lab.ask("POST", V1_URL, json=V1_GOOD, headers=wrong)).json()["Error"] == 206
    assert (await lab.ask("POST", V1_URL, json=V1_GOOD, headers=V1_AUTH)).json()["Error"] == 220
    await lab.config("quicksms", v1_disabled="permanent")
    assert (await lab.ask("POST", V1_URL, json=V1_GOOD, headers=V1_AUTH)).json()["Error"] == 221
    await lab.config("quicksms", v1_disabled="", credits=0)
    await lab.advance(301)
    assert (await lab.ask("POST", V1_URL, json=V1_GOOD, headers=V1_AUTH)).json()["Error"] == 208


async def test_v1_receipts_are_repeated_until_the_client_says_received(lab: Lab, receiver: Receiver) -> None:
    body = V1_GOOD | {"cid": "123456", "Delurl": receiver.url.removeprefix("http://")}
    await lab.ask("POST", V1_URL, json=body, headers=V1_AUTH)
    await lab.settle()
    receiver.text = "RECEIVED"
    await lab.advance(31)
    assert len(receiver.hooks) == 2
    receipt = receiver.hooks[0].json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", receipt.pop("deliverytime"))
    assert receipt == {"reference": "42", "cid": "123456", "MSISDN": "447700900001", "status": "3", "substatus": "5"}


async def test_v1_rcs_messages_get_a_seen_receipt(lab: Lab, receiver: Receiver) -> None:
    receiver.text = "RECEIVED"
    await lab.config("quicksms", v1_receipt_url=receiver.url)
    await lab.ask("POST", V1_URL, json=V1_GOOD | {"sender": "BrandAgent", "cid": "7"}, headers=V1_AUTH)
    await lab.advance(2)
    await lab.settle()
    assert [sorted(hook.json()) for hook in receiver.hooks] == [
        ["MSISDN", "cid", "deliverytime", "reference", "status", "substatus"],
        ["CID", "MSISDN", "reference", "seentime"],
    ]


async def test_an_inbound_message_is_posted_in_v1_form(lab: Lab, receiver: Receiver) -> None:
    receiver.text = "RECEIVED"
    fields = {"provider": "quicksms", "url": receiver.url, "MSISDN": "447700900005", "Message": "STOP"}
    assert await lab.control("/inbound", fields) == {"delivered": True}
    message = receiver.hooks[0].json()
    assert set(message) == {"MSISDN", "Message", "Number", "DateRecieved", "ID"}
    assert (message["MSISDN"], message["Message"]) == ("447700900005", "STOP")
