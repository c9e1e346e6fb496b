"""Event endpoints over the API: whose they are, what they are shown, what is sent again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from config import names
from config.events import endpoint_secret
from models.tables import OutboxEvent
from models.types import new_id
from producer.keys import create_key
from tests.producer.api.desk import Desk, client, people

URL = "https://shop.example.com/events"
PATH = "/v1/event-endpoints"


async def added(desk: Desk, **changes: Any) -> dict[str, Any]:
    answer = await desk.submit.post(PATH, json={"url": URL, **changes})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def events(desk: Desk, endpoint_id: str, **changes: Any) -> None:
    with desk.database.write() as session:
        session.add(
            OutboxEvent(endpoint_id=UUID(endpoint_id), event_id=new_id(), kind="message.delivered",
                        campaign_id=new_id(), at=desk.clock(), **changes)
        )  # fmt: skip


async def test_an_endpoint_is_added_listed_and_removed(desk: Desk) -> None:
    made = await added(desk)
    assert made["secret"] == endpoint_secret(desk.app.state.context.settings, UUID(made["id"]))
    assert (await desk.submit.get(f"{PATH}/{made['id']}/secret")).json() == {"secret": made["secret"]}
    listed = (await desk.submit.get(PATH)).json()["items"]
    assert [(one["id"], one["url"], one["removed_at"]) for one in listed] == [(made["id"], URL, None)]
    assert (await desk.submit.delete(f"{PATH}/{made['id']}")).status_code == 204
    assert (await desk.submit.delete(f"{PATH}/{made['id']}")).status_code == 404
    assert (await desk.submit.get(PATH)).json()["items"][0]["removed_at"] is not None


async def test_the_same_request_again_adds_no_second_endpoint(desk: Desk) -> None:
    answers = [await desk.submit.post(PATH, json={"url": URL}, headers={"Idempotency-Key": "e"}) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert len((await desk.submit.get(PATH)).json()["items"]) == 1


async def test_an_endpoint_of_another_key_is_not_there_save_for_admins(desk: Desk) -> None:
    made = await added(desk)
    with desk.database.write() as session:
        text, _ = create_key(session, "other", "submit", desk.clock())
    other = client(desk.app, text)
    assert (await other.get(PATH)).json()["items"] == []
    for method, path in (("DELETE", ""), ("GET", "/secret"), ("POST", "/replay")):
        assert (await other.request(method, f"{PATH}/{made['id']}{path}")).status_code == 404
    campaign_id = await desk.draft(recipients=people(1))
    assert (await other.post(PATH, json={"url": URL, "campaign_id": campaign_id})).status_code == 404
    assert len((await desk.admin.get(PATH)).json()["items"]) == 1
    assert (await desk.admin.delete(f"{PATH}/{made['id']}")).status_code == 204


async def test_a_campaigns_own_endpoint_belongs_to_who_made_the_campaign(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(1))
    made = await added(desk, campaign_id=campaign_id)
    assert (await desk.submit.get(PATH)).json()["items"][0]["campaign_id"] == campaign_id
    assert (await desk.submit.post(f"{PATH}/{made['id']}/replay")).json() == {"events": 0}


async def test_an_endpoint_for_another_key_is_an_admins_to_make(desk: Desk) -> None:
    with desk.database.write() as session:
        _, row = create_key(session, "other", "submit", desk.clock())
    asked = {"url": URL, "api_key_id": str(row.id)}
    assert (await desk.submit.post(PATH, json=asked)).status_code == 403
    assert (await desk.admin.post(PATH, json=asked)).status_code == 201
    nobody = {"url": URL, "api_key_id": "00000000-0000-0000-0000-000000000000"}
    assert (await desk.admin.post(PATH, json=nobody)).status_code == 404
    both = {**asked, "campaign_id": str(row.id)}
    assert (await desk.admin.post(PATH, json=both)).status_code == 422


async def test_private_and_plain_addresses_are_refused_with_their_place(desk: Desk) -> None:
    for url in (
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://169.254.169.254/",
        "http://shop.example.com/",
        "ftp://shop.example.com/",
        "https://u:p@shop.example.com/",
        "https://shop.example.com/#x",
        "x",
        "https://",
    ):
        answer = await desk.submit.post(PATH, json={"url": url})
        assert answer.status_code == 422, url
        assert answer.json()["errors"][0]["pointer"] == "#/url"


async def test_a_sixth_endpoint_is_refused(desk: Desk) -> None:
    for _ in range(5):
        await added(desk)
    assert (await desk.submit.post(PATH, json={"url": URL})).status_code == 409


async def test_a_replay_sends_again_what_was_given_up_since_then(desk: Desk) -> None:
    made, now = await added(desk), desk.clock()
    events(desk, made["id"], dead_at=now)
    events(desk, made["id"], dead_at=now)
    events(desk, made["id"], delivered_at=now)
    path = f"{PATH}/{made['id']}/replay"
    later = {"since": (now + timedelta(hours=1)).isoformat()}
    assert (await desk.submit.post(path, json=later)).json() == {"events": 0}
    assert (await desk.submit.post(path, json={})).json() == {"events": 2}
    assert (await desk.submit.post(path, json={"everything": True})).json() == {"events": 1}
    assert (await desk.submit.get(PATH)).json()["items"][0]["waiting"] == 3
    desk.app.state.context.bell.close()
    assert (names.DELIVER_EVENTS, names.EVENTS_QUEUE) in desk.rung
