"""API keys over the API, and what a daily quota does to those who use one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx

from producer.keys import create_key
from tests.producer.api.desk import START, Desk, campaign, client, csv_file, people


async def made(desk: Desk, **changes: Any) -> tuple[dict[str, Any], httpx.AsyncClient]:
    """A key by the API, and a client with it."""
    answer = await desk.admin.post("/v1/keys", json={"name": "shop", "scope": "submit", **changes})
    assert answer.status_code == 201, answer.text
    return answer.json(), client(desk.app, answer.json()["key"])


async def used(desk: Desk, key_id: str) -> int:
    listed = (await desk.admin.get("/v1/keys")).json()["items"]
    return int(next(key["used_today"] for key in listed if key["id"] == key_id))


async def test_a_key_is_made_shown_once_used_and_revoked(desk: Desk) -> None:
    asking = {"json": {"name": "shop", "scope": "read"}, "headers": {"Idempotency-Key": "one"}}
    first, again = [await desk.admin.post("/v1/keys", **asking) for _ in range(2)]  # type: ignore[arg-type]
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["key"].startswith("dk_")
    assert (again.json()["key"], again.json()["id"]) == (None, first.json()["id"])  # a secret is kept nowhere
    shop = client(desk.app, first.json()["key"])
    assert (await shop.get("/v1/campaigns")).status_code == 200
    assert (await desk.admin.delete(f"/v1/keys/{first.json()['id']}")).status_code == 204
    assert (await shop.get("/v1/campaigns")).status_code == 401
    listed = (await desk.admin.get("/v1/keys")).json()["items"]
    assert listed[0]["revoked_at"] is not None
    assert all("key" not in key for key in listed)


async def test_only_admins_see_make_and_revoke_keys(desk: Desk) -> None:
    nobody = "00000000-0000-0000-0000-000000000000"
    for asking in (
        desk.submit.get("/v1/keys"),
        desk.submit.post("/v1/keys", json={"name": "x"}),
        desk.submit.put(f"/v1/keys/{nobody}/quota", json={"daily_quota": None}),
        desk.submit.delete(f"/v1/keys/{nobody}"),
    ):
        assert (await asking).status_code == 403
    assert (await desk.admin.delete(f"/v1/keys/{nobody}")).status_code == 404
    assert (await desk.admin.put(f"/v1/keys/{nobody}/quota", json={"daily_quota": 1})).status_code == 404


async def test_a_submit_over_the_quota_is_429_until_the_day_is_over_and_makes_nothing(desk: Desk) -> None:
    key, shop = await made(desk, daily_quota=5)
    assert (await shop.post("/v1/campaigns", json=campaign(recipients=people(3), start=True))).status_code == 201
    refused = await shop.post("/v1/campaigns", json=campaign(name="Second", recipients=people(3), start=True))
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/quota-exceeded")
    assert refused.headers["retry-after"] == str(12 * 3600 + 1)  # noon: the day has twelve hours left
    assert "2 of its 5 messages" in refused.json()["detail"]
    assert await used(desk, key["id"]) == 3
    assert [one["name"] for one in (await shop.get("/v1/campaigns")).json()["items"]] == ["Spring"]
    assert (await shop.post("/v1/campaigns", json=campaign(recipients=people(2), start=True))).status_code == 201
    assert await used(desk, key["id"]) == 5
    desk.clock.now = START + timedelta(hours=12, seconds=1)
    assert (await shop.post("/v1/campaigns", json=campaign(recipients=people(5), start=True))).status_code == 201


async def test_a_draft_takes_nothing_and_its_start_does_whoever_starts_it(desk: Desk) -> None:
    key, shop = await made(desk, daily_quota=2)
    campaign_id = (await shop.post("/v1/campaigns", json=campaign(recipients=people(3)))).json()["id"]
    assert await used(desk, key["id"]) == 0
    assert (await desk.admin.post(f"/v1/campaigns/{campaign_id}/start")).status_code == 429
    assert (await shop.get(f"/v1/campaigns/{campaign_id}")).json()["state"] == "draft"
    assert (await desk.admin.put(f"/v1/keys/{key['id']}/quota", json={"daily_quota": 3})).status_code == 200
    assert (await shop.post(f"/v1/campaigns/{campaign_id}/start")).status_code == 200
    assert (await shop.post(f"/v1/campaigns/{campaign_id}/start")).status_code == 200  # asked twice, taken once
    assert await used(desk, key["id"]) == 3


async def test_a_scheduled_campaign_counts_on_its_own_day_and_gives_back_when_it_moves_or_is_cancelled(
    desk: Desk,
) -> None:
    key, shop = await made(desk, daily_quota=4)
    tomorrow, after = START + timedelta(days=1), START + timedelta(days=2)

    async def scheduled(count: int, at: str) -> httpx.Response:
        return await shop.post("/v1/campaigns", json=campaign(recipients=people(count), start=True, start_at=at))

    first = (await scheduled(3, tomorrow.isoformat())).json()["id"]
    assert await used(desk, key["id"]) == 0
    assert (await scheduled(2, tomorrow.isoformat())).status_code == 429
    assert (await scheduled(2, after.isoformat())).status_code == 201
    moved = await shop.post(f"/v1/campaigns/{first}/reschedule", json={"start_at": after.isoformat()})
    assert moved.status_code == 429  # 2 of that day are taken
    assert (await shop.get(f"/v1/campaigns/{first}")).json()["start_at"].startswith(tomorrow.date().isoformat())
    assert (await shop.post(f"/v1/campaigns/{first}/cancel")).status_code == 200
    assert (await scheduled(4, tomorrow.isoformat())).status_code == 201


async def test_a_cancelled_campaign_that_has_begun_gives_nothing_back(desk: Desk) -> None:
    key, shop = await made(desk, daily_quota=4)
    begun = (await shop.post("/v1/campaigns", json=campaign(recipients=people(3), start=True))).json()["id"]
    assert (await shop.post(f"/v1/campaigns/{begun}/cancel")).status_code == 200
    assert await used(desk, key["id"]) == 3


async def test_rejected_rows_cost_nothing(desk: Desk) -> None:
    key, shop = await made(desk, daily_quota=3)
    rows = [*people(2), {"phone": "no number", "name": "x"}, people(1)[0]]
    assert (await shop.post("/v1/campaigns", json=campaign(recipients=rows, start=True))).status_code == 201
    assert await used(desk, key["id"]) == 2


async def test_what_is_sent_while_it_is_imported_stops_at_the_quota(desk: Desk) -> None:
    key, shop = await made(desk, daily_quota=700)
    campaign_id = (await shop.post("/v1/campaigns", json=campaign(stream=True))).json()["id"]
    answer = await shop.post(
        f"/v1/campaigns/{campaign_id}/recipients", content=csv_file(5000), headers={"Content-Type": "text/csv"}
    )
    assert (answer.status_code, answer.json()["type"]) == (429, "/problems/quota-exceeded")
    found = (await shop.get(f"/v1/campaigns/{campaign_id}")).json()
    assert sum(found["counts"].values()) == await used(desk, key["id"]) <= 700
    assert found["state"] in ("paused", "failed")


async def test_a_retry_counts_on_the_key_that_asks_for_it(desk: Desk) -> None:
    _, shop = await made(desk, daily_quota=0)
    with desk.database.write() as session:
        text, _ = create_key(session, "other", "submit", desk.clock(), 0)
    other = client(desk.app, text)
    campaign_id = await desk.draft(recipients=people(2), start=True)
    answer = await other.post(f"/v1/campaigns/{campaign_id}/retry-failed")
    assert answer.status_code == 409 or answer.json()["errors"][0]["pointer"] == "#/states"  # nothing failed yet
    assert (await shop.post("/v1/campaigns", json=campaign(recipients=people(1), start=True))).status_code == 429


async def test_a_quota_out_of_range_or_a_key_without_name_is_refused(desk: Desk) -> None:
    for wrong in ({"daily_quota": -1}, {"daily_quota": 2**31}, {"name": "  "}, {"scope": "root"}, {"extra": 1}):
        answer = await desk.admin.post("/v1/keys", json={"name": "x", **wrong})
        assert answer.status_code == 422, wrong
