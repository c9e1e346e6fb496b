"""Qikberry: what became of every recipient, for every answer it may give to a submit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from models.states import MessageState as S
from providers.base import (
    Accepted,
    Failure,
    FailureClass,
    Misconfigured,
    Outcome,
    OutOfCredit,
    Refused,
    ServerTrouble,
    Throttle,
    Unclear,
)
from providers.qikberry_codes import BY_CODE
from providers.wire import Reply
from tests.support.cases import SECRETS, SubmitCase, answer, message
from tests.support.qikberry import GROUP, ONE, REF, THREE, TOKEN, TWO, adapter, answered, row

F = FailureClass


def accepted(n: int = 1, state: S = S.SUBMITTED, **changes: Any) -> Accepted:
    usual: dict[str, Any] = {"group_id": GROUP, "parts": 1, "price": Decimal(1), **changes}
    return Accepted(usual.pop("provider_id", f"{GROUP}:{n}"), state, **usual)


def refused(code: str, klass: F, reason: str) -> Refused:
    return Refused(Failure(code, klass, reason))


def case(
    label: str, reply: Reply, *outcomes: Outcome, chunk: tuple[Any, ...] = (ONE, TWO), signal: Any = None
) -> SubmitCase:
    """With one outcome given it is everybody's."""
    each = outcomes if len(outcomes) == len(chunk) else outcomes * len(chunk)
    return SubmitCase(label, chunk, reply, {m.id: o for m, o in zip(chunk, each, strict=True)}, signal)


MISSING = refused("missing_in_response", F.UNSPECIFIED, "the answer accepted fewer recipients, without it")
SAID_ONE = {"message": "1 numbers accepted for delivery."}
TWO_ACCEPTED = (accepted(1), accepted(2))
CHANNEL_ROW = {
    "id": f"{GROUP}:1",
    "channel": "sms",
    "from": "MyStore",
    "to": "447700900001",
    "credits": "2.0000",
    "status": "AWAITING-DLR",
    "foreign_id": REF.format(1),
}
NO_IDS = Accepted(None, group_id=GROUP, note="accepted without an id")
SHARED = "the answer gave its id to two recipients"

ACCEPTED = [
    case("status 200", answered(row(1), row(2)), *TWO_ACCEPTED),
    case("status as text", answered(row(1), row(2), status="200"), *TWO_ACCEPTED),
    case("status OK", answered(row(1), row(2), status="OK"), *TWO_ACCEPTED),
    case("status ok", answered(row(1), row(2), status=" ok "), *TWO_ACCEPTED),
    case("status 202", answered(row(1), row(2), status="202", code=202), *TWO_ACCEPTED),
    case("another order", answered(row(2), row(1)), *TWO_ACCEPTED),
    case("group from the id", answered(row(1), row(2), group_id=None), *TWO_ACCEPTED),
    case("numbers for texts", answered(row(1, mobile=447700900001), row(2)), *TWO_ACCEPTED),
    case("texts for numbers", answered(row(1, units="1", charges="1.0"), row(2)), *TWO_ACCEPTED),
    case("scheduled", answered(row(1, status="SCHEDULED")), accepted(state=S.HELD), chunk=(ONE,)),
    case("on its way", answered(row(1, status="en_route")), accepted(state=S.SENT), chunk=(ONE,)),
    case("arrived at once", answered(row(1, status="DELIVRD")), accepted(state=S.SENT), chunk=(ONE,)),
    case("expired at once", answered(row(1, status="TIMEOUT-DLR")), accepted(), chunk=(ONE,)),
    case("unknown word", answered(row(1, status="BREWING")), accepted(), chunk=(ONE,)),
    case("one row as an object", answered(row(1), data=row(1)), accepted(), chunk=(ONE,)),
    case(
        "channels form",
        answered(CHANNEL_ROW, group_id=None, status="OK", message="Message(s) Queued successfully"),
        accepted(parts=None, price=Decimal(2)),
        chunk=(ONE,),
    ),
    case("no rows", answered(message="2 numbers accepted for delivery."), NO_IDS),
    case("no rows, no count", answered(message="Queued"), NO_IDS),
    case("no rows at all", answered(data=None, message="OK"), NO_IDS),
]

