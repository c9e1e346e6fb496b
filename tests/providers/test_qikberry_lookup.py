"""Qikberry: what a look-up proves, and what any answer says about the account."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from models.states import MessageState as S
from providers.base import (
    Found,
    LookUpBy,
    Misconfigured,
    NoAnswer,
    NotThere,
    Outgoing,
    OutOfCredit,
    Page,
    ServerTrouble,
    Sighting,
    Sought,
    Throttle,
)
from providers.wire import BadBody, NotSent, OutcomeUnknown, Reply, Request
from tests.support.cases import answer
from tests.support.exchanges import load
from tests.support.qikberry import BASE, EXCHANGES, NOW, ONE, REF, TOKEN, TWO, adapter, page, status_row

# --- look-ups --------------------------------------------------------------------------------------------------------


async def look(
    replies: Mapping[str, Reply | Exception],
    *wanted: Outgoing,
    options: Mapping[str, object] | None = None,
    **more: Any,
) -> tuple[Mapping[str, Sighting], list[str]]:
    """Look with canned answers by the query's first parameter; the targets that were asked come back, too."""
    asked: list[str] = []

    async def send(request: Request) -> Reply:
        asked.append(request.url.removeprefix(BASE))
        found = next(reply for key, reply in replies.items() if f"?{key}" in request.url)
        if isinstance(found, Exception):
            raise found
        return found

    sought = [Sought(one, NOW, 0, "BULK-1") for one in wanted]
    return await adapter(options, **more).look_up(sought, send), asked


def test_what_is_not_found_proves_nothing_unless_the_account_says_so() -> None:
    policy = adapter().look_up_policy
    assert (policy.by, policy.proves_absence, policy.after) == (LookUpBy.EVIDENCE, False, (12, 60, 300, 900))
    proving = adapter({"absence_proves": True}, request_cap=1).look_up_policy
    assert (proving.by, proving.proves_absence) == (LookUpBy.QUERY, True)


async def test_a_message_is_found_by_its_reference_with_all_the_row_says() -> None:
    mine = status_row(1, charges="1.5000", provider="Jio")
    sightings, asked = await look({"cid": answer(200, page(mine, status_row(1, id="G:9", submitted_at="")))}, ONE)
    assert asked == [f"sms/status?cid={REF.format(1)}"]
    found = sightings["1"]
    assert isinstance(found, Found)
    first, second = found.candidates
    assert (first.provider_id, first.ref, first.state, first.price) == (
        mine["id"],
        ONE.ref,
        S.DELIVERED,
        Decimal("1.5"),
    )
    assert (first.group_id, first.network, second.provider_id) == (mine["id"][:-2], "Jio", "G:9")


async def test_even_an_unknown_word_proves_acceptance() -> None:
    sightings, _ = await look({"cid": answer(200, page(status_row(1, status="BREWING")))}, ONE)
    assert sightings["1"].candidates[0].state is S.SUBMITTED  # type: ignore[union-attr]  # Found, or the test fails


NO_REFERENCE = status_row(1, custom="")
SIGHTINGS: dict[str, tuple[Reply, type[Sighting]]] = {
    "empty page": (answer(200, page()), NotThere),
    "older empty page": (answer(200, {"status": 200, "data": {"data": []}}), NotThere),
    "no record": (answer(404, {"status": "ERROR", "code": 404, "message": "No records found"}), NotThere),
    "no record, 422": (answer(422, {"status": "ERROR", "message": "cid is invalid"}), NotThere),
    "no record under 200": (answer(200, {"status": "ERROR", "message": "No records found"}), NotThere),
    "without a reference, right time": (answer(200, page(NO_REFERENCE)), Found),
    "masked number, right time": (answer(200, page({**NO_REFERENCE, "mobile": "44770090xxxx"})), Found),
    "without a reference, an hour early": (
        answer(200, page({**NO_REFERENCE, "submitted_at": "2026-03-01 16:30:00"})),
        NoAnswer,
    ),
    "without a reference, no time": (answer(200, page({**NO_REFERENCE, "submitted_at": ""})), NoAnswer),
    "the filter was not heard": (answer(200, page(status_row(2), status_row(3))), NoAnswer),
    "no rows at all": (answer(200, {"status": "OK"}), NoAnswer),
    "odd rows": (answer(200, {"status": "OK", "data": "none"}), NoAnswer),
    "no status": (answer(200, {"data": []}), NoAnswer),
    "a page of HTML": (answer(200, "<html>"), NoAnswer),
    "wrong path": (answer(404, "<html>"), NoAnswer),
    "bad token": (answer(401, {"message": "Unauthenticated."}), NoAnswer),
    "too fast": (answer(429, {"message": "Too Many Attempts."}), NoAnswer),
    "down": (answer(503, "<html>"), NoAnswer),
}


