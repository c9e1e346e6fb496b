"""The Qikberry simulator says what its reference and the platform's public documentation say."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import aiohttp
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.outcomes import Outcome
from sandbox.qikberry_codes import CODES, outcome_of
from sandbox.qikberry_settings import QikberrySettings
from sandbox.settings import SettingsError
from tests.sandbox.qik import Answer, Hit, Live, answer_offline, live, nearly, receiver

UK = "4477009000{:02d}"
AUTH = {"Authorization": "Bearer qb_sandbox"}
BASE = "/qikberry/api/v2/"
SECRET = "Bearer qikberry-webhook-secret"


@pytest.fixture
async def qikberry() -> AsyncIterator[Live]:
    async with live("qikberry") as found:
        yield found


async def post(at: Live, path: str, body: object) -> Answer:
    return await at.ask("POST", BASE + path, json=body, headers=AUTH)


async def get(at: Live, path: str, **query: str) -> Answer:
    return await at.ask("GET", BASE + path, params=query, headers=AUTH)


async def send(at: Live, *to: str, text: str = "Your OTP is 123456", **fields: object) -> Answer:
    return await post(at, "sms/send", {"sender": "SENDER", "to": list(to), "message": text, "service": "T", **fields})


async def send_nodes(at: Live, *nodes: dict[str, object], **root: object) -> Answer:
    defaults: dict[str, object] = {"type": "A", "sender": "SENDER", "message": "default text", "service": "T"}
    return await post(at, "sms/send/json", {"root": defaults | root, "nodes": list(nodes)})


async def status(at: Live, **query: str) -> list[dict[str, Any]]:
    answer = await get(at, "sms/status", **query)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["data"]
    return found


def ist(fmt: str = "%Y-%m-%d", **ahead: float) -> str:
    return (datetime.now(ZoneInfo("Asia/Kolkata")) + timedelta(**ahead)).strftime(fmt)


# -- access and envelopes ---------------------------------------------------------------------------------------------


async def test_without_a_token_the_answer_has_neither_status_nor_code(qikberry: Live) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = await qikberry.ask("GET", BASE + "auth/me", headers=headers)
        assert (answer.status, answer.json) == (401, {"message": "Unauthenticated."})


async def test_the_token_may_stand_in_the_query(qikberry: Live) -> None:
    answer = await qikberry.ask("GET", BASE + "auth/me?access_token=qb_sandbox")
    assert (answer.status, answer.json["status"]) == (200, "OK")


@pytest.mark.parametrize("missing", ["sender", "to", "message", "service"])
async def test_a_missing_field_answers_422_with_the_error_envelope(qikberry: Live, missing: str) -> None:
    body = {"sender": "SENDER", "to": [UK.format(1)], "message": "x", "service": "T"}
    del body[missing]
    answer = await post(qikberry, "sms/send", body)
    assert answer.status == 422
    assert answer.json == {"status": "ERROR", "code": 422, "message": f"The {missing} field is required."}


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("text", "The to field is required."),
        ("object", {"to": ["The to field is required."]}),
        ("list", ["The to field is required."]),
    ],
)
async def test_the_error_code_is_optional_and_messages_have_three_shapes(
    qikberry: Live, form: str, message: object
) -> None:
    await qikberry.configure("qikberry", error_code=False, validation_form=form)
    assert (await send(qikberry)).json == {"status": "ERROR", "message": message}


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "X"},
        {"time": "tomorrow"},
        {"time": "2020-01-01 00:00:00"},
        {"webhook_id": "nobody"},
        {"max_units": 2, "text": "x" * 307},
        {"meta": {"tags": ["a", "b", "c", "d"]}},
    ],
)
async def test_an_invalid_field_refuses_the_whole_request(qikberry: Live, fields: dict[str, object]) -> None:
    text = str(fields.pop("text", "hello"))
    assert (await send(qikberry, UK.format(1), text=text, **fields)).status == 422
    assert await qikberry.ledger("qikberry") == []


async def test_unreadable_bodies_are_refused_and_never_crash(qikberry: Live) -> None:
    for data in (b"", b"[]", b"{", b'{"root":1,"nodes":2}', b'{"to":{"a":1}}'):
        for path in ("sms/send", "sms/send/json", "sms/send/template", "sms/message/send"):
            answer = await qikberry.ask("POST", BASE + path, data=data, headers=AUTH)
            assert answer.status == 422, (path, data)


async def test_too_little_balance_refuses_the_whole_request_by_its_text(qikberry: Live) -> None:
    await qikberry.configure("qikberry", credits=3)
    assert (await send(qikberry, UK.format(1), text="x" * 161)).status == 200
    answer = await send(qikberry, UK.format(2), UK.format(3))
    assert (answer.status, answer.json["message"]) == (400, "Insufficient balance")
    assert (await get(qikberry, "finance/balance")).json["data"]["credits"] == "1.0000"
    await qikberry.configure("qikberry", balance_form="list", balance_status=402)
    assert (await get(qikberry, "finance/balance")).json["data"][0]["service"] == "T"
    assert (await send(qikberry, UK.format(2), UK.format(3))).status == 402


async def test_all_reads_share_one_window_and_sends_are_free(qikberry: Live) -> None:
    await qikberry.configure("qikberry", limit_scale=0.003)
    for path in ("auth/me", "finance/balance", "sms/suppressions/unsubscribers"):
        assert (await get(qikberry, path)).status == 200
    refused = await get(qikberry, "sms/status", cid="x")
    assert (refused.status, refused.json["status"]) == (429, "ERROR")
    assert (await send(qikberry, UK.format(1))).status == 200


# -- send -------------------------------------------------------------------------------------------------------------


async def test_a_send_is_answered_with_one_item_per_recipient(qikberry: Live) -> None:
    answer = (await send(qikberry, UK.format(1), UK.format(2), custom="12345")).json
    group = answer["group_id"]
    items = answer.pop("data")
    assert answer == {"status": 200, "message": "2 numbers accepted for delivery.", "group_id": group}
    at = items[0].pop("submitted_at")
    assert at[:10] == ist()
    assert items[0] == {
        "id": f"{group}:1",
        "mobile": UK.format(1),
        "status": "AWAITING-DLR",
        "units": 1,
        "length": 18,
        "charges": 1,
        "customid": "12345",
        "iso_code": None,
    }
    rows = await qikberry.ledger("qikberry")
    assert [(row["id"], row["ref"], row["key"]) for row in rows] == [(f"{group}:{n}", "12345", group) for n in (1, 2)]


async def test_to_may_be_a_list_a_number_a_comma_list_or_a_form(qikberry: Live) -> None:
    common = {"sender": "SENDER", "message": "hi", "service": "T"}
    pair = f"{UK.format(2)}, {UK.format(3)}"
    for to in ([UK.format(1)], UK.format(1), int(UK.format(1)), pair):
        assert (await post(qikberry, "sms/send", {**common, "to": to})).status == 200
    form = aiohttp.FormData([*common.items(), ("to", pair)])
    assert (await qikberry.ask("POST", BASE + "sms/send", data=form, headers=AUTH)).status == 200
    brackets = aiohttp.FormData([*common.items(), ("to[]", UK.format(4)), ("to[]", UK.format(5))])
    assert (await qikberry.ask("POST", BASE + "sms/send", data=brackets, headers=AUTH)).status == 200
    assert [row["msisdn"][-1] for row in await qikberry.ledger("qikberry")] == list("111232345")


async def test_nodes_carry_their_own_text_sender_and_custom_id(qikberry: Live) -> None:
    answer = await send_nodes(
        qikberry,
        {"to": UK.format(1), "custom": "a", "message": "own", "sender": "OTHER"},
        {"to": UK.format(2), "custom": "b"},
    )
    assert [item["customid"] for item in answer.json["data"]] == ["a", "b"]
    rows = await qikberry.ledger("qikberry")
    assert [(row["ref"], row["text"], row["sender"]) for row in rows] == [
        ("a", "own", "OTHER"),
        ("b", "default text", "SENDER"),
    ]


async def test_templates_are_found_by_alias_or_id_and_filled(qikberry: Live) -> None:
    template = {"id": 7, "body": "Dear {{name}}, code {{ code }}.", "sender": "SENDER", "service": "T"}
    await qikberry.configure("qikberry", templates={"welcome": template}, template_form="channel")
    body = {"recipient": {"to": [UK.format(1)]}, "data": {"name": "Ada", "code": 5}, "meta": {"foreign_id": "f"}}
    answer = await post(qikberry, "sms/send/template", body | {"alias": "welcome"})
    assert answer.json["data"][0]["foreign_id"] == "f"
    await qikberry.configure("qikberry", template_form="sms")
    assert (await post(qikberry, "sms/send/template", body | {"id": 7})).json["message"] == (
        "1 numbers accepted for delivery."
    )
    assert [row["text"] for row in await qikberry.ledger("qikberry")] == ["Dear Ada, code 5."] * 2
    assert (await post(qikberry, "sms/send/template", body | {"alias": "unknown"})).status == 404


async def test_the_channels_form_answers_in_its_own_words(qikberry: Live) -> None:
    answer = await post(
        qikberry,
        "sms/message/send",
        {
            "channels": [{"name": "sms", "from": "SENDER", "meta": {"service": "T", "foreign_id": "mine"}}],
            "recipient": {"to": [UK.format(1)]},
            "message": {"type": "text", "payload": {"text": "hello"}},
        },
    )
    (item,) = answer.json["data"]
    assert (answer.json["status"], answer.json["message"]) == ("OK", "Message(s) Queued successfully")
    shown = {name: item[name] for name in ("channel", "from", "to", "credits", "status", "foreign_id")}
    assert shown == {
        "channel": "sms",
        "from": "SENDER",
        "to": UK.format(1),
        "credits": 1,
        "status": "AWAITING-DLR",
        "foreign_id": "mine",
    }


@pytest.mark.parametrize(("form", "said"), [("number", 200), ("text", "200"), ("word", "OK")])
async def test_success_is_said_in_three_forms(qikberry: Live, form: str, said: object) -> None:
    await qikberry.configure(
        "qikberry", status_form=form, numbers_as_text=True, accepted_http=202, group_id="named", custom_key="custom"
    )
    answer = await send(qikberry, UK.format(1), custom="c")
    assert (answer.status, answer.json["status"]) == (202, said)
    assert "group_id" not in answer.json
    (item,) = answer.json["data"]
    assert (item["units"], item["length"], item["charges"], item["custom"]) == ("1", "18", "1", "c")
    assert "group_id" in (await send(qikberry, UK.format(1), name="campaign")).json


async def test_recipients_can_be_missing_from_the_answer_with_or_without_being_accepted(qikberry: Live) -> None:
    numbers = [UK.format(n) for n in range(1, 5)]
    await qikberry.configure("qikberry", answer_gap=2)
    gap = (await send(qikberry, *numbers)).json
    assert (gap["message"][0], [item["mobile"] for item in gap["data"]]) == ("4", numbers[::2])
    await qikberry.configure("qikberry", answer_gap=0, drop_gap=2)
    drop = (await send(qikberry, *numbers)).json
    assert (drop["message"][0], [item["mobile"] for item in drop["data"]]) == ("2", numbers[::2])
    await qikberry.configure("qikberry", drop_gap=0, empty_data=True)
    assert (await send(qikberry, *numbers)).json["data"] == []
    await qikberry.configure("qikberry", empty_data=False, repeat_ids=True)
    assert len({item["id"] for item in (await send(qikberry, *numbers)).json["data"]}) == 1
    assert len(await qikberry.ledger("qikberry")) == 14


@pytest.mark.parametrize(
    ("number", "switch", "word"),
    [
        ("+447700900001", {}, "INV-NUMBER"),
        ("00447700900001", {}, "INV-NUMBER"),
        ("447700909997", {}, "INV-NUMBER"),
        ("447700909995", {}, "DNDNUMB"),
        ("447700900001", {"notallowed": ["44"]}, "notallowed"),
        ("447700900001", {"approved_senders": ["OTHER"]}, "INV-SENDER"),
    ],
)
async def test_a_refused_recipient_is_an_item_inside_a_success(
    qikberry: Live, number: str, switch: dict[str, object], word: str
) -> None:
    await qikberry.configure("qikberry", **switch)
    answer = await send(qikberry, number)
    assert (answer.status, answer.json["status"], answer.json["message"][0]) == (200, 200, "0")
    (item,) = answer.json["data"]
    assert (item["status"], item["charges"]) == (word, 0)
    assert await qikberry.ledger("qikberry") == []


async def test_a_partial_reject_fault_may_name_any_code(qikberry: Live) -> None:
    await qikberry.faults("qikberry", {"kind": "partial_reject", "count": 1, "params": {"status": "783"}})
    answer = await send(qikberry, UK.format(1), UK.format(2))
    assert [item["status"] for item in answer.json["data"]] == ["DLT-TM-VAR-EXECEED", "AWAITING-DLR"]


async def test_the_same_content_within_the_window_is_a_duplicate(qikberry: Live) -> None:
    await qikberry.configure("qikberry", repeat_minutes=5)
    words = [(await send(qikberry, UK.format(1))).json["data"][0]["status"] for _ in range(2)]
    assert words == ["AWAITING-DLR", "DUPLICATE"]
    await qikberry.advance(301)
    assert (await send(qikberry, UK.format(1))).json["data"][0]["status"] == "AWAITING-DLR"


@pytest.mark.parametrize(
    ("kind", "text", "units", "sent"),
    [
        ("A", "héllo", 1, "héllo"),
        ("A", "ж" * 71, 2, "ж" * 71),
        ("U", "a" * 71, 2, "a" * 71),
        ("N", "ж|ok", 1, "??ok"),
    ],
)
async def test_the_type_decides_units_and_what_is_sent(
    qikberry: Live, kind: str, text: str, units: int, sent: str
) -> None:
    (item,) = (await send(qikberry, UK.format(1), text=text, type=kind)).json["data"]
    assert item["units"] == units
    assert [row["text"] for row in await qikberry.ledger("qikberry")] == [sent]


# -- reports by pull --------------------------------------------------------------------------------------------------


async def test_a_status_row_has_every_documented_field_and_can_be_read_again(qikberry: Live) -> None:
    (item,) = (await send(qikberry, UK.format(1), custom="c")).json["data"]
    (row,) = await status(qikberry, id=item["id"])
    assert (row["status"], row["delivered_at"]) == ("AWAITING-DLR", "")
    await qikberry.settle()
    first, again = [await status(qikberry, cid="c") for _ in range(2)]
    assert first == again
    stamps = {first[0].pop("submitted_at")[:10], first[0].pop("delivered_at")[:10]}
    assert stamps == {ist()}
    assert first[0] == {
        "id": item["id"],
        "mobile": UK.format(1),
        "status": "DELIVRD",
        "units": 1,
        "service": "T",
        "length": 18,
        "charges": 1,
        "custom": "c",
        "custom1": "",
        "location": "",
        "provider": "",
        "sender": "SENDER",
    }


async def test_messages_are_found_by_every_filter_and_their_combination(qikberry: Live) -> None:
    one = (await send_nodes(qikberry, {"to": UK.format(1), "custom": "a"}, {"to": UK.format(2), "custom": "b"})).json
    await send(qikberry, UK.format(1), custom="a")
    queries = [
        ({"id": f"{one['group_id']}:2"}, 1),
        ({"group_id": one["group_id"]}, 2),
        ({"group_id": one["group_id"], "mobile": UK.format(1)}, 1),
        ({"mobile": UK.format(1)}, 2),
        ({"cid": "a"}, 2),
        ({"cid": "a", "date": ist()}, 2),
        ({"date": ist()}, 3),
        ({"date": ist(days=1)}, 0),
        ({"id": "unknown"}, 0),
    ]
    assert [len(await status(qikberry, **query)) for query, _ in queries] == [count for _, count in queries]
    assert (await get(qikberry, "sms/status")).status == 422
    assert (await get(qikberry, "sms/status", date="today")).status == 422


async def test_a_group_comes_in_pages_of_a_hundred_whose_links_lack_the_filter(qikberry: Live) -> None:
    group = (await send(qikberry, *[UK.format(n % 90 + 10) for n in range(250)])).json["group_id"]
    pages = [(await get(qikberry, "sms/status", group_id=group, page=str(n))).json for n in (1, 2, 3, 4)]
    assert [len(page["data"]) for page in pages] == [100, 100, 50, 0]
    assert len({row["id"] for page in pages for row in page["data"]}) == 250
    assert pages[0]["meta"] == {
        "current_page": 1,
        "from": 1,
        "last_page": 3,
        "path": f"{qikberry.running.url}{BASE}sms/status",
        "per_page": 100,
        "to": 100,
        "total": 250,
    }
    assert pages[0]["links"]["next"] == f"{qikberry.running.url}{BASE}sms/status?page=2"
    assert pages[2]["links"]["next"] is None
    assert "links" not in (await get(qikberry, "sms/status", mobile=UK.format(10))).json


async def test_the_older_envelope_nests_the_rows(qikberry: Live) -> None:
    await qikberry.configure("qikberry", envelope="old")
    group = (await send(qikberry, *[UK.format(n % 90 + 10) for n in range(101)])).json["group_id"]
    body = (await get(qikberry, "sms/status", group_id=group, page="2")).json
    assert body["status"] == 200
    assert len(body["data"].pop("data")) == 1
    assert body["data"] == {"current_page": 2, "last_page": 2, "next_page_url": None, "per_page": 100, "total": 101}


@pytest.mark.parametrize("code", [404, 422])
async def test_no_record_may_be_an_error(qikberry: Live, code: int) -> None:
    await qikberry.configure("qikberry", no_record=code)
    answer = await get(qikberry, "sms/status", cid="unknown")
    assert (answer.status, answer.json["code"]) == (code, code)


async def test_every_code_of_the_table_can_be_reported_by_name(qikberry: Live) -> None:
    endings = {f"{place:04d}": code for place, code in enumerate(CODES, 1)}
    await qikberry.configure("qikberry", suffix_statuses=endings)
    group = (await send(qikberry, *[f"44770090{ending}" for ending in endings])).json["group_id"]
    await qikberry.settle()
    assert [row["status"] for row in await status(qikberry, group_id=group)] == list(CODES.values())
    truths = {row["status"]: row["truth"] for row in await qikberry.ledger("qikberry")}
    assert truths["ABSENT-SUB"] == "undelivered"
    assert truths["DND" + "NUMB"] == "rejected"


async def test_number_endings_decide_and_names_may_be_long(qikberry: Live) -> None:
    await qikberry.configure("qikberry", status_words="long")
    numbers = [f"44770090{ending}" for ending in ("0001", "0000", "9999", "9998", "9996")]
    group = (await send(qikberry, *numbers)).json["group_id"]
    await qikberry.settle()
    words = [row["status"] for row in await status(qikberry, group_id=group)]
    assert words == ["DELIVERED", "ABSENT-SUB", "EXPIRED", "REJECTED", "ENROUTE"]


async def test_a_schedule_is_local_time_between_five_minutes_and_thirty_days(qikberry: Live) -> None:
    form = "%Y-%m-%d %H:%M:%S"
    assert (await send(qikberry, UK.format(1), time=ist(form, minutes=4))).status == 422
    assert (await send(qikberry, UK.format(1), time=ist(form, days=31))).status == 422
    (item,) = (await send(qikberry, UK.format(1), time=ist(form, minutes=60), custom="c")).json["data"]
    assert item["status"] == "SCHEDULED"
    await qikberry.advance(3590)
    assert (await status(qikberry, cid="c"))[0]["status"] == "SCHEDULED"
    await qikberry.advance(20)
    assert (await status(qikberry, cid="c"))[0]["status"] == "AWAITING-DLR"
    await qikberry.advance(601)
    assert (await status(qikberry, cid="c"))[0]["status"] == "DELIVRD"


async def test_the_time_zone_of_naive_timestamps_is_a_switch(qikberry: Live) -> None:
    await qikberry.configure("qikberry", timezone="UTC")
    (item,) = (await send(qikberry, UK.format(1))).json["data"]
    at = datetime.strptime(item["submitted_at"] + "+0000", "%Y-%m-%d %H:%M:%S%z")
    assert abs((datetime.now(at.tzinfo) - at).total_seconds()) < 5


# -- pushes -----------------------------------------------------------------------------------------------------------


def payload_of(hit: Hit, form: str) -> dict[str, Any]:
    """The flat fields out of any of the six forms."""
    if form == "get":
        return dict(hit.query)
    if form == "form":
        return {name: values[0] for name, values in parse_qs(hit.body.decode()).items()}
    body = hit.json[0] if form.endswith("list") else hit.json
    if form.startswith("envelope"):
        assert body["event"] == "sms:message:status"
        body = body["payload"]
    fields: dict[str, Any] = body
    return fields


@pytest.mark.parametrize("form", ["flat", "envelope", "list", "envelope_list", "form", "get"])
async def test_a_report_is_pushed_in_every_form_with_the_secret(qikberry: Live, form: str) -> None:
    async with receiver() as hook:
        await qikberry.configure("qikberry", callback_url=hook.url + "?of=us", push_form=form)
        (item,) = (await send(qikberry, UK.format(1), custom="c")).json["data"]
        await qikberry.settle()
        await qikberry.push()
    (hit,) = hook.hits
    assert (hit.method, hit.headers["authorization"], hit.query["of"]) == (
        "GET" if form == "get" else "POST",
        SECRET,
        "us",
    )
    fields = payload_of(hit, form)
    assert (fields["id"], fields["mobile"], fields["status"]) == (item["id"], UK.format(1), "DELIVRD")
    assert (fields["credits"], fields["cid"], fields["custom"]) == ("1.0000", "c", "c")
    assert fields["sent_time"] <= fields["submit_time"] <= fields["deliv_time"]
    assert int(fields["deliv_at"]) > 1_600_000_000
    assert "signature" not in hit.headers
    assert [row["pushed"] for row in await qikberry.ledger("qikberry")] == [1]


async def test_the_signature_is_keyed_with_the_webhook_id(qikberry: Live) -> None:
    async with receiver() as hook:
        await qikberry.configure(
            "qikberry", callback_url=hook.url, signature=True, webhook_id="wh-1", push_custom="cid"
        )
        await send(qikberry, UK.format(1), webhook_id="wh-1", custom="c")
        await qikberry.settle()
        await qikberry.push()
    (hit,) = hook.hits
    assert hit.headers["signature"] == hmac.new(b"wh-1", hit.body, "sha256").hexdigest()
    assert (hit.json["cid"], hit.json["custom"]) == ("c", "")


async def test_a_failing_webhook_is_called_three_times_in_all(qikberry: Live) -> None:
    async with receiver() as hook:
        hook.respond = lambda _: (500, b"")
        await qikberry.configure("qikberry", callback_url=hook.url)
        await send(qikberry, UK.format(1))
        await qikberry.settle()
        for _ in range(5):
            await qikberry.push()
    assert len(hook.hits) == 3
    assert (await qikberry.stats("qikberry"))["push_dropped"] == 1


async def create_hook(at: Live, url: str, **fields: object) -> dict[str, Any]:
    answer = await post(at, "developer/webhooks", {"name": "reports", "uri": url, "secret": "s3cret", **fields})
    assert answer.json["message"] == "Created Successfully"
    made: dict[str, Any] = answer.json["data"]
    return made


def echo(hit: Hit) -> tuple[int, bytes]:
    return 200, orjson.dumps({"challenge": hit.json.get("challenge")})


async def test_a_webhook_gets_reports_only_after_it_has_echoed_the_challenge(qikberry: Live) -> None:
    async with receiver() as deaf, receiver() as hook:
        hook.respond = echo
        silent = await create_hook(qikberry, deaf.url, token="KEY")
        good = await create_hook(qikberry, hook.url, token="KEY")
        await qikberry.push()
        assert (hook.hits[0].method, hook.hits[0].query) == ("POST", {"token": "KEY"})
        assert hook.hits[0].headers["authorization"] == "Bearer s3cret"
        assert hook.hits[0].json["validation_key"] == "KEY"
        for webhook_id in (silent["id"], good["id"]):
            await send(qikberry, UK.format(1), webhook_id=webhook_id)
        await qikberry.settle()
        await qikberry.push()
    assert all("challenge" in hit.json for hit in deaf.hits)
    assert [hit.json["status"] for hit in hook.hits[1:]] == ["DELIVRD"]


async def test_a_subscription_makes_the_webhook_id_unnecessary(qikberry: Live) -> None:
    async with receiver() as hook:
        made = await create_hook(qikberry, hook.url)
        fields = {"event": "sms:message:status", "identity": "all", "webhook_id": made["id"]}
        assert (await post(qikberry, "developer/subscriptions", fields)).status == 200
        assert (await post(qikberry, "developer/subscriptions", fields | {"event": "sms:none"})).status == 422
        await send(qikberry, UK.format(1))
        await qikberry.settle()
        await qikberry.push()
    assert len(hook.hits) == 1
    assert len((await get(qikberry, "developer/subscriptions")).json["data"]) == 1


async def test_webhooks_can_be_updated_and_softly_deleted(qikberry: Live) -> None:
    made = await create_hook(qikberry, "http://127.0.0.1:9/hook")
    path = f"{BASE}developer/webhooks/{made['id']}"
    renamed = await qikberry.ask("POST", path + "?_method=PUT", json={"name": "new"}, headers=AUTH)
    assert renamed.json["data"]["name"] == "new"
    assert (await qikberry.ask("DELETE", path, headers=AUTH)).json["data"] == []
    assert (await qikberry.ask("GET", path, headers=AUTH)).json["data"]["status"] == 0
    assert (await qikberry.ask("PUT", path, json={"status": 1}, headers=AUTH)).json["data"]["status"] == 1
    assert (await qikberry.ask("GET", path + "x", headers=AUTH)).status == 404


async def test_enroute_comes_first_and_can_come_late(qikberry: Live) -> None:
    async with receiver() as hook:
        await qikberry.configure("qikberry", callback_url=hook.url, enroute=True)
        await send(qikberry, UK.format(1))
        await qikberry.settle()
        await qikberry.push()
        await qikberry.faults("qikberry", {"kind": "report_out_of_order"})
        await send(qikberry, UK.format(2))
        await qikberry.settle()
        await qikberry.push()
    words = [(hit.json["mobile"][-1], hit.json["status"]) for hit in hook.hits]
    assert sorted(words) == [("1", "DELIVRD"), ("1", "ENROUTE"), ("2", "DELIVRD"), ("2", "ENROUTE")]
    assert [row["pushed"] for row in await qikberry.ledger("qikberry")] == [1, 1]


# -- unsubscribers ----------------------------------------------------------------------------------------------------

OPTOUTS = "sms/suppressions/unsubscribers"


async def test_who_is_on_the_list_is_not_sent_to(qikberry: Live) -> None:
    await post(qikberry, OPTOUTS, {"receiver": UK.format(1), "type": "sender", "value": "SENDER"})
    await post(qikberry, OPTOUTS, {"receiver": UK.format(2), "type": "tag", "value": "promo"})
    await post(qikberry, OPTOUTS, {"receiver": UK.format(3), "type": "all"})
    numbers = [UK.format(n) for n in (1, 2, 3, 4)]
    plain, tagged = [
        [item["status"] for item in (await send(qikberry, *numbers, meta=meta)).json["data"]]
        for meta in ({}, {"tags": ["promo"]})
    ]
    assert plain == ["OPTOUT-REJ", "AWAITING-DLR", "OPTOUT-REJ", "AWAITING-DLR"]
    assert tagged == ["OPTOUT-REJ", "OPTOUT-REJ", "OPTOUT-REJ", "AWAITING-DLR"]


async def test_the_list_is_paged_filtered_edited_and_cleaned(qikberry: Live) -> None:
    for n in range(1, 21):
        await post(qikberry, OPTOUTS, {"receiver": UK.format(n), "type": "tag", "value": f"t{n}"})
    page = (await get(qikberry, OPTOUTS, page="2")).json
    assert (len(page["data"]), page["meta"]["per_page"], page["message"]) == (5, 15, "Unsubscribers list")
    (one,) = (await get(qikberry, OPTOUTS, **{"filter[receiver]": UK.format(7)})).json["data"]
    assert (one["iso"], one["type"], one["value"]) == ("GB", "tag", "t7")
    path = f"{BASE}{OPTOUTS}/{one['id']}"
    assert (await qikberry.ask("PUT", path, json={"value": "t9"}, headers=AUTH)).json["data"]["value"] == "t9"
    assert (await qikberry.ask("PUT", path, json={"type": "odd"}, headers=AUTH)).status == 422
    assert (await qikberry.ask("DELETE", path, headers=AUTH)).status == 200
    assert (await qikberry.ask("GET", path, headers=AUTH)).status == 404
    assert (await qikberry.ask("DELETE", BASE + OPTOUTS, headers=AUTH)).status == 200
    assert (await get(qikberry, OPTOUTS)).json["data"] == []


async def test_an_opt_out_from_a_handset_is_listed_and_pushed(qikberry: Live) -> None:
    async with receiver() as hook:
        await qikberry.configure("qikberry", callback_url=hook.url, push_form="envelope")
        await qikberry.control("POST", "/inbound", {"provider": "qikberry", "receiver": UK.format(1)})
    (hit,) = hook.hits
    assert hit.json["event"] == "sms:unsubscription"
    assert (hit.json["payload"]["receiver"], hit.json["payload"]["type"]) == (UK.format(1), "all")
    assert (await send(qikberry, UK.format(1))).json["data"][0]["status"] == "OPTOUT-REJ"


SMS: dict[str, object] = {
    "sender": "SENDER", "message": "hello", "service": "T", "type": "N", "time": "", "custom": "c", "max_units": 2,
    "webhook_id": "", "name": "n", "meta": {"tags": ["t"], "foreign_id": "f"},
}  # fmt: skip
BODIES: dict[str, dict[str, object]] = {
    "sms/send": SMS | {"to": ["447700900001"]},
    "sms/send/json": {"root": SMS, "nodes": [{"to": "447700900001", "custom": "c", "message": "own", "type": "U"}]},
    "sms/send/template": {"alias": "a", "id": 1, "recipient": {"to": ["447700900001"]}, "data": {"x": 1}, "meta": {}},
    "sms/message/send": {
        "channels": [{"name": "sms", "from": "SENDER", "meta": {"service": "T", "type": "A", "max_units": "2"}}],
        "recipient": {"to": ["447700900001"]},
        "message": {"type": "text", "payload": {"text": "hello"}},
    },
    "developer/webhooks": {"name": "n", "uri": "http://127.0.0.1:9/", "token": "t", "status": "1", "secret": "s"},
    "developer/subscriptions": {"event": "sms:unsubscription", "identity": "all", "webhook_id": "sandbox-webhook"},
    OPTOUTS: {"receiver": "447700900001", "type": "tag", "value": "v"},
}


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(BODIES)).flatmap(lambda path: st.tuples(st.just(path), nearly(BODIES[path]))))
def test_no_body_however_odd_breaks_the_simulator(request_: tuple[str, bytes]) -> None:
    path, body = request_
    assert answer_offline("qikberry", "POST", "/api/v2/" + path, AUTH, body).status in (200, 404, 422)


@pytest.mark.parametrize("changes", [{"timezone": "Nowhere"}, {"timezone": 5}, {"push_form": "xml"}])
def test_a_switch_that_cannot_work_is_refused_when_it_is_set(changes: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        QikberrySettings().update(changes)


# -- the table --------------------------------------------------------------------------------------------------------


def test_the_table_holds_every_documented_code() -> None:
    assert len(CODES) == 67
    assert "779" not in CODES
    assert {outcome_of(name) for name in CODES.values()} == set(Outcome) - {Outcome.NO_REPORT}
