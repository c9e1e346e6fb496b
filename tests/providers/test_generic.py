"""The generic provider: a fifth API, wholly from the accounts file."""

from __future__ import annotations

import hashlib
import hmac
import tomllib
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
    Genuine,
    LookUpBy,
    Misconfigured,
    OpenWork,
    Outcome,
    OutOfCredit,
    Page,
    Push,
    Raw,
    Refused,
    ServerTrouble,
    Signal,
    Throttle,
    Unclear,
)
from providers.generic import Generic
from providers.wire import BadBody, Reply
from tests.support.cases import SECRETS, answer, message, settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
F = FailureClass

ACME: dict[str, Any] = {
    "send": {
        "path": "/messages",
        "headers": {"Authorization": "Bearer {credential.token}", "X-Ref": "{ref}"},
        "body": {"to": "{digits}", "from": "{sender}", "body": {"text": "{text}"}, "tags": ["{option.tag}"], "n": 1},
    },
    "success": {"path": "state", "values": ["ok", "queued"], "id_path": "data.0.id"},
    "refusal_path": "error.code",
    "reason_path": "error.message",
    "refusals": {
        "BAD_NUMBER": "recipient", "NO_MONEY": "out_of_credit", "SLOW": "throttled", "KEY": "account",
        "SEEN": "duplicate", "http_451": "country",
    },
    "states": {"DELIVRD": "delivered", "FAIL": "undelivered", "LATER": "held", "GONE": "expired"},
    "report": {
        "list": "reports", "id": "id", "ref": "ref", "to": "to", "status": "status", "code": "err", "reason": "why",
        "at": "done", "parts": "n", "price": "cost", "currency": "cur",
    },
    "poll": {
        "method": "GET", "path": "/reports", "query": {"since": "{oldest}", "page": "{page}"}, "page_size": 2,
        "headers": {"Authorization": "Bearer {credential.token}"},
    },
    "webhook": {"header": "X-Acme-Secret"},
    "probe": {"method": "GET", "path": "/balance", "headers": {"Authorization": "Bearer {credential.token}"}},
}  # fmt: skip


def acme(changes: Mapping[str, object] | None = None, **more: object) -> Generic:
    given = {"credentials": {"token": "s3cr3t-token"}, "options": {**ACME, **(changes or {})}, **more}
    return Generic(settings("http://127.0.0.1:1/acme/", **given))


def sending(**call: object) -> Generic:
    return acme({"send": call})


MINE = message(id="1", ref="ref-1", options={"tag": "spring"})


def test_a_request_is_what_the_accounts_file_says() -> None:
    request = acme().submit_request([MINE], "BULK")
    assert (request.method, request.url) == ("POST", "http://127.0.0.1:1/acme/messages")
    assert request.headers == {
        "Content-Type": "application/json",
        "Authorization": "Bearer s3cr3t-token",
        "X-Ref": "ref-1",
    }
    assert orjson.loads(request.body) == {
        "to": "447700900001",
        "from": "MyStore",
        "body": {"text": "Hello"},
        "tags": ["spring"],
        "n": 1,
    }


NASTY = 'a"b\\c\n{ref} {credential.token} &to=1%20 <x> é €'


def test_a_text_can_break_out_of_no_body() -> None:
    nasty = message(text=NASTY)
    as_table = acme().submit_request([nasty], "B").body
    assert orjson.loads(as_table)["body"]["text"] == NASTY
    as_text = sending(body='{"t": "{text}", "to": "{to}"}').submit_request([nasty], "B").body
    assert orjson.loads(as_text) == {"t": NASTY, "to": "+447700900001"}
    for body in ("t={text}&to={to}", {"t": "{text}", "to": "{to}"}):
        form = sending(format="form", body=body).submit_request([nasty], "B")
        assert parse_qs(form.body.decode(), strict_parsing=True) == {"t": [NASTY], "to": ["+447700900001"]}
        assert form.headers["Content-Type"] == "application/x-www-form-urlencoded"
    xml = sending(format="xml", body="<t>{text}</t>").submit_request([nasty], "B").body.decode()
    assert xml.count("<") == 2
    assert "&lt;x&gt;" in xml


