"""The legacy API of QuickSMS: what is sent, what its error numbers mean, its receipts as JSON and as forms."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

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
    Outcome,
    OutOfCredit,
    Push,
    Raw,
    Refused,
    Report,
    ServerTrouble,
    Signal,
    Unclear,
)
from providers.quicksms import QuickSms
from providers.quicksms_codes import V1_ERRORS, V1_STATES, V1_SUBSTATUS
from providers.wire import BadBody, Reply
from tests.support.cases import SECRETS, answer, message, settings
from tests.support.exchanges import load

S, F = MessageState, FailureClass
NOW = datetime(2026, 3, 26, 12, 0, tzinfo=UTC)
LOGIN = {"username": "s3cr3t-user", "password": "s3cr3t-pass"}
HOOK = "https://drumline.example/v1/dlr/acc/t0ken"
EXCHANGES = Path(__file__).parent / "exchanges" / "quicksms"
ONE = message()
RECEIVED = Genuine(200, b"RECEIVED", "text/plain")


def adapter(options: Mapping[str, object] | None = None, **changes: object) -> QuickSms:
    given = {"credentials": LOGIN, "options": {"api": "v1", **(options or {})}, **changes}
    return QuickSms(settings("http://127.0.0.1:1/quicksms", **given), clock=lambda: NOW)


def outcome_of(reply: Reply) -> tuple[Outcome, Signal | None]:
    submission = adapter().read_submit([ONE], reply)
    return submission.outcomes[ONE.id], submission.signal


# --- submit ----------------------------------------------------------------------------------------------------------


def test_the_recorded_exchange_is_replayed() -> None:
    exchange = load(EXCHANGES / "v1_accepted.txt")
    quicksms = adapter(webhook_url=HOOK)
    request = quicksms.submit_request([ONE], "")
    assert (request.method, request.url) == (exchange.method, "http://127.0.0.1:1" + exchange.target)
    assert {name.lower(): value for name, value in request.headers.items()} == exchange.headers
    assert orjson.loads(request.body) == orjson.loads(exchange.body)
    assert quicksms.read_submit([ONE], exchange.reply).outcomes == {ONE.id: Accepted("42")}


def test_it_logs_in_with_user_and_password() -> None:
    value = adapter().submit_request([ONE], "").headers["Authorization"]
    assert base64.b64decode(value.removeprefix("Basic ")) == b"s3cr3t-user:s3cr3t-pass"


def test_several_parts_are_asked_for_only_where_needed() -> None:
    long = adapter().submit_request([message(text="x" * 200, segments=2)], "").body
    assert orjson.loads(long)["multi"] is True
    assert "multi" not in orjson.loads(adapter().submit_request([ONE], "").body)


@pytest.mark.parametrize("number", V1_ERRORS)
def test_every_error_number_has_its_meaning(number: int) -> None:
    rule = V1_ERRORS[number]
    for body in ({"Error": number, "Description": "Nope"}, {"Error": str(number), "Description": "Nope"}):
        outcome, _ = outcome_of(answer(400, body))
        assert outcome == Refused(Failure(str(number), rule.klass, f"{rule.reason}: Nope"))


@pytest.mark.parametrize("number", [200, 201, 202, 206, 220, 221])
def test_a_fault_of_the_account_stops_it(number: int) -> None:
    signal = outcome_of(answer(400, {"Error": number}, {"Retry-After": "300"}))[1]
    assert signal == Misconfigured(str(number), V1_ERRORS[number].reason, 300.0)


def test_used_up_credit_stops_the_account() -> None:
    outcome, signal = outcome_of(answer(400, {"Error": 208}))
    assert signal == OutOfCredit("208", V1_ERRORS[208].reason)
    assert isinstance(outcome, Refused)
    assert outcome.failure.klass is F.ACCOUNT


OTHERS: list[tuple[str, Reply, Outcome, Signal | None]] = [
    ("number as reference", answer(200, {"reference": 42}), Accepted("42"), None),
    ("nothing", answer(200), Unclear("HTTP 200 without a reference"), None),
    ("page", answer(200, "<html>"), Unclear("HTTP 200 without a reference"), None),
    ("empty reference", answer(200, {"reference": ""}), Unclear("HTTP 200 without a reference"), None),
    ("breakdown", answer(500, "<html>"), Unclear("http_500"), ServerTrouble(500, "http_500")),
    ("moved", answer(301), Unclear("HTTP 301 without a reference"), None),
    ("unknown number", answer(400, {"Error": 299}), Refused(Failure("299", F.UNSPECIFIED, "refused")), None),
    (
        "login page",
        answer(401, "<html>"),
        Refused(Failure("http_401", F.ACCOUNT, "the provider answered HTTP 401")),
        Misconfigured("http_401", "the provider answered HTTP 401"),
    ),
]


@pytest.mark.parametrize(("label", "reply", "outcome", "signal"), OTHERS, ids=[case[0] for case in OTHERS])
def test_every_other_answer_has_its_outcome(label: str, reply: Reply, outcome: Outcome, signal: Signal | None) -> None:
    assert outcome_of(reply) == (outcome, signal)
    assert adapter().read_signal(reply) == (signal, None)


def test_no_secret_comes_back_in_what_we_say() -> None:
    outcome, signal = outcome_of(answer(400, {"Error": 206, "Description": "s3cr3t-user / s3cr3t-pass"}))
    assert not any(secret in repr((outcome, signal)) for secret in SECRETS)


CHECKS = [
    (ONE, {}, None),
    (message("+0447700900001"), {}, ("INVALID_PHONE_NUMBER", F.RECIPIENT)),
    (message(text=""), {}, ("205", F.CONTENT)),
    (message(sender=""), {}, ("205", F.SENDER)),
    (message(sender="A" * 26), {}, ("210", F.SENDER)),
    (message(segments=2), {}, None),
    (message(segments=2), {"multi": False}, ("209", F.CONTENT)),
]


@pytest.mark.parametrize(("one", "options", "expected"), CHECKS)
def test_what_it_would_refuse_is_refused_before_the_wire(one: object, options: object, expected: object) -> None:
    failure = adapter(options).check(one)  # type: ignore[arg-type]  # the table's columns are plain objects
    assert (failure and (failure.code, failure.klass)) == expected


def test_nobody_can_be_asked_and_that_is_said() -> None:
    assert adapter().look_up_policy.by is LookUpBy.NONE
    assert any("idempotency" in said for said in adapter().warnings(ONE))


@pytest.mark.parametrize(
    ("credentials", "name"),
    [({"username": "u"}, "password"), ({"password": "p"}, "username"), ({"username": "a:b", "password": "p"}, "colon")],
)
def test_missing_or_impossible_credentials_are_named(credentials: dict[str, str], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        adapter(credentials=credentials)


def test_options_of_v2_are_refused() -> None:
    with pytest.raises(ValueError, match=r"options\.smart_routing"):
        adapter({"smart_routing": True})


# --- receipts --------------------------------------------------------------------------------------------------------

RECEIPT = {
    "reference": "564634E434D0586B",
    "cid": "customid",
    "MSISDN": "447700900001",
    "deliverytime": "2024-01-01 16:36:48",
    "status": "3",
    "substatus": "5",
}
SEEN = {
    "reference": "564634E434D0586B",
    "CID": "1234-232-134",
    "MSISDN": "447700900001",
    "seentime": "2024-01-01 16:40:00",
}


def bodies(fields: Mapping[str, object]) -> list[bytes]:
    return [orjson.dumps(fields), urlencode(fields).encode()]


def report(fields: Mapping[str, object], quicksms: QuickSms | None = None) -> Report:
    """The one report of these fields, the same from JSON and from a form."""
    (one,), (two,) = ((quicksms or adapter()).parse_reports(Raw(body)).reports for body in bodies(fields))
    assert one == two
    return one


def test_a_receipt_is_read_whole() -> None:
    found = report(RECEIPT)
    assert (found.provider_id, found.ref, found.msisdn) == ("564634E434D0586B", "customid", "447700900001")
    assert (found.state, found.raw_status, found.failure) == (S.DELIVERED, "3/5", None)
    assert found.at == datetime(2024, 1, 1, 16, 36, 48, tzinfo=UTC)


def test_times_without_a_zone_are_read_in_the_accounts_zone() -> None:
    summer = {**RECEIPT, "deliverytime": "2024-07-01 16:36:48"}
    assert report(summer, adapter({"time_zone": "Europe/London"})).at == datetime(2024, 7, 1, 15, 36, 48, tzinfo=UTC)


@pytest.mark.parametrize("status", V1_STATES)
def test_every_receipt_status_has_its_state(status: int) -> None:
    found = report({**RECEIPT, "status": status})
    assert found.state is V1_STATES[status]
    assert (found.failure is None) == (status == 3)


@pytest.mark.parametrize("sub", V1_SUBSTATUS)
def test_a_substatus_explains_a_failure(sub: int) -> None:
    assert report({**RECEIPT, "status": "2", "substatus": str(sub)}).failure == Failure(
        str(sub), *V1_SUBSTATUS[sub], opt_out=sub in {10, 14}
    )


@pytest.mark.parametrize("sub", ["", "77", "x"])
def test_an_unknown_substatus_is_no_evidence_against_the_number(sub: str) -> None:
    failure = report({**RECEIPT, "status": "2", "substatus": sub}).failure
    assert failure is not None
    assert failure.klass is F.UNSPECIFIED


def test_an_unknown_status_moves_nothing() -> None:
    assert report({**RECEIPT, "status": "8"}).state is None


def test_a_seen_receipt_proves_delivery_and_tells_when_it_was_read() -> None:
    found = report(SEEN)
    assert (found.state, found.raw_status, found.channel) == (S.DELIVERED, "SEEN", "RCS")
    assert (found.read_at, found.ref) == (datetime(2024, 1, 1, 16, 40, tzinfo=UTC), "1234-232-134")
    assert found.dedupe != report(RECEIPT).dedupe


def test_a_receipt_without_any_id_is_bad() -> None:
    parsed = adapter().parse_reports(Raw(b"reference=&status=3"))
    assert (list(parsed.reports), [where for where, _ in parsed.bad]) == ([], ["item 0"])


def test_an_incoming_form_message_may_be_empty_and_is_kept() -> None:
    body = b"ID=42&MSISDN=447700900002&Message=&Number=44789011829&DateRecieved=2012-06-27+12%3A33%3A00"
    (inbound,) = adapter().parse_reports(Raw(body)).inbound
    assert (inbound.inbound_id, inbound.text, inbound.to) == ("42", "", "44789011829")


def test_an_incoming_message_without_id_keeps_one_identity() -> None:
    body = b"MSISDN=447700900002&Message=Hi&Number=44789011829"
    first, again = (adapter().parse_reports(Raw(body)).inbound[0].inbound_id for _ in range(2))
    assert first == again


@pytest.mark.parametrize("fields", [RECEIPT, SEEN, {"ID": "1", "MSISDN": "1", "Message": "x", "Number": "2"}])
@pytest.mark.parametrize("secret", [None, "s3cr3t-webhook"])
def test_only_the_path_token_vouches_for_v1_pushes(fields: Mapping[str, object], secret: str | None) -> None:
    quicksms = adapter(webhook_token="s3cr3t-token", webhook_secret=secret)
    for body in bodies(fields):
        assert quicksms.verify(Push("POST", {}, {}, body, "s3cr3t-token"), NOW) == RECEIVED
        for token in (None, "", "guess"):
            assert isinstance(quicksms.verify(Push("POST", {}, {}, body, token), NOW), Forged)
        assert isinstance(adapter().verify(Push("POST", {}, {}, body, ""), NOW), Forged)


@budget(max_examples=200, deadline=None)
@given(
    fields=st.dictionaries(
        st.sampled_from([*RECEIPT, *SEEN, "Message", "Number", "ID", "DateRecieved", "odd"]),
        st.text(max_size=20) | st.integers() | st.none() | st.lists(st.integers(), max_size=2),
    )
)
def test_no_push_makes_it_raise_anything_but_bad_body(fields: dict[str, object]) -> None:
    try:
        body = orjson.dumps(fields)
    except TypeError:  # an integer beyond 64 bits cannot be written
        return
    try:
        parsed = adapter().parse_reports(Raw(body))
    except BadBody:
        return
    assert len(parsed.reports) + len(parsed.inbound) + len(parsed.bad) == 1
