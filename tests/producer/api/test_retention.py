"""What the API shows of a purged campaign and of an erased number: the figures, and that the rest is gone."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

from config.own_keys import suppression_key
from config.settings import Settings
from producer.erase import Keep, erase
from producer.retention import purge
from tests.producer.api.desk import Desk
from tests.retention.world import NAME, TEXT, leave_traces, phone

OLD = datetime.now(UTC) - timedelta(days=100)


async def test_a_purged_campaign_shows_its_figures_and_says_that_it_was_purged(desk: Desk) -> None:
    with desk.database.write() as session:
        left = leave_traces(session, at=OLD)
    before = (await desk.submit.get(f"/v1/campaigns/{left.campaign}")).json()
    purge(desk.database, timedelta(days=90), Settings(_env_file=None), rest=lambda seconds: None)
    answer = await desk.submit.get(f"/v1/campaigns/{left.campaign}")
    after = answer.json()
    assert (before["purged_at"], after["counts"], after["progress"]) == (None, before["counts"], before["progress"])
    assert datetime.fromisoformat(after["purged_at"]) > OLD
    assert TEXT not in answer.text
    assert NAME not in answer.text
    listed = (await desk.submit.get("/v1/campaigns")).json()["items"][0]
    assert listed["purged_at"] == after["purged_at"]


async def test_an_export_says_what_was_erased_and_keeps_every_row(desk: Desk) -> None:
    with desk.database.write() as session:
        left = leave_traces(session, at=OLD)
    purge(desk.database, timedelta(days=90), Settings(_env_file=None), rest=lambda seconds: None)
    for client in (desk.submit, desk.read):
        exported = (await client.get(f"/v1/campaigns/{left.campaign}/messages.csv")).text
        rows = list(csv.DictReader(io.StringIO(exported)))
        assert [row["phone"] for row in rows] == ["(erased)"] * 3
        assert {row["country"] for row in rows} == {"GB"}
        assert [row["price"] for row in rows] == ["1", "2", "3"]
        assert NAME not in exported
    rejects = (await desk.submit.get(f"/v1/campaigns/{left.campaign}/rejects.csv")).text.splitlines()
    assert rejects == ["row,column,value,code,reason", "99,,,invalid,"]


async def test_of_an_erased_number_nobody_sees_what_it_was_told(desk: Desk) -> None:
    """Not even where the text is the whole campaign's."""
    with desk.database.write() as session:
        left = leave_traces(session, at=OLD, common_text="One text for all")
    erase(desk.database, phone(1), Keep.NOTHING, lambda: b"a key of sixteen")
    told = (await desk.submit.get(f"/v1/messages/{left.messages[0]}")).json()
    assert (told["phone"], told["text"], told["reports"]) == ("(erased)", None, [])
    assert [step["note"] for step in told["history"]] == [""] * len(told["history"])
    other = (await desk.submit.get(f"/v1/messages/{left.messages[1]}")).json()
    assert other["phone"] == phone(2)
    assert other["text"] is not None


async def test_a_suppression_that_survived_an_erasure_is_lifted_like_any_other(desk: Desk) -> None:
    settings = desk.app.state.context.settings
    erase(desk.database, phone(1), Keep.ADD, lambda: suppression_key(settings))
    assert (await desk.clients["admin"].delete(f"/v1/suppressions/{phone(1)}")).status_code == 204
    assert (await desk.clients["admin"].delete(f"/v1/suppressions/{phone(1)}")).status_code == 404
