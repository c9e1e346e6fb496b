"""QuickSMS V2: requests to the byte, every documented answer, webhooks and what may not be trusted."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from models.states import MessageState
from providers.base import (
    Accepted,
    Allowance,
    Failure,
    FailureClass,
    Forged,
    Genuine,
    LookUpBy,
    Misconfigured,
    NoAnswer,
    OpenWork,
    Outcome,
    Outgoing,
    OutOfCredit,
    Page,
    Push,
    Raw,
    Refused,
    Report,
    ServerTrouble,
    Signal,
    Sought,
    Throttle,
    Unclear,
)
from providers.quicksms import QuickSms
from providers.quicksms_codes import CODES, DLR_STATES, GSM_CODES
from providers.wire import BadBody, Reply, Request
from tests.support.cases import SECRETS, SubmitCase, answer, message, settings
from tests.support.exchanges import load

S, F = MessageState, FailureClass
NOW = datetime(2026, 3, 26, 12, 0, tzinfo=UTC)
KEY = {"api_key": "sk_live_s3cr3t"}
HOOK = "https://drumline.example/v1/dlr/acc/t0ken"
EXCHANGES = Path(__file__).parent / "exchanges" / "quicksms"
ONE = message()
ID = "msg_80fac5c752941b27"


def adapter(options: Mapping[str, object] | None = None, **changes: object) -> QuickSms:
    given = {"credentials": KEY, "options": options or {}, **changes}
    return QuickSms(settings("http://127.0.0.1:1/quicksms/", **given), clock=lambda: NOW)


def sent(quicksms: QuickSms, one: Outgoing = ONE) -> Any:
    return orjson.loads(quicksms.submit_request([one], "").body)


def outcome_of(reply: Reply, quicksms: QuickSms | None = None) -> tuple[Outcome, Signal | None]:
    submission = (quicksms or adapter()).read_submit([ONE], reply)
    return submission.outcomes[ONE.id], submission.signal


def accepted(status: str = "ACCEPTED", **more: object) -> dict[str, object]:
    return {"messages": [{"quicksms_id": ID, "status": status, **more}]}


def rejection(code: str, **more: object) -> dict[str, object]:
    return {"messages": [{"MSISDN": "447700900001", "status": "REJECTED", "error": {"code": code, **more}}]}


def problem(code: str, **more: object) -> dict[str, object]:
    return {"error": {"type": "some_error", "code": code, "request_id": "req_a1b2c3d4", **more}}


# --- the request -----------------------------------------------------------------------------------------------------


def test_the_request_is_the_documented_one_and_no_more() -> None:
    request = adapter().submit_request([message(text="Hellø", validity=None)], "bulk")
    assert request.method == "POST"
    assert request.url == "http://127.0.0.1:1/quicksms/v1/messages"
    assert request.headers == {
        "Authorization": "Bearer sk_live_s3cr3t",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Idempotency-Key": ONE.ref,
    }
    expected = '{"MSISDN":"447700900001","msg":"Hellø","sender":"MyStore","customer_id":"' + ONE.ref + '"}'
    assert request.body == expected.encode()


def test_everything_optional_goes_out_in_one_fixed_order() -> None:
    options = {
        "smart_routing": True,
        "sms_failover_sender": "MyBrand",
        "sandbox": True,
        "metadata": {"z": "1", "a": "2"},
    }
    body = adapter(options, webhook_url=HOOK).submit_request([message(validity=3600)], "").body
    expected = {
        "MSISDN": "447700900001",
        "msg": "Hello",
        "sender": "MyStore",
        "smart_routing": True,
        "sms_failover_sender": "MyBrand",
        "expiry": 3600,
        "customer_id": ONE.ref,
        "metadata": {"a": "2", "z": "1"},
        "sandbox": True,
        "callback_url": HOOK,
    }
    assert body == orjson.dumps(expected)


def test_a_replay_is_identical_to_the_byte_whatever_order_the_options_came_in() -> None:
    first = message(options={"metadata.b": "2", "metadata.a": "1", "smart_routing": "true"})
    again = message(options={"smart_routing": "true", "metadata.a": "1", "metadata.b": "2"})
    assert adapter().submit_request([first], "x") == adapter().submit_request([again], "y")


def test_a_replan_with_another_ref_changes_key_and_reference_so_that_reports_tell_the_try() -> None:
    before, after = (adapter().submit_request([message(ref=ref)], "") for ref in ("m-1", "m-1-r2"))
    assert (before.headers["Idempotency-Key"], after.headers["Idempotency-Key"]) == ("m-1", "m-1-r2")
    assert before.body.replace(b'"m-1"', b'"m-1-r2"') == after.body


def test_basic_authentication_carries_the_key_as_user_with_a_trailing_colon() -> None:
    value = adapter({"auth": "basic"}).submit_request([ONE], "").headers["Authorization"]
    assert base64.b64decode(value.removeprefix("Basic ")) == b"sk_live_s3cr3t:"


@pytest.mark.parametrize(
    ("validity", "expiry"), [(1, 60), (60, 60), (3600, 3600), (259_200, 259_200), (10**7, 259_200)]
)
def test_the_expiry_stays_within_what_is_allowed(validity: int, expiry: int) -> None:
    assert sent(adapter(), message(validity=validity))["expiry"] == expiry


def test_the_campaigns_options_win_over_the_accounts() -> None:
    quicksms = adapter({"smart_routing": True, "sms_failover_sender": "Ours", "metadata": {"a": "1", "b": "1"}})
    own = {"sms_failover_sender": "Theirs", "metadata.b": "2", "sandbox": "true"}
    body = sent(quicksms, message(options=own))
    assert (body["sms_failover_sender"], body["sandbox"]) == ("Theirs", True)
    assert body["metadata"] == {"a": "1", "b": "2"}
    assert "smart_routing" not in sent(quicksms, message(options={"smart_routing": "false"}))


def test_a_numeric_sender_goes_out_as_digits() -> None:
    assert sent(adapter(), message(sender="+447700900000"))["sender"] == "447700900000"


def test_several_messages_never_share_a_request() -> None:
    with pytest.raises(ValueError, match="too many values"):
        adapter().submit_request([ONE, message("+447700900002")], "")


# --- before the wire -------------------------------------------------------------------------------------------------

CHECKS: list[tuple[str, Outgoing, Mapping[str, object], tuple[str, FailureClass] | None]] = [
    ("plain", ONE, {}, None),
    ("seven digits", message("+1234567"), {}, None),
    ("six digits", message("+123456"), {}, ("INVALID_PHONE_NUMBER", F.RECIPIENT)),
    ("sixteen digits", message("+1234567890123456"), {}, ("INVALID_PHONE_NUMBER", F.RECIPIENT)),
    ("leading zero", message("+07700900001"), {}, ("INVALID_PHONE_NUMBER", F.RECIPIENT)),
    ("other digits", message("+44770090000\u0661"), {}, ("INVALID_PHONE_NUMBER", F.RECIPIENT)),
    ("line break", message("+447700900001\n"), {}, ("INVALID_PHONE_NUMBER", F.RECIPIENT)),
    ("no text", message(text=""), {}, ("MISSING_FIELD", F.CONTENT)),
    ("longest text", message(text="x" * 1530), {}, None),
    ("too long", message(text="x" * 1531), {}, ("CONTENT_TOO_LONG", F.CONTENT)),
    ("longest of emoji", message(text="\N{GRINNING FACE}" * 765), {}, None),
    ("emoji count twice", message(text="\N{GRINNING FACE}" * 766), {}, ("CONTENT_TOO_LONG", F.CONTENT)),
    ("no sender", message(sender=""), {}, ("MISSING_FIELD", F.SENDER)),
    ("eleven letters", message(sender="ElevenChars"), {}, None),
    ("twelve letters", message(sender="TwelveCharss"), {}, ("VALIDATION_ERROR", F.SENDER)),
    ("no letter", message(sender="12-34"), {}, ("VALIDATION_ERROR", F.SENDER)),
    ("fifteen digits", message(sender="1" * 15), {}, None),
    ("sixteen digits of sender", message(sender="1" * 16), {}, ("VALIDATION_ERROR", F.SENDER)),
    ("agent", message(sender="A" * 25), {"smart_routing": True}, None),
    ("agent by campaign", message(sender="A" * 25, options={"smart_routing": "true"}), {}, None),
    ("agent too long", message(sender="A" * 26), {"smart_routing": True}, ("VALIDATION_ERROR", F.SENDER)),
    (
        "fallback is an SMS sender",
        message(options={"sms_failover_sender": "A" * 12}),
        {"smart_routing": True},
        ("VALIDATION_ERROR", F.SENDER),
    ),
    ("odd switch", message(options={"sandbox": "maybe"}), {}, ("VALIDATION_ERROR", F.CONTENT)),
    (
        "eleven keys",
        message(options={f"metadata.{i}": "x" for i in range(11)}),
        {},
        ("VALIDATION_ERROR", F.CONTENT),
    ),
    ("long value", message(options={"metadata.a": "x" * 257}), {}, ("VALIDATION_ERROR", F.CONTENT)),
    ("long reference", message(ref="r" * 129), {}, ("VALIDATION_ERROR", F.CONTENT)),
]


@pytest.mark.parametrize(("label", "one", "options", "expected"), CHECKS, ids=[case[0] for case in CHECKS])
def test_what_it_would_refuse_is_refused_before_the_wire(
    label: str, one: Outgoing, options: Mapping[str, object], expected: tuple[str, FailureClass] | None
) -> None:
    failure = adapter(options).check(one)
    assert (failure and (failure.code, failure.klass)) == expected


@pytest.mark.parametrize(
    ("one", "key", "word"),
    [
        (message(validity=5), "sk_live_s3cr3t", "60 s"),
        (ONE, "sk_test_s3cr3t", "test key"),
        (message(sender="My Store"), "sk_live_s3cr3t", "letters and digits"),
    ],
)
def test_what_it_changes_is_said_beforehand(one: Outgoing, key: str, word: str) -> None:
    assert any(word in said for said in adapter(credentials={"api_key": key}).warnings(one))
    assert not adapter().warnings(ONE)


# --- the answer ------------------------------------------------------------------------------------------------------

CASES: list[SubmitCase] = [
    SubmitCase(
        "accepted", [ONE], answer(202, accepted(message_parts=2, customer_id=ONE.ref)), {ONE.id: Accepted(ID, parts=2)}
    ),
    SubmitCase(
        "held",
        [ONE],
        answer(202, accepted("HELD", scheduled_send_at="2026-03-27T08:00:00+00:00")),
        {ONE.id: Accepted(ID, S.HELD, held_until=datetime(2026, 3, 27, 8, tzinfo=UTC))},
    ),
    SubmitCase(
        "held until nobody knows",
        [ONE],
        answer(202, accepted("HELD", scheduled_send_at="soon")),
        {ONE.id: Accepted(ID, S.HELD)},
    ),
    SubmitCase(
        "accepted without id", [ONE], answer(202, {"messages": [{"status": "ACCEPTED"}]}), {ONE.id: Accepted(None)}
    ),
    SubmitCase("accepted with 200", [ONE], answer(200, accepted()), {ONE.id: Accepted(ID)}),
    SubmitCase(
        "an id proves acceptance",
        [ONE],
        answer(202, accepted("PARKED")),
        {ONE.id: Accepted(ID, note="answered with an id and status 'PARKED'")},
    ),
    SubmitCase(
        "rejected with 202",
        [ONE],
        answer(202, rejection("CONTENT_BLOCKED")),
        {ONE.id: Refused(Failure("CONTENT_BLOCKED", F.CONTENT, CODES["CONTENT_BLOCKED"].reason))},
    ),
    SubmitCase(
        "rejected without a reason",
        [ONE],
        answer(202, {"messages": [{"status": "REJECTED"}]}),
        {ONE.id: Refused(Failure("REJECTED", F.UNSPECIFIED, "rejected"))},
    ),
    SubmitCase(
        "about another message",
        [ONE],
        answer(202, accepted(customer_id="other")),
        {ONE.id: Unclear("the answer is about another message")},
    ),
    SubmitCase(
        "rate limited",
        [ONE],
        answer(429, problem("RATE_LIMITED"), {"Retry-After": "7"}),
        {ONE.id: Refused(Failure("RATE_LIMITED", F.THROTTLED, "too many requests"), 7.0)},
        Throttle(7.0, "RATE_LIMITED"),
    ),
    SubmitCase(
        "rate limited by a proxy",
        [ONE],
        answer(429, "<html>slow down</html>"),
        {ONE.id: Refused(Failure("http_429", F.THROTTLED, "too many requests"))},
        Throttle(None, "http_429"),
    ),
    SubmitCase(
        "out of credit",
        [ONE],
        answer(422, rejection("INSUFFICIENT_CREDITS")),
        {
            ONE.id: Refused(
                Failure("INSUFFICIENT_CREDITS", F.ACCOUNT, CODES["INSUFFICIENT_CREDITS"].reason), new_ref=True
            )
        },
        OutOfCredit("INSUFFICIENT_CREDITS", CODES["INSUFFICIENT_CREDITS"].reason),
    ),
    SubmitCase(
        "key in use",
        [ONE],
        answer(409, problem("IDEMPOTENCY_CONFLICT")),
        {ONE.id: Unclear("another request holds this Idempotency-Key")},
    ),
    SubmitCase("bare conflict", [ONE], answer(409), {ONE.id: Unclear("http_409")}),
    SubmitCase(
        "broken inside",
        [ONE],
        answer(500, problem("INTERNAL_ERROR", message="Oops")),
        {ONE.id: Unclear("INTERNAL_ERROR: Oops")},
        ServerTrouble(500, "INTERNAL_ERROR: Oops"),
    ),
    SubmitCase("degraded", [ONE], answer(503), {ONE.id: Unclear("http_503")}, ServerTrouble(503, "http_503")),
    SubmitCase("gateway", [ONE], answer(502, "<html>"), {ONE.id: Unclear("http_502")}, ServerTrouble(502, "http_502")),
    SubmitCase("moved", [ONE], answer(302), {ONE.id: Unclear("http_302")}),
    SubmitCase("request timeout", [ONE], answer(408), {ONE.id: Unclear("http_408")}),
    SubmitCase("empty 202", [ONE], answer(202), {ONE.id: Unclear("HTTP 202 without a readable status")}),
    SubmitCase(
        "half a 202",
        [ONE],
        answer(202, b'{"messages":[{"quic'),
        {ONE.id: Unclear("HTTP 202 without a readable status")},
    ),
    SubmitCase(
        "unknown code",
        [ONE],
        answer(422, rejection("MOON_PHASE", message="Wait")),
        {ONE.id: Refused(Failure("MOON_PHASE", F.UNSPECIFIED, "the provider refused it: Wait"))},
    ),
    SubmitCase(
        "unknown code with 403",
        [ONE],
        answer(403, problem("CONNECTION_SUSPENDED")),
        {ONE.id: Refused(Failure("http_403", F.ACCOUNT, "the provider answered HTTP 403"))},
        Misconfigured("http_403", "the provider answered HTTP 403"),
    ),
    SubmitCase(
        "wrong path",
        [ONE],
        answer(404, "<html>nothing here</html>"),
        {ONE.id: Refused(Failure("http_404", F.ACCOUNT, "the provider answered HTTP 404"))},
        Misconfigured("http_404", "the provider answered HTTP 404"),
    ),
    SubmitCase(
        "the field says whose fault it is",
        [ONE],
        answer(400, problem("VALIDATION_ERROR", param="sender")),
        {ONE.id: Refused(Failure("VALIDATION_ERROR", F.SENDER, "a field is invalid"))},
    ),
    SubmitCase(
        "duplicate",
        [ONE],
        answer(422, rejection("DUPLICATE_MESSAGE", original={"message": "msg_0000000000000001"})),
        {
            ONE.id: Refused(
                Failure(
                    "DUPLICATE_MESSAGE",
                    F.DUPLICATE,
                    CODES["DUPLICATE_MESSAGE"].reason + " (the first was msg_0000000000000001)",
                )
            )
        },
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.label for case in CASES])
def test_every_answer_has_its_outcome(case: SubmitCase) -> None:
    submission = adapter().read_submit(case.chunk, case.answer)
    assert submission.outcomes == case.expect
    assert submission.signal == case.signal


@pytest.mark.parametrize("code", CODES)
def test_both_shapes_of_a_refusal_mean_the_same_by_code(code: str) -> None:
    of_message, of_request = outcome_of(answer(422, rejection(code))), outcome_of(answer(400, problem(code)))
    assert of_message == of_request
    assert isinstance(of_message[0], Refused)
    assert of_message[0].failure.klass is CODES[code].klass


@pytest.mark.parametrize("code", ["UNAUTHORIZED", "IP_NOT_ALLOWED", "ACCOUNT_INACTIVE", "AUTH_RATE_LIMITED"])
def test_a_fault_of_the_account_stops_it_and_spares_the_message(code: str) -> None:
    outcome, signal = outcome_of(answer(401, problem(code), {"Retry-After": "300"}))
    assert isinstance(outcome, Refused)
    assert outcome.failure.klass is F.ACCOUNT
    assert signal == Misconfigured(code, CODES[code].reason, 300.0)


RESUMES: list[tuple[str, dict[str, object], dict[str, str], float]] = [
    ("a field of its own", {"resume_at": "2026-03-27T08:00:00+00:00"}, {}, 72_000),
    ("deep inside", {"window": {"start": "08:00", "details": [{"resumes": "2026-03-26T13:00:00Z"}]}}, {}, 3600),
    (
        "the resume wins over the window",
        {"window_start": "2026-03-26T12:30:00Z", "resume_at": "2026-03-26T14:00:00Z"},
        {},
        7200,
    ),
    ("the end of a window is no resume", {"window": {"end": "2026-03-26T20:00:00Z"}}, {}, 1234),
    ("in the sentence", {"message": "Sending resumes at 2026-03-26T12:10:00+00:00."}, {}, 600),
    ("a unix time", {"resumes_at": 1774530000}, {}, 3600),
    ("seconds", {"retry_after_seconds": 90}, {}, 90),
    ("the past is no resume", {"resume_at": "2026-03-26T08:00:00Z"}, {}, 1234),
    ("too far ahead", {"resume_at": "2036-03-26T08:00:00Z"}, {}, 1234),
    ("only a header", {}, {"Retry-After": "60"}, 60),
    ("nothing", {"resume_at": None, "window": [[["08:00"]]]}, {}, 1234),
]


@pytest.mark.parametrize(("label", "fields", "headers", "wait"), RESUMES, ids=[case[0] for case in RESUMES])
def test_out_of_hours_waits_until_the_window_opens(
    label: str, fields: dict[str, object], headers: dict[str, str], wait: float
) -> None:
    reply = answer(422, rejection("OUT_OF_HOURS", **fields), headers)
    outcome, signal = outcome_of(reply, adapter({"out_of_hours_delay": 1234}))
    assert isinstance(outcome, Refused)
    assert (outcome.failure.klass, outcome.new_ref, outcome.retry_after) == (F.DEFERRED, True, wait)
    assert signal is None


ALLOWANCES: list[tuple[dict[str, str], Allowance | None]] = [
    ({"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "9"}, Allowance(1000, 9)),
    (
        {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1774526430"},
        Allowance(1000, 0, 30.0),
    ),
    (
        {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1774526390"},
        Allowance(1000, 0, 0.0),
    ),
    ({"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "60"}, Allowance(1000, 5)),
    ({"X-RateLimit-Limit": "9", "X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "99999999999"}, Allowance(9, 5)),
    ({"X-RateLimit-Limit": "lots", "X-RateLimit-Remaining": "5"}, None),
    ({"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "-1"}, None),
    ({"X-RateLimit-Remaining": "5"}, None),
]


@pytest.mark.parametrize(("headers", "expected"), ALLOWANCES)
def test_rate_headers_are_read_and_garbage_is_left_alone(headers: dict[str, str], expected: Allowance | None) -> None:
    assert adapter().read_submit([ONE], answer(202, accepted(), headers)).allowance == expected
    assert adapter().read_signal(answer(202, accepted(), headers)) == (None, expected)


def test_the_request_id_is_kept_for_support() -> None:
    assert adapter().read_submit([ONE], answer(400, problem("BAD_REQUEST"))).request_id == "req_a1b2c3d4"


def test_an_unknown_code_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "drumline.providers"):
        for _ in range(3):
            outcome_of(answer(422, problem("SEEN_ONLY_HERE")))
    assert [record.getMessage().count("SEEN_ONLY_HERE") for record in caplog.records] == [1]


@pytest.mark.parametrize("status", [202, 400, 401, 409, 422, 500])
def test_no_secret_comes_back_in_what_we_say(status: int, caplog: pytest.LogCaptureFixture) -> None:
    echo = {"code": "sk_live_s3cr3t", "message": "key sk_live_s3cr3t is odd, as is 447700900001"}
    for body in ({"error": echo}, {"messages": [{"status": "REJECTED", "error": echo}]}):
        said = repr(adapter().read_submit([ONE], answer(status, body)).outcomes) + caplog.text
        assert not any(secret in said for secret in SECRETS)
        assert "447700900001" not in said


# --- unknown outcomes ------------------------------------------------------------------------------------------------


def test_an_unknown_outcome_is_replayed_for_a_day_and_absence_is_never_proven() -> None:
    policy = adapter().look_up_policy
    assert (policy.by, policy.proves_absence) == (LookUpBy.REPLAY, False)
    assert list(policy.after[:5]) == [1, 3, 7, 15, 31]
    assert list(policy.after) == sorted(set(policy.after))
    assert policy.after[-1] < policy.give_up_after < 86_400


async def test_nobody_is_asked_about_a_message() -> None:
    async def send(request: Request) -> Reply:
        raise AssertionError("nothing may be sent")

    assert isinstance((await adapter().look_up([Sought(ONE, NOW, 0)], send))[ONE.id], NoAnswer)


def test_there_is_nothing_to_pull() -> None:
    quicksms = adapter()
    assert not quicksms.pulls
    assert quicksms.first_pages(OpenWork(NOW)) == ()
    assert quicksms.following(Page(), answer(200, {})) is None
    with pytest.raises(ValueError, match="no reports to pull"):
        quicksms.page_request(Page())


def test_an_account_without_webhook_may_rightly_get_no_reports() -> None:
    assert adapter().no_report_note is not None
    assert adapter(webhook_url=HOOK).no_report_note is None


# --- webhooks --------------------------------------------------------------------------------------------------------

DLR: dict[str, object] = {
    "quicksms_id": ID,
    "customer_id": "cust_abc123",
    "channel": "SMS",
    "message_status": "DELIVERED",
    "status_code": 0,
    "message_parts": 1,
    "message_sent_time": "2026-03-26T12:00:01+00:00",
    "delivery_receipt_time": "2026-03-26T12:00:03+00:00",
    "read_receipt": None,
    "read_receipt_timestamp": None,
    "done_time": "2026-03-26T12:00:03+00:00",
    "metadata": {"order_id": "12345"},
}


def signature(body: bytes, stamp: str, secret: str = "s3cr3t-webhook") -> str:
    return "sha256=" + hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def push(
    body: bytes | None = None,
    age: float = 0,
    token: str | None = None,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> Push:
    raw = orjson.dumps(DLR) if body is None else body
    stamp = str(int((NOW - timedelta(seconds=age)).timestamp()))
    given = {"x-quicksms-timestamp": stamp, "x-quicksms-signature": signature(raw, stamp)}
    return Push(method, {**given, **(headers or {})}, {}, raw, token)


UNSIGNED = {"x-quicksms-signature": ""}
FORGERIES: list[tuple[str, Push]] = [
    ("unsigned", push(headers=UNSIGNED)),
    ("unsigned with the token", push(token="s3cr3t-token", headers=UNSIGNED)),
    ("wrong signature", push(headers={"x-quicksms-signature": "sha256=" + "0" * 64})),
    ("not ascii", push(headers={"x-quicksms-signature": "sha256=ü"})),
    (
        "no prefix",
        push(headers={"x-quicksms-signature": signature(orjson.dumps(DLR), "1774526400").removeprefix("sha256=")}),
    ),
    ("another body", push(headers={"x-quicksms-signature": signature(b"{}", "1774526400")})),
    ("another secret", push(headers={"x-quicksms-signature": signature(orjson.dumps(DLR), "1774526400", "guess")})),
    ("no timestamp", push(headers={"x-quicksms-timestamp": ""})),
    (
        "odd timestamp, rightly signed",
        push(headers={"x-quicksms-timestamp": "now", "x-quicksms-signature": signature(orjson.dumps(DLR), "now")}),
    ),
    ("too old", push(age=301)),
    ("from the future", push(age=-301)),
    ("empty body, unsigned", push(b"", headers=UNSIGNED)),
    ("GET", push(method="GET")),
    ("V1 receipt on a V2 account", push(b"reference=42&cid=1&status=3", token="s3cr3t-token", headers=UNSIGNED)),
    ("incoming message without token", push(b'{"ID":"1","MSISDN":"1","Message":"x","Number":"2"}', headers=UNSIGNED)),
]


@pytest.mark.parametrize(("label", "forged"), FORGERIES, ids=[case[0] for case in FORGERIES])
def test_what_is_not_provably_theirs_is_refused(label: str, forged: Push) -> None:
    quicksms = adapter(webhook_secret="s3cr3t-webhook", webhook_token="s3cr3t-token")
    verdict = quicksms.verify(forged, NOW)
    assert isinstance(verdict, Forged)
    assert not any(secret in verdict.reason for secret in SECRETS)


@pytest.mark.parametrize("age", [0, 299, 300, -300])
def test_a_signed_webhook_within_the_window_is_genuine(age: float) -> None:
    assert adapter(webhook_secret="s3cr3t-webhook").verify(push(age=age), NOW) == Genuine()


def test_the_raw_bytes_are_signed_not_their_meaning() -> None:
    spaced = b'{ "quicksms_id" : "msg_1",  "message_status": "DELIVERED", "x": "\xff" }'
    assert adapter(webhook_secret="s3cr3t-webhook").verify(push(spaced), NOW) == Genuine()


def test_the_window_can_be_widened_or_switched_off() -> None:
    def verdict(window: int) -> object:
        return adapter({"webhook_window": window}, webhook_secret="s3cr3t-webhook").verify(push(age=4000), NOW)

    assert verdict(7200) == verdict(0) == Genuine()
    assert isinstance(verdict(300), Forged)


@pytest.mark.parametrize(("token", "expected"), [("s3cr3t-token", Genuine), ("guess", Forged), (None, Forged)])
def test_without_a_secret_the_path_token_decides(token: str | None, expected: type) -> None:
    one = push(token=token, headers=UNSIGNED)
    assert isinstance(adapter(webhook_token="s3cr3t-token").verify(one, NOW), expected)
    assert isinstance(adapter().verify(one, NOW), Forged)


INBOUND = (
    b'{"MSISDN":"NotifyTest","Message":"Testing","Number":"44789100000",'
    b'"DateRecieved":"2024-01-28 11:54:32","ID":"MxJFwONIywR7yZysg7iAtDXQ"}'
)


def test_an_incoming_message_is_recognised_by_its_fields_and_answered_with_the_word_it_wants() -> None:
    quicksms = adapter(webhook_secret="s3cr3t-webhook", webhook_token="s3cr3t-token")
    verdict = quicksms.verify(push(INBOUND, token="s3cr3t-token", headers=UNSIGNED), NOW)
    assert verdict == Genuine(200, b"RECEIVED", "text/plain")
    (inbound,) = quicksms.parse_reports(Raw(INBOUND, kind="push")).inbound
    assert (inbound.inbound_id, inbound.msisdn, inbound.to) == ("MxJFwONIywR7yZysg7iAtDXQ", "NotifyTest", "44789100000")
    assert (inbound.text, inbound.received_at) == ("Testing", datetime(2024, 1, 28, 11, 54, 32, tzinfo=UTC))


def test_a_report_dressed_as_an_incoming_message_still_needs_its_signature() -> None:
    quicksms = adapter(webhook_secret="s3cr3t-webhook", webhook_token="s3cr3t-token")
    for body in (
        orjson.dumps({**DLR, "Message": "x", "Number": "2", "MSISDN": "1", "ID": "1"}),
        b"[" + INBOUND + b"," + orjson.dumps(DLR) + b"]",
    ):
        assert isinstance(quicksms.verify(push(body, token="s3cr3t-token", headers=UNSIGNED), NOW), Forged)


# --- reports ---------------------------------------------------------------------------------------------------------


def report(**changes: object) -> Report:
    (found,) = adapter().parse_reports(Raw(orjson.dumps({**DLR, **changes}), kind="push", received_at=NOW)).reports
    return found


def test_the_documented_webhook_is_read_whole() -> None:
    found = report()
    assert (found.provider_id, found.ref, found.state) == (ID, "cust_abc123", S.DELIVERED)
    assert (found.raw_status, found.failure, found.parts, found.channel) == ("DELIVERED/0", None, 1, "SMS")
    assert (found.at, found.read_at) == (datetime(2026, 3, 26, 12, 0, 3, tzinfo=UTC), None)


@pytest.mark.parametrize("status", DLR_STATES)
def test_every_delivery_status_has_its_state(status: str) -> None:
    found = report(message_status=status, status_code=27)
    assert found.state is DLR_STATES[status]
    assert (found.failure is None) == (status in ("PENDING", "DELIVERED"))


def test_an_unknown_status_is_kept_and_moves_nothing() -> None:
    assert (report(message_status="TELEPORTED").state, report(message_status=None).state) == (None, None)


@pytest.mark.parametrize("code", [code for code in GSM_CODES if code])
def test_a_gsm_code_explains_but_the_status_decides(code: int) -> None:
    assert report(message_status="UNDELIVERED", status_code=str(code)).failure == Failure(str(code), *GSM_CODES[code])
    assert report(message_status="DELIVERED", status_code=code).state is S.DELIVERED


@pytest.mark.parametrize("code", [None, 0, 4711, "x", [], {}])
def test_a_missing_or_unknown_gsm_code_is_no_evidence_against_the_number(code: object) -> None:
    failure = report(message_status="UNDELIVERED", status_code=code).failure
    assert failure is not None
    assert failure.klass is F.UNSPECIFIED


def test_a_read_receipt_is_read_and_is_another_report_than_the_delivery() -> None:
    read = report(read_receipt=True, read_receipt_timestamp="2026-03-26T12:05:00+00:00", channel="RCS")
    assert (read.state, read.read_at) == (S.DELIVERED, datetime(2026, 3, 26, 12, 5, tzinfo=UTC))
    assert read.dedupe != report().dedupe
    assert report(read_receipt=True, read_receipt_timestamp="?", done_time=None).read_at == NOW


def test_a_repeat_has_the_same_key_and_every_change_another() -> None:
    assert report().dedupe == report(message_parts=2).dedupe
    changes: list[dict[str, object]] = [
        {},
        {"message_status": "PENDING"},
        {"status_code": 27},
        {"done_time": "2026-03-26T12:00:04+00:00"},
        {"read_receipt": True},
        {"quicksms_id": "msg_2"},
    ]
    assert len({report(**change).dedupe for change in changes}) == len(changes)


def test_optional_fields_may_be_missing() -> None:
    body = orjson.dumps({"quicksms_id": ID, "message_status": "EXPIRED"})
    (found,) = adapter().parse_reports(Raw(body)).reports
    assert (found.state, found.at, found.parts, found.ref) == (S.EXPIRED, None, None, None)


def test_one_bad_item_never_costs_the_others() -> None:
    parsed = adapter().parse_reports(Raw(orjson.dumps([{"message_status": "DELIVERED"}, DLR, {"odd": 1}])))
    assert [found.provider_id for found in parsed.reports] == [ID]
    assert [where for where, _ in parsed.bad] == ["item 0", "item 2"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[1,2]", b"\xff\xfe", b'{"a":\xff}', b"null"])
def test_a_body_without_any_report_is_bad(body: bytes) -> None:
    with pytest.raises(BadBody):
        adapter().parse_reports(Raw(body))


# --- probe, settings -------------------------------------------------------------------------------------------------


def test_the_probe_reaches_the_health_page_and_never_risks_a_failed_login() -> None:
    request = adapter().probe_request()
    assert (request.method, request.url) == ("GET", "http://127.0.0.1:1/quicksms/v1/health")
    assert "Authorization" not in request.headers
    assert adapter().read_probe(answer(200, {"status": "healthy"})) == "reachable and healthy"


@pytest.mark.parametrize("reply", [answer(503, {"status": "degraded"}), answer(200, {"status": "odd"}), answer(404)])
def test_a_sick_health_page_is_told(reply: Reply) -> None:
    with pytest.raises(BadBody, match="health page"):
        adapter().read_probe(reply)


WRONG: list[tuple[dict[str, object], str]] = [
    ({"auth": "digest"}, "options.auth: found 'digest'"),
    ({"api": "v3"}, "options.api"),
    ({"smart_routing": "yes"}, "options.smart_routing"),
    ({"webhook_window": -1}, "options.webhook_window"),
    ({"out_of_hours_delay": 1}, "options.out_of_hours_delay"),
    ({"metadata": {"a": 1}}, "options.metadata"),
    ({"metadata": {str(i): "x" for i in range(11)}}, "options.metadata"),
    ({"time_zone": "Mars/Base"}, "options.time_zone"),
    ({"time_zone": "../etc"}, "options.time_zone"),
    ({"colour": "red"}, "options.colour"),
]


@pytest.mark.parametrize(("options", "said"), WRONG)
def test_a_wrong_option_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        adapter(options)


def test_missing_credentials_and_an_endless_webhook_url_are_named() -> None:
    with pytest.raises(ValueError, match=r"credentials\.api_key"):
        adapter(credentials={})
    with pytest.raises(ValueError, match="webhook_url"):
        adapter(webhook_url="https://x/" + "a" * 2048)


# --- recorded exchanges ----------------------------------------------------------------------------------------------

RECORDED: dict[str, Outcome] = {
    "accepted": Accepted(ID, parts=1),
    "held": Accepted(ID, S.HELD, held_until=datetime(2026, 3, 27, 8, tzinfo=UTC)),
    "content_blocked": Refused(
        Failure(
            "CONTENT_BLOCKED",
            F.CONTENT,
            "blocked by the provider's content filter: Message content was blocked by the content filter.",
        )
    ),
    "locked_out": Refused(
        Failure(
            "AUTH_RATE_LIMITED",
            F.ACCOUNT,
            "our address is locked out after failed logins: Too many failed authentication attempts.",
        ),
        300.0,
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_exchange_is_replayed(name: str) -> None:
    exchange = load(EXCHANGES / f"{name}.txt")
    quicksms = adapter({"metadata": {"order_id": "12345"}}, webhook_url=HOOK)
    request = quicksms.submit_request([ONE], "")
    assert (request.method, request.url) == (exchange.method, "http://127.0.0.1:1" + exchange.target)
    assert {name.lower(): value for name, value in request.headers.items()} == exchange.headers
    assert orjson.loads(request.body) == orjson.loads(exchange.body)
    assert quicksms.read_submit([ONE], exchange.reply).outcomes[ONE.id] == RECORDED[name]


# --- anything at all -------------------------------------------------------------------------------------------------

ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20) | st.just("x" * 5000),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
NAMES = [
    *("messages", "error", "code", "status", "quicksms_id", "customer_id", "message_parts", "scheduled_send_at"),
    *("message", "param", "request_id", "message_status", "status_code", "done_time", "read_receipt", "reference"),
    *("cid", "seentime", "substatus", "MSISDN", "Message", "Number", "ID"),
]
OBJECT = st.dictionaries(st.sampled_from(NAMES), ODD | st.sampled_from([*CODES, *DLR_STATES, "ACCEPTED", "HELD"]))
BODY = st.one_of(
    ODD,
    OBJECT,
    st.fixed_dictionaries({"messages": st.lists(OBJECT, max_size=2)}),
    st.fixed_dictionaries({"error": OBJECT}),
    st.lists(OBJECT, max_size=3),
)


def dumped(body: object) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS) if _fits(body) else b"{}"


def _fits(body: object) -> bool:
    try:
        orjson.dumps(body)
    except TypeError:
        return False
    return True


@budget(max_examples=300, deadline=None)
@given(body=BODY, status=st.sampled_from([200, 202, 301, 400, 401, 403, 409, 422, 429, 500, 503]))
def test_no_answer_makes_it_raise_or_lose_a_message(body: object, status: int) -> None:
    reply = Reply(status, {"retry-after": "x", "x-ratelimit-limit": "y"}, dumped(body))
    submission = adapter().read_submit([ONE], reply)
    assert set(submission.outcomes) == {ONE.id}
    adapter().read_signal(reply)


@budget(max_examples=300, deadline=None)
@given(body=BODY)
def test_no_webhook_makes_it_raise_anything_but_bad_body(body: object) -> None:
    raw = dumped(body)
    adapter(webhook_token="s3cr3t-token").verify(push(raw, token="s3cr3t-token"), NOW)
    try:
        parsed = adapter().parse_reports(Raw(raw))
    except BadBody:
        return
    assert all(found.dedupe and len(found.dedupe) < 400 for found in parsed.reports)


@budget(max_examples=150, deadline=None)
@given(body=st.binary(max_size=80), status=st.integers(100, 599))
def test_raw_bytes_never_raise(body: bytes, status: int) -> None:
    assert set(adapter().read_submit([ONE], Reply(status, {}, body)).outcomes) == {ONE.id}
    adapter(webhook_secret="s3cr3t-webhook").verify(push(body), NOW)
    try:
        adapter().parse_reports(Raw(body))
    except BadBody:
        return
