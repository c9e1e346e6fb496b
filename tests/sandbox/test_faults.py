"""Every fault on the wire, as a client sees it, and what the ledger says about it."""

import asyncio
import gzip
import time
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any

import aiohttp
import orjson
import pytest

from sandbox.exchange import Call
from sandbox.faults import FaultBook, Kind
from tests.sandbox.lab import Answer, Lab, Receiver

AUTH = {"Authorization": "Bearer sk_live_sandbox"}
URL = "/quicksms/v1/messages"


async def send(lab: Lab, number: str = "447700900001", **more: Any) -> Answer:
    body = {"MSISDN": number, "msg": "Hi", "sender": "MyStore"} | more
    return await lab.ask("POST", URL, json=body, headers=AUTH)


async def accepted(lab: Lab) -> int:
    return len(await lab.ledger("quicksms"))


# -- which requests are hit --------------------------------------------------------------------------------------------


def hits(rule: dict[str, Any], calls: int = 12, seed: int = 1) -> list[bool]:
    book = FaultBook(Random(seed))
    book.load([rule], 0.0)
    call = Call("POST", "/v1/messages", {}, {}, b"", "", 0.0)
    return [book.for_request(call, lambda _: ("447700900001",)) is not None for _ in range(calls)]


def test_a_rule_fires_by_count_by_every_nth_and_by_rate() -> None:
    assert hits({"kind": "throttle"}) == [True] * 12
    assert hits({"kind": "throttle", "count": 2}) == [True, True] + [False] * 10
    assert hits({"kind": "throttle", "every": 4}) == [False, False, False, True] * 3
    assert hits({"kind": "throttle", "every": 4, "count": 1}) == [False, False, False, True] + [False] * 8
    assert 400 < sum(hits({"kind": "throttle", "rate": 0.25}, calls=2000)) < 600


def test_a_seed_replays_its_faults() -> None:
    rule = {"kind": "drop_after", "rate": 0.5}
    assert hits(rule, 50, seed=3) == hits(rule, 50, seed=3)
    assert hits(rule, 50, seed=3) != hits(rule, 50, seed=4)


@pytest.mark.parametrize(
    ("match", "hit"),
    [({"method": "GET"}, False), ({"method": "POST"}, True), ({"path": "/v1/*"}, True), ({"path": "/v2/*"}, False),
     ({"msisdn": "0001"}, True), ({"msisdn": "0002"}, False)],
)  # fmt: skip
def test_a_match_narrows_a_rule(match: dict[str, str], hit: bool) -> None:
    assert hits({"kind": "throttle", "match": match}, calls=1) == [hit]


async def test_the_recipient_decides_on_the_wire_too(lab: Lab) -> None:
    await lab.faults("quicksms", {"kind": "error_before", "match": {"msisdn": "0002"}})
    assert [(await send(lab, f"44770090000{n}")).status for n in (1, 2, 3)] == [202, 500, 202]


async def test_faults_can_stand_in_the_configuration(lab: Lab) -> None:
    await lab.config("quicksms", faults=[{"kind": "unauthorized", "count": 1}], price=0.5)
    assert [(await send(lab)).status for _ in range(2)] == [401, 202]


async def test_faults_can_be_listed_and_cleared(lab: Lab) -> None:
    await lab.faults("quicksms", {"kind": "throttle", "count": 1})
    await send(lab)
    listed = (await lab.control("/faults?provider=quicksms", method="GET"))["quicksms"]
    assert (listed[0]["kind"], listed[0]["fired"]) == ("throttle", 1)
    await lab.control("/faults", method="DELETE")
    assert (await lab.control("/faults", method="GET"))["quicksms"] == []
    assert (await lab.counts("quicksms"))["faults"] == {"throttle": 1}


# -- connections -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "kept"), [("drop_before", 0), ("drop_after", 1)])
@pytest.mark.parametrize("reset", [False, True])
async def test_a_dropped_connection_gives_no_answer(lab: Lab, kind: str, kept: int, reset: bool) -> None:
    await lab.faults("quicksms", {"kind": kind, "count": 1, "params": {"reset": reset}})
    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await send(lab)
    assert await accepted(lab) == kept
    assert (await send(lab)).status == 202


@pytest.mark.parametrize(("kind", "kept"), [("stall_before", 0), ("stall_after", 1)])
async def test_a_stalled_request_outlives_the_clients_patience(lab: Lab, kind: str, kept: int) -> None:
    await lab.faults("quicksms", {"kind": kind, "params": {"seconds": 30}})
    body = {"MSISDN": "447700900001", "msg": "Hi", "sender": "MyStore"}
    with pytest.raises(TimeoutError):
        await lab.ask("POST", URL, json=body, headers=AUTH, timeout=aiohttp.ClientTimeout(total=0.15))
    assert await accepted(lab) == kept


async def test_a_stall_ends_with_a_closed_connection(lab: Lab) -> None:
    await lab.faults("quicksms", {"kind": "stall_after", "params": {"seconds": 0.05}})
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await send(lab)