def test_a_value_can_break_out_of_no_url_and_no_header() -> None:
    sender = "A\r\nX-Evil: 1/../?x=é"
    generic = sending(path="/s/{sender}", query={"q": "{sender}"}, headers={"From": "{sender}"}, method="GET")
    request = generic.submit_request([message(sender=sender)], "B")
    assert request.headers["From"] == "A%0D%0AX-Evil: 1/../?x=%C3%A9"
    assert urlsplit(request.url).path == "/acme/s/A%0D%0AX-Evil%3A%201%2F..%2F%3Fx%3D%C3%A9"
    assert parse_qs(urlsplit(request.url).query) == {"q": [sender]}
    assert request.body == b""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"send": {"body": {"to": "{nubmer}"}}}, "options.send.body: found '{nubmer}', expected one of"),
        ({"send": {"body": '{"to": {to}}'}}, "options.send.body: found .*, expected JSON once filled in"),
        ({"send": {"body": 7}}, "options.send.body: found 7, expected a text or a table"),
        ({"send": {"method": "DELETE"}}, "options.send.method: found 'DELETE'"),
        ({"send": {"url": "x"}}, "options.send.url: found 'x'"),
        ({"success": {}}, "options.success.pattern: .*a status alone"),
        ({"success": {"pattern": "("}}, "options.success.pattern: .*regular expression"),
        ({"success": {"values": "ok"}}, "options.success.values: .*a list of texts"),
        ({"states": {"X": "arrived"}}, "options.states.X: found 'arrived'"),
        ({"refusals": {"X": "bad"}}, "options.refusals.X: found 'bad'"),
        ({"report": {"id": "id"}}, "options.report: .*a path for status"),
        ({"report": {"status": "s"}}, "options.report: .*one for id or ref"),
        ({"report": {"colour": "c"}}, "options.report.colour: found 'c'"),
        ({"sender_pattern": "["}, "options.sender_pattern"),
        ({"surprise": 1}, "options.surprise: found 1"),
        ({"poll": {"page_size": 0}}, "options.poll.page_size: found 0"),
    ],
)
def test_a_wrong_accounts_file_is_told_where_and_what_was_expected(options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        acme(options)


def test_a_credential_that_a_template_names_must_be_there() -> None:
    with pytest.raises(ValueError, match=r"credentials\.token: missing"):
        acme(credentials={})


def test_a_request_carries_one_message_and_the_cap_cannot_say_otherwise() -> None:
    assert acme(request_cap=1).max_recipients == 1
    with pytest.raises(ValueError, match="request_cap: found 2"):
        acme(request_cap=2)


CASES: list[tuple[str, Reply, Outcome, Signal | None]] = [
    ("accepted", answer(200, {"state": "ok", "data": [{"id": "m-1"}]}), Accepted("m-1"), None),
    ("accepted, number as id", answer(202, {"state": "queued", "data": [{"id": 17}]}), Accepted("17"), None),
    ("accepted without id", answer(200, {"state": "ok"}), Accepted(None), None),
    ("another word", answer(200, {"state": "hm", "data": [{"id": "m-1"}]}), Unclear("the answer proves nothing"), None),
    ("HTML", answer(200, "<html>"), Unclear("the answer proves nothing"), None),
    (
        "listed refusal",
        answer(422, {"error": {"code": "bad_number", "message": "no +447700900001, s3cr3t-token"}}),
        Refused(Failure("bad_number", F.RECIPIENT, "no ***001, ***")),
        None,
    ),
    (
        "listed refusal in a 200",
        answer(200, {"state": "ok", "error": {"code": "BAD_NUMBER"}}),
        Refused(Failure("BAD_NUMBER", F.RECIPIENT, "no reason given")),
        None,
    ),
    (
        "out of credit whatever the status",
        answer(500, {"error": {"code": "NO_MONEY", "message": "top up"}}),
        Refused(Failure("NO_MONEY", F.ACCOUNT, "top up")),
        OutOfCredit("NO_MONEY", "top up"),
    ),
    (
        "throttled by code",
        answer(400, {"error": {"code": "SLOW", "message": "wait"}}, {"Retry-After": "3"}),
        Refused(Failure("SLOW", F.THROTTLED, "wait"), 3.0),
        Throttle(3.0, "wait"),
    ),
    (
        "account",
        answer(400, {"error": {"code": "KEY", "message": "old key"}}),
        Refused(Failure("KEY", F.ACCOUNT, "old key")),
        Misconfigured("KEY", "old key"),
    ),
    (
        "seen before",
        answer(409, {"error": {"code": "SEEN"}}),
        Accepted(None, note="the provider has seen this message before"),
        None,
    ),
    ("by status", answer(451), Refused(Failure("http_451", F.COUNTRY, "no reason given")), None),
    ("unlisted conflict", answer(409), Unclear("http_409"), None),
    (
        "unlisted 400",
        answer(400, {"error": {"code": "NEW"}}),
        Refused(Failure("http_400", F.CONTENT, "the request was refused with HTTP 400")),
        None,
    ),
    ("503", answer(503), Unclear("http_503"), ServerTrouble(503, "HTTP 503")),
    ("redirect", answer(302), Unclear("http_302"), ServerTrouble(302, "HTTP 302")),
    ("408", answer(408), Unclear("http_408"), None),
]


@pytest.mark.parametrize(("reply", "outcome", "signal"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_an_answer_means(reply: Reply, outcome: Outcome, signal: Signal | None) -> None:
    submission = acme().read_submit([MINE], reply)
    assert submission.outcomes == {"1": outcome}
    assert submission.signal == signal


@pytest.mark.parametrize(
    ("success", "body", "outcome"),
    [
        ({"pattern": "^OK"}, "OK 123", Accepted(None)),
        ({"pattern": "^OK"}, "ERR 5", Unclear("the answer proves nothing")),
        ({"id_pattern": "^OK ([0-9]+)"}, "OK 123", Accepted("123")),
        ({"id_pattern": "[0-9]+"}, "sent 77", Accepted("77")),
        ({"id_pattern": "^OK ([0-9]+)"}, "ERR", Unclear("the answer proves nothing")),
        ({"id_path": "id"}, '{"id": ""}', Unclear("the answer proves nothing")),
        ({"path": "status", "values": ["200"]}, '{"status": 200}', Accepted(None)),
    ],
)
def test_success_is_what_the_file_says_and_nothing_else(
    success: dict[str, object], body: str, outcome: Outcome
) -> None:
    assert acme({"success": success}).read_submit([MINE], answer(200, body)).outcomes["1"] == outcome


def test_reports_are_read_by_their_paths() -> None:
    row = {
        "id": 5, "ref": "ref-1", "to": "+447700900001", "status": "delivrd", "done": "2026-03-01T12:00:00Z", "n": "2",
        "cost": "0.10", "cur": "EUR",
    }  # fmt: skip
    failed = {"id": 6, "status": "FAIL", "err": "BAD_NUMBER", "why": "gone"}
    page = acme().parse_reports(Raw(orjson.dumps({"reports": [row, failed, {"id": 7}, 3, {"id": 8, "status": "?"}]})))
    first, second, third = page.reports
    assert (first.provider_id, first.ref, first.msisdn, first.state) == (
        "5",
        "ref-1",
        "447700900001",
        MessageState.DELIVERED,
    )
    assert (first.at, first.parts, first.price, first.currency) == (NOW, 2, Decimal("0.10"), "EUR")
    assert (second.state, second.failure) == (MessageState.UNDELIVERED, Failure("BAD_NUMBER", F.RECIPIENT, "gone"))
    assert (third.state, third.raw_status) == (None, "?")
    assert [where for where, _ in page.bad] == ["row 2", "row 3"]
    assert len({report.dedupe for report in page.reports}) == 3


@pytest.mark.parametrize(
    "raw",
    [
        Raw(b'{"id": "5", "status": "DELIVRD"}', kind="push"),
        Raw(b"id=5&status=DELIVRD", "application/x-www-form-urlencoded", kind="push"),
        Raw(b"", query="id=5&status=DELIVRD", kind="push"),
    ],
)
def test_a_push_is_read_as_json_form_or_query(raw: Raw) -> None:
    generic = acme({"report": {"id": "id", "status": "status"}})
    (report,) = generic.parse_reports(raw).reports
    assert (report.provider_id, report.state) == ("5", MessageState.DELIVERED)


@pytest.mark.parametrize("raw", [Raw(b"<x>"), Raw(b""), Raw(b"{}", kind="push"), Raw(b"\xff")])
def test_what_holds_no_report_says_so(raw: Raw) -> None:
    with pytest.raises(BadBody):
        acme({"report": {"list": "x", "id": "id", "status": "status"}}).parse_reports(raw)


def test_polling_counts_pages_while_they_come_full() -> None:
    (page,) = acme().first_pages(OpenWork(NOW))
    query = parse_qs(urlsplit(acme().page_request(page).url).query)
    assert query == {"since": ["2026-03-01T12:00:00+00:00"], "page": ["1"]}
    full = answer(200, {"reports": [{}, {}]})
    assert acme().following(page, full) == Page(page.query, 2, 2)
    assert acme().following(page, answer(200, {"reports": [{}]})) is None
    assert acme().following(page, answer(500)) is None
    unnumbered = acme({"poll": {"method": "GET", "path": "/reports", "page_size": 1}})
    assert unnumbered.following(Page(), full) is None


def test_an_account_without_poll_and_webhook_neither_pulls_nor_pushes() -> None:
    bare = acme({"poll": {}, "webhook": {}, "report": {}})
    assert (bare.pulls, bare.pushes, bare.first_pages(OpenWork(NOW))) == (False, False, ())
    assert isinstance(bare.verify(Push("POST", {}, {}, b"", "t"), NOW), Forged)


SECRET = "s3cr3t-webhook"
SIGNED = hmac.new(SECRET.encode(), b"body", hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("changes", "given", "token", "genuine"),
    [
        ({}, SECRET, None, True),
        ({}, "wrong", None, False),
        ({}, "", None, False),
        ({"webhook_token": "t"}, SECRET, "t", True),
        ({"webhook_token": "t"}, SECRET, "x", False),
        ({"webhook_token": "t"}, "wrong", "t", False),
        ({"webhook_token": "t", "webhook_secret": None}, "", "t", True),
        ({"webhook_secret": None}, "", None, False),
    ],
)
def test_a_push_must_know_whatever_secret_is_set_up(
    changes: dict[str, Any], given: str, token: str | None, genuine: bool
) -> None:
    generic = acme(**{"webhook_secret": SECRET, **changes})
    verdict = generic.verify(Push("POST", {"x-acme-secret": given}, {}, b"body", token), NOW)
    assert isinstance(verdict, Genuine) is genuine


@pytest.mark.parametrize(("given", "genuine"), [("sha256=" + SIGNED, True), (SIGNED, True), ("sha256=00", False)])
def test_a_push_may_be_signed_over_its_body(given: str, genuine: bool) -> None:
    webhook = {"header": "X-Sign", "hmac": True, "prefix": "sha256="}
    generic = acme({"webhook": webhook}, webhook_secret=SECRET)
    verdict = generic.verify(Push("POST", {"x-sign": given}, {}, b"body"), NOW)
    assert isinstance(verdict, Genuine) is genuine


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"number": "4477"}, "to"),
        ({"text": ""}, "text"),
        ({"text": "x" * 1601}, "text"),
        ({"text": "\ud800"}, "text"),
        ({"sender": "no!"}, "sender"),
        ({}, None),
    ],
)
def test_limits_hold_before_the_wire(changes: dict[str, Any], code: str | None) -> None:
    failure = acme({"sender_pattern": "[A-Za-z]{3,11}"}).check(message(**changes))
    assert (failure.code if failure else None) == code


