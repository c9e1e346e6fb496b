"""Templates, routing and streams over the API."""

from __future__ import annotations

import pytest

from tests.producer.api.desk import Desk, campaign, csv_file, people


async def test_a_template_is_saved_listed_pinned_and_retired(desk: Desk) -> None:
    first = await desk.submit.post("/v1/templates/welcome", json={"text": "Hi {{ name }}", "note": "first"})
    second = await desk.submit.post("/v1/templates/welcome", json={"text": "Hello {{ name }}", "missing": "you"})
    assert [answer.json()["version"] for answer in (first, second)] == [1, 2]
    listed = (await desk.read.get("/v1/templates")).json()
    assert [(one["name"], one["version"]) for one in listed["items"]] == [("welcome", 2)]
    history = (await desk.read.get("/v1/templates/welcome")).json()["items"]
    assert [one["text"] for one in history] == ["Hello {{ name }}", "Hi {{ name }}"]
    assert (await desk.read.get("/v1/templates/welcome/1")).json()["note"] == "first"
    body = campaign(template=None, template_name="welcome", template_version=1, recipients=people(2))
    made = await desk.submit.post("/v1/campaigns", json=body)
    assert made.status_code == 201
    assert (made.json()["template"], made.json()["template_version"]) == ("Hi {{ name }}", 1)
    assert (await desk.admin.delete("/v1/templates/welcome")).status_code == 204
    assert (await desk.admin.delete("/v1/templates/welcome")).status_code == 404
    assert (
        await desk.submit.post("/v1/campaigns", json=campaign(template=None, template_name="welcome"))
    ).status_code == 422


async def test_templates_are_paged(desk: Desk) -> None:
    for name in ("a", "b", "c"):
        await desk.submit.post(f"/v1/templates/{name}", json={"text": "x"})
    first = (await desk.read.get("/v1/templates?limit=2")).json()
    rest = (await desk.read.get("/v1/templates", params={"limit": 2, "cursor": first["next"]})).json()
    assert [one["name"] for one in (*first["items"], *rest["items"])] == ["a", "b", "c"]
    assert rest["next"] is None


@pytest.mark.parametrize("path", ["/v1/templates/none", "/v1/templates/none/1"])
async def test_a_template_that_is_not_there_is_said(desk: Desk, path: str) -> None:
    answer = await desk.read.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


async def test_a_template_that_does_not_parse_is_refused_with_its_place(desk: Desk) -> None:
    answer = await desk.submit.post("/v1/templates/a", json={"text": "Hi {{ name"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/template"


async def test_a_rule_sends_a_country_to_its_account(desk: Desk) -> None:
    routing = {"rules": [{"countries": ["US"], "accounts": {"quicksms": 1}}], "failover": ["qikberry"]}
    rows = [{"phone": "+447700900123", "name": "A"}, {"phone": "+12025550123", "name": "B"}]
    made = await desk.submit.post("/v1/campaigns", json=campaign(routing=routing, recipients=rows))
    assert made.status_code == 201, made.text
    assert made.json()["counts_by_account"] == {"qikli": {"queued": 1}, "quicksms": {"queued": 1}}
    assert made.json()["routing"] == routing
    assert made.json()["route"] == {"qikli": 1, "quicksms": 0, "qikberry": 0}


async def test_a_rule_without_countries_and_prefixes_is_refused(desk: Desk) -> None:
    answer = await desk.submit.post("/v1/campaigns", json=campaign(routing={"rules": [{"accounts": {"qikli": 1}}]}))
    assert answer.status_code == 422
    assert "rules[0]" in answer.json()["detail"]


async def test_a_stream_runs_as_soon_as_its_upload_is_read(desk: Desk) -> None:
    campaign_id = await desk.draft(stream=True)
    path, headers = f"/v1/campaigns/{campaign_id}/recipients", {"Content-Type": "text/csv"}
    done = await desk.submit.post(path, content=csv_file(20), headers=headers)
    assert (done.status_code, done.json()["accepted"]) == (200, 20)
    assert (await desk.read.get(f"/v1/campaigns/{campaign_id}")).json()["state"] == "running"
    assert (
        await desk.submit.post("/v1/campaigns", json=campaign(stream=True, recipients=people(1)))
    ).status_code == 422


async def test_two_uploads_add_up(desk: Desk) -> None:
    campaign_id = await desk.draft()
    path, headers = f"/v1/campaigns/{campaign_id}/recipients", {"Content-Type": "text/csv"}
    counts = [(await desk.submit.post(path, content=csv_file(n), headers=headers)).json() for n in (3, 5)]
    assert [(one["accepted"], one["rejected"]) for one in counts] == [(3, 0), (2, 3)]
    assert (await desk.read.get(f"/v1/campaigns/{campaign_id}")).json()["rows_accepted"] == 5


async def test_a_preview_prices_and_times(desk: Desk) -> None:
    answer = await desk.submit.post("/v1/campaigns/preview", json=campaign(name=None, recipients=people(3)))
    found = answer.json()
    assert (found["cost"], found["unpriced_parts"]) == ({}, 3)
    assert found["duration"]["seconds"] == pytest.approx(1.0)
    assert found["cost_by_country"] == [{"country": "GB", "messages": 3, "parts": 3, "cost": {}, "unpriced_parts": 3}]
