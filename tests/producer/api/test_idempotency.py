"""The same POST twice: one effect, one answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select

from models.tables import Campaign, IdempotentAnswer
from producer import idempotency
from producer.idempotency import AtWork, Claimed, LostClaim, OtherRequest, Owner, Stored
from tests.producer.api.desk import START, Desk, campaign, client, csv_file, people

ME = Owner(UUID(int=1), "k")


def key(text: str) -> dict[str, str]:
    return {"Idempotency-Key": text}


def campaigns_in(desk: Desk) -> int:
    with desk.database.read() as session:
        return session.execute(select(func.count()).select_from(Campaign)).scalar_one()


async def create(desk: Desk, its_key: str, **changes: object) -> httpx.Response:
    return await desk.submit.post("/v1/campaigns", json=campaign(**changes), headers=key(its_key))


async def test_the_same_request_again_gets_the_same_answer_and_does_nothing(desk: Desk) -> None:
    first = await create(desk, "a", recipients=people(2), start=True)
    desk.clock.pass_(hours=23)
    second = await create(desk, "a", recipients=people(2), start=True)
    assert (second.status_code, second.content) == (201, first.content)
    assert (second.headers["idempotent-replayed"], campaigns_in(desk)) == ("true", 1)
    assert "idempotent-replayed" not in first.headers


async def test_another_body_under_the_same_key_is_refused(desk: Desk) -> None:
    await create(desk, "a")
    answer = await create(desk, "a", name="Other")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/idempotency-conflict")
    assert campaigns_in(desk) == 1


async def test_another_path_under_the_same_key_is_refused(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(1))
    for verb, status in (("start", 200), ("pause", 409), ("start", 200)):
        answer = await desk.submit.post(f"/v1/campaigns/{campaign_id}/{verb}", headers=key("k"))
        assert answer.status_code == status, verb


async def test_a_repeated_start_does_not_undo_a_pause_that_came_between(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(1))
    await desk.submit.post(f"/v1/campaigns/{campaign_id}/start", headers=key("s"))
    await desk.submit.post(f"/v1/campaigns/{campaign_id}/pause")
    again = await desk.submit.post(f"/v1/campaigns/{campaign_id}/start", headers=key("s"))
    assert (again.status_code, again.json()["state"]) == (200, "running")  # what it was then
    assert (await desk.read.get(f"/v1/campaigns/{campaign_id}")).json()["state"] == "paused"


async def test_two_clients_may_use_the_same_key(desk: Desk) -> None:
    other = client(desk.app, desk.keys["admin"])
    await create(desk, "a")
    answer = await other.post("/v1/campaigns", json=campaign(name="Other"), headers=key("a"))
    await other.aclose()
    assert (answer.status_code, campaigns_in(desk)) == (201, 2)


async def test_after_a_day_the_key_is_new_again(desk: Desk) -> None:
    await create(desk, "a")
    desk.clock.pass_(hours=24)
    assert (await create(desk, "a", name="Other")).status_code == 201
    assert campaigns_in(desk) == 2


async def test_a_refused_request_may_be_mended_under_its_key(desk: Desk) -> None:
    assert (await create(desk, "a", recipients=[{"phone": "x"}])).status_code == 422
    assert (await create(desk, "a", recipients=people(1))).status_code == 201


async def test_ten_at_once_make_one_campaign(desk: Desk) -> None:
    answers = await asyncio.gather(*(create(desk, "a", recipients=people(1), start=True) for _ in range(10)))
    assert campaigns_in(desk) == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    waiting = [answer for answer in answers if answer.status_code == 409]
    assert all(answer.headers["retry-after"] == "2" for answer in waiting)


async def test_an_upload_is_imported_once(desk: Desk) -> None:
    campaign_id = await desk.draft()
    path, headers = f"/v1/campaigns/{campaign_id}/recipients", {**key("u"), "Content-Type": "text/csv"}
    first = await desk.submit.post(path, content=csv_file(3), headers=headers)
    second = await desk.submit.post(path, content=csv_file(3), headers=headers)
    other = await desk.submit.post(path, content=csv_file(4), headers=headers)
    assert (first.status_code, second.content, other.status_code) == (200, first.content, 409)
    without = await desk.submit.post(path, content=csv_file(3), headers={"Content-Type": "text/csv"})
    assert (without.status_code, without.json()["accepted"], without.json()["rejected"]) == (200, 0, 3)  # it has them


@pytest.mark.parametrize("bad", ["", " ", "a" * 201, "tab\there"])
async def test_a_key_that_is_no_key_is_refused(desk: Desk, bad: str) -> None:
    answer = await create(desk, bad)
    assert (answer.status_code, campaigns_in(desk)) == (422, 0)


# --- the use case alone ----------------------------------------------------------------------------------------------


def test_who_died_at_work_is_followed_after_a_while_and_then_cannot_settle(desk: Desk) -> None:
    with desk.database.write() as session:
        dead = idempotency.claim(session, ME, "d", START)
    assert isinstance(dead, Claimed)
    with desk.database.write() as session:
        assert idempotency.claim(session, ME, "d", START + timedelta(minutes=14)) == AtWork(2)
        assert idempotency.claim(session, ME, "other", START) == OtherRequest()
    with desk.database.write() as session:
        heir = idempotency.claim(session, ME, "d", START + timedelta(minutes=15))
    assert isinstance(heir, Claimed)
    with pytest.raises(LostClaim), desk.database.write() as session:
        idempotency.settle(session, dead, 201, b"dead")
    with desk.database.write() as session:
        idempotency.release(session, dead)
        idempotency.settle(session, heir, 201, b"heir")
    with desk.database.write() as session:
        assert idempotency.claim(session, ME, "d", START + timedelta(hours=1)) == Stored(201, b"heir")


def test_what_is_older_than_a_day_is_forgotten(desk: Desk) -> None:
    with desk.database.write() as session:
        idempotency.claim(session, ME, "d", START)
        idempotency.forget_old(session, START + timedelta(hours=23))
        assert session.execute(select(func.count()).select_from(IdempotentAnswer)).scalar_one() == 1
        idempotency.forget_old(session, START + timedelta(hours=24))
        assert session.execute(select(func.count()).select_from(IdempotentAnswer)).scalar_one() == 0