@pytest.mark.parametrize("label", SIGHTINGS)
async def test_what_a_look_up_proves(label: str) -> None:
    reply, expected = SIGHTINGS[label]
    sightings, _ = await look({"cid": reply}, ONE)
    assert type(sightings["1"]) is expected


async def test_where_absence_proves_only_a_well_formed_empty_answer_does() -> None:
    proving: dict[str, Any] = {"options": {"absence_proves": True}, "request_cap": 1}
    assert await look({"cid": answer(200, page())}, ONE, **proving) == (
        {"1": NotThere()},
        [f"sms/status?cid={ONE.ref}"],
    )
    for label in ("no record", "no record, 422", "no record under 200", "no rows at all"):
        sightings, _ = await look({"cid": SIGHTINGS[label][0]}, ONE, **proving)
        assert isinstance(sightings["1"], NoAnswer), label


@pytest.mark.parametrize("error", [NotSent("refused"), OutcomeUnknown("read_timeout")])
async def test_a_look_up_that_fails_says_nothing_about_the_message(error: Exception) -> None:
    sightings, asked = await look({"cid": error}, ONE, TWO)
    assert sightings == {"1": NoAnswer(str(error)), "2": NoAnswer(str(error))}
    assert len(asked) == 2


async def test_after_a_lock_out_nobody_is_asked_about_any_more() -> None:
    sightings, asked = await look({"cid": answer(429, b"", {"Retry-After": "7"})}, ONE, TWO)
    first = sightings["1"]
    assert isinstance(first, NoAnswer)
    assert isinstance(first.signal, Throttle)
    assert first.signal.retry_after == 7
    assert (type(sightings["2"]), len(asked)) == (NoAnswer, 1)


async def test_the_cross_check_asks_by_number_on_the_providers_days() -> None:
    nothing, mine = answer(200, page()), answer(200, page(status_row(2, mobile="447700900001"), status_row(1)))
    sightings, asked = await look({"cid": nothing, "mobile": mine}, ONE, options={"cross_check": True})
    assert isinstance(sightings["1"], Found)
    assert asked[1:] == ["sms/status?mobile=447700900001&date=2026-03-01"]
    others = answer(200, page(status_row(2, mobile="447700900001")))
    sightings, _ = await look({"cid": nothing, "mobile": others}, ONE, options={"cross_check": True})
    assert sightings["1"] == NotThere()


async def test_around_midnight_in_india_the_cross_check_asks_for_both_days() -> None:
    asked: list[str] = []

    async def send(request: Request) -> Reply:
        asked.append(request.url.rpartition("date=")[2])
        return answer(200, page())

    midnight = datetime(2026, 3, 1, 18, 10, tzinfo=UTC)  # 23:40 in India
    await adapter({"cross_check": True}).look_up([Sought(ONE, midnight, 0)], send)
    assert asked[1:] == ["2026-03-02", "2026-03-01"]
    asked.clear()
    await adapter({"cross_check": True}).look_up([Sought(ONE, midnight - timedelta(hours=8), 0)], send)
    assert asked[1:] == ["2026-03-01"]