MATCHING = [
    case("by number alone", answered(row(1, customid=""), row(2, customid=None)), *TWO_ACCEPTED),
    case("masked, with references", answered(row(1, mobile="44770090xxxx"), row(2, mobile="XXXX")), *TWO_ACCEPTED),
    case("masked, one left", answered(row(1), row(2, customid="", mobile="44770090xxxx")), *TWO_ACCEPTED),
    case(
        "masked, could be either",
        answered(row(1, customid="", mobile="44770090xxxx"), row(2, customid="", mobile="44770090xxxx")),
        Unclear("missing_in_response"),
    ),
    case(
        "the reference wins over the number",
        answered(row(1, mobile="447700900002"), row(2, mobile="447700900001")),
        *TWO_ACCEPTED,
    ),
    case(
        "an id given twice is nobody's",
        answered(row(1), row(2, id=f"{GROUP}:1")),
        accepted(provider_id=None, note=SHARED),
    ),
    case(
        "the same row twice",
        answered(row(1), row(1, id=f"{GROUP}:9"), **SAID_ONE),
        accepted(),
        Unclear("missing_in_response"),
    ),
    case(
        "the same number twice, without references",
        answered(row(1, customid=""), row(1, customid="", id=f"{GROUP}:2")),
        Unclear("missing_in_response"),
        chunk=(ONE, message("+447700900001", id="9", ref="r-9")),
    ),
]

PARTIAL = [
    case("missing, and counted out", answered(row(1), **SAID_ONE), accepted(), MISSING),
    case(
        "missing, but counted in",
        answered(row(1), message="2 numbers accepted for delivery."),
        accepted(),
        Unclear("missing_in_response"),
    ),
    case("missing, no count", answered(row(1), message="OK"), accepted(), Unclear("missing_in_response")),
    case("two missing", answered(row(1), **SAID_ONE), accepted(), MISSING, MISSING, chunk=(ONE, TWO, THREE)),
    case(
        "missing beside a stranger",
        answered(row(1), row(3, customid="x"), **SAID_ONE),
        accepted(),
        Unclear("missing_in_response"),
    ),
    case("nobody accepted", answered(message="0 numbers accepted for delivery."), MISSING),
    case("fewer accepted, no rows", answered(message="1 numbers accepted."), Unclear("fewer_accepted_than_sent")),
    case(
        "one not allowed",
        answered(row(1), row(2, status="notallowed", charges=0), **SAID_ONE),
        accepted(),
        refused("NOTALLOWED", F.COUNTRY, "the account may not send to this country"),
    ),
    case(
        "failed on its way is never tried again",
        answered(row(1, status="NET-ERR")),
        refused("NET-ERR", F.UNSPECIFIED, "network error"),
        chunk=(ONE,),
    ),
    case(
        "outside the hours",
        answered(row(1, status="PROMO-TMOUT")),
        refused("PROMO-TMOUT", F.DEFERRED, BY_CODE["457"].reason),
        chunk=(ONE,),
    ),
    case(
        "no credit for one",
        answered(row(1), row(2, status="NO-CREDITS"), **SAID_ONE),
        accepted(),
        refused("NO-CREDITS", F.ACCOUNT, "the credit is exhausted"),
        signal=OutOfCredit("NO-CREDITS", "the credit is exhausted"),
    ),
    case(
        "wrong service",
        answered(row(1, status="INV-SERVICE")),
        refused("INV-SERVICE", F.ACCOUNT, "invalid service type"),
        chunk=(ONE,),
        signal=Misconfigured("INV-SERVICE", "invalid service type"),
    ),
    case(
        "throttled row",
        answered(row(1, status="THROTTLED")),
        refused("THROTTLED", F.THROTTLED, BY_CODE["463"].reason),
        chunk=(ONE,),
        signal=Throttle(None, "THROTTLED"),
    ),
    case(
        "a status that is no text",
        answered(row(1, status=None, id=None)),
        Unclear("unknown_status"),
        chunk=(ONE,),
    ),
]


def error(http: int, said: object, **changes: object) -> Reply:
    return answer(http, {"status": "ERROR", "code": http, "message": said, **changes})