async def test_a_replay_after_a_drop_finds_the_accepted_message(lab: Lab) -> None:
    await lab.faults("quicksms", {"kind": "drop_after", "count": 1})
    body = {"MSISDN": "447700900001", "msg": "Hi", "sender": "MyStore"}
    headers = AUTH | {"Idempotency-Key": "order-1"}
    with pytest.raises(aiohttp.ClientError):
        await lab.ask("POST", URL, json=body, headers=headers)
    again = await lab.ask("POST", URL, json=body, headers=headers)
    assert again.json()["messages"][0]["quicksms_id"] == (await lab.ledger("quicksms"))[0]["id"]
    assert await accepted(lab) == 1


# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "kept"), [("error_before", 0), ("error_after", 1)])
@pytest.mark.parametrize(("body", "shown"), [("envelope", b'{"error":'), ("html", b"<!DOCTYPE html>"), ("empty", b"")])
async def test_a_server_error_comes_with_or_without_having_accepted(
    lab: Lab, kind: str, kept: int, body: str, shown: bytes
) -> None:
    await lab.faults("quicksms", {"kind": kind, "params": {"status": 502, "body": body}})
    answer = await send(lab)
    assert (answer.status, answer.body[: len(shown)], bool(answer.body)) == (502, shown, bool(shown))
    assert await accepted(lab) == kept


async def test_a_cliqtel_error_of_ours_never_claims_the_carrier_refused(lab: Lab) -> None:
    await lab.faults("cliqtel", {"kind": "error_after"})
    body = {"from": "+12025550123", "to": "+447700900001", "body": "Hi"}
    headers = {"Authorization": "Bearer 17|sandbox"}
    answer = await lab.ask("POST", "/cliqtel/api/v1/sms/messages", json=body, headers=headers)
    assert (answer.status, answer.json()["error"]["code"]) == (500, "server_error")
    assert len(await lab.ledger("cliqtel")) == 1


@pytest.mark.parametrize(
    ("form", "shown"), [("seconds", "7"), ("garbage", "soon, maybe"), ("negative", "-7"), ("absent", None)]
)
async def test_a_throttle_names_its_wait_in_every_form(lab: Lab, form: str, shown: str | None) -> None:
    await lab.faults("quicksms", {"kind": "throttle", "params": {"form": form, "seconds": 7}})
    answer = await send(lab)
    assert (answer.status, answer.headers.get("Retry-After")) == (429, shown)
    assert await accepted(lab) == 0


async def test_a_throttle_may_name_a_date(lab: Lab) -> None:
    await lab.faults("quicksms", {"kind": "throttle", "params": {"form": "date", "seconds": 60}})
    date = parsedate_to_datetime((await send(lab)).headers["Retry-After"])
    assert 50 < date.timestamp() - time.time() < 70


async def test_an_injected_401_is_the_providers_own(lab: Lab) -> None:
    await lab.faults("quicksms", {"kind": "unauthorized", "count": 1})
    answer = await send(lab)
    assert (answer.status, answer.json()["error"]["code"]) == (401, "UNAUTHORIZED")
    assert (await send(lab)).status == 202


@pytest.mark.parametrize("variant", ["truncated", "html", "invalid_utf8", "empty"])
async def test_a_malformed_answer_is_no_json_although_the_message_was_taken(lab: Lab, variant: str) -> None:
    await lab.faults("quicksms", {"kind": "malformed", "params": {"variant": variant}})
    answer = await send(lab)
    assert answer.status == 202
    with pytest.raises(orjson.JSONDecodeError):
        answer.json()
    assert await accepted(lab) == 1


async def test_a_malformed_answer_may_have_the_wrong_type_shape_or_size(lab: Lab) -> None:
    shown = {}
    for variant in ("content_type", "wrong_shape", "null", "huge"):
        params = {"variant": variant, "bytes": 200_000}
        await lab.faults("quicksms", {"kind": "malformed", "params": params})
        shown[variant] = await send(lab)
    assert shown["content_type"].headers["Content-Type"] == "text/plain"
    assert (shown["wrong_shape"].json(), shown["null"].json()) == ([], None)
    assert len(shown["huge"].body) > 200_000


async def test_a_body_shorter_than_promised_breaks_off(lab: Lab) -> None:
    await lab.faults("quicksms", {"kind": "malformed", "params": {"variant": "short"}})
    with pytest.raises(aiohttp.ClientPayloadError):
        await send(lab)
    assert await accepted(lab) == 1


async def test_a_gzip_bomb_is_small_on_the_wire(lab: Lab) -> None:
    await lab.faults("quicksms", {"kind": "malformed", "params": {"variant": "gzip_bomb", "bytes": 5_000_000}})
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        body = {"MSISDN": "447700900001", "msg": "Hi", "sender": "MyStore"}
        async with session.post(lab.running.url + URL, json=body, headers=AUTH) as answer:
            packed = await answer.read()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(packed) < 20_000
    assert len(gzip.decompress(packed)) == 5_000_000