def test_an_api_with_idempotency_is_replayed_and_any_other_only_waited_for() -> None:
    assert acme().look_up_policy.by is LookUpBy.NONE
    assert acme({"idempotent": True}).look_up_policy.by is LookUpBy.REPLAY
    assert acme().submit_request([MINE], "B") == acme().submit_request([MINE], "B")


def test_the_probe_is_the_file_s_and_says_how_it_went() -> None:
    request = acme().probe_request()
    assert request is not None
    assert (request.method, request.url) == ("GET", "http://127.0.0.1:1/acme/balance")
    assert acme().read_probe(answer(200)) == "ok, HTTP 200"
    with pytest.raises(BadBody, match="HTTP 401"):
        acme().read_probe(answer(401))
    assert acme({"probe": {}}).probe_request() is None


@budget(max_examples=200, deadline=None)
@given(body=st.binary(max_size=80), status=st.integers(100, 599))
def test_no_answer_makes_it_raise(body: bytes, status: int) -> None:
    generic, reply = acme(), Reply(status, {}, body)
    assert set(generic.read_submit([MINE], reply).outcomes) == {"1"}
    generic.following(Page(), reply)
    generic.read_signal(reply)


@budget(max_examples=200, deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50))
def test_whatever_the_text_the_body_holds_exactly_it(text: str) -> None:
    generic = sending(body='{"t": "{text}"}')
    assert orjson.loads(generic.submit_request([message(text=text)], "B").body) == {"t": text}


def test_no_secret_shows_in_what_is_kept() -> None:
    reply = answer(400, {"error": {"code": "KEY", "message": "token s3cr3t-token is old"}})
    kept = repr((acme(), acme().read_submit([MINE], reply)))
    assert not any(secret in kept for secret in SECRETS)


def test_the_example_of_the_manual_is_an_account_that_works() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "providers" / "generic.md").read_text("utf-8")
    written = tomllib.loads(manual.split("```toml\n")[1].split("```")[0])["accounts"]["acme"]
    account = settings(written["base_url"], credentials={"token": "s3cr3t-token"}, options=written["options"])
    generic = Generic(account)
    assert orjson.loads(generic.submit_request([MINE], "B").body)["reference"] == "ref-1"
    accepted = answer(200, {"status": "queued", "data": [{"id": "m-1"}]})
    assert generic.read_submit([MINE], accepted).outcomes["1"] == Accepted("m-1")
