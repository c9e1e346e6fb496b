"""The Qikli simulator says what the manual and the platform's public specification say."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings

from sandbox.qikli_codes import ERRORS, GROUPS, STATUSES, spell
from sandbox.qikli_request import stamp
from sandbox.qikli_settings import QikliSettings
from sandbox.settings import SettingsError
from tests.sandbox.qik import Answer, Live, answer_offline, live, nearly, receiver

GHANA = "233205072987"
UK = "4477009000{:02d}"


def login(user: str, password: str) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(user, password)}


AUTH = login("sandbox", "sandbox")
SEND = "/qikli/sms/2/text/advanced"
REPORTS = "/qikli/sms/1/reports"
LOGS = "/qikli/sms/1/logs"
TRACKING = {"track": "SMS", "type": "MY_CAMPAIGN"}
TEXT = "A long time ago, in a galaxy far, far away"


@pytest.fixture
async def qikli() -> AsyncIterator[Live]:
    async with live("qikli") as found:
        yield found


def order(*to: str, ids: Iterable[str] | None = None, text: str = TEXT, **fields: object) -> dict[str, object]:
    destinations = [{"to": number} for number in to]
    for destination, message_id in zip(destinations, ids or (), strict=False):
        destination["messageId"] = message_id
    return {"from": "SENDER", "destinations": destinations, "text": text} | fields


async def send(at: Live, *orders: dict[str, object], **fields: object) -> Answer:
    return await at.ask("POST", SEND, json={"messages": list(orders), **fields}, headers=AUTH)


async def statuses(at: Live, *orders: dict[str, object]) -> list[int]:
    answer = await send(at, *orders)
    assert answer.status == 200, answer.body
    return [item["status"]["id"] for item in answer.json["messages"]]


async def pull(at: Live, path: str = REPORTS, **query: str) -> list[dict[str, Any]]:
    answer = await at.ask("GET", path, params=query, headers=AUTH)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["results"]
    return found


# -- access and envelopes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", [{}, login("sandbox", "wrong"), login("nobody", "sandbox")])
async def test_a_wrong_login_is_refused_in_the_classic_envelope(qikli: Live, auth: dict[str, str]) -> None:
    answer = await qikli.ask("GET", REPORTS, headers=auth)
    assert answer.status == 401
    assert answer.json == {
        "requestError": {"serviceException": {"messageId": "UNAUTHORIZED", "text": "Invalid login details"}}
    }


async def test_a_missing_content_type_is_a_general_error(qikli: Live) -> None:
    answer = await qikli.ask("POST", SEND, data=b'{"messages":[]}', headers=AUTH, skip_auto_headers=["Content-Type"])
    assert answer.status == 500
    assert answer.json["requestError"]["serviceException"]["messageId"] == "GENERAL_ERROR"


async def test_the_newer_error_form_can_be_switched_on(qikli: Live) -> None:
    await qikli.configure("qikli", error_form="code")
    answer = await qikli.ask("GET", "/qikli/sms/1/nothing", headers=AUTH)
    assert answer.status == 404
    assert answer.json["errorCode"] == "E404"
    assert answer.json["violations"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"text": "x"}]}, "messages[0].destinations"),
        ({"messages": [{"text": "x", "destinations": []}]}, "messages[0].destinations"),
        ({"messages": [{"destinations": [{"to": GHANA}]}]}, "messages[0].text"),
        ({"messages": [order(GHANA), order(GHANA, sendAt="tomorrow")]}, "messages[1].sendAt"),
        ({"messages": [order(GHANA, sendAt=stamp(4e9))]}, "messages[0].sendAt"),
        ({"messages": [order(GHANA, validityPeriod=0)]}, "messages[0].validityPeriod"),
    ],
)
async def test_an_invalid_request_names_the_wrong_field(qikli: Live, body: object, field: str) -> None:
    answer = await qikli.ask("POST", SEND, json=body, headers=AUTH)
    assert answer.status == 400
    exception = answer.json["requestError"]["serviceException"]
    assert exception["messageId"] == "BAD_REQUEST"
    assert list(exception["validationErrors"]) == [field]


async def test_more_destinations_than_the_cap_are_refused_as_a_whole(qikli: Live) -> None:
    await qikli.configure("qikli", max_destinations=2)
    assert (await send(qikli, order(GHANA, UK.format(1)), order(UK.format(2)))).status == 400
    assert (await send(qikli, order(GHANA), order(UK.format(2)))).status == 200
    assert len(await qikli.ledger("qikli")) == 2


@pytest.mark.parametrize("form", ["classic", "code"])
async def test_limits_answer_429_in_both_envelopes(qikli: Live, form: str) -> None:
    window = {"limit": 2, "per_seconds": 60, "counts": "messages", "methods": ["POST"]}
    await qikli.configure("qikli", limits=[window], error_form=form)
    assert (await send(qikli, order(GHANA, UK.format(1)))).status == 200
    answer = await send(qikli, order(UK.format(2)))
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) in range(1, 61)
    named = answer.json["errorCode"] if form == "code" else answer.json["requestError"]["serviceException"]["messageId"]
    assert named == ("E429" if form == "code" else "TOO_MANY_REQUESTS")


# -- send -------------------------------------------------------------------------------------------------------------


async def test_several_texts_and_destinations_are_answered_one_by_one(qikli: Live) -> None:
    answer = await send(
        qikli,
        order("+" + GHANA, UK.format(1), ids=["a", "b"]),
        order(UK.format(2), ids=["c"], text="Another"),
        bulkId="BULK-1",
        tracking=TRACKING,
    )
    accepted = {
        "groupId": 1,
        "groupName": "PENDING",
        "id": 26,
        "name": "MESSAGE_ACCEPTED",
        "description": "Message sent to next instance",
    }
    assert answer.json == {
        "bulkId": "BULK-1",
        "messages": [
            {"to": GHANA, "status": accepted, "messageId": "a"},
            {"to": UK.format(1), "status": accepted, "messageId": "b"},
            {"to": UK.format(2), "status": accepted, "messageId": "c"},
        ],
    }
    assert [(row["id"], row["key"], row["text"]) for row in await qikli.ledger("qikli")] == [
        ("a", "BULK-1", TEXT),
        ("b", "BULK-1", TEXT),
        ("c", "BULK-1", "Another"),
    ]


async def test_ids_are_clipped_or_generated(qikli: Live) -> None:
    clipped = (await send(qikli, order(GHANA, ids=["m" * 201]), bulkId="b" * 101)).json
    assert clipped["bulkId"] == "b" * 100
    assert clipped["messages"][0]["messageId"] == "m" * 200
    one, two = [(await send(qikli, order(GHANA))).json for _ in range(2)]
    assert one["bulkId"]
    assert one["bulkId"] != two["bulkId"]
    assert one["messages"][0]["messageId"] != two["messages"][0]["messageId"]


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (order(""), 51),
        (order("0205072987"), 8),
        (order("not-a-number"), 52),
        (order("447700909997"), 52),
        (order("447700909995"), 10),
        (order(GHANA, **{"from": "TWELVE-CHARS"}), 11),
        (order(GHANA, **{"from": "ab"}), 11),
        (order(GHANA, text="x" * 3826), 25),
        (order(GHANA, text="€" * 1340), 25),
    ],
)
async def test_a_bad_destination_is_refused_beside_accepted_ones(
    qikli: Live, bad: dict[str, object], expected: int
) -> None:
    answer = await send(qikli, order(UK.format(1)), bad)
    good, refused = [item["status"] for item in answer.json["messages"]]
    assert (good["id"], refused["id"], refused["groupId"]) == (26, expected, 5)
    assert len(await qikli.ledger("qikli")) == 1
    assert (await qikli.stats("qikli"))["rejected"] == 1


async def test_a_numeric_sender_may_have_fourteen_digits(qikli: Live) -> None:
    assert await statuses(qikli, order(GHANA, **{"from": "1" * 14}), order(GHANA, **{"from": "1" * 15})) == [26, 11]


async def test_a_message_id_used_before_is_refused_as_duplicate(qikli: Live) -> None:
    assert await statuses(qikli, order(GHANA, UK.format(1), ids=["a", "a"])) == [26, 23]
    assert await statuses(qikli, order(GHANA, ids=["a"])) == [23]
    await qikli.configure("qikli", duplicate_guard=False)
    assert await statuses(qikli, order(GHANA, ids=["a"])) == [26]
    assert (await qikli.stats("qikli"))["duplicates"] == 1


async def test_credits_run_out_by_parts(qikli: Live) -> None:
    await qikli.configure("qikli", credits=3, price=1.0)
    assert await statuses(qikli, order(GHANA, text="x" * 161), order(GHANA, UK.format(1))) == [26, 26, 12]


async def test_flooding_refuses_the_seventh_identical_text(qikli: Live) -> None:
    await qikli.configure("qikli", flood_guard=True)
    assert await statuses(qikli, order(*[GHANA] * 7)) == [26] * 6 + [20]
    assert await statuses(qikli, order(GHANA, text="different")) == [26]
    await qikli.advance(3601)
    assert await statuses(qikli, order(GHANA)) == [26]


async def test_a_partial_reject_fault_names_its_own_status(qikli: Live) -> None:
    await qikli.faults("qikli", {"kind": "partial_reject", "every": 2, "params": {"status": 19}})
    assert await statuses(qikli, order(GHANA, UK.format(1), UK.format(2))) == [26, 19, 26]


@pytest.mark.parametrize(
    ("switch", "status"),
    [
        ({"accepted_status": 0}, (0, 0, "MESSAGE_ACCEPTED")),
        ({"accepted_status": 7}, (1, 7, "PENDING_ENROUTE")),
        ({"registry_names": True}, (1, 26, "PENDING_ACCEPTED")),
    ],
)
async def test_accepted_can_be_said_in_every_known_way(
    qikli: Live, switch: dict[str, object], status: tuple[int, int, str]
) -> None:
    await qikli.configure("qikli", **switch)
    said = (await send(qikli, order(GHANA))).json["messages"][0]["status"]
    assert (said["groupId"], said["id"], said["name"]) == status


async def test_the_answer_may_be_shuffled_incomplete_and_without_a_bulk_id(qikli: Live) -> None:
    numbers = [UK.format(n) for n in range(20)]
    await qikli.configure("qikli", shuffle_answer=True, answer_gap=5, omit_bulk_id=True, parts_in_answer=True)
    answered = [item["to"] for item in (await send(qikli, order(*numbers))).json["messages"]]
    assert len(answered) == 16
    assert answered != sorted(answered)
    assert len(await qikli.ledger("qikli")) == 20
    alone = (await send(qikli, order(GHANA, text="x" * 161))).json
    assert "bulkId" not in alone
    assert alone["messages"][0]["smsCount"] == 2


# -- delivery reports -------------------------------------------------------------------------------------------------


async def test_a_report_has_every_field_in_the_documented_shape(qikli: Live) -> None:
    await send(qikli, order(GHANA, ids=["a"], callbackData="mine", text="x" * 161), bulkId="B")
    await qikli.settle()
    (report,) = await pull(qikli)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", report.pop("sentAt"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", report.pop("doneAt"))
    assert report == {
        "bulkId": "B",
        "messageId": "a",
        "to": GHANA,
        "from": "SENDER",
        "smsCount": 2,
        "mccMnc": "62001",
        "callbackData": "mine",
        "price": {"pricePerMessage": 0.01, "currency": "EUR"},
        "status": {
            "groupId": 3,
            "groupName": "DELIVERED",
            "id": 5,
            "name": "DELIVERED_TO_HANDSET",
            "description": "Message delivered to handset",
        },
        "error": {
            "groupId": 0,
            "groupName": "OK",
            "id": 0,
            "name": "NO_ERROR",
            "description": "No Error",
            "permanent": False,
        },
    }


async def test_a_report_is_handed_out_exactly_once(qikli: Live) -> None:
    await send(qikli, order(GHANA, ids=["a"]))
    assert await pull(qikli) == []
    await qikli.settle()
    assert [row["messageId"] for row in await pull(qikli)] == ["a"]
    assert await pull(qikli) == []
    assert [row["pulled"] for row in await qikli.ledger("qikli")] == [1]


async def test_a_filtered_pull_consumes_only_what_it_returns(qikli: Live) -> None:
    await send(qikli, order(*[UK.format(n) for n in range(4)], ids="abcd"), bulkId="B1")
    await send(qikli, order(GHANA, ids=["e"]), bulkId="B2")
    await qikli.settle()
    assert [row["messageId"] for row in await pull(qikli, messageId="b")] == ["b"]
    assert await pull(qikli, messageId="b") == []
    assert await pull(qikli, messageId="e", bulkId="B1") == []
    assert [row["messageId"] for row in await pull(qikli, bulkId="B1", limit="2")] == ["a", "c"]
    assert [row["messageId"] for row in await pull(qikli)] == ["d", "e"]


async def test_pages_hold_fifty_reports_unless_asked_for_more(qikli: Live) -> None:
    await qikli.configure("qikli", max_destinations=2000)
    await send(qikli, order(*[GHANA] * 1101))
    await qikli.settle()
    assert [len(await pull(qikli, **query)) for query in ({}, {"limit": "5000"}, {}, {})] == [50, 1000, 50, 1]
    assert (await qikli.ask("GET", REPORTS, params={"limit": "0"}, headers=AUTH)).status == 400


async def test_reports_of_one_account_are_not_shown_to_another(qikli: Live) -> None:
    await qikli.configure("qikli", users={"sandbox": "sandbox", "other": "secret"})
    await send(qikli, order(GHANA, ids=["a"]))
    await qikli.settle()
    other = await qikli.ask("GET", REPORTS, headers=login("other", "secret"))
    assert other.json == {"results": []}
    assert len(await pull(qikli)) == 1


async def test_reports_older_than_two_days_are_gone(qikli: Live) -> None:
    await send(qikli, order(GHANA, ids=["a"]))
    await qikli.settle()
    await qikli.advance(48 * 3600 + 1)
    assert await pull(qikli) == []
    assert await pull(qikli, LOGS, messageId="a") == []


async def test_a_page_lost_on_the_wire_is_lost_for_good(qikli: Live) -> None:
    await send(qikli, order(GHANA))
    await qikli.settle()
    # Two: aiohttp repeats a GET whose connection was dropped by itself.
    await qikli.faults("qikli", {"kind": "drop_after", "count": 2, "match": {"path": "/sms/1/reports"}})
    with pytest.raises(aiohttp.ClientError):
        await pull(qikli)
    assert await pull(qikli) == []


async def test_number_endings_decide_status_and_error(qikli: Live) -> None:
    await send(qikli, order(*(f"44770090{ending}" for ending in ("0000", "9999", "9998", "9996", "0001"))))
    await qikli.settle()
    seen = {
        row["to"][-4:]: (row["status"]["groupId"], row["status"]["id"], row["error"]["id"]) for row in await pull(qikli)
    }
    assert seen == {"0000": (2, 9, 27), "9999": (4, 15, 4098), "9998": (5, 14, 566), "0001": (3, 5, 0)}


async def test_any_status_can_be_asked_for_by_number_ending(qikli: Live) -> None:
    await qikli.configure(
        "qikli", suffix_statuses={"0101": "4:632", "0102": "9:27:true", "0103": "5.777:9999", "0104": "2"}
    )
    await send(qikli, order(*(f"44770090{ending}" for ending in ("0101", "0102", "0103", "0104"))))
    await qikli.settle()
    rows = {row["to"][-4:]: row for row in await pull(qikli)}
    assert (rows["0101"]["status"]["id"], rows["0101"]["error"]["permanent"]) == (4, True)
    assert (rows["0102"]["error"]["name"], rows["0102"]["error"]["permanent"]) == ("EC_ABSENT_SUBSCRIBER", True)
    assert (rows["0103"]["status"]["groupId"], rows["0103"]["status"]["id"], rows["0103"]["error"]["id"]) == (
        5,
        777,
        9999,
    )
    assert rows["0104"]["status"]["name"] == "DELIVERED_TO_OPERATOR"
    assert [row["truth"] for row in await qikli.ledger("qikli")] == [
        "undelivered",
        "undelivered",
        "rejected",
        "no_report",
    ]


async def test_final_statuses_are_drawn_from_the_configured_choice(qikli: Live) -> None:
    choice = ["9:1", "4:632", "31:4100"]
    await qikli.configure("qikli", mix={"undelivered": 1}, final_statuses={"undelivered": choice})
    await send(qikli, order(*[GHANA] * 60))
    await qikli.settle()
    assert {row["status"]["id"] for row in await pull(qikli, limit="100")} == {9, 4, 31}


async def test_intermediate_reports_come_before_the_final_one(qikli: Live) -> None:
    await qikli.configure("qikli", intermediate=True)
    await send(qikli, order(GHANA))
    await qikli.settle()
    assert [row["status"]["id"] for row in await pull(qikli)] == [2, 5]


async def test_a_stale_report_can_follow_the_final_one(qikli: Live) -> None:
    await qikli.faults("qikli", {"kind": "report_out_of_order"})
    await send(qikli, order(GHANA))
    await qikli.settle()
    assert [row["status"]["id"] for row in await pull(qikli)] == [5, 2]


async def test_a_report_can_come_before_the_answer(qikli: Live) -> None:
    await qikli.faults("qikli", {"kind": "report_early"})
    await send(qikli, order(GHANA, ids=["a"]))
    assert [row["messageId"] for row in await pull(qikli)] == ["a"]


async def test_a_validity_shorter_than_the_way_ends_in_expiry(qikli: Live) -> None:
    await send(qikli, order(GHANA, validityPeriod=5), order(UK.format(1), validityPeriod=15))
    await qikli.advance(301)
    assert [(row["to"], row["status"]["id"]) for row in await pull(qikli)] == [(GHANA, 15)]
    await qikli.advance(300)
    assert [(row["to"], row["status"]["id"]) for row in await pull(qikli)] == [(UK.format(1), 5)]


# -- push -------------------------------------------------------------------------------------------------------------


async def test_pushes_carry_the_same_body_a_hundred_reports_at_a_time(qikli: Live) -> None:
    async with receiver() as hook:
        await send(qikli, order(*[GHANA] * 230, notifyUrl=hook.url))
        await qikli.settle()
        await qikli.push()
        sizes = [len(hit.json["results"]) for hit in hook.hits]
        pushed = [row for hit in hook.hits for row in hit.json["results"]]
    pulled = [row for _ in range(5) for row in await pull(qikli)]
    assert sorted(sizes) == [30, 100, 100]
    assert sorted(pushed, key=lambda row: row["messageId"]) == sorted(pulled, key=lambda row: row["messageId"])
    assert {(row["pushed"], row["pulled"]) for row in await qikli.ledger("qikli")} == {(1, 1)}
    assert (await qikli.stats("qikli"))["pushed"] == 230


async def test_a_failed_push_is_tried_again(qikli: Live) -> None:
    async with receiver() as hook:
        hook.respond = lambda _: (503, b"") if len(hook.hits) < 3 else (200, b"")
        await qikli.configure("qikli", pull_pushed=False)
        await send(qikli, order(GHANA, notifyUrl=hook.url, intermediateReport=True))
        await qikli.settle()
        for _ in range(3):
            await qikli.push()
    assert [len(hit.json["results"]) for hit in hook.hits] == [2, 2, 2]
    assert [row["pushed"] for row in await qikli.ledger("qikli")] == [1]
    assert await pull(qikli) == []


# -- logs and bulks ---------------------------------------------------------------------------------------------------


async def test_logs_can_be_read_again_and_show_pending_final_and_refused(qikli: Live) -> None:
    await send(qikli, order(GHANA, "447700909995", ids=["a", "bad"]), bulkId="B1")
    await qikli.settle()
    await send(qikli, order(UK.format(1), ids=["c"]), bulkId="B2")
    for _ in range(2):
        rows = await pull(qikli, LOGS, messageId="a,bad,c,unknown")
        assert [(row["messageId"], row["status"]["id"]) for row in rows] == [("a", 5), ("bad", 10), ("c", 26)]
    assert "doneAt" not in rows[2]
    assert rows[0]["text"] == TEXT
    assert [row["messageId"] for row in await pull(qikli, LOGS, bulkId="B1,B2")] == ["a", "bad", "c"]
    assert [row["messageId"] for row in await pull(qikli, LOGS, limit="1")] == ["c"]
    assert len(await pull(qikli)) == 1


async def test_logs_can_be_absent_and_have_their_own_limit(qikli: Live) -> None:
    await qikli.configure("qikli", logs_per_minute=1)
    assert await pull(qikli, LOGS) == []
    assert (await qikli.ask("GET", LOGS, headers=AUTH)).status == 429
    await qikli.configure("qikli", logs=False)
    assert (await qikli.ask("GET", LOGS, headers=AUTH)).status == 404


def in_an_hour() -> str:
    return stamp((datetime.now(UTC) + timedelta(hours=1)).timestamp())


async def test_a_scheduled_message_stays_pending_until_its_time(qikli: Live) -> None:
    await send(qikli, order(GHANA, ids=["a"], sendAt=in_an_hour()), bulkId="B")
    await qikli.advance(3500)
    assert (await pull(qikli, LOGS, messageId="a"))[0]["status"]["groupId"] == 1
    await qikli.advance(200)
    await qikli.settle()
    assert [row["status"]["id"] for row in await pull(qikli)] == [5]


async def test_a_scheduled_bulk_can_be_moved_paused_and_resumed(qikli: Live) -> None:
    at = in_an_hour()
    await send(qikli, order(GHANA, sendAt=at), bulkId="B")
    path, query = "/qikli/sms/1/bulks", {"bulkId": "B"}
    assert (await qikli.ask("GET", path, params=query, headers=AUTH)).json == {"bulkId": "B", "sendAt": at}
    paused = await qikli.ask("PUT", f"{path}/status", params=query, json={"status": "PAUSED"}, headers=AUTH)
    assert paused.json == {"bulkId": "B", "status": "PAUSED"}
    await qikli.advance(4000)
    await qikli.settle()
    assert await pull(qikli) == []
    await qikli.ask("PUT", f"{path}/status", params=query, json={"status": "PENDING"}, headers=AUTH)
    await qikli.settle()
    assert len(await pull(qikli)) == 1
    assert (await qikli.ask("GET", f"{path}/status", params=query, headers=AUTH)).json["status"] == "FINISHED"


async def test_a_cancelled_bulk_reports_cancelled_and_never_delivered(qikli: Live) -> None:
    await send(qikli, order(GHANA, sendAt=in_an_hour()), bulkId="B")
    query = {"bulkId": "B"}
    done = await qikli.ask("PUT", "/qikli/sms/1/bulks/status", params=query, json={"status": "CANCELED"}, headers=AUTH)
    assert done.status == 200
    await qikli.settle()
    assert [(row["status"]["id"], row["error"]["id"]) for row in await pull(qikli)] == [(31, 4100)]
    again = await qikli.ask("PUT", "/qikli/sms/1/bulks/status", params=query, json={"status": "PENDING"}, headers=AUTH)
    assert again.status == 400


async def test_a_bulk_that_is_not_scheduled_is_not_found(qikli: Live) -> None:
    await send(qikli, order(GHANA), bulkId="B")
    for path in ("/qikli/sms/1/bulks", "/qikli/sms/1/bulks/status"):
        assert (await qikli.ask("GET", path, params={"bulkId": "B"}, headers=AUTH)).status == 404


BODY = {
    "bulkId": "B",
    "tracking": TRACKING,
    "messages": [
        order(
            GHANA, ids=["a"], sendAt="2019-11-09T16:00:00.000+0000", validityPeriod=60, notifyUrl="http://127.0.0.1:9/",
            callbackData="c", intermediateReport=True,
        )
    ],
}  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(nearly(BODY))
def test_no_body_however_odd_breaks_the_simulator(body: bytes) -> None:
    headers = AUTH | {"Content-Type": "application/json"}
    assert answer_offline("qikli", "POST", "/sms/2/text/advanced", headers, body).status in (200, 400)


@pytest.mark.parametrize(
    "changes",
    [{"error_form": "xml"}, {"suffix_statuses": {"0101": "777"}}, {"final_statuses": {"expired": ["late"]}}],
)
def test_a_switch_that_cannot_work_is_refused_when_it_is_set(changes: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        QikliSettings().update(changes)


# -- the tables -------------------------------------------------------------------------------------------------------


def test_the_tables_hold_every_status_and_error_of_the_registry() -> None:
    assert len(STATUSES) == 33
    assert {status.group for status in STATUSES.values()} == set(GROUPS)
    assert len(ERRORS) == 147
    assert ERRORS[27].permanent is False
    assert ERRORS[1].permanent is True
    assert all(spell(str(status)).status["id"] == status for status in STATUSES)


def test_an_unknown_status_needs_a_group() -> None:
    with pytest.raises(ValueError, match="write group"):
        spell("777")
