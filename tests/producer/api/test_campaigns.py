"""Campaigns over HTTP: made, steered, looked at."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from config import names
from models.tables import Campaign, Message
from tests.producer.api.desk import START, Desk, campaign, people


def rows_of(desk: Desk, table: type[Campaign] | type[Message]) -> int:
    with desk.database.read() as session:
        return session.execute(select(func.count()).select_from(table)).scalar_one()


async def test_a_campaign_with_recipients_starts_at_once_and_wakes_the_dispatcher(desk: Desk) -> None:
    answer = await desk.submit.post("/v1/campaigns", json=campaign(recipients=people(3), start=True))
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["state"], made["rows_accepted"], made["counts"]) == ("running", 3, {"queued": 3})
    desk.app.state.context.bell.close()
    assert desk.rung == [(names.DISPATCH, names.CONTROL_QUEUE)]


async def test_without_recipients_it_is_a_draft_that_sends_nothing(desk: Desk) -> None:
    answer = await desk.submit.post("/v1/campaigns", json=campaign())
    assert (answer.status_code, answer.json()["state"], rows_of(desk, Message)) == (201, "draft", 0)


async def test_variables_and_references_of_inline_recipients_reach_their_messages(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(2))
    with desk.database.read() as session:
        query = select(Message.text, Message.reference).order_by(Message.row_no)
        assert session.execute(query).all() == [("Hi P0", "r0"), ("Hi P1", "r1")]
    assert (await desk.submit.get(f"/v1/campaigns/{campaign_id}")).json()["rows_total"] == 2


async def test_how_many_parts_a_text_may_have_is_kept_and_shown_beside_the_providers_options(desk: Desk) -> None:
    wanted = campaign(recipients=people(1), template="ж" * 700, max_parts=25)
    made = (await desk.submit.post("/v1/campaigns", json=wanted)).json()
    assert (made["rows_accepted"], made["max_parts"], made["options"]) == (1, 25, {})
    usual = (await desk.submit.post("/v1/campaigns", json=campaign())).json()
    assert (usual["max_parts"], usual["options"]) == (10, {})


@pytest.mark.parametrize("wrong", [{"max_parts": 0}, {"max_parts": 256}, {"options": {"max_parts": "25"}}])
async def test_a_length_that_cannot_be_is_refused_at_its_place(desk: Desk, wrong: dict[str, Any]) -> None:
    answer = await desk.submit.post("/v1/campaigns", json=campaign(**wrong))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"#/{next(iter(wrong))}")


async def test_a_bad_row_is_listed_and_harms_no_other(desk: Desk) -> None:
    rows = [*people(2), {"phone": "nobody", "name": "X"}]
    made = (await desk.submit.post("/v1/campaigns", json=campaign(recipients=rows))).json()
    assert (made["rows_accepted"], made["rows_rejected"]) == (2, 1)
    listed = await desk.submit.get(made["rejects"])
    assert listed.text.splitlines()[1].startswith("3,phone,nobody,number_letters,")


async def test_if_no_row_is_good_nothing_is_created_and_the_rows_are_named(desk: Desk) -> None:
    answer = await desk.submit.post("/v1/campaigns", json=campaign(recipients=[{"phone": "x"}, {"phone": "1"}]))
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/no-recipients")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["#/recipients/0", "#/recipients/1"]
    assert (rows_of(desk, Campaign), rows_of(desk, Message)) == (0, 0)


async def test_a_start_at_with_zone_schedules_and_does_not_send(desk: Desk) -> None:
    later = (START + timedelta(hours=3)).isoformat()
    made = (
        await desk.submit.post("/v1/campaigns", json=campaign(recipients=people(1), start=True, start_at=later))
    ).json()
    assert made["state"] == "scheduled"


WRONG = [
    ({"template": "Hi {{ name"}, "#/template"),
    ({"route": {"nobody": 1}}, "#/route"),
    ({"route": {}}, "#/route"),
    ({"route": {"qikli": 0}}, "#/route/qikli"),
    ({"sender": "ThisSenderIsMuchTooLongForAnyNetwork"}, "#/sender"),
    ({"name": None}, "#/name"),
    ({"name": "   "}, "#/name"),
    ({"name": "a\0b"}, "#/name"),
    ({"template": "half \ud800 pair"}, "#/template"),
    ({"priority": "urgent"}, "#/priority"),
    ({"max_rate": 0}, "#/max_rate"),
    ({"validity": -1}, "#/validity"),
    ({"start_at": "2026-06-01T09:00:00"}, "#/start_at"),
    ({"start_at": "9999-12-31T23:59:59-10:00"}, "#/start_at"),
    ({"start": True}, "#/start"),
    ({"recipients": [{"name": "no phone"}]}, "#/recipients/0/phone"),
    ({"recipients": [{"phone": "1", "name": ["a", "list"]}]}, "#/recipients/0/name"),
    ({"surprise": 1}, "#/surprise"),
]


@pytest.mark.parametrize(("changes", "pointer"), WRONG)
async def test_a_wrong_field_is_named_by_its_pointer_and_nothing_is_created(
    desk: Desk, changes: dict[str, object], pointer: str
) -> None:
    body = json.dumps(campaign(**changes))  # half a surrogate pair travels as \\ud800
    answer = await desk.submit.post("/v1/campaigns", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), answer.text
    assert any(fault["pointer"].startswith(pointer) for fault in answer.json()["errors"]), answer.json()
    assert rows_of(desk, Campaign) == 0


async def test_more_recipients_than_allowed_inline_are_sent_to_the_upload(desk: Desk) -> None:
    object.__setattr__(desk.app.state.context.options, "max_inline", 2)
    answer = await desk.submit.post("/v1/campaigns", json=campaign(recipients=people(3)))
    assert answer.status_code == 422
    assert "upload" in answer.json()["detail"]


# --- steering --------------------------------------------------------------------------------------------------------


async def steer(desk: Desk, campaign_id: str, verb: str, **body: str) -> tuple[int, str]:
    answer = await desk.submit.post(f"/v1/campaigns/{campaign_id}/{verb}", json=body or None)
    return answer.status_code, answer.json().get("state", answer.json().get("type"))


async def test_start_pause_resume_cancel(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(1))
    assert await steer(desk, campaign_id, "start") == (200, "running")
    assert await steer(desk, campaign_id, "start") == (200, "running")
    assert await steer(desk, campaign_id, "pause", reason="wrong price") == (200, "paused")
    assert (await desk.read.get(f"/v1/campaigns/{campaign_id}")).json()["state_reason"] == "wrong price"
    assert await steer(desk, campaign_id, "resume") == (200, "running")
    assert await steer(desk, campaign_id, "cancel") == (200, "cancelled")
    assert await steer(desk, campaign_id, "resume") == (409, "/problems/conflict")
    events = (await desk.read.get(f"/v1/campaigns/{campaign_id}")).json()["events"]
    assert [event["kind"] for event in events] == ["created", "imported", "running", "paused", "running", "cancelled"]


@pytest.mark.parametrize("verb", ["start", "pause", "resume", "cancel"])
async def test_steering_what_is_not_there_is_404(desk: Desk, verb: str) -> None:
    assert await steer(desk, str(uuid4()), verb) == (404, "/problems/not-found")


async def test_a_draft_without_recipients_cannot_be_started(desk: Desk) -> None:
    assert await steer(desk, await desk.draft(), "start") == (409, "/problems/conflict")


async def test_redis_being_away_is_no_reason_to_refuse_a_start(desk: Desk) -> None:
    desk.redis_down.append(ConnectionError("gone"))
    assert await steer(desk, await desk.draft(recipients=people(1)), "start") == (200, "running")


# --- looking ---------------------------------------------------------------------------------------------------------


async def test_pages_lead_through_every_campaign_once_newest_first(desk: Desk) -> None:
    made = [await desk.draft(name=f"C{n}") for n in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    while cursor is not None or not seen:
        query = {"limit": "3", **({"cursor": cursor} if cursor else {})}
        page = (await desk.read.get("/v1/campaigns", params=query)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
    assert seen == made[::-1]


async def test_the_list_is_filtered_by_states(desk: Desk) -> None:
    draft = await desk.draft()
    running = await desk.draft(recipients=people(1), start=True)
    cancelled = await desk.draft()
    await steer(desk, cancelled, "cancel")
    page = (await desk.read.get("/v1/campaigns", params={"state": ["draft", "running"]})).json()
    assert [item["id"] for item in page["items"]] == [running, draft]


@pytest.mark.parametrize("cursor", ["x", "%00", "AAAA", "é", "a" * 300, ""])
async def test_a_cursor_of_someones_own_making_is_refused(desk: Desk, cursor: str) -> None:
    answer = await desk.read.get("/v1/campaigns", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "cursor")


async def test_a_campaign_says_how_far_it_is(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(4), start=True, route={"qikli": 1, "quicksms": 1})
    found = (await desk.read.get(f"/v1/campaigns/{campaign_id}")).json()
    assert found["counts_by_account"] == {"qikli": {"queued": 2}, "quicksms": {"queued": 2}}
    assert found["progress"] == {"final": 0, "share": 0.0, "rate": 0.0, "eta_seconds": None}
