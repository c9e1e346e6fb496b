"""Schedules, steering, retries and recurring campaigns over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from config import names
from models.states import MessageState
from models.tables import Message
from producer.copies import fill
from tests.producer.api.desk import ACCOUNTS, START, Desk, campaign, people

STEERING = {
    "window": {"from": "09:00", "to": "20:00", "days": [1, 2, 3, 4, 5], "zone": None},
    "pacing": {"slice": 1000, "every": 600},
    "canary": {"size": 100, "share": 0.8, "wait": 900, "codes": ["DLT-*"]},
    "guard": {"share": 0.3, "last": 200},
    "caps": {"most": 3, "period": 86400, "repeat": 600},
}


def later(**span: float) -> str:
    return (START + timedelta(**span)).isoformat()


async def test_a_campaign_keeps_its_steering_as_it_was_given(desk: Desk) -> None:
    answer = await desk.submit.post("/v1/campaigns", json=campaign(steering=STEERING))
    assert answer.status_code == 201, answer.text
    assert answer.json()["steering"] == STEERING
    assert answer.json()["canary"] is None


async def test_a_started_canary_waits(desk: Desk) -> None:
    steered = campaign(steering={"canary": {"size": 2}}, recipients=people(3), start=True)
    assert (await desk.submit.post("/v1/campaigns", json=steered)).json()["canary"] == "waiting"


@pytest.mark.parametrize(
    ("steering", "pointer"),
    [
        ({"window": {"from": "9", "to": "20:00"}}, "#/steering/window/from"),
        ({"window": {"from": "09:00", "to": "09:00"}}, "#/steering/window"),
        ({"window": {"from": "09:00", "to": "20:00", "zone": "Mars/Base"}}, "#/steering/window"),
        ({"window": {"from": "09:00", "to": "20:00", "days": [8]}}, "#/steering/window/days/0"),
        ({"pacing": {"spread": 60, "slice": 1, "every": 1}}, "#/steering/pacing"),
        ({"pacing": {"slice": 1}}, "#/steering/pacing"),
        ({"canary": {"size": 0}}, "#/steering/canary/size"),
        ({"guard": {"share": 0}}, "#/steering/guard/share"),
        ({"caps": {"most": -1}}, "#/steering/caps/most"),
        ({"curfew": {}}, "#/steering/curfew"),
    ],
)
async def test_a_wrong_steering_is_refused_by_its_place(desk: Desk, steering: dict[str, Any], pointer: str) -> None:
    answer = await desk.submit.post("/v1/campaigns", json=campaign(steering=steering))
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_a_campaign_is_given_another_time_and_the_schedule_shows_it(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(2), start=True, start_at=later(hours=1))
    answer = await desk.submit.post(f"/v1/campaigns/{campaign_id}/reschedule", json={"start_at": later(hours=5)})
    assert (answer.status_code, answer.json()["state"]) == (200, "scheduled")
    coming = (await desk.read.get("/v1/schedule")).json()["items"]
    assert [(item["kind"], item["id"], item["messages"]) for item in coming] == [("campaign", campaign_id, 2)]


@pytest.mark.parametrize(("span", "status"), [({"hours": -1}, 422), ({"days": 400}, 422)])
async def test_a_time_that_is_past_or_far_away_is_refused(desk: Desk, span: dict[str, float], status: int) -> None:
    campaign_id = await desk.draft(recipients=people(1))
    answer = await desk.submit.post(f"/v1/campaigns/{campaign_id}/reschedule", json={"start_at": later(**span)})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (status, "#/start_at")


async def test_what_runs_has_no_other_time(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(1), start=True)
    answer = await desk.submit.post(f"/v1/campaigns/{campaign_id}/reschedule", json={"start_at": later(hours=5)})
    assert answer.status_code == 409


async def test_failures_are_sent_again_as_a_campaign_of_their_own(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(3), start=True)
    _fail(desk, campaign_id, 2)
    answer = await desk.submit.post(f"/v1/campaigns/{campaign_id}/retry-failed", headers={"Idempotency-Key": "again"})
    assert answer.status_code == 202, answer.text
    made = answer.json()
    assert (made["state"], made["origin_id"]) == ("draft", campaign_id)
    again = await desk.submit.post(f"/v1/campaigns/{campaign_id}/retry-failed", headers={"Idempotency-Key": "again"})
    assert again.json()["id"] == made["id"]
    desk.app.state.context.bell.close()
    assert (names.SCHEDULE, names.CONTROL_QUEUE) in desk.rung
    assert fill(desk.database, ACCOUNTS, UUID(made["id"]))
    filled = (await desk.read.get(f"/v1/campaigns/{made['id']}")).json()
    assert (filled["state"], filled["counts"]) == ("running", {"queued": 2})


async def test_without_failures_there_is_nothing_to_send_again(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(3), start=True)
    answer = await desk.submit.post(f"/v1/campaigns/{campaign_id}/retry-failed")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/states")


async def test_what_may_still_arrive_cannot_be_asked_for(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(3), start=True)
    answer = await desk.submit.post(f"/v1/campaigns/{campaign_id}/retry-failed", json={"states": ["unknown"]})
    assert answer.status_code == 422


async def test_a_campaign_is_repeated_until_it_is_removed(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(2))
    body = {"campaign_id": campaign_id, "cron": "0 9 * * mon-fri", "zone": "Europe/Berlin"}
    answer = await desk.submit.post("/v1/recurring", json=body)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["next_at"] == "2026-03-02T08:00:00Z"
    assert [one["id"] for one in (await desk.read.get("/v1/recurring")).json()["items"]] == [made["id"]]
    assert (await desk.submit.delete(f"/v1/recurring/{made['id']}")).status_code == 204
    assert (await desk.read.get("/v1/recurring")).json()["items"] == []
    assert (await desk.submit.delete(f"/v1/recurring/{made['id']}")).status_code == 404


@pytest.mark.parametrize(("changes", "pointer"), [({"cron": "0 9 * *"}, "#/cron"), ({"zone": "Mars/Base"}, "#/zone")])
async def test_a_wrong_recurrence_is_refused_by_its_place(desk: Desk, changes: dict[str, str], pointer: str) -> None:
    campaign_id = await desk.draft(recipients=people(1))
    body = {"campaign_id": campaign_id, "cron": "0 9 * * *", **changes}
    answer = await desk.submit.post("/v1/recurring", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/campaigns/{}/reschedule"),
        ("POST", "/v1/campaigns/{}/retry-failed"),
        ("POST", "/v1/recurring"),
        ("DELETE", "/v1/recurring/{}"),
    ],
)
async def test_who_may_only_read_steers_nothing(desk: Desk, method: str, path: str) -> None:
    campaign_id = await desk.draft(recipients=people(1))
    body = {"start_at": later(hours=1), "campaign_id": campaign_id, "cron": "0 9 * * *"}
    json = {name: body[name] for name in (["start_at"] if "reschedule" in path else ["campaign_id", "cron"])}
    given = {} if method == "DELETE" or "retry" in path else {"json": json}
    answer = await desk.read.request(method, path.format(campaign_id), **given)  # type: ignore[arg-type]
    assert answer.status_code == 403


async def test_a_message_says_until_when_it_may_leave(desk: Desk) -> None:
    paced = {"pacing": {"slice": 1, "every": 600}}
    campaign_id = await desk.draft(recipients=people(2), start=True, validity=3600, steering=paced)
    listed = (await desk.read.get(f"/v1/campaigns/{campaign_id}/messages")).json()["items"]
    ends = [(await desk.read.get(f"/v1/messages/{item['id']}")).json()["expires_at"] for item in listed]
    assert sorted(ends) == ["2026-03-01T13:00:00Z", "2026-03-01T13:10:00Z"]


def _fail(desk: Desk, campaign_id: str, count: int) -> None:
    with desk.database.write() as session:
        session.execute(
            update(Message)
            .where(Message.campaign_id == UUID(campaign_id), Message.row_no <= count)
            .values(state=MessageState.FAILED)
        )