# --- the account -----------------------------------------------------------------------------------------------------

BALANCE = {
    "status": 200,
    "message": "OK",
    "data": [
        {"service": "P", "name": "Promotional SMS", "postpaid": 0, "credits": 69, "charges": 1},
        {"service": "T", "name": "Transactional SMS", "postpaid": 1, "credits": "109.5", "charges": 1},
    ],
}


def test_the_probe_asks_for_the_balance_or_for_the_login() -> None:
    balance, login = adapter().probe_request(), adapter({"probe": "me"}).probe_request()
    assert balance is not None
    assert login is not None
    assert (balance.method, balance.url, login.url) == ("GET", BASE + "finance/balance", BASE + "auth/me")
    assert TOKEN not in balance.url


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (BALANCE, "ok, balance P 69 credits, T 109.5 credits, postpaid"),
        ({"status": "OK", "data": {"credits": "12.50"}}, "ok, balance 12.50 credits"),
        ({"status": "OK", "data": {"id": 7, "username": "acc"}}, "ok"),
        ({"id": 7}, "ok"),
    ],
)
def test_the_probe_is_read_as_one_line(body: object, line: str) -> None:
    assert adapter().read_probe(answer(200, body)) == line


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (answer(401, {"message": "Unauthenticated."}), "HTTP 401: Unauthenticated."),
        (answer(200, {"status": "ERROR", "message": f"bad {TOKEN}"}), r"HTTP 200: bad \*\*\*$"),
        (answer(404, "<html>"), "HTTP 404$"),
        (answer(200, "<html>"), "not a JSON object"),
    ],
)
def test_a_failed_probe_says_what_is_wrong_and_no_secret(reply: Reply, said: str) -> None:
    with pytest.raises(BadBody, match=said):
        adapter().read_probe(reply)


SIGNALS: dict[str, tuple[Reply, type | None]] = {
    "fine": (answer(200, page()), None),
    "no record": (answer(404, {"status": "ERROR", "message": "No records found"}), None),
    "invalid service filter": (answer(422, {"message": "The service is invalid."}), None),
    "no credit": (answer(400, {"message": "Insufficient balance"}), OutOfCredit),
    "bad token": (answer(401, {"message": "Unauthenticated."}), Misconfigured),
    "bad token under 200": (answer(200, {"status": "ERROR", "code": 401, "message": "no"}), Misconfigured),
    "address not listed": (answer(403, "<html>"), Misconfigured),
    "wrong path": (answer(404, "<html>"), Misconfigured),
    "too fast": (answer(429), Throttle),
    "down": (answer(502, "<html>"), ServerTrouble),
}


@pytest.mark.parametrize("label", SIGNALS)
def test_what_any_answer_says_about_the_account(label: str) -> None:
    reply, expected = SIGNALS[label]
    signal, allowance = adapter().read_signal(reply)
    assert (type(signal) if signal else None, allowance) == (expected, None)


def test_rate_headers_are_honoured_if_present() -> None:
    reply = answer(200, page(), {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "90"})
    allowance = adapter().read_signal(reply)[1]
    assert allowance is not None
    assert (allowance.limit, allowance.remaining) == (1000, 90)


async def test_the_recorded_poll_and_look_up_are_replayed() -> None:
    poll, look_up = load(EXCHANGES / "status_page.txt"), load(EXCHANGES / "look_up.txt")
    first = Page({"group_id": "1a772ff9-26ff-4e2c-9921-93ba453ef967"})
    second = adapter().following(first, poll.reply)
    assert adapter().page_request(first).url == "http://127.0.0.1:1" + poll.target
    assert second == Page(first.query, 2, 2)
    sightings, asked = await look({"cid": look_up.reply}, ONE)
    assert (asked, type(sightings["1"])) == ([look_up.target.removeprefix("/qikberry/")], Found)
