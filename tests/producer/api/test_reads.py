"""Messages, their history, exports, preview, suppressions, accounts."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyarrow import parquet
from sqlalchemy import func, select, update

from models.database import Database
from models.moves import Move, apply_moves
from models.states import MessageState
from models.tables import AccountStatus, Attempt, Batch, Campaign, DeliveryReport, Message, Reject, Suppression
from producer import exports
from producer.api.campaign_reads import _rates, progress
from producer.api.message_reads import read_place, steps
from producer.preview import costly
from tests.producer.api.desk import ACCOUNTS, START, Desk, campaign, people


def messages(database: Database) -> list[Message]:
    with database.read() as session:
        return list(session.execute(select(Message).order_by(Message.row_no)).scalars())


async def walk(desk: Desk, path: str, **query: Any) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await desk.submit.get(path, params={**query, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        seen += page["items"]
        if page["next"] is None:
            return seen
        cursor = {"cursor": page["next"]}


# --- messages --------------------------------------------------------------------------------------------------------


async def test_pages_lead_through_every_message_once_in_file_order(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(23))
    found = await walk(desk, f"/v1/campaigns/{campaign_id}/messages", limit=5)
    assert [item["row"] for item in found] == list(range(1, 24))


async def test_rows_that_share_a_number_are_not_lost_between_pages(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(9))
    with desk.database.write() as session:
        session.execute(update(Message).values(row_no=7))
    found = await walk(desk, f"/v1/campaigns/{campaign_id}/messages", limit=2)
    assert len({item["id"] for item in found}) == len(found) == 9


async def test_messages_are_filtered_by_state_and_account(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(6), route={"qikli": 1, "quicksms": 1})
    moved = [message.id for message in messages(desk.database)[:3]]
    with desk.database.write() as session:
        apply_moves(session, [Move(one, MessageState.CANCELLED) for one in moved], START)
    path = f"/v1/campaigns/{campaign_id}/messages"
    assert len(await walk(desk, path, state="cancelled", limit=2)) == 3
    assert {item["account"] for item in await walk(desk, path, account="qikli")} == {"qikli"}
    both = await walk(desk, path, state=["cancelled", "queued"], account="quicksms")
    assert [item["state"] for item in both] == ["cancelled", "queued", "queued"]


async def test_one_message_tells_its_whole_history(desk: Desk) -> None:
    await desk.draft(recipients=people(2))
    mine, other = messages(desk.database)
    report = {"account": "qikli", "dedupe": "d", "received_at": START, "raw_status": "DELIVERED", "effect": "moved"}
    with desk.database.write() as session:
        apply_moves(session, [Move(mine.id, MessageState.SUBMITTING, "attempt 1")], START + timedelta(seconds=1))
        values = {"provider_id": "p-1", "price": Decimal("0.0350"), "currency": "EUR", "parts": 1}
        apply_moves(session, [Move(mine.id, MessageState.SUBMITTED, "accepted", values)], START + timedelta(seconds=2))
        for owner in (mine, other):
            session.add(
                Attempt(
                    account="qikli", kind="submit", batch_id=mine.batch_id, started_at=START, elapsed_ms=40, status=200,
                    outcome="answered", messages=1, message_ids=[str(owner.id)], request_id=f"of {owner.row_no}",
                )
            )  # fmt: skip
        session.add(DeliveryReport(**report, state=MessageState.DELIVERED, details={"at": "x"}, message_id=mine.id))
    found = (await desk.submit.get(f"/v1/messages/{mine.id}")).json()
    assert [(step["state"], step["note"]) for step in found["history"]] == [
        ("queued", "imported"), ("submitting", "attempt 1"), ("submitted", "accepted"),
    ]  # fmt: skip
    assert found["history"][1]["at"] == "2026-03-01T12:00:01Z"
    assert [attempt["request_id"] for attempt in found["attempts"]] == ["of 1"]
    assert [(one["raw_status"], one["effect"]) for one in found["reports"]] == [("DELIVERED", "moved")]
    assert (found["text"], found["provider_id"], found["price"]) == ("Hi P0", "p-1", "0.035")


async def test_a_message_that_changed_its_account_still_tells_its_first_request(desk: Desk) -> None:
    await desk.draft(recipients=people(2))
    mine, other = messages(desk.database)
    with desk.database.write() as session:
        first = Attempt(account="qikli", kind="submit", batch_id=mine.batch_id, started_at=START, messages=2,
                        message_ids=[str(mine.id), str(other.id)], request_id="the first")  # fmt: skip
        later = Batch(campaign_id=mine.campaign_id, account="quicksms", size=1, not_before=START)
        session.add_all([first, later])
        session.flush()
        apply_moves(session, [Move(mine.id, MessageState.SUBMITTING, str(first.id))], START)
        session.execute(update(Message).where(Message.id == mine.id).values(batch_id=later.id, account="quicksms"))
    found = (await desk.submit.get(f"/v1/messages/{mine.id}")).json()
    assert [attempt["request_id"] for attempt in found["attempts"]] == ["the first"]


async def test_a_text_that_is_the_same_for_all_is_shown_with_each(desk: Desk) -> None:
    await desk.draft(recipients=people(1), template="Closed today")
    (message,) = messages(desk.database)
    assert message.text is None
    assert (await desk.submit.get(f"/v1/messages/{message.id}")).json()["text"] == "Closed today"


async def test_a_message_or_campaign_that_is_not_there_is_404(desk: Desk) -> None:
    absent = "00000000-0000-0000-0000-000000000000"
    for path in (f"messages/{absent}", f"campaigns/{absent}", f"campaigns/{absent}/messages",
                 f"campaigns/{absent}/rejects.csv", f"campaigns/{absent}/messages.csv"):  # fmt: skip
        assert (await desk.read.get(f"/v1/{path}")).status_code == 404, path


def test_a_line_of_the_trail_that_is_none_of_ours_is_left_out() -> None:
    assert [step.state for step in steps("1 queued imported\nnonsense\n\n² sent x\n2 sent\n")] == ["queued", "sent"]


@pytest.mark.parametrize("text", ["", "1", "x y", "1 x", "-1 00000000-0000-0000-0000-000000000000", "²  "])
def test_a_place_that_was_not_given_out_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what it says is never shown
        read_place(text)


# --- how far a campaign is -------------------------------------------------------------------------------------------


def test_progress_counts_what_is_final_and_estimates_only_what_must_still_leave() -> None:
    total = {MessageState.DELIVERED: 60, MessageState.SUBMITTED: 20, MessageState.QUEUED: 20}
    found = progress(total, 5.0)
    assert (found.final, found.share, found.eta_seconds) == (60, 0.6, 4)
    assert progress(total, 0.0).eta_seconds is None
    assert progress({}, None).share == 0.0


async def test_the_rate_is_what_left_in_the_last_minute_for_this_campaign(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(2), start=True)
    other = await desk.draft(recipients=people(2), start=True)
    desk.clock.pass_(minutes=5)
    with desk.database.write() as session:
        batches = dict(session.execute(select(Batch.campaign_id, Batch.id)).all())
        for batch, age, count in ((campaign_id, 10, 90), (campaign_id, 70, 1000), (other, 10, 7)):
            session.add(
                Attempt(
                    account="qikli", kind="submit", messages=count, started_at=desk.clock() - timedelta(seconds=age),
                    batch_id=next(found for key, found in batches.items() if str(key) == batch),
                )
            )  # fmt: skip
    _rates.clear()
    found = (await desk.read.get(f"/v1/campaigns/{campaign_id}")).json()["progress"]
    assert (found["rate"], found["eta_seconds"]) == (1.5, 1)


# --- exports ---------------------------------------------------------------------------------------------------------

FORMULAS = ["=1+1", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")']


async def test_no_cell_of_an_export_is_run_by_a_spreadsheet(desk: Desk) -> None:
    rows = [{**person, "reference": formula} for person, formula in zip(people(7), FORMULAS, strict=True)]
    campaign_id = await desk.draft(recipients=rows)
    with desk.database.write() as session:
        session.execute(update(Message).values(reason="=reason", code="@code", network="-net"))
        for number, formula in enumerate(FORMULAS):
            values = {"row_no": number, "column": formula, "value": formula, "code": "=c", "reason": formula}
            session.add(Reject(campaign_id=(session.execute(select(Campaign.id)).scalar_one()), **values))
    for name in ("messages.csv", "rejects.csv"):
        answer = await desk.submit.get(f"/v1/campaigns/{campaign_id}/{name}")
        table = list(csv.reader(io.StringIO(answer.text, newline="")))
        assert len(table) == 8
        cells = [cell for line in table for cell in line if cell[:1] in "=+-@\t\r" and cell]
        assert all(cell[1:].isdigit() for cell in cells), cells  # E.164 numbers alone
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"].startswith("attachment; filename=")


async def test_an_export_holds_every_message_once_over_many_pages(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "PAGE", 4)
    campaign_id = await desk.draft(recipients=people(11))
    table = list(csv.DictReader(io.StringIO((await desk.submit.get(f"/v1/campaigns/{campaign_id}/messages.csv")).text)))
    assert [line["phone"] for line in table] == [person["phone"] for person in people(11)]
    assert {line["state"] for line in table} == {"queued"}


async def test_a_reader_exports_masked_numbers(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(2))
    answer = await desk.read.get(f"/v1/campaigns/{campaign_id}/messages.csv")
    assert "'+44…00" in answer.text
    assert "7700900" not in answer.text


async def test_rejected_values_are_masked(desk: Desk) -> None:
    made = (await desk.submit.post("/v1/campaigns", json=campaign(recipients=[*people(1), *people(1)]))).json()
    listed = (await desk.read.get(made["rejects"])).text
    assert "duplicate" in listed
    assert "7700900" not in listed


# --- preview ---------------------------------------------------------------------------------------------------------


async def test_a_preview_shows_text_parts_and_what_is_wrong_and_stores_nothing(desk: Desk) -> None:
    await desk.submit.post("/v1/suppressions", json={"phones": ["+447700900003"]})
    rows = [*people(2), {"phone": "+447700900000", "name": "again"}, {"phone": "+447700900003", "name": "Opt"},
            {"phone": "12", "name": "X"}, {"phone": "+447700900009"}]  # fmt: skip
    body = {key: value for key, value in campaign(recipients=rows).items() if key != "name"}
    answer = await desk.submit.post("/v1/campaigns/preview", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    reasons = {"duplicate": 1, "number_short_code": 1, "suppressed": 1, "variable_missing": 1}
    assert found["counts"].pop("by_reason") == reasons
    assert found["counts"] == {"valid": 2, "invalid": 2, "duplicate": 1, "suppressed": 1}
    assert [(one["row"], one["text"], one["segments"], one["account"]) for one in found["rows"]] == [
        (1, "Hi P0", 1, "qikli"), (2, "Hi P1", 1, "qikli"),
    ]  # fmt: skip
    assert [one["code"] for one in found["rejected"]][:2] == ["duplicate", "suppressed"]
    same = {"messages_by_segments": {"1": 2}}
    assert found["segments"] == {"min": 1, "median": 1.0, "max": 1, "total": 2, **same}
    with desk.database.read() as session:
        assert session.execute(select(func.count()).select_from(Campaign)).scalar_one() == 0
    assert desk.rung == []


async def test_a_preview_warns_of_one_emoji_that_triples_the_parts(desk: Desk) -> None:
    body = {
        "sender": "MyStore", "template": "Hello {{ name }} " + "x" * 138, "route": {"qikli": 1},
        "recipients": [{"phone": "+447700900001", "name": "😀"}, {"phone": "+447700900002", "name": "Ada"}],
    }  # fmt: skip
    found = (await desk.submit.post("/v1/campaigns/preview", json=body)).json()
    assert [one["segments"] for one in found["rows"]] == [3, 1]
    ((warning, count),) = found["warnings"].items()
    assert (count, found["by_encoding"]) == (1, {"UCS2": 1, "GSM7": 1})
    assert "GRINNING FACE makes it 3 parts instead of 1" in warning


def test_a_character_that_costs_nothing_is_no_warning() -> None:
    assert costly("’") == []
    assert costly("plain " * 60) == []
    assert costly("’" + "x" * 100) == ['U+2019 RIGHT SINGLE QUOTATION MARK makes it 2 parts instead of 1; write "\'"']


async def test_a_preview_names_the_accounts_that_would_refuse(desk: Desk) -> None:
    body = {
        "sender": "MyStore", "template": "x" * 1700, "route": {"qikli": 1}, "recipients": people(1),
    }  # fmt: skip
    found = (await desk.submit.post("/v1/campaigns/preview", json=body)).json()
    assert found["counts"]["valid"] == 0
    assert found["rejected"][0]["code"] in {"text_too_long", "provider_rule"}


async def test_a_preview_of_a_wrong_template_names_the_place(desk: Desk) -> None:
    body = {"sender": "MyStore", "template": "Hi {{ name", "route": {"qikli": 1}, "recipients": people(1)}
    answer = await desk.submit.post("/v1/campaigns/preview", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/template")


# --- suppressions and accounts ---------------------------------------------------------------------------------------


async def test_suppressions_are_added_listed_paged_and_lifted(desk: Desk) -> None:
    phones = [f"+4477009000{n:02}" for n in range(7)]
    added = await desk.submit.post("/v1/suppressions", json={"phones": [*phones, phones[0]], "source": "shop"})
    assert (added.status_code, added.json()) == (200, {"suppressed": 7})
    await desk.submit.post("/v1/suppressions", json={"phones": phones[:1], "sender": "MyStore"})
    assert [one["phone"] for one in await walk(desk, "/v1/suppressions", limit=3)] == [phones[0], *phones]
    one = (await desk.submit.get("/v1/suppressions", params={"phone": phones[0]})).json()["items"]
    assert [item["sender"] for item in one] == ["", "MyStore"]
    assert (await desk.admin.delete(f"/v1/suppressions/{phones[0]}", params={"sender": "MyStore"})).status_code == 204
    assert (await desk.admin.delete(f"/v1/suppressions/{phones[0]}", params={"sender": "MyStore"})).status_code == 404
    assert len(await walk(desk, "/v1/suppressions")) == 7


async def test_one_unreadable_number_and_nothing_is_suppressed(desk: Desk) -> None:
    answer = await desk.submit.post("/v1/suppressions", json={"phones": ["+447700900001", "nobody"]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/phones/1")
    with desk.database.read() as session:
        assert session.execute(select(func.count()).select_from(Suppression)).scalar_one() == 0


async def test_a_suppressed_number_gets_no_message(desk: Desk) -> None:
    await desk.submit.post("/v1/suppressions", json={"phones": ["+447700900000"]})
    made = (await desk.submit.post("/v1/campaigns", json=campaign(recipients=people(2)))).json()
    assert (made["rows_accepted"], made["rows_rejected"]) == (1, 1)


async def test_accounts_show_limits_and_the_last_snapshot_but_no_secret(desk: Desk) -> None:
    with desk.database.write() as session:
        session.add(AccountStatus(account="qikli", snapshot={"breaker": {"state": "closed"}}, updated_at=START))
    answer = await desk.read.get("/v1/accounts")
    items = {item["name"]: item for item in answer.json()["items"]}
    assert items.keys() == ACCOUNTS.keys()
    assert items["qikli"]["status"] == {"breaker": {"state": "closed"}}
    assert items["qikli"]["limits"] == [{"limit": 60, "per": 60.0, "counts": "requests"}]
    assert "s3cr3t" not in answer.text


async def test_an_export_is_parquet_or_csv_as_asked_for(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(4))
    path = f"/v1/campaigns/{campaign_id}/export"
    plain = await desk.submit.get(f"/v1/campaigns/{campaign_id}/messages.csv")
    for query, accept, kind in (
        ({}, "*/*", "text/csv; charset=utf-8"),
        ({}, "text/html, text/csv;q=0.5", "text/csv; charset=utf-8"),
        ({"format": "csv"}, "application/vnd.apache.parquet", "text/csv; charset=utf-8"),
        ({}, "application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        ({"format": "parquet"}, "*/*", "application/vnd.apache.parquet"),
    ):
        answer = await desk.submit.get(path, params=query, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        assert answer.headers["content-disposition"].endswith('csv"' if "csv" in kind else 'parquet"')
        if "csv" in kind:
            assert answer.content == plain.content
        else:
            found = parquet.read_table(io.BytesIO(answer.content))
            assert found.column("phone").to_pylist() == [person["phone"] for person in people(4)]
    assert (await desk.submit.get(path, headers={"Accept": "application/pdf"})).status_code == 406
    assert (await desk.submit.get(path, params={"format": "xlsx"})).status_code == 422


async def test_an_export_for_a_reader_holds_masked_numbers_in_either_kind(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=people(1))
    for kind in ("csv", "parquet"):
        answer = await desk.read.get(f"/v1/campaigns/{campaign_id}/export", params={"format": kind})
        assert b"7700900000" not in answer.content
    found = parquet.read_table(io.BytesIO(answer.content))
    assert found.column("phone").to_pylist() == ["+44…00"]


async def test_the_rejects_are_parquet_too(desk: Desk) -> None:
    campaign_id = await desk.draft(recipients=[*people(1), {"phone": "x", "name": "X"}])
    answer = await desk.read.get(f"/v1/campaigns/{campaign_id}/rejects", params={"format": "parquet"})
    assert parquet.read_table(io.BytesIO(answer.content)).column("row").to_pylist() == [2]
