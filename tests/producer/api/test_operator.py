"""What an operator reads and does over the API: incoming messages, figures, reports without a message, accounts."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import select, update

from config import names
from models.moves import Move, apply_moves
from models.states import MessageState
from models.tables import AccountStatus, DeliveryReport, InboundMessage, Message
from tests.producer.api.desk import Desk, people

QUEUE = names.account_queue("qikli")


def arrived(desk: Desk, count: int, **changes: object) -> None:
    with desk.database.write() as session:
        for n in range(count):
            row = {"account": "qikli", "inbound_id": f"{changes}{n}", "msisdn": "+447700900001", "to": "MyStore",
                   "text": "hello", "received_at": desk.clock()}  # fmt: skip
            session.add(InboundMessage(**{**row, **changes}))


async def test_incoming_messages_are_listed_the_latest_first_page_by_page(desk: Desk) -> None:
    arrived(desk, 5)
    arrived(desk, 2, account="quicksms", msisdn="+447700900002", text="STOP", stop_word=True)
    first = (await desk.submit.get("/v1/inbound", params={"limit": "4"})).json()
    rest = (await desk.submit.get("/v1/inbound", params={"limit": "4", "cursor": first["next"]})).json()
    ids = [one["id"] for one in first["items"] + rest["items"]]
    assert (ids, rest["next"]) == (sorted(ids, reverse=True), None)
    assert len(ids) == 7
    for query, count in (({"stops": "true"}, 2), ({"account": "qikli"}, 5), ({"phone": "+44 7700 900002"}, 2)):
        assert len((await desk.submit.get("/v1/inbound", params=query)).json()["items"]) == count, query


@pytest.mark.parametrize("sender", ["+447700900001", "447700900001", "60777", "MyShop", ""])
async def test_a_reader_sees_neither_number_nor_text_of_an_incoming_message(desk: Desk, sender: str) -> None:
    arrived(desk, 1, msisdn=sender)
    seen = (await desk.read.get("/v1/inbound")).json()["items"][0]
    assert seen["text"] is None
    assert "…" in seen["phone"]
    assert (await desk.submit.get("/v1/inbound")).json()["items"][0]["phone"] == sender


async def sent(desk: Desk, count: int = 4) -> str:
    """A campaign of which all but the last arrived."""
    campaign_id = await desk.draft(recipients=people(count), start=True)
    with desk.database.write() as session:
        ids = session.execute(
            select(Message.id).where(Message.campaign_id == UUID(campaign_id)).order_by(Message.row_no)
        )
        chosen = list(ids.scalars())
        for state in (MessageState.SUBMITTING, MessageState.SUBMITTED):
            apply_moves(session, [Move(one, state) for one in chosen], desk.clock())
        good = {"price": Decimal("0.04"), "currency": "EUR", "parts": 1}
        bad = {"code": "4", "klass": "recipient", "reason": "no such number"}
        apply_moves(session, [Move(one, MessageState.DELIVERED, "", good) for one in chosen[:-1]], desk.clock())
        apply_moves(session, [Move(chosen[-1], MessageState.UNDELIVERED, "", bad)], desk.clock())
    return campaign_id


async def test_what_a_campaign_cost_why_it_failed_and_what_became_of_it(desk: Desk) -> None:
    path = f"/v1/campaigns/{await sent(desk)}"
    costs = (await desk.read.get(f"{path}/costs", params={"by": ["country", "account"]})).json()["items"]
    assert costs == [
        {"group": {"country": "GB", "account": "qikli"}, "currency": "EUR", "messages": 3, "parts": 3, "price": "0.12"}
    ]
    errors = (await desk.read.get(f"{path}/errors")).json()["items"]
    assert [(one["code"], one["reason"], one["messages"]) for one in errors] == [("4", "no such number", 1)]
    outcomes = (await desk.read.get(f"{path}/outcomes")).json()["items"]
    assert {one["state"]: one["messages"] for one in outcomes} == {"delivered": 3, "undelivered": 1}
    for what in ("costs", "errors", "outcomes"):
        assert (await desk.read.get(f"{path}/{what}", params={"by": "msisdn"})).status_code == 422
        absent = f"/v1/campaigns/00000000-0000-0000-0000-000000000000/{what}"
        assert (await desk.read.get(absent)).status_code == 404


async def test_figures_by_day_hold_each_campaign_on_the_day_it_started(desk: Desk) -> None:
    await sent(desk)
    await sent(desk, 2)
    desk.clock.pass_(days=1)
    await sent(desk, 3)
    days = (await desk.read.get("/v1/figures")).json()["items"]
    assert [(one["day"], one["campaigns"], one["messages"]) for one in days] == [
        ("2026-03-02", 1, 3), ("2026-03-01", 2, 6)
    ]  # fmt: skip
    assert days[1]["states"] == {"delivered": 4, "undelivered": 2}
    assert days[1]["costs"] == [{"currency": "EUR", "messages": 4, "parts": 4, "price": "0.16"}]
    assert len((await desk.read.get("/v1/figures", params={"until": "2026-03-01"})).json()["items"]) == 1


async def test_reports_without_a_message_are_counted_and_listed(desk: Desk) -> None:
    with desk.database.write() as session:
        for n in range(5):
            waits = n != 2
            session.add(
                DeliveryReport(
                    account="qikli" if n < 4 else "quicksms", dedupe=str(n), received_at=desk.clock(), ref="?",
                    raw_status="1", applied_at=None if waits else desk.clock(), effect=None if waits else "moved",
                    next_try_at=desk.clock() + timedelta(minutes=1) if n else None,
                )
            )  # fmt: skip
    counted = (await desk.read.get("/v1/reports")).json()
    assert {(one["account"], one["reports"], one["given_up"]) for one in counted["unmatched"]} == {
        ("qikli", 3, 1), ("quicksms", 1, 0)
    }  # fmt: skip
    assert ("qikli", "moved", 1) in {tuple(one.values()) for one in counted["effects"]}
    first = (await desk.read.get("/v1/reports/unmatched", params={"limit": "3"})).json()
    rest = (await desk.read.get("/v1/reports/unmatched", params={"limit": "3", "cursor": first["next"]})).json()
    ids = [one["id"] for one in first["items"] + rest["items"]]
    assert (len(ids), ids, rest["next"]) == (4, sorted(ids, reverse=True), None)
    only = (await desk.read.get("/v1/reports/unmatched", params={"account": "quicksms"})).json()["items"]
    assert len(only) == 1


async def test_an_admin_stops_an_account_and_its_workers_are_called(desk: Desk) -> None:
    asked = {"order": "open", "note": "maintenance"}
    assert (await desk.submit.post("/v1/accounts/qikli/orders", json=asked)).status_code == 403
    answer = await desk.admin.post("/v1/accounts/qikli/orders", json=asked)
    assert (answer.status_code, answer.json()) == (202, {"account": "qikli", "order": "open"})
    with desk.database.read() as session:
        row = session.get_one(AccountStatus, "qikli")
        assert (row.order_word, row.order_note) == ("open", "maintenance")
    shown = next(one for one in (await desk.read.get("/v1/accounts")).json()["items"] if one["name"] == "qikli")
    assert (shown["order"], shown["dispatched"], shown["leased"]) == ("open", 0, 0)
    desk.app.state.context.bell.close()
    assert (names.SNAPSHOT, QUEUE) in desk.rung
    assert (await desk.admin.post("/v1/accounts/nobody/orders", json=asked)).status_code == 404
    assert (await desk.admin.post("/v1/accounts/qikli/orders", json={"order": "burn"})).status_code == 422


async def test_messages_are_found_by_number_in_a_campaign_and_over_all(desk: Desk) -> None:
    one, two = await desk.draft(recipients=people(5)), await desk.draft(recipients=people(2))
    national = await desk.submit.get(f"/v1/campaigns/{one}/messages", params={"phone": "07700 900001"})
    assert national.status_code == 422  # of which country?
    found = (await desk.submit.get(f"/v1/campaigns/{one}/messages", params={"phone": "+44 7700 900001"})).json()
    assert [row["phone"] for row in found["items"]] == ["+447700900001"]
    first = (await desk.submit.get("/v1/messages", params={"phone": "+447700900001", "limit": "1"})).json()
    rest = (await desk.submit.get("/v1/messages", params={"phone": "+447700900001", "cursor": first["next"]})).json()
    assert [row["campaign_id"] for row in first["items"] + rest["items"]] == [two, one]
    assert (await desk.read.get("/v1/messages", params={"phone": "+447700900001"})).json()["items"][0][
        "phone"
    ] == "+44…01"


async def test_states_and_accounts_are_filtered_side_by_side_in_row_order(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.message_pages.LOOK", 7)
    campaign_id = await desk.draft(recipients=people(60), route={"qikli": 3, "quicksms": 1})
    with desk.database.write() as session:
        mine = Message.campaign_id == UUID(campaign_id)
        session.execute(update(Message).where(mine, Message.row_no % 5 == 0).values(state=MessageState.FAILED))
        session.execute(update(Message).where(mine, Message.row_no % 7 == 0).values(state=MessageState.HELD))
        rows = session.execute(select(Message).where(mine).order_by(Message.row_no)).scalars().all()
    for states in ([], ["failed"], ["held", "failed"], ["delivered"], ["queued", "held", "failed"]):
        for account in (None, "qikli", "quicksms", "cliqtel"):
            wanted = [
                row.row_no for row in rows if (not states or row.state in states) and account in (None, row.account)
            ]
            found, cursor, pages = list[int](), None, 0
            while pages == 0 or cursor is not None:
                query = {"state": states, "limit": "4", **({"account": account} if account else {}),
                         **({"cursor": cursor} if cursor else {})}  # fmt: skip
                page = (await desk.read.get(f"/v1/campaigns/{campaign_id}/messages", params=query)).json()
                found += [row["row"] for row in page["items"]]
                cursor, pages = page["next"], pages + 1
                assert len(page["items"]) <= 4
                assert pages < 40
            assert found == wanted, (states, account)
