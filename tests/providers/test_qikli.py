"""Qikli: exact requests out, exact outcomes in, and nothing it may answer makes the adapter raise."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from providers.base import (
    Accepted,
    Failure,
    FailureClass,
    Misconfigured,
    OutOfCredit,
    Page,
    Refused,
    ServerTrouble,
    Throttle,
    Unclear,
)
from providers.qikli import Qikli
from tests.providers.qikli_support import (
    LOGIN,
    ONE,
    THREE,
    TWO,
    F,
    S,
    accepted,
    adapter,
    answered,
    entry,
    envelope,
    sent,
)
from tests.support.cases import SECRETS, SubmitCase, answer, message, settings

# --- requests --------------------------------------------------------------------------------------------------------


def test_the_manual_s_own_sample_is_what_goes_over_the_wire() -> None:
    qikli = adapter({"tracking": {"track": "SMS", "type": "MY_CAMPAIGN"}})
    request = qikli.submit_request([ONE], "BULK-ID-123-xyz")
    assert (request.method, request.url) == ("POST", "http://127.0.0.1:1/qikli/sms/2/text/advanced")
    assert request.headers["Authorization"] == "Basic czNjcjN0LXVzZXI6czNjcjN0LXBhc3M="
    assert orjson.loads(request.body) == {
        "bulkId": "BULK-ID-123-xyz",
        "messages": [
            {"from": "MyStore", "text": "Hello", "destinations": [{"to": "233205072987", "messageId": "ref-1"}]}
        ],
        "tracking": {"track": "SMS", "type": "MY_CAMPAIGN"},
    }


def test_the_authorization_header_is_the_one_the_manual_prints() -> None:
    qikli = adapter(credentials={"username": "Aladdin", "password": "open sesame"})
    assert qikli.submit_request([ONE], "b").headers["Authorization"] == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


def test_identical_texts_share_one_element_in_the_order_they_came() -> None:
    body = sent(adapter(), ONE, TWO, THREE)
    assert [(m["text"], [d["messageId"] for d in m["destinations"]]) for m in body["messages"]] == [
        ("Hello", ["ref-1", "ref-3"]),
        ("Hello Ama", ["ref-2"]),
    ]


def test_the_same_text_from_another_sender_is_another_element() -> None:
    body = sent(adapter(), ONE, message(id="2", ref="ref-2", sender="Other"))
    assert [m["from"] for m in body["messages"]] == ["MyStore", "Other"]


def test_the_same_chunk_gives_the_same_bytes() -> None:
    chunk = [ONE, TWO, THREE]
    assert adapter().submit_request(chunk, "B").body == adapter().submit_request(chunk, "B").body


def test_content_type_and_accept_are_on_every_request() -> None:
    qikli, probe = adapter(), adapter().probe_request()
    assert probe is not None
    for request in (qikli.submit_request([ONE], "B"), qikli.page_request(Page()), probe):
        assert request.headers["Content-Type"] == request.headers["Accept"] == "application/json"


def test_ids_longer_than_the_platform_keeps_are_cut_by_us_first() -> None:
    body = orjson.loads(adapter().submit_request([message(ref="r" * 201)], "b" * 101).body)
    assert body["bulkId"] == "b" * 100
    assert body["messages"][0]["destinations"][0]["messageId"] == "r" * 200


@pytest.mark.parametrize(
    ("seconds", "minutes"), [(1, 1), (60, 1), (61, 2), (3600, 60), (172_800, 2880), (172_801, 2880), (10**9, 2880)]
)
def test_validity_is_rounded_up_to_minutes_and_never_over_48_hours(seconds: int, minutes: int) -> None:
    assert sent(adapter(), message(validity=seconds))["messages"][0]["validityPeriod"] == minutes


def test_no_validity_means_the_account_s_default_or_none() -> None:
    assert "validityPeriod" not in sent(adapter(), ONE)["messages"][0]
    assert sent(adapter({"validity": 30}), ONE)["messages"][0]["validityPeriod"] == 30
    assert sent(adapter({"validity": 30}), message(validity=60))["messages"][0]["validityPeriod"] == 1


def test_a_webhook_url_asks_for_pushed_reports() -> None:
    body = sent(adapter(webhook_url="https://us.example/v1/dlr/acc/token", webhook_token="token"), ONE)
    assert {key: body["messages"][0][key] for key in ("notifyUrl", "notifyContentType", "intermediateReport")} == {
        "notifyUrl": "https://us.example/v1/dlr/acc/token",
        "notifyContentType": "application/json",
        "intermediateReport": True,
    }
    assert "notifyUrl" not in sent(adapter(), ONE)["messages"][0]


def test_campaign_options_win_over_account_options() -> None:
    qikli = adapter({"entity_id": "E1", "language": "TR", "transliteration": "TURKISH"})
    mine = message(options={"entity_id": "E2", "template_id": "T2", "transliteration": "ALL"})
    element = sent(qikli, mine)["messages"][0]
    assert element["regional"] == {"indiaDlt": {"principalEntityId": "E2", "contentTemplateId": "T2"}}
    assert (element["language"], element["transliteration"]) == ({"languageCode": "TR"}, "ALL")


def test_a_full_request_of_the_longest_texts_stays_under_six_megabytes() -> None:
    qikli = adapter(request_cap=1000)
    chunk = [message(id=str(i), ref=f"ref-{i}", text=f"{i:04}" + "x" * 3996) for i in range(qikli.max_recipients)]
    assert len(qikli.submit_request(chunk, "B").body) < 6_000_000


@pytest.mark.parametrize("base", ["http://h/qikli", "http://h/qikli/", "http://h/qikli//"])
def test_the_base_url_keeps_its_path_prefix(base: str) -> None:
    qikli = Qikli(settings(base, credentials=LOGIN))
    assert qikli.submit_request([ONE], "B").url == "http://h/qikli/sms/2/text/advanced"


# --- account settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"credentials": {"username": "u"}}, "credentials.password: missing"),
        ({"credentials": {"username": "a:b", "password": "s3cr3t-pass"}}, "credentials.username: holds a colon"),
        ({"credentials": {"username": "u", "password": "s3cr3t-pass\n"}}, "credentials.password: holds control"),
        ({"options": {"trackng": {}}}, "options.trackng: found"),
        ({"options": {"tracking": {"kind": "x"}}}, "options.tracking.kind: found"),
        ({"options": {"tracking": "SMS"}}, "options.tracking: found 'SMS', expected a table"),
        ({"options": {"validity": 2881}}, "options.validity: found 2881, expected a whole number from 0 to 2880"),
        ({"options": {"validity": True}}, "options.validity: found True"),
        ({"options": {"include_logs": "yes"}}, "options.include_logs: found 'yes', expected true or false"),
        ({"options": {"language": "EN"}}, "options.language: found 'EN', expected one of TR"),
        ({"options": {"pull": False}}, "options.pull: found false"),
        ({"request_cap": 1001}, "request_cap: found 1001, expected a whole number from 1 to 1000"),
        ({"request_cap": -1}, "request_cap: found -1"),
        ({"poll_limit": 2000}, "poll_limit: found 2000"),
    ],
)
def test_wrong_settings_are_named_with_what_was_expected(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("(", r"\(")) as caught:
        adapter(**changes)
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_defaults_are_200_recipients_and_pages_of_500() -> None:
    assert adapter().max_recipients == 200
    assert adapter(request_cap=50).max_recipients == 50
    assert "limit=500" in adapter().page_request(Page()).url
    assert "limit=100" in adapter(poll_limit=100).page_request(Page()).url


# --- checks before the wire ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"number": "447700900001"}, "to"),
        ({"number": "+4477009"}, None),
        ({"number": "+44770"}, "to"),
        ({"number": "+123456789012345"}, None),
        ({"number": "+1234567890123456"}, "to"),
        ({"number": "+0447700900001"}, "to"),
        ({"number": "+44770090000१"}, "to"),
        ({"sender": "ABCDEFGHIJK"}, None),
        ({"sender": "SAMPLESENDER"}, "from"),
        ({"sender": "AB"}, "from"),
        ({"sender": "12"}, "from"),
        ({"sender": "123"}, None),
        ({"sender": "12345678901234"}, None),
        ({"sender": "+447700900123"}, None),
        ({"sender": "123456789012345"}, "from"),
        ({"sender": "My Store"}, None),
        ({"sender": "Störe"}, "from"),
        ({"sender": ""}, None),
        ({"text": ""}, "text"),
        ({"text": "bad \ud800"}, "text"),
        ({"segments": 25}, None),
        ({"segments": 26}, "25"),
        ({"text": "x" * 4000}, None),
        ({"text": "x" * 4001}, "25"),
        ({"text": "€" * 1334}, "25"),
        ({"ref": "r" * 200}, None),
        ({"ref": "r" * 201}, "messageId"),
        ({"ref": ""}, "messageId"),
        ({"options": {"transliteration": "KLINGON"}}, "transliteration"),
        ({"options": {"language": "EN"}}, "language"),
        ({"options": {"template_id": "T"}}, "entity_id"),
        ({"options": {"template_id": "T", "entity_id": "E", "tags": "other"}}, None),
    ],
)
def test_what_qikli_would_refuse_is_refused_before_the_wire(changes: dict[str, Any], code: str | None) -> None:
    failure = adapter().check(message(**changes))
    assert (failure.code if failure else None) == code


def test_the_sender_length_can_be_raised_for_accounts_that_may() -> None:
    assert adapter({"sender_length": 12}).check(message(sender="SAMPLESENDER")) is None


def test_a_validity_over_48_hours_is_warned_of() -> None:
    assert adapter().warnings(message(validity=172_800)) == ()
    assert "48 hours" in adapter().warnings(message(validity=172_801))[0]


# --- answers to a submit ---------------------------------------------------------------------------------------------


def refused(
    code: str, klass: FailureClass, reason: str, after: float | None = None, *, opt_out: bool = False
) -> Refused:
    return Refused(Failure(code, klass, reason, opt_out=opt_out), after, new_ref=True)


CASES = [
    SubmitCase("accepted, id 26", [ONE], answered(entry("ref-1", 1, 26)), {"1": accepted("ref-1")}),
    SubmitCase("accepted, classic id 0", [ONE], answered(entry("ref-1", 0, 0)), {"1": accepted("ref-1")}),
    SubmitCase("enroute says accepted", [ONE], answered(entry("ref-1", 1, 7)), {"1": accepted("ref-1")}),
    SubmitCase("unlisted pending id", [ONE], answered(entry("ref-1", 1, 999)), {"1": accepted("ref-1")}),
    SubmitCase("held", [ONE], answered(entry("ref-1", 1, 1)), {"1": accepted("ref-1", S.HELD)}),
    SubmitCase("operator has it", [ONE], answered(entry("ref-1", 1, 3)), {"1": accepted("ref-1", S.SENT)}),
    SubmitCase("delivered already", [ONE], answered(entry("ref-1", 3, 5)), {"1": accepted("ref-1", S.SENT)}),
    SubmitCase("parts told", [ONE], answered(entry("ref-1", 1, 26, smsCount=3)), {"1": accepted("ref-1", parts=3)}),
    SubmitCase(
        "partial refusal",
        [ONE, TWO],
        answered(entry("ref-2", 5, 10), entry("ref-1", 1, 26)),
        {
            "1": accepted("ref-1"),
            "2": refused("10", F.RECIPIENT, "REJECTED_DND: on the do-not-disturb register", opt_out=True),
        },
    ),
    SubmitCase(
        "duplicate messageId proves an earlier acceptance",
        [ONE],
        answered(entry("ref-1", 5, 23)),
        {"1": Accepted("ref-1", note="this messageId was used before: an earlier attempt was accepted")},
    ),
    SubmitCase(
        "no credit",
        [ONE, TWO],
        answered(entry("ref-1", 1, 26), entry("ref-2", 5, 12)),
        {"1": accepted("ref-1"), "2": refused("12", F.ACCOUNT, "REJECTED_NOT_ENOUGH_CREDITS: no credit left")},
        OutOfCredit("12", "REJECTED_NOT_ENOUGH_CREDITS: no credit left"),
    ),
    SubmitCase(
        "package expired",
        [ONE],
        answered(entry("ref-1", 5, 17)),
        {"1": refused("17", F.ACCOUNT, "REJECTED_PREPAID_PACKAGE_EXPIRED: account package expired")},
        OutOfCredit("17", "REJECTED_PREPAID_PACKAGE_EXPIRED: account package expired"),
    ),
    SubmitCase(
        "flooding filter",
        [ONE],
        answered(entry("ref-1", 5, 20)),
        {"1": refused("20", F.DEFERRED, "REJECTED_FLOODING_FILTER: too many messages to this number", 3600.0)},
    ),
    SubmitCase(
        "unlisted rejection",
        [ONE],
        answered({"messageId": "ref-1", "status": {"groupId": 5, "id": 777, "description": "Nope +447700900001"}}),
        {"1": refused("777", F.UNSPECIFIED, "REJECTED: Nope ***001")},
    ),
    SubmitCase(
        "no messageId in the answer: by number",
        [ONE, TWO],
        answer(200, {"messages": [{"to": "+44 7700 900002", "status": {"groupId": 1, "id": 26}}, entry("x", 1, 26)]}),
        {"1": Accepted("x"), "2": Accepted(None)},
    ),
    SubmitCase(
        "two messages to one number without ids are not guessed",
        [ONE, message("+233205072987", id="2", ref="ref-2")],
        answered({"to": "233205072987", "status": {"groupId": 1, "id": 26}}),
        {"1": Unclear("not in the answer"), "2": Unclear("not in the answer")},
    ),
    SubmitCase(
        "a destination missing from the answer",
        [ONE, TWO],
        answered(entry("ref-1", 1, 26)),
        {"1": accepted("ref-1"), "2": Unclear("not in the answer")},
    ),
    SubmitCase(
        "contradiction",
        [ONE],
        answered(entry("ref-1", 1, 26), entry("ref-1", 5, 10)),
        {"1": Unclear("the answer contradicts itself")},
    ),
    SubmitCase("expired at once", [ONE], answered(entry("ref-1", 4, 15)), {"1": Unclear("status 4/15 in the answer")}),
    SubmitCase("unknown group", [ONE], answered(entry("ref-1", 9, 26)), {"1": Unclear("status 9/26 in the answer")}),
    SubmitCase(
        "no entries",
        [ONE],
        answer(200, {"bulkId": "x"}),
        {"1": Unclear("the answer holds no message statuses")},
        ServerTrouble(200, "the answer holds no message statuses"),
    ),
    SubmitCase(
        "HTML with 200",
        [ONE],
        answer(200, "<html>hi</html>"),
        {"1": Unclear("the answer holds no message statuses")},
        ServerTrouble(200, "the answer holds no message statuses"),
    ),
    SubmitCase(
        "classic 401",
        [ONE],
        answer(401, envelope("UNAUTHORIZED", "Invalid login details")),
        {"1": Refused(Failure("UNAUTHORIZED", F.ACCOUNT, "Invalid login details"))},
        Misconfigured("UNAUTHORIZED", "Invalid login details"),
    ),
    SubmitCase(
        "403 whatever its envelope says",
        [ONE],
        answer(403, envelope("BAD_REQUEST")),
        {"1": Refused(Failure("BAD_REQUEST", F.ACCOUNT, "no"))},
        Misconfigured("BAD_REQUEST", "no"),
    ),
    SubmitCase(
        "a missing Content-Type is nobody's message's fault",
        [ONE],
        answer(400, envelope("GENERAL_ERROR", "General error")),
        {"1": Refused(Failure("GENERAL_ERROR", F.ACCOUNT, "General error"))},
        Misconfigured("GENERAL_ERROR", "General error"),
    ),
    SubmitCase(
        "400 for the whole request",
        [ONE, TWO],
        answer(400, envelope("BAD_REQUEST", "Bad Request", {"bulkId": ["too odd"]})),
        {key: Refused(Failure("BAD_REQUEST", F.CONTENT, "Bad Request: bulkId: too odd")) for key in "12"},
    ),
    SubmitCase(
        "400 that blames one destination spares the others",
        [ONE, TWO, THREE],
        answer(400, envelope("BAD_REQUEST", "Bad Request", {"messages[0].destinations[1].to": ["malformed"]})),
        {
            "1": Refused(Failure("http_400", F.TEMPORARY, "refused together with another message of its request")),
            "2": Refused(Failure("http_400", F.TEMPORARY, "refused together with another message of its request")),
            "3": Refused(Failure("BAD_REQUEST", F.CONTENT, "Bad Request: messages[0].destinations[1].to: malformed")),
        },
    ),
    SubmitCase(
        "newer envelope with violations",
        [ONE, TWO],
        answer(
            400,
            {
                "errorCode": "E400",
                "description": "Invalid",
                "violations": [{"property": "messages[1].from", "violation": "too long"}],
            },
        ),
        {
            "1": Refused(Failure("http_400", F.TEMPORARY, "refused together with another message of its request")),
            "2": Refused(Failure("E400", F.CONTENT, "Invalid: messages[1].from: too long")),
        },
    ),
    SubmitCase(
        "429, newer envelope",
        [ONE],
        answer(429, {"errorCode": "E429", "description": "slow"}, {"Retry-After": "7"}),
        {"1": Refused(Failure("E429", F.THROTTLED, "slow"), 7.0)},
        Throttle(7.0, "slow"),
    ),
    SubmitCase(
        "429 from a proxy, with a date",
        [ONE],
        answer(
            429,
            "<html/>",
            {"Retry-After": "Sun, 01 Mar 2026 12:01:30 GMT", "Date": "Sun, 01 Mar 2026 12:00:00 GMT"},
        ),
        {"1": Refused(Failure("http_429", F.THROTTLED, "too many requests"), 90.0)},
        Throttle(90.0, "http_429"),
    ),
    SubmitCase(
        "XML 401",
        [ONE],
        answer(401, "<requestError/>"),
        {"1": Refused(Failure("http_401", F.ACCOUNT, "the provider answered HTTP 401"))},
        Misconfigured("http_401", "the provider answered HTTP 401"),
    ),
    SubmitCase(
        "empty 413",
        [ONE],
        answer(413),
        {"1": Refused(Failure("http_413", F.CONTENT, "the request was refused with HTTP 413"))},
    ),
    SubmitCase("408 says nothing", [ONE], answer(408, envelope("TIMEOUT")), {"1": Unclear("http_408")}),
    SubmitCase(
        "500 GENERAL_ERROR may have been accepted",
        [ONE],
        answer(500, envelope("GENERAL_ERROR", "General error")),
        {"1": Unclear("http_500")},
        ServerTrouble(500, "General error"),
    ),
    SubmitCase("502", [ONE], answer(502, "<html/>"), {"1": Unclear("http_502")}, ServerTrouble(502, "HTTP 502")),
    SubmitCase("302", [ONE], answer(302), {"1": Unclear("http_302")}, ServerTrouble(302, "HTTP 302")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_an_answer_means(case: SubmitCase) -> None:
    submission = adapter().read_submit(case.chunk, case.answer)
    assert dict(submission.outcomes) == dict(case.expect)
    assert submission.signal == case.signal


@pytest.mark.parametrize("number", [16, 21, 100])
def test_a_refusal_that_may_pass_is_tried_again_under_a_new_reference(number: int) -> None:
    outcome = adapter().read_submit([ONE], answered(entry("ref-1", 5, number))).outcomes["1"]
    assert isinstance(outcome, Refused)
    assert (outcome.failure.klass, outcome.new_ref) == (F.TEMPORARY, True)


@pytest.mark.parametrize(
    ("number", "klass"), [(6, F.COUNTRY), (18, F.COUNTRY), (19, F.COUNTRY), (11, F.SENDER), (13, F.SENDER)]
)
def test_what_the_account_may_not_send_leaves_the_account_running(number: int, klass: FailureClass) -> None:
    submission = adapter().read_submit([ONE], answered(entry("ref-1", 5, number)))
    outcome = submission.outcomes["1"]
    assert isinstance(outcome, Refused)
    assert (outcome.failure.klass, submission.signal) == (klass, None)