NUMBER_OF_TWO = TWO.msisdn.removeprefix("+")
SAID_OF_TWO = f"Invalid number ***{NUMBER_OF_TWO[-3:]}"
NODES = {"nodes.1.to": ["The mobile number is invalid."]}
REFUSED = [
    case("validation", error(422, "The text is odd."), refused("422", F.CONTENT, "The text is odd.")),
    case("as a list", error(422, ["The text", "is odd."]), refused("422", F.CONTENT, "The text; is odd.")),
    case("as an object", error(422, {"text": ["is odd."]}), refused("422", F.CONTENT, "text: is odd.")),
    case("no code", error(400, "Malformed", code=None), refused("400", F.CONTENT, "Malformed")),
    case("sender", error(422, "Sender is not approved"), refused("422", F.SENDER, "Sender is not approved")),
    case("template", error(422, "No such DLT template"), refused("422", F.SENDER, "No such DLT template")),
    case("one number", error(422, "Invalid mobile"), refused("422", F.RECIPIENT, "Invalid mobile"), chunk=(ONE,)),
    case("somebody's number", error(422, "Invalid mobile"), refused("422", F.UNSPECIFIED, "Invalid mobile")),
    case(
        "a number named by its place",
        error(422, NODES),
        refused("422", F.TEMPORARY, "another recipient of the request was refused"),
        refused("422", F.RECIPIENT, "The mobile number is invalid."),
    ),
    case(
        "named under errors",
        answer(422, {"message": "The given data was invalid.", "errors": NODES}),
        refused("422", F.TEMPORARY, "another recipient of the request was refused"),
        refused("422", F.RECIPIENT, "The mobile number is invalid."),
    ),
    case(
        "a number named in the words",
        error(422, f"Invalid number {NUMBER_OF_TWO}"),
        refused("422", F.TEMPORARY, "another recipient of the request was refused"),
        refused("422", F.RECIPIENT, SAID_OF_TWO),
    ),
    case(
        "a number named with a plus, under errors",
        answer(422, {"message": "Refused.", "errors": {"to": [f"+{NUMBER_OF_TWO} is no mobile number."]}}),
        refused("422", F.TEMPORARY, "another recipient of the request was refused"),
        refused("422", F.RECIPIENT, f"to: ***{NUMBER_OF_TWO[-3:]} is no mobile number."),
    ),
    case(
        "two numbers named",
        error(422, f"Invalid number {ONE.msisdn}, {TWO.msisdn}"),
        refused("422", F.UNSPECIFIED, f"Invalid number ***{ONE.msisdn[-3:]}, ***{TWO.msisdn[-3:]}"),
    ),
    case(
        "part of a longer number",
        error(422, f"Invalid number {NUMBER_OF_TWO}0"),
        refused("422", F.UNSPECIFIED, f"Invalid number ***{NUMBER_OF_TWO[-2:]}0"),
    ),
    case(
        "a number as a sender",
        error(422, f"Sender {NUMBER_OF_TWO} is not approved"),
        refused("422", F.SENDER, f"Sender ***{NUMBER_OF_TWO[-3:]} is not approved"),
    ),
    case(
        "the rest was taken, or so it says",
        error(422, f"Partially accepted: invalid number {NUMBER_OF_TWO}"),
        refused("422", F.UNSPECIFIED, f"Partially accepted: invalid number ***{NUMBER_OF_TWO[-3:]}"),
    ),
    case(
        "under 200 nothing says that all of it was refused",
        answer(200, {"status": "ERROR", "message": f"Invalid number {NUMBER_OF_TWO}"}),
        refused("ERROR", F.UNSPECIFIED, f"Invalid number ***{NUMBER_OF_TWO[-3:]}"),
    ),
    case(
        "no balance",
        error(400, "Insufficient Balance"),
        refused("400", F.ACCOUNT, "Insufficient Balance"),
        signal=OutOfCredit("400", "Insufficient Balance"),
    ),
    case(
        "no credits, under 200",
        answer(200, {"status": "ERROR", "message": "Not enough credits"}),
        refused("ERROR", F.ACCOUNT, "Not enough credits"),
        signal=OutOfCredit("ERROR", "Not enough credits"),
    ),
    case(
        "payment required",
        error(402, "pay"),
        refused("402", F.ACCOUNT, "pay"),
        signal=OutOfCredit("402", "pay"),
    ),
    case(
        "wrong service code",
        error(422, "The selected service is invalid."),
        refused("422", F.ACCOUNT, "The selected service is invalid."),
        signal=Misconfigured("422", "The selected service is invalid."),
    ),
    case(
        "bad token",
        answer(401, {"message": "Unauthenticated."}),
        refused("401", F.ACCOUNT, "Unauthenticated."),
        signal=Misconfigured("401", "Unauthenticated."),
    ),
    case(
        "bad token under 200",
        answer(200, {"status": 401, "message": "Unauthenticated."}),
        refused("401", F.ACCOUNT, "Unauthenticated."),
        signal=Misconfigured("401", "Unauthenticated."),
    ),
    case(
        "address not listed, a proxy's page",
        answer(403, "<html>"),
        refused("http_403", F.ACCOUNT, "the provider answered HTTP 403"),
        signal=Misconfigured("http_403", "the provider answered HTTP 403"),
    ),
    case(
        "wrong path",
        answer(404, {"status": "ERROR", "code": 404, "data": {"error": "x"}, "message": "Not found"}),
        refused("404", F.ACCOUNT, "Not found"),
        signal=Misconfigured(
            "404",
            "Not found; nothing takes POST sms/send/json there: set options.paths.json, or another options.mode",
        ),
    ),
    case(
        "too fast",
        answer(429, {"message": "Too Many Attempts."}, {"Retry-After": "30"}),
        Refused(Failure("429", F.THROTTLED, "Too Many Attempts."), 30.0),
        signal=Throttle(30.0, "Too Many Attempts."),
    ),
    case(
        "too fast, no body",
        answer(429),
        Refused(Failure("http_429", F.THROTTLED, "too many requests")),
        signal=Throttle(None, "http_429"),
    ),
    case(
        "a proxy's 400", answer(400, "<html>"), refused("http_400", F.CONTENT, "the request was refused with HTTP 400")
    ),
]