async def test_a_slow_body_arrives_whole_in_the_end(lab: Lab) -> None:
    await lab.faults("quicksms", {"kind": "slow_body", "params": {"seconds": 0.1}})
    started = time.perf_counter()
    answer = await send(lab)
    assert answer.json()["accepted"] == 1
    assert time.perf_counter() - started >= 0.1


async def test_an_outage_refuses_everything_until_it_is_over(lab: Lab) -> None:
    await lab.faults("quicksms", {"kind": "outage", "params": {"seconds": 60}})
    assert [(await send(lab)).status for _ in range(2)] == [503, 503]
    await lab.advance(61)
    assert (await send(lab)).status == 202


async def test_an_outage_may_close_connections_instead(lab: Lab) -> None:
    await lab.faults("quicksms", {"kind": "outage", "params": {"seconds": 60, "mode": "close"}})
    with pytest.raises(aiohttp.ClientError):
        await send(lab)


async def test_latency_delays_every_answer(lab: Lab) -> None:
    await lab.config("quicksms", latency=[0.05, 0.06])
    started = time.perf_counter()
    await asyncio.gather(*(send(lab) for _ in range(10)))
    assert 0.05 <= time.perf_counter() - started < 0.5


# -- reports -----------------------------------------------------------------------------------------------------------


def statuses(receiver: Receiver) -> list[str]:
    return [hook.json()["message_status"] for hook in receiver.hooks]


async def test_a_report_may_come_twice(lab: Lab, receiver: Receiver) -> None:
    await lab.faults("quicksms", {"kind": "report_twice", "match": {"msisdn": "0002"}})
    await send(lab, "447700900001", callback_url=receiver.url)
    await send(lab, "447700900002", callback_url=receiver.url)
    await lab.settle()
    numbers = {entry["id"]: entry["msisdn"][-1] for entry in await lab.ledger("quicksms")}
    assert sorted(numbers[hook.json()["quicksms_id"]] for hook in receiver.hooks) == ["1", "2", "2"]


async def test_a_stale_report_may_follow_the_final_one(lab: Lab, receiver: Receiver) -> None:
    await lab.faults("quicksms", {"kind": "report_out_of_order"})
    await send(lab, callback_url=receiver.url)
    await lab.settle()
    assert sorted(statuses(receiver)) == ["DELIVERED", "PENDING"]


async def test_a_report_may_arrive_before_the_answer_to_its_own_request(lab: Lab, receiver: Receiver) -> None:
    await lab.faults("quicksms", {"kind": "report_early"})
    answer = await send(lab, callback_url=receiver.url)
    assert statuses(receiver) == ["DELIVERED"]
    assert receiver.hooks[0].json()["quicksms_id"] == answer.json()["messages"][0]["quicksms_id"]


async def test_an_early_cliqtel_report_already_knows_its_message(lab: Lab, receiver: Receiver) -> None:
    await lab.faults("cliqtel", {"kind": "report_early"})
    body = {"from": "+12025550123", "to": "+447700900001", "body": "Hi", "status_callback_url": receiver.url}
    headers = {"Authorization": "Bearer 17|sandbox"}
    answer = await lab.ask("POST", "/cliqtel/api/v1/sms/messages", json=body, headers=headers)
    assert [hook.json()["data"]["status"] for hook in receiver.hooks] == ["sent", "delivered"]
    assert {hook.json()["data"]["id"] for hook in receiver.hooks} == {answer.json()["data"]["id"]}


async def test_a_push_nobody_takes_is_kept_for_its_retry(lab: Lab, receiver: Receiver) -> None:
    await lab.config("quicksms", callback_url="http://127.0.0.1:9/nobody-listens")
    await send(lab)
    await lab.settle()
    stats = await lab.control("/stats", method="GET")
    assert (stats["pending_pushes"], stats["providers"]["quicksms"]["push_failed"]) == (1, 1)
    await lab.control("/push")
    assert (await lab.counts("quicksms"))["push_failed"] == 2


async def test_a_report_may_be_late(lab: Lab, receiver: Receiver) -> None:
    await lab.faults("quicksms", {"kind": "report_late", "params": {"seconds": 500}})
    await send(lab, callback_url=receiver.url)
    await lab.advance(490)
    assert receiver.hooks == []
    await lab.advance(20)
    assert statuses(receiver) == ["DELIVERED"]


async def test_a_report_may_never_come_and_the_ledger_says_so(lab: Lab, receiver: Receiver) -> None:
    await lab.faults("quicksms", {"kind": "report_never", "count": 1})
    await send(lab, callback_url=receiver.url)
    await lab.settle()
    entry = (await lab.ledger("quicksms"))[0]
    assert (receiver.hooks, entry["truth"], entry["mode"]) == ([], "no_report", "report_never")


def test_partial_rejects_pick_single_recipients() -> None:
    book = FaultBook(Random(1))
    book.load([{"kind": "partial_reject", "every": 3}], 0.0)
    picked = [book.partial_reject(f"44770090000{n}", 0.0) for n in range(6)]
    assert [rule is not None and rule.kind is Kind.PARTIAL_REJECT for rule in picked] == [False, False, True] * 2
