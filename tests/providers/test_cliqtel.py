"""Cliqtel: requests to the byte, errors by code before status, paging on a moving list, look-ups, signatures."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
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
    Found,
    Genuine,
    LookUpBy,
    Misconfigured,
    NoAnswer,
    NotThere,
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
    Sighting,
    Signal,
    Sought,
    Throttle,
    Unclear,
)
from providers.cliqtel import Cliqtel, Sender
from providers.cliqtel_answers import CODES
from providers.cliqtel_reports import STATES
from providers.cliqtel_signature import rewritten
from providers.wire import BadBody, NotSent, OutcomeUnknown, Reply, Request
from tests.support.cases import SECRETS, SubmitCase, answer, message, settings
from tests.support.exchanges import load

S, F = MessageState, FailureClass
NOW = datetime(2026, 4, 3, 10, 16, tzinfo=UTC)
SENT_AT = datetime(2026, 4, 3, 10, 15, 25, tzinfo=UTC)
KEY = {"api_key": "17|s3cr3t-cliqtel"}
HOOK = "https://drumline.example/v1/dlr/acc/t0ken"
EXCHANGES = Path(__file__).parent / "exchanges" / "cliqtel"
ONE = message("+31612345678", sender="+12025550123", text="Your order #1234 has shipped!")


def adapter(options: Mapping[str, object] | None = None, **changes: object) -> Cliqtel:
    given = {"credentials": KEY, "options": options or {}, **changes}
    return Cliqtel(settings("http://127.0.0.1:1/cliqtel/", **given), clock=lambda: NOW)


def one(**changes: object) -> Outgoing:
    return message("+31612345678", **{"sender": "+12025550123", "text": ONE.text, **changes})


def row(number: object = 42, **changes: object) -> dict[str, object]:
    return {
        "id": number,
        "from": "+12025550123",
        "to": "+31612345678",
        "body": ONE.text,
        "direction": "outbound",
        "status": "queued",
        "segments": 1,
        "cost": 0.008,
        "currency": "EUR",
        "carrier": "didfarm",
        "created_at": "2026-04-03T10:15:30+00:00",
        **changes,
    }


def problem(code: str, text: str = "") -> dict[str, object]:
    return {"error": {"code": code, "message": text}}


def outcome_of(reply: Reply) -> tuple[Outcome, Signal | None]:
    submission = adapter().read_submit([ONE], reply)
    return submission.outcomes[ONE.id], submission.signal


def sent(cliqtel: Cliqtel, outgoing: Outgoing = ONE) -> Any:
    return orjson.loads(cliqtel.submit_request([outgoing], "").body)


# --- the request -----------------------------------------------------------------------------------------------------


def test_the_sender_is_a_number_or_its_id_and_never_both() -> None:
    assert sent(adapter()) == {"from": "+12025550123", "to": "+31612345678", "body": ONE.text}
    assert sent(adapter({"from_number_id": 11})) == {"from_number_id": 11, "to": "+31612345678", "body": ONE.text}
    assert sent(adapter({"from_number_id": 11}), one(options={"from_number_id": "6"}))["from_number_id"] == 6


def test_a_sender_written_without_plus_gets_one() -> None:
    assert sent(adapter(), one(sender="12025550123"))["from"] == "+12025550123"


def test_the_same_message_gives_the_same_bytes() -> None:
    assert adapter().submit_request([ONE], "a") == adapter().submit_request([ONE], "b")


def test_several_messages_never_share_a_request() -> None:
    with pytest.raises(ValueError, match="too many values"):
        adapter().submit_request([ONE, ONE], "")


CHECKS: list[tuple[str, Outgoing, Mapping[str, object], tuple[str, FailureClass] | None]] = [
    ("plain", ONE, {}, None),
    ("no plus", message("31612345678", sender="+12025550123"), {}, ("validation_error", F.RECIPIENT)),
    ("leading zero", message("+0612345678", sender="+12025550123"), {}, ("validation_error", F.RECIPIENT)),
    ("sixteen digits", message("+" + "1" * 16, sender="+12025550123"), {}, ("validation_error", F.RECIPIENT)),
    ("no text", one(text=""), {}, ("validation_error", F.CONTENT)),
    ("longest", one(text="x" * 1600), {}, None),
    ("too long", one(text="x" * 1601), {}, ("validation_error", F.CONTENT)),
    ("emoji count twice", one(text="\N{GRINNING FACE}" * 801), {}, ("validation_error", F.CONTENT)),
    ("letters as sender", one(sender="MyStore"), {}, ("number_not_found", F.SENDER)),
    ("letters with a number id", one(sender="MyStore"), {"from_number_id": 11}, None),
    ("listed sender", ONE, {"senders": "+12025550106, 12025550123"}, None),
    ("unlisted sender", ONE, {"senders": "+12025550106"}, ("number_not_found", F.SENDER)),
    ("odd id", one(options={"from_number_id": "x"}), {}, ("validation_error", F.SENDER)),
    ("id zero", one(options={"from_number_id": "0"}), {}, ("validation_error", F.SENDER)),
]


@pytest.mark.parametrize(("label", "outgoing", "options", "expected"), CHECKS, ids=[case[0] for case in CHECKS])
def test_what_it_would_refuse_is_refused_before_the_wire(
    label: str, outgoing: Outgoing, options: Mapping[str, object], expected: tuple[str, FailureClass] | None
) -> None:
    failure = adapter(options).check(outgoing)
    assert (failure and (failure.code, failure.klass)) == expected


def test_what_it_changes_is_said_beforehand() -> None:
    assert not adapter().warnings(ONE)
    said = " ".join(adapter({"from_number_id": 11}).warnings(one(text=" Hi ", validity=60)))
    assert all(word in said for word in ("from_number_id", "validity", "blanks"))


# --- the answer ------------------------------------------------------------------------------------------------------


def taken(**changes: Any) -> Accepted:
    values: dict[str, Any] = {"group_id": "42", "parts": 1, "price": Decimal("0.008"), "currency": "EUR", **changes}
    return Accepted("42", **values)


def refusal(code: str, klass: FailureClass, text: str = "", **more: Any) -> Refused:
    return Refused(Failure(code, klass, CODES[code][1] + (f": {text}" if text else "")), **more)


CASES: list[SubmitCase] = [
    SubmitCase("accepted", [ONE], answer(201, {"data": row()}), {ONE.id: taken()}),
    SubmitCase("accepted with 200", [ONE], answer(200, {"data": row()}), {ONE.id: taken()}),
    SubmitCase("already sent", [ONE], answer(201, {"data": row(status="sent")}), {ONE.id: taken(state=S.SENT)}),
    SubmitCase(
        "already delivered",
        [ONE],
        answer(201, {"data": row(status="delivered")}),
        {ONE.id: taken(state=S.SENT, note="answered with status delivered")},
    ),
    SubmitCase(
        "already failed",
        [ONE],
        answer(201, {"data": row(status="failed")}),
        {ONE.id: taken(note="answered with status failed")},
    ),
    SubmitCase("id as text", [ONE], answer(201, {"data": row("42")}), {ONE.id: taken()}),
    SubmitCase(
        "only an id",
        [ONE],
        answer(201, {"data": {"id": 42, "status": "queued", "cost": "NaN", "segments": -1}}),
        {ONE.id: Accepted("42", group_id="42")},
    ),
    SubmitCase(
        "no id", [ONE], answer(201, {"data": row(None)}), {ONE.id: Unclear("HTTP 201 without a readable message")}
    ),
    SubmitCase(
        "id true", [ONE], answer(201, {"data": row(True)}), {ONE.id: Unclear("HTTP 201 without a readable message")}
    ),
    SubmitCase(
        "half an answer",
        [ONE],
        answer(201, b'{"data":{"id":4'),
        {ONE.id: Unclear("HTTP 201 without a readable message")},
    ),
    SubmitCase("redirect", [ONE], answer(302, "<html>"), {ONE.id: Unclear("HTTP 302 without a readable message")}),
    SubmitCase(
        "a carrier's refusal under 500",
        [ONE],
        answer(500, problem("send_failed", "Carrier rejected the message")),
        {ONE.id: refusal("send_failed", F.UNSPECIFIED, "Carrier rejected the message")},
    ),
    SubmitCase(
        "flat form", [ONE], answer(500, {"error": "send_failed"}), {ONE.id: refusal("send_failed", F.UNSPECIFIED)}
    ),
    SubmitCase(
        "breakdown",
        [ONE],
        answer(500, {"message": "Server Error"}),
        {ONE.id: Unclear("http_500")},
        ServerTrouble(500, "http_500"),
    ),
    SubmitCase(
        "breakdown with an unknown code",
        [ONE],
        answer(500, problem("boom")),
        {ONE.id: Unclear("http_500")},
        ServerTrouble(500, "http_500"),
    ),
    SubmitCase("gateway", [ONE], answer(504, "<html>"), {ONE.id: Unclear("http_504")}, ServerTrouble(504, "http_504")),
    SubmitCase(
        "unknown sender",
        [ONE],
        answer(422, problem("number_not_found")),
        {ONE.id: refusal("number_not_found", F.SENDER)},
    ),
    SubmitCase(
        "bad parameter",
        [ONE],
        answer(422, problem("validation_error", "Bad")),
        {ONE.id: refusal("validation_error", F.CONTENT, "Bad")},
    ),
    SubmitCase(
        "bad recipient, framework's form",
        [ONE],
        answer(422, {"message": "The to field is invalid.", "errors": {"to": ["invalid"]}}),
        {ONE.id: refusal("validation_error", F.RECIPIENT, "The to field is invalid.")},
    ),
    SubmitCase(
        "bad sender in details",
        [ONE],
        answer(422, {"error": {"code": "validation_error", "details": {"from_number_id": ["?"]}}}),
        {ONE.id: refusal("validation_error", F.SENDER)},
    ),
    SubmitCase(
        "throttled",
        [ONE],
        answer(429, problem("rate_limited"), {"Retry-After": "12"}),
        {ONE.id: refusal("rate_limited", F.THROTTLED, retry_after=12.0)},
        Throttle(12.0, "rate_limited"),
    ),
    SubmitCase(
        "throttled, framework's form",
        [ONE],
        answer(429, {"message": "Too Many Attempts."}, {"Retry-After": "12"}),
        {ONE.id: Refused(Failure("http_429", F.THROTTLED, "too many requests"), 12.0)},
        Throttle(12.0, "http_429"),
    ),
    SubmitCase(
        "login refused, framework's form",
        [ONE],
        answer(401, {"message": "Unauthenticated."}),
        {ONE.id: Refused(Failure("http_401", F.ACCOUNT, "the provider answered HTTP 401"))},
        Misconfigured("http_401", "the provider answered HTTP 401"),
    ),
    SubmitCase(
        "wrong address",
        [ONE],
        answer(404, problem("not_found")),
        {ONE.id: refusal("not_found", F.ACCOUNT)},
        Misconfigured("not_found", CODES["not_found"][1]),
    ),
    SubmitCase(
        "bare payment required",
        [ONE],
        answer(402),
        {ONE.id: Refused(Failure("http_402", F.ACCOUNT, "payment required"))},
        OutOfCredit("http_402", "payment required"),
    ),
    SubmitCase(
        "unknown code",
        [ONE],
        answer(422, problem("moon_phase", "Wait")),
        {ONE.id: Refused(Failure("moon_phase", F.UNSPECIFIED, "the provider refused it: Wait"))},
    ),
    SubmitCase("request timeout", [ONE], answer(408), {ONE.id: Unclear("http_408")}),
]


@pytest.mark.parametrize("case", CASES, ids=[case.label for case in CASES])
def test_every_answer_has_its_outcome(case: SubmitCase) -> None:
    submission = adapter().read_submit(case.chunk, case.answer)
    assert submission.outcomes == case.expect
    assert submission.signal == case.signal


@pytest.mark.parametrize("status", [200, 400, 402, 403, 409, 422, 500, 503])
@pytest.mark.parametrize("form", [problem("insufficient_balance"), {"error": "insufficient_balance"}])
def test_an_empty_wallet_is_recognised_whatever_the_status(status: int, form: object) -> None:
    reason = CODES["insufficient_balance"][1]
    assert outcome_of(answer(status, form)) == (
        refusal("insufficient_balance", F.ACCOUNT),
        OutOfCredit("insufficient_balance", reason),
    )


@pytest.mark.parametrize("code", ["unauthenticated", "insufficient_scope"])
@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_fault_of_the_account_stops_it_and_spares_the_message(code: str, status: int) -> None:
    assert outcome_of(answer(status, problem(code))) == (refusal(code, F.ACCOUNT), Misconfigured(code, CODES[code][1]))


ALLOWANCES: list[tuple[dict[str, str], Allowance | None]] = [
    ({"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0"}, Allowance(60, 0)),
    ({"X-RateLimit-Limit": "0", "X-RateLimit-Remaining": "0"}, None),
    ({"X-RateLimit-Limit": "60"}, None),
    ({"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "some"}, None),
]


@pytest.mark.parametrize(("headers", "expected"), ALLOWANCES)
def test_rate_headers_are_read_and_garbage_is_left_alone(headers: dict[str, str], expected: Allowance | None) -> None:
    assert adapter().read_submit([ONE], answer(201, {"data": row()}, headers)).allowance == expected
    assert adapter().read_signal(answer(200, {"data": []}, headers)) == (None, expected)


def test_a_look_up_that_finds_nothing_says_nothing_about_the_account() -> None:
    assert adapter().read_signal(answer(404, problem("not_found"))) == (None, None)
    assert isinstance(adapter().read_signal(answer(404, "<html>"))[0], Misconfigured)


@pytest.mark.parametrize("status", [201, 400, 401, 422, 500])
def test_no_secret_comes_back_in_what_we_say(status: int, caplog: pytest.LogCaptureFixture) -> None:
    for body in (problem("17|s3cr3t-cliqtel", "key 17|s3cr3t-cliqtel of +31612345678"), {"error": "17|s3cr3t-cliqtel"}):
        said = repr(adapter().read_submit([ONE], answer(status, body)).outcomes) + caplog.text
        assert not any(secret in said for secret in SECRETS)
        assert "31612345678" not in said


# --- reports: pulled -------------------------------------------------------------------------------------------------


def reports(*rows: object) -> Sequence[Report]:
    return adapter().parse_reports(Raw(orjson.dumps({"data": list(rows), "meta": {}}))).reports


@pytest.mark.parametrize("status", STATES)
def test_every_status_has_its_state(status: str) -> None:
    (found,) = reports(row(status=status))
    assert (found.state, found.provider_id, found.raw_status) == (STATES[status], "42", status)
    assert (found.failure is not None) == (status == "failed")


def test_an_unknown_status_is_kept_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "drumline.providers"):
        found = [reports(row(status="teleported_once"))[0] for _ in range(3)]
    assert {report.state for report in found} == {None}
    assert len(caplog.records) == 1


def test_a_repeat_has_the_same_key_pulled_or_pushed_and_every_status_another() -> None:
    pushed = adapter().parse_reports(Raw(WEBHOOK, kind="push")).reports[0]
    assert (
        pushed.dedupe == reports(row(status="delivered"))[0].dedupe == reports(row("42", status="delivered"))[0].dedupe
    )
    keys = {reports(row(status=status))[0].dedupe for status in STATES} | {reports(row(43))[0].dedupe}
    assert len(keys) == 5


def test_prices_are_exact_and_never_nonsense() -> None:
    costs: list[tuple[object, Decimal | None]] = [
        (0.008, Decimal("0.008")),
        ("0.0160", Decimal("0.0160")),
        (0, Decimal(0)),
        (-1, None),
        ("NaN", None),
        (True, None),
        ([], None),
        (None, None),
    ]
    assert [(cost, reports(row(cost=cost))[0].price) for cost, _ in costs] == costs


def test_one_bad_row_never_costs_the_others() -> None:
    parsed = adapter().parse_reports(Raw(orjson.dumps({"data": [None, row(1), row("x/y"), row(2), [], row(-3)]})))
    assert [found.provider_id for found in parsed.reports] == ["1", "2"]
    assert [where for where, _ in parsed.bad] == ["data[0]", "data[2]", "data[4]", "data[5]"]


def test_an_incoming_message_is_told_apart() -> None:
    parsed = adapter().parse_reports(Raw(orjson.dumps({"data": row(direction="inbound")})))
    assert (list(parsed.reports), parsed.inbound[0].inbound_id, parsed.inbound[0].msisdn) == ([], "42", "+12025550123")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"error":{"code":"x"}}', b'{"data":7}', b"\xff"])
def test_a_body_without_data_is_bad(body: bytes) -> None:
    with pytest.raises(BadBody):
        adapter().parse_reports(Raw(body))


def test_a_few_old_messages_are_asked_for_one_by_one() -> None:
    old = OpenWork(NOW - timedelta(hours=2), ["42", "43"], NOW)
    pages = adapter().first_pages(old)
    assert [adapter().page_request(page).url.rpartition("/cliqtel")[2] for page in pages] == [
        "/messages/42",
        "/messages/43",
    ]
    assert adapter().following(pages[0], answer(200, {"data": row()})) is None
    for listed in (
        OpenWork(NOW - timedelta(hours=2), [str(n) for n in range(11)], NOW),
        OpenWork(NOW - timedelta(minutes=5), ["42"], NOW),
        OpenWork(NOW - timedelta(hours=2), ["42"]),
        OpenWork(NOW - timedelta(hours=2), [], NOW),
    ):
        assert [page.number for page in adapter().first_pages(listed)] == [1]
        assert "since" in adapter().first_pages(listed)[0].query


@pytest.mark.parametrize(
    ("date", "since"),
    [
        ("Fri, 03 Apr 2026 08:16:00 GMT", "2026-04-03T08:14:00+00:00"),  # two hours behind
        ("Fri, 03 Apr 2026 10:15:10 GMT", "2026-04-03T10:14:00+00:00"),  # the overlap covers it
        ("Fri, 03 Apr 2026 12:16:00 GMT", "2026-04-03T10:14:00+00:00"),  # ahead: never later
        ("Thu, 01 Jan 1970 00:00:00 GMT", "2026-04-02T10:14:00+00:00"),  # no clock at all
        ("soon", "2026-04-03T10:14:00+00:00"),
    ],
)
def test_the_list_is_asked_for_by_the_clock_that_dates_its_rows(date: str, since: str) -> None:
    for learn in ("signal", "submit"):
        cliqtel, reply = adapter(), answer(200, {"data": []}, {"date": date})
        if learn == "signal":
            cliqtel.read_signal(reply)
        else:
            cliqtel.read_submit([ONE], reply)
        assert cliqtel.first_pages(OpenWork(NOW))[0].query["since"] == since


def test_the_page_size_follows_the_account_within_what_is_allowed() -> None:
    sizes = [adapter(poll_limit=n).first_pages(OpenWork(NOW))[0].query["per_page"] for n in (None, 25, 1000)]
    assert sizes == ["100", "25", "100"]


def walk(cliqtel: Cliqtel, page_of: Callable[[int], Reply], most: int = 200) -> list[int]:
    """The ids met while following pages; `page_of` answers a page number."""
    page: Page | None = cliqtel.first_pages(OpenWork(NOW))[0]
    met: list[int] = []
    for _ in range(most):
        assert page is not None
        reply = page_of(page.number)
        met += [int(found.provider_id or 0) for found in cliqtel.parse_reports(Raw(reply.body)).reports]
        page = cliqtel.following(page, reply)
        if page is None:
            return met
    raise AssertionError("never ends")


def listing(ids: Sequence[int], number: int, size: int) -> Reply:
    part = ids[(number - 1) * size : number * size]
    meta = {"total": len(ids), "page": number, "per_page": size, "total_pages": -(-len(ids) // size)}
    return answer(200, {"data": [row(one) for one in part], "meta": meta})


@budget(max_examples=200, deadline=None)
@given(
    count=st.integers(0, 40),
    newest_first=st.booleans(),
    size=st.integers(1, 7),
    moves=st.lists(st.integers(-6, 6), max_size=12),
)
def test_a_list_that_grows_or_shrinks_while_it_is_read_loses_no_old_row(
    count: int, newest_first: bool, size: int, moves: list[int]
) -> None:
    ids, fresh, left = list(range(1, count + 1)), iter(range(1000, 2000)), iter(moves)

    def page_of(number: int) -> Reply:
        shown = sorted(ids, reverse=newest_first)
        reply = listing(shown, number, size)
        move = next(left, 0)  # between two reads rows appear or vanish, never both: a total cannot show that
        ids.extend(next(fresh) for _ in range(move))
        del ids[: max(0, -move)]
        return reply

    met = walk(adapter(poll_limit=size), page_of)
    assert set(range(1, count + 1)) & set(ids) <= set(met)


@pytest.mark.parametrize("meta", [None, {}, {"total": "?", "total_pages": None}, [], 7])
def test_without_meta_a_short_page_is_the_last(meta: object) -> None:
    def page_of(number: int) -> Reply:
        return answer(200, {"data": [row(number)] * (3 if number < 4 else 1), "meta": meta})

    assert set(walk(adapter(poll_limit=3), page_of)) == {1, 2, 3, 4}


@pytest.mark.parametrize(
    "reply", [answer(429), answer(500), answer(200, "<html>"), answer(200, {"data": [], "meta": {"total_pages": 9}})]
)
def test_a_page_that_cannot_be_read_is_the_last(reply: Reply) -> None:
    assert adapter().following(Page({}, 2), reply) is None


# --- reports: pushed -------------------------------------------------------------------------------------------------

WEBHOOK = (
    b'{"event":"sms.status_updated","data":{"id":42,"from":"+12025550123","to":"+31612345678","direction":"outbound",'
    b'"status":"delivered","segments":1,"cost":0.008,"currency":"EUR","created_at":"2026-04-03T10:15:30+00:00",'
    b'"updated_at":"2026-04-03T10:15:33+00:00"},"timestamp":"2026-04-03T10:15:33+00:00"}'
)


def signature(body: bytes, key: str = "17|s3cr3t-cliqtel") -> str:
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def push(body: bytes, signed: str | None, method: str = "POST", token: str | None = None) -> Push:
    return Push(method, {} if signed is None else {"x-cliqtel-signature": signed}, {}, body, token)


def test_the_documented_webhook_is_read_whole() -> None:
    (found,) = adapter().parse_reports(Raw(WEBHOOK, kind="push")).reports
    assert (found.provider_id, found.state, found.msisdn) == ("42", S.DELIVERED, "+31612345678")
    assert (found.parts, found.price, found.currency) == (1, Decimal("0.008"), "EUR")
    assert found.at == datetime(2026, 4, 3, 10, 15, 33, tzinfo=UTC)


ODD_TEXT = {
    "event": "sms.status_updated",
    "data": {"id": 42, "to": "+31612345678", "status": "delivered", "u": 'https://x/\u00fc\N{GRINNING FACE}\n\t"\\'},
}
SIGNED_TEXTS: list[tuple[str, bytes, bytes]] = [
    ("raw", WEBHOOK, WEBHOOK),
    ("spaced body, compact signature", WEBHOOK.replace(b":", b" : ", 3).replace(b",", b",\n "), b""),
    ("raw number text", b'{"data": {"cost": 0.0080, "e": 8e-3}}', b'{"data":{"cost":0.0080,"e":8e-3}}'),
    ("key order", b'{"z": 1, "a": 2}', b'{"z":1,"a":2}'),
    (
        "escaped body, plain signature",
        json.dumps(ODD_TEXT).encode(),
        json.dumps(ODD_TEXT, ensure_ascii=False, separators=(",", ":")).encode(),
    ),
    (
        "plain body, PHP signature",
        json.dumps(ODD_TEXT, ensure_ascii=False).encode(),
        json.dumps(ODD_TEXT, separators=(",", ":")).replace("/", "\\/").encode(),
    ),
    (
        "PHP body, plain signature",
        json.dumps(ODD_TEXT).replace("/", "\\/").encode(),
        json.dumps(ODD_TEXT, ensure_ascii=False, separators=(",", ":")).encode(),
    ),
]


@pytest.mark.parametrize(("label", "body", "text"), SIGNED_TEXTS, ids=[case[0] for case in SIGNED_TEXTS])
@pytest.mark.parametrize("prefix", ["", "sha256="])
def test_the_raw_body_and_its_rewritings_may_be_signed(label: str, body: bytes, text: bytes, prefix: str) -> None:
    compact = text or body.replace(b" : ", b":").replace(b",\n ", b",")
    assert adapter().verify(push(body, prefix + signature(compact)), NOW) == Genuine()
    assert adapter().verify(push(body, signature(compact).upper()), NOW) == Genuine()


FORGERIES: list[tuple[str, Push]] = [
    ("unsigned", push(WEBHOOK, None)),
    ("unsigned with the token", push(WEBHOOK, None, token="s3cr3t-token")),
    ("empty", push(WEBHOOK, "")),
    ("only a prefix", push(WEBHOOK, "sha256=")),
    ("not ascii", push(WEBHOOK, "ü")),
    ("wrong key", push(WEBHOOK, signature(WEBHOOK, "guess"))),
    ("another status", push(WEBHOOK.replace(b"delivered", b"failed"), signature(WEBHOOK))),
    ("another number text", push(b'{"cost":8e-03}', signature(b'{"cost":0.008}'))),
    ("blanks within a text", push(b'{"a":"x y"}', signature(b'{"a":"xy"}'))),
    ("GET", push(WEBHOOK, signature(WEBHOOK), method="GET")),
    ("broken bytes", push(b'{"a":"\xff"}', signature(b"{}"))),
    ("unfinished text", push(b'{"a":"', signature(b"{}"))),
]


@pytest.mark.parametrize(("label", "forged"), FORGERIES, ids=[case[0] for case in FORGERIES])
def test_what_is_not_signed_is_refused(label: str, forged: Push) -> None:
    verdict = adapter(webhook_token="s3cr3t-token").verify(forged, NOW)
    assert isinstance(verdict, Forged)
    assert not any(secret in verdict.reason for secret in SECRETS)


def test_a_webhook_key_of_its_own_replaces_the_api_key() -> None:
    cliqtel = adapter(webhook_secret="s3cr3t-webhook")
    assert cliqtel.verify(push(WEBHOOK, signature(WEBHOOK, "s3cr3t-webhook")), NOW) == Genuine()
    assert isinstance(cliqtel.verify(push(WEBHOOK, signature(WEBHOOK)), NOW), Forged)


def test_age_counts_only_where_the_account_says_so() -> None:
    late = NOW + timedelta(hours=1)
    good = push(WEBHOOK, signature(WEBHOOK))
    assert adapter().verify(good, late) == Genuine()
    strict = adapter({"webhook_tolerance": 300})
    assert (strict.verify(good, NOW), type(strict.verify(good, late))) == (Genuine(), Forged)
    assert isinstance(strict.verify(push(b"{}", signature(b"{}")), NOW), Forged)


@pytest.mark.parametrize(("token", "expected"), [("s3cr3t-token", Genuine), ("guess", Forged), (None, Forged)])
def test_an_account_may_say_that_only_the_token_counts(token: str | None, expected: type) -> None:
    cliqtel = adapter({"webhook_auth": "token"}, webhook_token="s3cr3t-token")
    assert isinstance(cliqtel.verify(push(WEBHOOK, None, token=token), NOW), expected)
    assert isinstance(adapter({"webhook_auth": "token"}).verify(push(WEBHOOK, None, token=token), NOW), Forged)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=10,
    )
)
def test_rewriting_equals_serialising_anew(value: object) -> None:
    spaced = json.dumps(value, indent=2)
    for ascii_only in (False, True):
        assert rewritten(spaced, ascii_only, False) == json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))


# --- unknown outcomes ------------------------------------------------------------------------------------------------


class Line:
    """Answers every request with the next reply (the last one for ever) and remembers what was asked."""

    def __init__(self, *replies: Reply | Exception) -> None:
        self.replies = list(replies)
        self.asked: list[Request] = []

    async def send(self, request: Request) -> Reply:
        self.asked.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply


async def look(line: Line, *sought: Sought, options: Mapping[str, object] | None = None) -> Mapping[str, Sighting]:
    return await adapter(options).look_up(sought, line.send)


def seek(outgoing: Outgoing = ONE) -> Sought:
    return Sought(outgoing, SENT_AT, 0)


def listed(*rows: object, **headers: str) -> Reply:
    meta = {"total": len(rows), "page": 1, "per_page": 100, "total_pages": 1}
    return answer(200, {"data": list(rows), "meta": meta}, headers)


def test_absence_counts_after_three_looks_and_two_minutes() -> None:
    policy = adapter().look_up_policy
    assert (policy.by, policy.proves_absence, list(policy.after)) == (LookUpBy.QUERY, True, [8, 30, 120])
    assert adapter(timeout=60.0).look_up_policy.after[-1] == 150


async def test_a_message_that_arrived_is_found_with_its_state() -> None:
    found = (await look(Line(listed(row(status="sent"))), seek()))[ONE.id]
    assert isinstance(found, Found)
    assert [(c.provider_id, c.state, c.price) for c in found.candidates] == [("42", S.SENT, Decimal("0.008"))]


async def test_several_fitting_rows_come_oldest_first() -> None:
    rows = [row(44, created_at="2026-04-03T10:15:40+00:00"), row(43), row(42)]
    found = (await look(Line(listed(*rows)), seek()))[ONE.id]
    assert isinstance(found, Found)
    assert [candidate.provider_id for candidate in found.candidates] == ["42", "43", "44"]


OTHER_ROWS: list[tuple[str, dict[str, object]]] = [
    ("another recipient", {"to": "+31612345679"}),
    ("another sender", {"from": "+12025550106"}),
    ("incoming", {"direction": "inbound"}),
    ("long before", {"created_at": "2026-04-03T10:13:24+00:00"}),
    ("long after", {"created_at": "2026-04-03T10:17:56+00:00"}),
]


@pytest.mark.parametrize(("label", "change"), OTHER_ROWS, ids=[case[0] for case in OTHER_ROWS])
async def test_what_is_surely_another_message_is_not_there(label: str, change: dict[str, object]) -> None:
    assert (await look(Line(listed(row(**change))), seek()))[ONE.id] == NotThere()


@pytest.mark.parametrize("body", [ONE.text + " Reply STOP to opt out", "Your order has shipped!", "Hello"])
async def test_another_text_between_the_same_numbers_is_absence_only_where_its_id_is_another_messages(
    body: str,
) -> None:
    assert (await look(Line(listed(row(body=body))), seek()))[ONE.id] == NotThere(frozenset({"42"}))


async def test_where_every_candidate_is_another_messages_the_other_texts_still_count() -> None:
    rows = [row(42), row(43, body=ONE.text + " Reply STOP to opt out")]
    found = (await look(Line(listed(*rows)), seek()))[ONE.id]
    assert isinstance(found, Found)
    assert [candidate.provider_id for candidate in found.candidates] == ["42"]
    assert found.otherwise == NotThere(frozenset({"42", "43"}))
    found = (await look(Line(listed(row(42), row(43, body=None))), seek()))[ONE.id]
    assert isinstance(found, Found)
    assert isinstance(found.otherwise, NoAnswer)


SAME_ROWS: list[tuple[str, dict[str, object]]] = [
    ("trimmed", {"body": ONE.text + " \r\n"}),
    ("typographer's quotes", {"body": "\u201cYour order #1234 has shipped\u201d"}),
    ("no plus", {"to": "31612345678", "from": "12025550123"}),
    ("unknown time", {"created_at": "?"}),
    ("unknown status", {"status": "parked"}),
    ("earliest", {"created_at": "2026-04-03T10:13:25+00:00"}),
    ("latest", {"created_at": "2026-04-03T10:17:55+00:00"}),
]


@pytest.mark.parametrize(("label", "change"), SAME_ROWS, ids=[case[0] for case in SAME_ROWS])
async def test_what_may_well_be_ours_is_found(label: str, change: dict[str, object]) -> None:
    assert isinstance((await look(Line(listed(row(**change))), seek()))[ONE.id], Found)


DOUBTS: list[tuple[str, Reply | Exception]] = [
    ("row without text", listed(row(body=None))),
    ("row without recipient", listed(row(to=None))),
    ("row without id", listed(row(None))),
    ("row of another text without id", listed(row(None, body="Hello"))),
    ("no row at all", listed("?")),
    ("clocks differ", listed(Date="Fri, 03 Apr 2026 10:20:00 GMT")),
    ("page", answer(200, "<html>")),
    ("no list", answer(200, {"data": {}})),
    ("breakdown", answer(500)),
    ("not found", answer(404, problem("not_found"))),
    ("no line", NotSent("connect_failed")),
    ("no answer", OutcomeUnknown("read_timeout")),
]


@pytest.mark.parametrize(("label", "reply"), DOUBTS, ids=[case[0] for case in DOUBTS])
async def test_doubt_is_never_taken_for_absence(label: str, reply: Reply | Exception) -> None:
    assert isinstance((await look(Line(reply), seek()))[ONE.id], NoAnswer)


async def test_clocks_that_agree_let_absence_count() -> None:
    reply = listed(Date="Fri, 03 Apr 2026 10:16:30 GMT")
    assert (await look(Line(reply), seek()))[ONE.id] == NotThere()


async def test_identical_messages_get_the_same_candidates_from_one_question() -> None:
    line = Line(listed(row(42), row(43)))
    first, second = one(id="a", ref="a"), one(id="b", ref="b")
    sightings = await look(line, seek(first), seek(second))
    assert len(line.asked) == 1
    assert sightings["a"] == sightings["b"]


async def test_different_texts_between_the_same_numbers_are_told_apart() -> None:
    line = Line(listed(row(42), row(43, body="Second")))
    sightings = await look(line, seek(one(id="a")), seek(one(id="b", text="Second")), seek(one(id="c", text="Third")))
    assert [sightings[key].candidates[0].provider_id for key in "ab"] == ["42", "43"]  # type: ignore[union-attr]  # Found
    assert sightings["c"] == NotThere(frozenset({"42", "43"}))


async def test_after_a_throttle_nobody_else_is_asked() -> None:
    line = Line(answer(429, problem("rate_limited"), {"Retry-After": "9"}))
    other = message("+447700900002", id="b", sender="+12025550123")
    sightings = await look(line, seek(), seek(other))
    assert len(line.asked) == 1
    assert {type(sighting) for sighting in sightings.values()} == {NoAnswer}
    assert sightings[ONE.id].signal == Throttle(9.0, "rate_limited")  # type: ignore[union-attr]  # checked just above


async def test_all_pages_are_read_before_absence_is_said() -> None:
    meta = {"total": 101, "page": 1, "per_page": 100, "total_pages": 2}
    first = answer(200, {"data": [row(n, body="x") for n in range(1, 101)], "meta": meta})
    line = Line(first, answer(200, {"data": [row(500)], "meta": meta}))
    assert isinstance((await look(line, seek()))[ONE.id], Found)
    assert [request.url.rpartition("page=")[2] for request in line.asked] == ["1", "2"]


async def test_an_endless_list_is_no_answer() -> None:
    full = answer(200, {"data": [row(body="x")], "meta": {"total": 10**6, "total_pages": 10**6}})
    line = Line(full)
    assert isinstance((await look(line, seek()))[ONE.id], NoAnswer)
    assert len(line.asked) == 10


async def test_with_a_number_id_the_question_and_the_comparison_leave_the_sender_out() -> None:
    line = Line(listed(row(**{"from": "+12025550199"})))
    sightings = await look(line, seek(one(sender="MyStore")), options={"from_number_id": 11})
    assert isinstance(sightings[ONE.id], Found)
    assert "number_id=11" in line.asked[0].url
    assert "from=" not in line.asked[0].url


# --- senders, probe, settings ----------------------------------------------------------------------------------------


def test_the_probe_lists_the_senders() -> None:
    exchange = load(EXCHANGES / "numbers.txt")
    request = adapter().probe_request()
    assert (request.method, request.url) == ("GET", "http://127.0.0.1:1" + exchange.target)
    assert {name.lower(): value for name, value in request.headers.items()} == exchange.headers
    assert adapter().read_senders(exchange.reply) == [Sender(11, "+12025550123")]
    assert (
        adapter({"from_number_id": 11, "senders": "+12025550123"}).read_probe(exchange.reply)
        == "ok, senders +12025550123"
    )


@pytest.mark.parametrize(
    ("options", "said"), [({"from_number_id": 6}, "from_number_id 6"), ({"senders": "+12025550106"}, "senders: 1")]
)
def test_a_sender_the_account_does_not_have_is_told_by_the_probe(options: dict[str, object], said: str) -> None:
    with pytest.raises(BadBody, match=said):
        adapter(options).read_probe(load(EXCHANGES / "numbers.txt").reply)


@pytest.mark.parametrize(
    "reply", [answer(401, problem("unauthenticated")), answer(200, "<html>"), answer(200, {"data": []}), answer(500)]
)
def test_a_probe_that_fails_says_why(reply: Reply) -> None:
    with pytest.raises(BadBody, match=r"HTTP|no active"):
        adapter().read_probe(reply)


WRONG: list[tuple[dict[str, object], str]] = [
    ({"from_number_id": "11"}, r"options\.from_number_id"),
    ({"from_number_id": 0}, r"options\.from_number_id"),
    ({"webhook_auth": "none"}, r"options\.webhook_auth"),
    ({"webhook_tolerance": -1}, r"options\.webhook_tolerance"),
    ({"clock_skew": 1}, r"options\.clock_skew"),
    ({"senders": ["+12025550123"]}, r"options\.senders"),
    ({"colour": "red"}, r"options\.colour"),
]


@pytest.mark.parametrize(("options", "said"), WRONG)
def test_a_wrong_option_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        adapter(options)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ValueError, match=r"credentials\.api_key"):
        adapter(credentials={})


# --- recorded exchanges ----------------------------------------------------------------------------------------------

RECORDED: dict[str, Outcome] = {
    "accepted": taken(),
    "send_failed": refusal("send_failed", F.UNSPECIFIED, "Carrier rejected the message"),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_submit_is_replayed(name: str) -> None:
    exchange = load(EXCHANGES / f"{name}.txt")
    cliqtel = adapter(webhook_url=HOOK)
    request = cliqtel.submit_request([ONE], "")
    assert (request.method, request.url) == (exchange.method, "http://127.0.0.1:1" + exchange.target)
    assert {name.lower(): value for name, value in request.headers.items()} == exchange.headers
    assert orjson.loads(request.body) == orjson.loads(exchange.body)
    assert cliqtel.read_submit([ONE], exchange.reply).outcomes[ONE.id] == RECORDED[name]


async def test_the_recorded_poll_and_look_up_are_replayed() -> None:
    poll, asked = load(EXCHANGES / "list_page.txt"), load(EXCHANGES / "look_up.txt")
    (page,) = adapter().first_pages(OpenWork(datetime(2026, 4, 3, 10, 15, 30, 999, UTC)))
    assert adapter().page_request(page).url == "http://127.0.0.1:1" + poll.target
    states = [(found.provider_id, found.state) for found in adapter().parse_reports(Raw(poll.reply.body)).reports]
    assert states == [("43", S.UNDELIVERED), ("42", S.DELIVERED)]
    line = Line(asked.reply)
    assert isinstance((await look(line, seek()))[ONE.id], Found)
    assert [request.url for request in line.asked] == ["http://127.0.0.1:1" + asked.target]
    assert {name.lower(): value for name, value in line.asked[0].headers.items()} == asked.headers


# --- anything at all -------------------------------------------------------------------------------------------------

ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
NAMES = [*row(), "code", "message", "details", "errors", "error", "updated_at", "timestamp", "event"]
ROW = st.dictionaries(st.sampled_from(NAMES), ODD | st.sampled_from([*CODES, *STATES]))
BODY = st.one_of(
    ODD,
    st.fixed_dictionaries({"data": ROW}),
    st.fixed_dictionaries({"data": st.lists(ROW | ODD, max_size=3), "meta": ODD}),
    st.fixed_dictionaries({"error": ROW | ODD, "errors": ODD}),
)


@budget(max_examples=300, deadline=None)
@given(body=BODY, status=st.sampled_from([200, 201, 302, 400, 401, 402, 403, 404, 409, 422, 429, 500, 503]))
async def test_no_answer_makes_it_raise_or_lose_a_message(body: object, status: int) -> None:
    cliqtel, reply = adapter({"webhook_tolerance": 60}), Reply(status, {"date": "x"}, orjson.dumps(body))
    assert set(cliqtel.read_submit([ONE], reply).outcomes) == {ONE.id}
    cliqtel.read_signal(reply)
    cliqtel.following(Page({}, 2, 500), reply)
    cliqtel.verify(push(reply.body, signature(reply.body)), NOW)
    assert set(await cliqtel.look_up([seek()], Line(reply).send)) == {ONE.id}
    try:
        parsed = cliqtel.parse_reports(Raw(reply.body))
    except BadBody:
        return
    assert all(found.dedupe and len(found.dedupe) < 200 for found in parsed.reports)


@budget(max_examples=150, deadline=None)
@given(body=st.binary(max_size=80), status=st.integers(100, 599))
def test_raw_bytes_never_raise(body: bytes, status: int) -> None:
    cliqtel = adapter()
    assert set(cliqtel.read_submit([ONE], Reply(status, {}, body)).outcomes) == {ONE.id}
    assert isinstance(cliqtel.verify(push(body, "0" * 64), NOW), Forged)
    assert cliqtel.verify(push(body, signature(body)), NOW) == Genuine()