UNCLEAR = [
    case("conflict", error(409, "Conflict"), Unclear("http_409")),
    case("conflict without a body", answer(409), Unclear("http_409")),
    case("request timeout", answer(408), Unclear("http_408")),
    case("redirect", answer(302), Unclear("http_302")),
    case("broken", error(500, "Server Error"), Unclear("http_500"), signal=ServerTrouble(500, "Server Error")),
    case("down", answer(503, "<html>"), Unclear("http_503"), signal=ServerTrouble(503, "HTTP 503")),
    case(
        "broken under 200",
        answer(200, {"status": "ERROR", "code": 500, "message": "oops"}),
        Unclear("http_500"),
        signal=ServerTrouble(500, "oops"),
    ),
    case("empty", answer(200), Unclear("unreadable_answer")),
    case("HTML", answer(200, "<html>OK</html>"), Unclear("unreadable_answer")),
    case("half", answer(200, b'{"status":200,"data":[{"id":"'), Unclear("unreadable_answer")),
    case("not UTF-8", answer(200, b'{"status":"\xff"}'), Unclear("unreadable_answer")),
    case("a list", answer(200, [row(1)]), Unclear("unreadable_answer")),
    case("no status", answer(200, {"message": "hello"}), Unclear("answer_without_status")),
    case("two statuses", answered(row(1), code=422), Unclear("answer_without_status")),
    case("status true", answered(row(1), status=True), Unclear("answer_without_status")),
    case("rows under an error", answered(row(1), status="ERROR"), Unclear("error_with_rows")),
    case("an undocumented status", answer(200, {"status": "QUEUED", "data": []}), Unclear("undocumented_status")),
    case("an undocumented number", answer(200, {"status": 201}), Unclear("undocumented_status")),
    case("rows of text", answered(data="none"), Unclear("unreadable_rows")),
    case("rows of an unknown kind", answered(data={"queued": 2}), Unclear("unreadable_rows")),
    case("rows of nonsense", answered(1, None, "x", [], {}), Unclear("missing_in_response")),
]

ALL = [*ACCEPTED, *MATCHING, *PARTIAL, *REFUSED, *UNCLEAR]


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.label)
def test_an_answer_gives_every_recipient_its_outcome(one: SubmitCase) -> None:
    submission = adapter().read_submit(one.chunk, one.answer)
    assert submission.outcomes == one.expect
    assert submission.signal == one.signal


@pytest.mark.parametrize("code", [code for code, word in BY_CODE.items() if word.state is not S.DELIVERED])
def test_every_failure_name_in_a_row_is_a_refusal_of_that_recipient_alone(code: str) -> None:
    failing = row(2, status=BY_CODE[code].name.lower())
    outcomes = adapter().read_submit([ONE, TWO], answered(row(1), failing, **SAID_ONE)).outcomes
    assert outcomes["1"] == accepted()
    if BY_CODE[code].state is S.EXPIRED:  # accepted first: its report will say so, too
        assert isinstance(outcomes["2"], Accepted)
    else:
        assert isinstance(outcomes["2"], Refused)


def test_the_price_has_the_currency_the_account_names() -> None:
    outcome = adapter({"currency": "CREDITS"}).read_submit([ONE], answered(row(1))).outcomes["1"]
    assert outcome == accepted(currency="CREDITS")


def test_rate_headers_and_the_request_id_are_kept() -> None:
    headers = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "59", "X-Request-Id": "r-7"}
    submission = adapter().read_submit([ONE], answer(200, {"status": 200, "data": [row(1)]}, headers))
    assert submission.allowance is not None
    assert (submission.allowance.remaining, submission.request_id) == (59, "r-7")


def test_no_secret_and_no_whole_number_is_in_a_reason() -> None:
    reply = error(422, f"token {TOKEN} may not send to 447700900001")
    outcome = adapter().read_submit([ONE], reply).outcomes["1"]
    assert isinstance(outcome, Refused)
    assert "447700900001" not in outcome.failure.reason
    assert not any(secret in outcome.failure.reason for secret in SECRETS)


def test_a_batch_of_500_is_read_at_once() -> None:
    chunk = [message(f"+1202555{n:04}", id=str(n), ref=f"r-{n}") for n in range(500)]
    rows = [{"id": f"{GROUP}:{n}", "mobile": f"1202555{n:04}", "status": "AWAITING-DLR"} for n in range(500)]
    outcomes = adapter().read_submit(chunk, answered(*rows)).outcomes
    assert [outcomes[str(n)].provider_id for n in range(500)] == [f"{GROUP}:{n}" for n in range(500)]  # type: ignore[union-attr]  # Accepted, or the test fails
