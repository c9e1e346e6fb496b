"""Qikli: exact requests out, exact outcomes in, and nothing it may answer makes the adapter raise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from models.states import MessageState
from providers.base import (
    Accepted,
    Failure,
    FailureClass,
    Forged,
    Found,
    Genuine,
    LookUpBy,
    Misconfigured,
    NoAnswer,
    NotThere,
    OpenWork,
    Outgoing,
    OutOfCredit,
    Page,
    Push,
    Raw,
    Refused,
    ServerTrouble,
    Sought,
    Throttle,
    Unclear,
)
from providers.qikli import Qikli
from providers.qikli_codes import ERRORS, GROUPS, STATUSES, failure_of, status_of
from providers.wire import BadBody, NotSent, OutcomeUnknown, Reply, Request
from tests.support.cases import SECRETS, SubmitCase, answer, message, settings
from tests.support.exchanges import load

LOGIN = {"username": "s3cr3t-user", "password": "s3cr3t-pass"}
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EXCHANGES = Path(__file__).parent / "exchanges" / "qikli"

ONE = message("+233205072987", id="1", ref="ref-1")
TWO = message("+447700900002", id="2", ref="ref-2", text="Hello Ama")
THREE = message("+233201133119", id="3", ref="ref-3")


def adapter(options: Mapping[str, object] | None = None, **changes: object) -> Qikli:
    given = {"credentials": LOGIN, "options": options or {}, **changes}
    return Qikli(settings("http://127.0.0.1:1/qikli/", **given))


def sent(qikli: Qikli, *chunk: Outgoing) -> Any:
    return orjson.loads(qikli.submit_request(chunk, "BULK-1").body)


def entry(ref: str, group: int, number: int, **more: object) -> dict[str, object]:
    return {"to": "233205072987", "messageId": ref, "status": {"groupId": group, "id": number, "name": "X"}, **more}


def answered(*entries: object) -> Reply:
    return answer(200, {"bulkId": "BULK-1", "messages": list(entries)})


def accepted(ref: str, state: MessageState = MessageState.SUBMITTED, **more: Any) -> Accepted:
    return Accepted(ref, state, "BULK-1", **more)


def envelope(code: str, said: str = "no", errors: object = None) -> dict[str, object]:
    exception: dict[str, object] = {"messageId": code, "text": said}
    return {"requestError": {"serviceException": {**exception, "validationErrors": errors} if errors else exception}}


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

F = FailureClass
S = MessageState


def refused(code: str, klass: FailureClass, reason: str, after: float | None = None) -> Refused:
    return Refused(Failure(code, klass, reason), after, new_ref=True)


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
            "2": refused("10", F.RECIPIENT, "REJECTED_DND: on the do-not-disturb register"),
        },
    ),
    SubmitCase(
        "duplicate messageId proves an earlier acceptance",
        [ONE],
        answered(entry("ref-1", 5, 23)),
        {"1": accepted("ref-1", note="this messageId was used before: an earlier attempt was accepted")},
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


# --- reports ---------------------------------------------------------------------------------------------------------


def row(ref: str = "ref-1", group: int = 3, number: int = 5, error: object = None, **more: object) -> dict[str, object]:
    status = {"groupId": group, "id": number, "name": "NAME"}
    return {"messageId": ref, "to": "233205072987", "status": status, "error": error, **more}


def parsed(*results: object) -> Any:
    return adapter().parse_reports(Raw(orjson.dumps({"results": list(results)})))


@pytest.mark.parametrize(
    ("group", "number", "state"),
    [
        (3, 2, S.SENT),  # the operator's group says delivered: it is not
        (3, 5, S.DELIVERED),
        (3, 999, S.DELIVERED),
        (1, 1, S.HELD),
        (1, 26, S.SUBMITTED),
        (1, 999, S.SENT),
        (0, 999, S.SUBMITTED),
        (2, 9, S.UNDELIVERED),
        (2, 999, S.UNDELIVERED),
        (4, 15, S.EXPIRED),
        (4, 87, S.REJECTED),
        (4, 999, S.EXPIRED),
        (5, 87, S.REJECTED),
        (5, 999, S.REJECTED),
        (5, 23, None),  # tells of a repeat, not of the message
        (7, 999, None),
        (5, 26, S.REJECTED),  # an id in a foreign group: the group is believed
    ],
)
def test_a_reported_status_leads_to(group: int, number: int, state: MessageState | None) -> None:
    assert parsed(row(group=group, number=number)).reports[0].state is state


def error(number: int, permanent: bool | None = None, group: int = 1) -> dict[str, object]:
    told = {} if permanent is None else {"permanent": permanent}
    return {"groupId": group, "id": number, "name": "X", "description": "why", **told}


@pytest.mark.parametrize(
    ("status", "reason", "code", "klass", "permanent"),
    [
        ((2, 9), error(27, False), "9/27", F.TEMPORARY, False),
        ((2, 9), error(1, True), "9/1", F.RECIPIENT, True),
        ((2, 9), error(1), "9/1", F.RECIPIENT, True),  # no flag sent: the table's
        ((2, 9), error(1, False), "9/1", F.TEMPORARY, False),  # the flag in the report wins
        ((2, 9), error(35, True), "9/35", F.RECIPIENT, True),
        ((2, 4), error(4097, True, 3), "4/4097", F.UNSPECIFIED, True),  # permanent, but not the number's fault
        ((2, 4), error(10, False, 3), "4/10", F.TEMPORARY, False),
        ((4, 15), error(4098, False, 3), "15/4098", F.TEMPORARY, False),
        ((2, 9), error(1031, False, 1), "9/1031", F.TEMPORARY, False),
        ((2, 4), error(4126, None, 3), "4/4126", F.SENDER, None),
        ((2, 4), error(4138, None, 3), "4/4138", F.DEFERRED, None),
        ((2, 9), error(60_000, True), "9/60000", F.RECIPIENT, True),
        ((2, 9), error(60_000, False), "9/60000", F.TEMPORARY, False),
        ((2, 9), error(60_000), "9/60000", F.UNSPECIFIED, None),
        ((2, 9), error(0), "9", F.UNSPECIFIED, None),
        ((2, 9), None, "9", F.UNSPECIFIED, None),
        ((5, 10), error(4097, False, 3), "10", F.RECIPIENT, False),  # a status with its own reason speaks for itself
        ((5, 999), error(2052, True, 2), "999/2052", F.RECIPIENT, True),
    ],
)
def test_why_it_failed(
    status: tuple[int, int], reason: object, code: str, klass: FailureClass, permanent: bool | None
) -> None:
    failure = parsed(row("ref-1", *status, reason)).reports[0].failure
    assert (failure.code, failure.klass, failure.permanent) == (code, klass, permanent)


def test_a_report_is_read_whole() -> None:
    exchange = load(EXCHANGES / "reports_page.txt")
    first, second = adapter().parse_reports(Raw(exchange.reply.body)).reports
    assert (first.provider_id, first.ref, first.msisdn) == ("ref-1", "ref-1", "233205072987")
    assert first.at == datetime(2019, 11, 9, 16, 0, 5, 120_000, UTC)
    assert (first.parts, first.price, first.currency, first.network) == (2, Decimal("0.02"), "EUR", "62001")
    assert (first.state, first.failure, first.group_id) == (S.DELIVERED, None, "BULK-1")
    assert (second.state, second.raw_status) == (S.UNDELIVERED, "UNDELIVERABLE_NOT_DELIVERED")
    assert second.failure == Failure("9/27", F.TEMPORARY, "EC_ABSENT_SUBSCRIBER: phone off / no coverage", False)


def test_a_repeat_has_the_same_key_and_every_change_another() -> None:
    at: Any = {"doneAt": "2019-11-09T16:00:05.120+0000"}
    rows = [row(**at), row(**at), row(group=3, number=2, **at), row(error=error(1), **at), row(), row("ref-2", **at)]
    keys = [report.dedupe for report in parsed(*rows).reports]
    assert keys[0] == keys[1] == "ref-1:5:None:2019-11-09T16:00:05.120+0000"
    assert len(set(keys)) == 5


def test_one_unreadable_row_never_costs_the_others() -> None:
    page = parsed(row("a"), "junk", {"messageId": "b"}, None, {"status": {}}, row("c"))
    assert [report.ref for report in page.reports] == ["a", "c"]
    assert [where for where, _ in page.bad] == ["results[1]", "results[2]", "results[3]", "results[4]"]


@pytest.mark.parametrize(
    "price",
    [None, {}, {"pricePerMessage": -1}, {"pricePerMessage": "NaN"}, {"pricePerMessage": True}, {"pricePerMessage": []}],
)
def test_an_unreadable_price_is_no_price(price: object) -> None:
    assert parsed(row(price=price, smsCount=1)).reports[0].price is None


def test_a_price_per_part_without_parts_is_no_price() -> None:
    assert parsed(row(price={"pricePerMessage": "0.05"})).reports[0].price is None


@pytest.mark.parametrize("body", [b"", b"{", b"<xml/>", b"[1,", b'"text"', b"{}", b"\xff\xfe", b'{"results": 3}'])
def test_a_page_nobody_can_read_says_so(body: bytes) -> None:
    with pytest.raises(BadBody):
        adapter().parse_reports(Raw(body))


@pytest.mark.parametrize("body", [[row()], row(), {"results": [row()]}])
def test_reports_are_read_from_every_wrapping(body: object) -> None:
    assert len(adapter().parse_reports(Raw(b"\xef\xbb\xbf" + orjson.dumps(body))).reports) == 1


def test_polling_asks_again_only_while_pages_come_full() -> None:
    qikli = adapter(poll_limit=2)
    (page,) = qikli.first_pages(OpenWork(NOW))
    full, short = answer(200, {"results": [row(), row()]}), answer(200, {"results": [row()]})
    assert qikli.following(page, full) == Page(number=2, seen=2)
    assert qikli.following(page, short) is None
    for odd in (answer(500), answer(200, "<html>"), answer(200, {"results": 7}), answer(429)):
        assert qikli.following(page, odd) is None


def test_a_read_once_page_is_waited_for_and_never_too_big() -> None:
    request = adapter(timeout=5.0).page_request(Page())
    assert request.timeout >= 60
    assert request.max_body >= 16_000_000


def test_an_account_that_is_pushed_to_may_stop_pulling() -> None:
    qikli = adapter({"pull": False}, webhook_url="https://us.example/x", webhook_token="s3cr3t-webhook")
    assert not qikli.pulls
    assert qikli.first_pages(OpenWork(NOW)) == ()


# --- push ------------------------------------------------------------------------------------------------------------


def push(token: str | None, method: str = "POST") -> Push:
    return Push(method, {}, {}, b'{"results":[]}', token)


@pytest.mark.parametrize("token", [None, "", "wrong", "s3cr3t-webhoo", "s3cr3t-webhook ", "\ud800"])
def test_a_push_without_the_token_is_forged(token: str | None) -> None:
    verdict = adapter(webhook_token="s3cr3t-webhook").verify(push(token), NOW)
    assert isinstance(verdict, Forged)
    assert "s3cr3t" not in verdict.reason


def test_a_push_with_the_token_is_genuine() -> None:
    assert adapter(webhook_token="s3cr3t-webhook").verify(push("s3cr3t-webhook"), NOW) == Genuine()


def test_without_a_token_set_up_nothing_is_genuine() -> None:
    assert isinstance(adapter().verify(push(""), NOW), Forged)
    assert isinstance(adapter().verify(push("x"), NOW), Forged)


def test_reports_are_only_ever_posted() -> None:
    assert isinstance(adapter(webhook_token="t").verify(push("t", "GET"), NOW), Forged)


# --- unknown outcomes ------------------------------------------------------------------------------------------------


def sought(*messages: Outgoing) -> list[Sought]:
    return [Sought(m, NOW, 0, "BULK-1") for m in messages]


async def look(qikli: Qikli, reply: Reply | Exception, *messages: Outgoing) -> tuple[Mapping[str, Any], list[Request]]:
    asked: list[Request] = []

    async def send(request: Request) -> Reply:
        asked.append(request)
        if isinstance(reply, Exception):
            raise reply
        return reply

    return await qikli.look_up(sought(*messages), send), asked


def test_logs_are_evidence_and_without_them_only_reports_tell() -> None:
    assert adapter({"include_logs": True}).look_up_policy.by is LookUpBy.EVIDENCE
    assert adapter().look_up_policy.by is LookUpBy.NONE
    assert not adapter({"include_logs": True}).look_up_policy.proves_absence


async def test_a_log_row_in_any_state_proves_acceptance() -> None:
    exchange = load(EXCHANGES / "logs_look_up.txt")
    sightings, _ = await look(adapter(), exchange.reply, ONE, TWO)
    found = sightings["1"]
    assert isinstance(found, Found)
    assert [(r.ref, r.state, r.network) for r in found.candidates] == [("ref-1", S.SENT, "62001")]
    assert sightings["2"] == NotThere()


@pytest.mark.parametrize("status", [(5, 23), (9, 999)])
async def test_even_a_row_without_a_state_of_ours_proves_acceptance(status: tuple[int, int]) -> None:
    sightings, _ = await look(adapter(), answer(200, {"results": [row("ref-1", *status)]}), ONE)
    assert sightings["1"].candidates[0].state is S.SUBMITTED


async def test_several_rows_come_oldest_first() -> None:
    times = ["2019-11-09T16:00:05.000+0000", "2019-11-09T16:00:01.000+0000"]
    page = {"results": [row("ref-1", doneAt=at) for at in times] + [row("ref-1")]}
    sightings, _ = await look(adapter(), answer(200, page), ONE)
    assert [r.at and r.at.second for r in sightings["1"].candidates] == [1, 5, None]


async def test_many_are_asked_for_fifty_at_a_time() -> None:
    many = [message(id=str(i), ref=f"0198c0de-0000-7000-8000-{i:012}") for i in range(120)]
    sightings, asked = await look(adapter(), answer(200, {"results": []}), *many)
    assert len(sightings) == 120
    assert [len(parse_qs(urlsplit(r.url).query)["messageId"][0].split(",")) for r in asked] == [50, 50, 20]
    assert max(len(r.url) for r in asked) < 2300


@pytest.mark.parametrize(
    ("reply", "signal"),
    [
        (answer(404), None),
        (answer(403, envelope("FORBIDDEN")), None),
        (answer(401, envelope("UNAUTHORIZED")), Misconfigured("UNAUTHORIZED", "no")),
        (answer(429, headers={"Retry-After": "5"}), Throttle(5.0, "http_429")),
        (answer(503), ServerTrouble(503, "HTTP 503")),
        (answer(200, "<html>"), None),
        (NotSent("refused"), None),
        (OutcomeUnknown("read_timeout"), None),
    ],
)
async def test_a_failed_look_up_says_nothing_about_the_message(reply: Reply | Exception, signal: object) -> None:
    sightings, _ = await look(adapter(), reply, ONE, TWO)
    for sighting in sightings.values():
        assert isinstance(sighting, NoAnswer)
        assert sighting.signal == signal


# --- probe -----------------------------------------------------------------------------------------------------------


def test_the_probe_can_consume_no_report() -> None:
    first, second = adapter().probe_request(), adapter().probe_request()
    assert first is not None
    assert second is not None
    query = parse_qs(urlsplit(first.url).query)
    assert query["limit"] == ["1"]
    assert query["messageId"][0].startswith("probe-")
    assert first.url != second.url
    assert adapter().read_probe(answer(200, {"results": []})) == "ok, login accepted"


def test_a_probe_that_did_consume_one_admits_it() -> None:
    assert "consumed" in adapter().read_probe(answer(200, {"results": [row()]}))


@pytest.mark.parametrize("reply", [answer(401, envelope("UNAUTHORIZED")), answer(200, "<html>"), answer(500)])
def test_a_failed_probe_says_what_is_wrong(reply: Reply) -> None:
    with pytest.raises(BadBody):
        adapter().read_probe(reply)


# --- recorded exchanges ----------------------------------------------------------------------------------------------

RECORDED: dict[str, tuple[list[Outgoing], dict[str, type]]] = {
    "two_texts_mixed_answer": ([ONE, TWO, THREE], {"1": Accepted, "2": Refused, "3": Accepted}),
    "login_refused": ([ONE], {"1": Refused}),
    "too_many_requests": ([ONE], {"1": Refused}),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_submit_is_replayed(name: str) -> None:
    chunk, expected = RECORDED[name]
    exchange = load(EXCHANGES / f"{name}.txt")
    qikli = adapter({"tracking": {"type": "MY_CAMPAIGN"}})
    request = qikli.submit_request(chunk, "BULK-1")
    assert (request.method, request.url) == (exchange.method, "http://127.0.0.1:1" + exchange.target)
    assert {k.lower(): v for k, v in request.headers.items()} == exchange.headers
    assert orjson.loads(request.body) == orjson.loads(exchange.body)
    outcomes = qikli.read_submit(chunk, exchange.reply).outcomes
    assert {key: type(outcome) for key, outcome in outcomes.items()} == expected


async def test_the_recorded_poll_and_look_up_are_replayed() -> None:
    poll, logs = load(EXCHANGES / "reports_page.txt"), load(EXCHANGES / "logs_look_up.txt")
    assert adapter().page_request(Page()).url == "http://127.0.0.1:1" + poll.target
    _, asked = await look(adapter(), logs.reply, ONE, TWO)
    assert [request.url for request in asked] == ["http://127.0.0.1:1" + logs.target]


# --- tables ----------------------------------------------------------------------------------------------------------


def test_every_listed_id_has_a_state_and_every_failure_a_class() -> None:
    for number, status in STATUSES.items():
        assert status_of({"groupId": status.groups[0], "id": number}) is status
        assert (status.state is not None) or status.klass is F.DUPLICATE
        is_failure = status.state in (S.UNDELIVERED, S.REJECTED, S.EXPIRED, None)
        assert (status.klass is not None) == is_failure, number
    assert sorted(GROUPS) == [0, 1, 2, 3, 4, 5]


def test_the_tables_are_complete() -> None:
    assert sorted(STATUSES) == [*range(27), 29, 31, 51, 52, 87, 100]
    assert {*range(1024, 1032), *range(1152, 1167), *range(1281, 1285)} <= set(ERRORS)
    assert {*range(1536, 1542), *range(1792, 1797)} <= set(ERRORS)
    assert {*range(4106, 4159)} - {4145, 4152} <= set(ERRORS)  # the register has no 4145 and no 4152
    assert len(ERRORS) == 1 + 38 + 2 + 34 + 34 + 38 + 51
    assert all(e.permanent is not None for number, e in ERRORS.items() if not 4106 <= number <= 4158)


@pytest.mark.parametrize("odd", [None, {}, [], "x", {"id": "five"}, {"id": True}, {"id": 10**30, "groupId": -1}])
def test_an_odd_status_object_never_raises(odd: object) -> None:
    assert status_of(odd).state is None
    assert failure_of(odd, odd) is not None


# --- hostile bodies --------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["to", "messageId", "status", "error", "smsCount", "price", "doneAt", "sentAt", "bulkId", "mccMnc"]
ODD_STATUS = st.fixed_dictionaries({}, optional={"groupId": JSON, "id": JSON, "name": JSON, "description": JSON})
ODD_ROW = st.fixed_dictionaries(
    {"messageId": st.sampled_from(["ref-1", "ref-2", "x"]) | JSON, "status": ODD_STATUS | JSON},
    optional={"error": ODD_STATUS | JSON, **{name: JSON for name in FIELDS if name not in ("messageId", "status")}},
)
ODD_BODY = JSON | st.fixed_dictionaries(
    {}, optional={"messages": st.lists(ODD_ROW, max_size=4) | JSON, "results": st.lists(ODD_ROW, max_size=4) | JSON,
                  "bulkId": JSON, "requestError": st.fixed_dictionaries({}, optional={"serviceException": JSON}),
                  "errorCode": JSON, "violations": JSON},
)  # fmt: skip


def dumped(body: object) -> bytes:
    return json.dumps(body).encode("utf-8", "surrogatepass")


@budget(max_examples=300, deadline=None)
@given(body=ODD_BODY, status=st.sampled_from([200, 202, 302, 400, 401, 404, 408, 422, 429, 500, 503]))
def test_no_answer_makes_it_raise_and_no_message_is_left_out(body: object, status: int) -> None:
    qikli, reply = adapter(), Reply(status, {}, dumped(body))
    assert set(qikli.read_submit([ONE, TWO], reply).outcomes) == {"1", "2"}
    qikli.read_signal(reply)
    qikli.following(Page(), reply)


@budget(max_examples=300, deadline=None)
@given(body=ODD_BODY)
def test_no_page_makes_it_raise_anything_but_bad_body(body: object) -> None:
    try:
        page = adapter().parse_reports(Raw(dumped(body)))
    except BadBody:
        return
    assert all(report.dedupe for report in page.reports)


@budget(max_examples=100, deadline=None)
@given(body=st.binary(max_size=60), status=st.integers(100, 599))
def test_raw_bytes_never_raise(body: bytes, status: int) -> None:
    submission = adapter().read_submit([ONE], Reply(status, {}, body))
    assert set(submission.outcomes) == {"1"}


def test_a_refusal_without_json_is_told_by_its_status_alone() -> None:
    outcome = adapter().read_submit([ONE], answer(400, b"\xff\xfe\x00")).outcomes["1"]
    assert outcome == Refused(Failure("http_400", F.CONTENT, "the request was refused with HTTP 400"))
