"""What nobody means well with: a clear problem for each, no 500, nothing half done."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import zipfile
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select

from models.states import CampaignState
from models.tables import Batch, Campaign, Message
from producer.importer import Importer
from tests.producer.api.desk import Desk, campaign, csv_file, people

JSON = {"Content-Type": "application/json"}
CSV = {"Content-Type": "text/csv"}
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def count(desk: Desk, table: Any) -> int:
    with desk.database.read() as session:
        return session.execute(select(func.count()).select_from(table)).scalar_one()


def problem(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    assert answer.status_code in statuses, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["detail"]
    return found


# --- JSON ------------------------------------------------------------------------------------------------------------

BROKEN = [
    (b"", 422), (b"null", 422), (b"[]", 422), (b'"x"', 422), (b"{", 422), (b"{}x", 422),
    (b"\xff\xfe{}", 400), (b'{"name": "\xe4"}', 400), (json.dumps(campaign()).encode("utf-16"), 400),
    (b'{"name": "a", "name": "b"}', 400), (b'{"recipients": [{"phone": "1", "phone": "2"}]}', 400),
    (b'{"max_rate": NaN}', 400), (b'{"max_rate": Infinity}', 400), (b'{"max_rate": -Infinity}', 400),
    (b'{"weight": ' + b"9" * 5000 + b"}", 400), (b"[" * 50_000, 400), (b'{"a":' * 50_000, 400),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status"), BROKEN, ids=range(len(BROKEN)))
async def test_json_that_two_readers_could_read_differently_is_refused(desk: Desk, body: bytes, status: int) -> None:
    problem(await desk.submit.post("/v1/campaigns", content=body, headers=JSON), status)
    assert count(desk, Campaign) == 0


NO_JSON = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "image/png", "",
           "application/jsonx", "text/json", "application/vnd.api+json; charset=utf-8"]  # fmt: skip


@pytest.mark.parametrize("kind", NO_JSON)
async def test_only_json_is_taken_as_json(desk: Desk, kind: str) -> None:
    body = json.dumps(campaign()).encode()
    answer = await desk.submit.post("/v1/campaigns", content=body, headers={"Content-Type": kind} if kind else {})
    if "+json" in kind:
        assert answer.status_code == 201
    else:
        assert problem(answer, 415)["type"] == "/problems/unsupported-media-type"


async def test_compressed_json_is_refused_as_such(desk: Desk) -> None:
    body = gzip.compress(json.dumps(campaign()).encode())
    problem(await desk.submit.post("/v1/campaigns", content=body, headers={**JSON, "Content-Encoding": "gzip"}), 415)


WRONG_FIELDS = [
    ({"name": "a\0b"}, "#/name"),
    ({"name": "\ud800"}, "#/name"),
    ({"name": "x" * 201}, "#/name"),
    ({"name": ""}, "#/name"),
    ({"name": "  "}, "#/name"),
    ({"sender": "x\0"}, "#/sender"),
    ({"sender": "S" * 65}, "#/sender"),
    ({"template": "x" * 5001}, "#/template"),
    ({"template": "{{ \0 }}"}, "#/template"),
    ({"template": "{% for i in (1..1000000000) %}x{% endfor %}"}, "#/template"),
    ({"route": {}}, "#/route"),
    ({"route": {"qikli": 0}}, "#/route/qikli"),
    ({"route": {"qikli": -1}}, "#/route/qikli"),
    ({"route": {"qikli": 1.5}}, "#/route/qikli"),
    ({"route": {"qikli": 10**30}}, "#/route/qikli"),
    ({"route": {"nobody": 1}}, "#/route"),
    ({"route": {"\0": 1}}, None),
    ({"max_rate": 0}, "#/max_rate"),
    ({"max_rate": -1}, "#/max_rate"),
    ({"max_rate": 1e300}, "#/max_rate"),
    ({"validity": 0}, "#/validity"),
    ({"validity": 10**20}, "#/validity"),
    ({"validity": 1.5}, "#/validity"),
    ({"weight": -5}, "#/weight"),
    ({"region": "XX"}, "#/region"),
    ({"region": "gb"}, "#/region"),
    ({"priority": "urgent"}, "#/priority"),
    ({"start_at": "2030-06-01T09:00:00"}, "#/start_at"),
    ({"start_at": "0001-01-01T00:00:00+14:00"}, "#/start_at"),
    ({"start_at": "9999-12-31T23:59:59-14:00"}, "#/start_at"),
    ({"start_at": "2030-02-30T09:00:00Z"}, "#/start_at"),
    ({"start_at": 1e30}, "#/start_at"),
    ({"start_at": 1900000000}, "#/start_at"),
    ({"start_at": "1900000000"}, "#/start_at"),
    ({"validity": True}, "#/validity"),
    ({"weight": "1"}, "#/weight"),
    ({"start": "yes"}, "#/start"),
    ({"template_version": 2**31}, "#/template_version"),
    ({"template_name": "../x"}, "#/template_name"),
    ({"unknown": 1}, "#/unknown"),
    ({"options": {"a": "\0"}}, "#/options/a"),
    ({"recipients": [{"phone": "\0"}]}, "#/recipients/0"),
    ({"recipients": [{"name": "x"}]}, "#/recipients/0/phone"),
    ({"recipients": [{"phone": 447700900123}]}, "#/recipients/0/phone"),
    ({"recipients": [{"phone": "1", "\0": "x"}]}, "#/recipients/0"),
    ({"recipients": [{"phone": "1", "x": "\udfff"}]}, "#/recipients/0"),
    ({"recipients": [{"phone": "1", "x": [1]}]}, None),
    ({"start": True, "recipients": []}, "#/start"),
    ({"steering": {"window": {"from": "09:00", "to": "20:00", "zone": "Mars/Base"}}}, "#/steering/window"),
    ({"steering": {"window": {"from": "09:00", "to": "20:00", "zone": "../../etc/passwd"}}}, "#/steering/window"),
    ({"steering": {"window": {"from": "09:00", "to": "20:00", "zone": "\0"}}}, "#/steering/window"),
    ({"steering": {"pacing": {"spread": 0}}}, "#/steering/pacing/spread"),
    ({"steering": {"canary": {"size": 0}}}, "#/steering/canary/size"),
    ({"steering": {"canary": {"size": 10, "share": 1e400}}}, None),
    ({"steering": {"caps": {"most": -1}}}, "#/steering/caps/most"),
]


@pytest.mark.parametrize(("change", "pointer"), WRONG_FIELDS, ids=range(len(WRONG_FIELDS)))
async def test_a_wrong_field_is_named_and_nothing_is_made(
    desk: Desk, change: dict[str, Any], pointer: str | None
) -> None:
    answer = await desk.submit.post("/v1/campaigns", content=json.dumps(campaign(**change)), headers=JSON)
    found = problem(answer, 400, 422)
    if pointer is not None:
        assert any(str(fault.get("pointer", "")).startswith(pointer) for fault in found["errors"]), found
    assert count(desk, Campaign) == 0


async def test_a_body_of_ten_megabytes_is_refused_however_it_is_sent(desk: Desk) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b" " * 1024 * 1024

    body: Any
    for body in (b" " * 10 * 1024 * 1024, chunks()):
        problem(await desk.submit.post("/v1/campaigns", content=body, headers=JSON), 413)


# --- queries, paths, headers -----------------------------------------------------------------------------------------

QUERIES = [
    ("/v1/campaigns", {"cursor": "x" * 300}),
    ("/v1/campaigns", {"cursor": "AAAA"}),
    ("/v1/campaigns", {"cursor": "\0"}),
    ("/v1/campaigns", {"limit": "-1"}),
    ("/v1/campaigns", {"limit": "1e3"}),
    ("/v1/campaigns", {"limit": "9" * 5000}),
    ("/v1/campaigns", {"state": "sleeping"}),
    ("/v1/suppressions", {"phone": "\0"}),
    ("/v1/suppressions", {"cursor": "AAAA"}),
    ("/v1/messages", {}),
    ("/v1/messages", {"phone": "no number"}),
    ("/v1/messages", {"phone": "+" + "1" * 63}),
    ("/v1/messages", {"phone": "+447700900001", "cursor": "LTE"}),
    ("/v1/inbound", {"account": "\0"}),
    ("/v1/inbound", {"cursor": "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA"}),
    ("/v1/inbound", {"phone": "x"}),
    ("/v1/reports/unmatched", {"cursor": "LTE"}),
    ("/v1/reports/unmatched", {"account": "A B"}),
    ("/v1/figures", {"since": "0001-01-01", "until": "9999-12-31"}),
    ("/v1/figures", {"until": "9999-12-31"}),
    ("/v1/figures", {"since": "2026-03-02", "until": "2026-03-01"}),
    ("/v1/figures", {"since": "yesterday"}),
    ("/v1/templates", {"cursor": "AAAA\0"}),
]


@pytest.mark.parametrize(("path", "query"), QUERIES, ids=range(len(QUERIES)))
async def test_a_wrong_query_is_named(desk: Desk, path: str, query: dict[str, str]) -> None:
    found = problem(await desk.submit.get(path, params=query), 422)
    assert all(fault.get("parameter") for fault in found["errors"]), found


async def test_figures_at_the_ends_of_the_calendar_are_empty_or_refused(desk: Desk) -> None:
    for query in ({"until": "0001-01-01"}, {"since": "0001-01-01", "until": "0001-01-02"}, {"until": "9999-12-30"}):
        assert (await desk.read.get("/v1/figures", params=query)).json() == {"items": []}


PATHS = ["/v1/campaigns/%00", "/v1/campaigns/../keys", "/v1/messages/x", "/v1/templates/%00", "/v1/templates/a/0",
         "/v1/templates/a/99999999999", "/v1/campaigns/" + "a" * 5000, "/v1/event-endpoints/1/secret", "/v1//campaigns",
         "/docs/assets/../../pyproject.toml", "/docs/assets/%2e%2e/%2e%2e/pyproject.toml"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
async def test_a_path_that_leads_nowhere_is_a_problem(desk: Desk, path: str) -> None:
    problem(await desk.submit.get(path), 403, 404, 422)


@pytest.mark.parametrize("key", ["k" * 10_240, "", " ", "a\tb", "ä", "x" * 201])
async def test_an_idempotency_key_that_is_none_is_refused(desk: Desk, key: str) -> None:
    answer = await desk.submit.post("/v1/campaigns", json=campaign(), headers={b"Idempotency-Key": key.encode()})
    problem(answer, 422)
    assert count(desk, Campaign) == 0


@pytest.mark.parametrize(
    "key", ["Bearer " + "k" * 10_240, "Bearer", "Bearer \udcff", "bearer dk_", "\xff\xfe", "Basic eDp4"]
)
async def test_a_broken_authorization_is_401(desk: Desk, key: str) -> None:
    header = key.encode("utf-8", "surrogateescape")
    problem(await desk.nobody.get("/v1/campaigns", headers={b"Authorization": header}), 401)


async def test_an_unknown_method_is_405_and_says_what_is_known(desk: Desk) -> None:
    for method, path, allowed in (
        ("PATCH", "/v1/campaigns", "GET, POST"),
        ("GET", "/v1/campaigns/preview", "POST"),
        ("OPTIONS", "/v1/suppressions", "GET, POST"),
        ("PUT", "/v1/templates/welcome", "DELETE, GET, POST"),
        ("POST", "/healthz", "GET"),
    ):
        answer = await desk.submit.request(method, path)
        assert problem(answer, 405)["type"] == "/problems/method-not-allowed"
        assert answer.headers["allow"] == allowed


# --- uploads ---------------------------------------------------------------------------------------------------------


def gzip_bomb() -> bytes:
    return gzip.compress(b"phone\n" + b"\0" * 30_000_000, 1)


def zip_of(**entries: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return target.getvalue()


BAD_FILES = [
    (gzip_bomb(), "application/gzip", {}), (zip_of(a=b"0" * 20_000_000), "application/zip", {}),
    (zip_of(sheet=b"<" * 3_000_000), XLSX, {}), (b"PK\x03\x04" + b"\0" * 100, XLSX, {}), (b"", "text/csv", {}),
    (b"phone\n" + b"9" * 1_000_000, "text/csv", {}), (b"\x1f\x8b\x08" + b"\xff" * 50, "text/csv", {}),
    (gzip.compress(csv_file(50))[:-20], "application/gzip", {}), (csv_file(2), "text/csv", {"encoding": "rot13"}),
    (csv_file(2), "text/csv", {"encoding": "idna"}), (csv_file(2), "text/csv", {"encoding": "no-such"}),
    (csv_file(2), "text/csv", {"encoding": "\0"}), (csv_file(2), "text/csv", {"encoding": "undefined"}),
    (csv_file(2), "text/csv", {"encoding": "unicode_escape"}), (csv_file(2), "text/csv", {"column": "nowhere"}),
    (csv_file(2), "text/csv", {"column": "\0"}), (csv_file(2), "text/csv", {"format": "xlsx"}),
    (csv_file(2), "text/csv", {"format": "exe"}), (csv_file(2), "text/csv", {"delimiter": "\0"}),
    (csv_file(2), "text/csv", {"delimiter": "\n"}), (csv_file(2), "text/csv", {"delimiter": '"'}),
    (b'{"phone": ' + b"[" * 100_000, "application/x-ndjson", {}), (b'{"phone": NaN}', "application/x-ndjson", {}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "query"), BAD_FILES, ids=range(len(BAD_FILES)))
async def test_a_file_that_is_none_leaves_nothing_behind(
    desk: Desk, body: bytes, kind: str, query: dict[str, str]
) -> None:
    campaign_id = await desk.draft()
    answer = await desk.submit.post(
        f"/v1/campaigns/{campaign_id}/recipients", content=body, params=query, headers={"Content-Type": kind}
    )
    problem(answer, 400, 413, 422)
    assert (count(desk, Message), count(desk, Batch), desk.left_over()) == (0, 0, [])


async def test_the_same_upload_twice_sends_to_nobody_twice(desk: Desk) -> None:
    campaign_id = await desk.draft()
    path = f"/v1/campaigns/{campaign_id}/recipients"
    first, again = [await desk.submit.post(path, content=csv_file(5), headers=CSV) for _ in range(2)]
    assert (first.json()["accepted"], again.json()["accepted"], again.json()["rejected"]) == (5, 0, 5)
    assert count(desk, Message) == 5


async def test_two_uploads_at_once_both_end_well_or_one_is_told_to_come_again(desk: Desk) -> None:
    campaign_id = await desk.draft()
    path = f"/v1/campaigns/{campaign_id}/recipients"
    answers = await asyncio.gather(*(desk.submit.post(path, content=csv_file(50), headers=CSV) for _ in range(2)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert count(desk, Message) == 50
    assert (await desk.read.get(f"/v1/campaigns/{campaign_id}")).json()["rows_accepted"] == 50


# --- at the same moment ----------------------------------------------------------------------------------------------


async def test_start_twice_at_the_same_moment_is_one_start(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(3))
    answers = await asyncio.gather(*(desk.submit.post(f"/v1/campaigns/{campaign_id}/start") for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    events = (await desk.read.get(f"/v1/campaigns/{campaign_id}")).json()["events"]
    assert [event["kind"] for event in events].count("running") == 1


async def test_start_and_cancel_at_the_same_moment_end_in_cancelled(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(3))
    verbs = ["start", "cancel", "start", "pause", "cancel"]
    answers = await asyncio.gather(*(desk.submit.post(f"/v1/campaigns/{campaign_id}/{verb}") for verb in verbs))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert (await desk.read.get(f"/v1/campaigns/{campaign_id}")).json()["state"] == "cancelled"


async def test_a_cancel_during_the_import_ends_it_and_nothing_is_sent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_id = await desk.draft()
    write = Importer._write
    states: list[str] = []

    def slowly(importer: Importer, job: Any, part: Any) -> None:
        write(importer, job, part)
        if not states:
            asked = asyncio.run_coroutine_threadsafe(desk.submit.post(f"/v1/campaigns/{campaign_id}/cancel"), loop)
            states.append(asked.result(30).json().get("state", "refused"))

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(Importer, "_write", slowly)
    answer = await desk.submit.post(f"/v1/campaigns/{campaign_id}/recipients", content=csv_file(20_000), headers=CSV)
    with desk.database.read() as session:
        state = session.get_one(Campaign, UUID(campaign_id)).state
    if states == ["cancelled"]:
        problem(answer, 409)
        assert state is CampaignState.CANCELLED
    else:
        assert (states, answer.status_code, state) == (["refused"], 200, CampaignState.DRAFT)
