"""Qikli after the submit: reports read once, pushes, look-ups, the probe, and every hostile body."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
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
from tests.providers.qikli_support import (
    EXCHANGES,
    NOW,
    ONE,
    THREE,
    TWO,
    F,
    S,
    adapter,
    envelope,
)
from tests.support.cases import answer, message
from tests.support.exchanges import load

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


@pytest.mark.parametrize("opening", [b'{"results":[', b' { "results" : [ ', b"["])
def test_what_stands_before_the_break_of_a_page_is_read_for_it_will_not_come_again(opening: bytes) -> None:
    whole = b",".join(orjson.dumps(row(ref)) for ref in ("ref-1", "ref-2", "ref-3"))
    page = adapter().parse_reports(Raw(opening + whole[:-20]))
    assert [report.provider_id for report in page.reports] == ["ref-1", "ref-2"]
    ((where, why),) = page.bad
    assert where == "body"
    assert re.fullmatch(r"truncated JSON after \d+ characters; 2 results before that were read", why)


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


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[{"messageId":"ref-1","status":{"groupId":1,"id":26}}',  # truncated
        b"<html><body>Welcome to the hotel network</body></html>",
        b"\xff\xfe\x00\x01",
        b"\x1f\x8b\x08",  # gzip nobody expanded
        b'{"messages":null}',
        b'{"messages":{"messageId":"ref-1"}}',
        b'{"messages":[null,[],7,"x"]}',
        b'{"messages":[{"messageId":"ref-1"}]}',
        b'{"messages":[{"messageId":"ref-1","status":null}]}',
        b'{"messages":[{"messageId":"ref-1","status":[]}]}',
        b'{"messages":[{"messageId":"ref-1","status":{}}]}',
        b'{"messages":[{"messageId":"ref-1","status":{"groupId":null,"id":null}}]}',
        b'{"messages":[{"messageId":"ref-1","status":{"groupId":99999999999999999999999,"id":26}}]}',
        b'{"messages":[{"messageId":"ref-1","status":{"groupId":true,"id":true}}]}',
        b'{"messages":[{"messageId":["ref-1"],"to":{},"status":{"groupId":1,"id":26}}]}',
        b'{"requestError":{"serviceException":{"messageId":"UNAUTHORIZED"}}}',  # a refusal, but with 200
        b'{"messages":[{"messageId":"ref-1","status":{"groupId":5,"groupId":1,"id":26}}]}',  # which of the two counts?
        b"[" * 2000,
    ],
)
def test_a_hostile_200_is_never_taken_for_an_answer(body: bytes) -> None:
    assert isinstance(adapter().read_submit([ONE], Reply(200, {}, body)).outcomes["1"], Unclear)
