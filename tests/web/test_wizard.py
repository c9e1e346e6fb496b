"""A new campaign, step by step: nothing is lost, nothing is started twice, and every fault is said on its page."""

from __future__ import annotations

import asyncio
import gzip
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from models.options import max_parts
from models.states import CampaignState
from models.tables import ApiKey, Campaign, Draft, DraftPiece, Message, Reject
from producer import drafts
from producer.suppressions import add_suppressions
from tests.producer.api.desk import Desk, csv_file
from tests.producer.test_readers_xlsx import workbook
from tests.web.visitor import ORIGIN, hidden
from tests.web.wizard_support import COLUMNS, MESSAGE, TIME, Maker, maker, text_of


def campaigns_of(desk: Desk) -> list[Campaign]:
    with desk.database.read() as session:
        return list(session.execute(select(Campaign).order_by(Campaign.id)).scalars())


def draft_of(desk: Desk, draft_id: UUID) -> Draft:
    with desk.database.read() as session:
        return session.get_one(Draft, draft_id)


def messages_of(desk: Desk) -> list[Message]:
    with desk.database.read() as session:
        return list(session.execute(select(Message).order_by(Message.msisdn)).scalars())


def pieces_of(desk: Desk) -> int:
    with desk.database.read() as session:
        return session.execute(select(func.count()).select_from(DraftPiece)).scalar_one()


async def test_a_campaign_made_step_by_step_is_started_with_its_texts(desk: Desk) -> None:
    making = await maker(desk)
    page = await making.prepare(csv_file(3) + b"nonsense,X\n+447700900000,Again\n")
    assert "3 messages would leave" in text_of(page)
    assert "2 rows get nothing" in text_of(page)
    answer = await making.start()
    (campaign,) = campaigns_of(desk)
    assert answer.headers["location"] == f"/campaigns/{campaign.id}?done=start"
    assert (campaign.state, campaign.name, campaign.sender) == (CampaignState.RUNNING, "Spring", "MyStore")
    assert (campaign.rows_accepted, campaign.rows_rejected, campaign.source) == (3, 2, "people.csv")
    assert [message.text for message in messages_of(desk)] == ["Hi P0", "Hi P1", "Hi P2"]
    assert ("campaigns.dispatch", "control") in desk.rung
    assert pieces_of(desk) == 0


async def test_sent_twice_it_is_started_once(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare()
    token = hidden(await making.visitor.get(f"{making.at}/start"))
    sent = [
        making.visitor.http.post(f"{making.at}/start", data={**token, "how": "start"}, headers={"Origin": ORIGIN})
        for _ in range(4)
    ]
    answers = await asyncio.gather(*sent)
    again = await making.visitor.http.post(f"{making.at}/start", data=token, headers={"Origin": ORIGIN})
    (campaign,) = campaigns_of(desk)
    for answer in [*answers, again]:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith(f"/campaigns/{campaign.id}")
    assert len(messages_of(desk)) == 3


async def test_going_back_to_what_became_a_campaign_leads_to_it(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare()
    await making.start()
    (campaign,) = campaigns_of(desk)
    for step in ("", "recipients", "columns", "message", "time", "check", "start", "discard"):
        assert (await making.page(step)).headers["location"] == f"/campaigns/{campaign.id}"


async def test_saved_as_a_draft_nothing_leaves(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare()
    answer = await making.start("draft")
    (campaign,) = campaigns_of(desk)
    assert answer.headers["location"] == f"/campaigns/{campaign.id}?done=made"
    assert (campaign.state, campaign.rows_accepted) == (CampaignState.DRAFT, 3)
    assert desk.rung == []


async def test_a_time_with_its_zone_is_kept(desk: Desk) -> None:
    making = await maker(desk)
    page = await making.prepare(time={"start": "at", "at": "2026-04-01T09:00", "zone": "Europe/Berlin"})
    assert "Schedule…" in page.text
    await making.start()
    (campaign,) = campaigns_of(desk)
    assert campaign.state is CampaignState.SCHEDULED
    assert campaign.start_at == datetime(2026, 4, 1, 7, 0, tzinfo=UTC)


async def test_a_time_that_passes_before_the_confirmation_starts_nothing(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare(time={"start": "at", "at": "2026-03-01T12:10", "zone": "UTC"})
    checked = hidden(await making.visitor.get(f"{making.at}/start"))["checked"]
    desk.clock.pass_(minutes=11)
    answer = await making.start(checked=checked)
    assert answer.status_code == 422
    assert "This time is past" in text_of(answer)
    assert campaigns_of(desk) == []


async def test_what_changed_since_the_check_is_not_started(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare()
    checked = hidden(await making.visitor.get(f"{making.at}/start"))["checked"]
    await making.save("message", {**MESSAGE, "text": "Other {{ name }}"})
    answer = await making.start(checked=checked)
    assert answer.status_code == 409
    assert campaigns_of(desk) == []
    assert "Something was changed since the last check" in text_of(await making.page("check"))


async def test_a_campaign_that_nobody_is_left_for_comes_to_nothing_and_can_be_mended(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare(csv_file(1))
    checked = hidden(await making.visitor.get(f"{making.at}/start"))["checked"]
    with desk.database.write() as session:
        add_suppressions(session, {"+447700900000"}, "", "STOP", desk.clock())
    answer = await making.start(checked=checked)
    assert answer.status_code == 422
    assert "The campaign was not made" in text_of(answer)
    assert campaigns_of(desk) == []
    assert (await making.page("message")).status_code == 200


async def test_more_than_the_key_may_send_in_a_day_is_not_started(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare()
    with desk.database.write() as session:
        key_id = session.get_one(Draft, making.draft_id).api_key_id
        session.get_one(ApiKey, key_id).daily_quota = 2
    answer = await making.start()
    assert answer.status_code == 422
    assert "the API key has 2 of its 2 messages" in text_of(answer)
    assert campaigns_of(desk) == []
    assert (await making.page("check")).status_code == 200


async def test_a_campaign_whose_maker_died_can_be_made_again(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare()
    with desk.database.write() as session:
        draft = session.get_one(Draft, making.draft_id)
        died = Campaign(name="x", state=CampaignState.FAILED, sender="", template="", route={}, options={}, routing={},
                        created_at=desk.clock(), steering={})  # fmt: skip
        session.add(died)
        session.flush()
        draft.campaign_id = died.id
    assert (await making.page("check")).status_code == 200
    await making.save("time", TIME)
    answer = await making.start()
    made = next(one for one in campaigns_of(desk) if one.name == "Spring")
    assert answer.headers["location"].startswith(f"/campaigns/{made.id}")
    assert made.state is CampaignState.RUNNING


# --- whose it is -----------------------------------------------------------------------------------------------------


async def test_a_draft_is_its_keys_alone_and_any_browser_of_it_goes_on(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare()
    other, same = await maker(desk, "admin"), await maker(desk)
    other.at = same.at = making.at
    for step in ("", "recipients", "columns", "message", "time", "check", "start", "rejects.csv", "discard"):
        assert (await other.page(step)).status_code == 404
    assert (await other.save("message", MESSAGE)).status_code == 404
    assert (await other.upload(csv_file(2))).status_code == 404
    assert "3 messages would leave" in text_of(await same.page("check"))
    assert making.at in (await same.visitor.get("/campaigns/new")).text


async def test_a_key_that_only_reads_makes_nothing(desk: Desk) -> None:
    reading = await maker(desk, "read")
    assert (await reading.visitor.get("/campaigns/new")).status_code == 403
    assert (await reading.upload(csv_file(2))).status_code == 403
    assert pieces_of(desk) == 0


async def test_nobody_uploads_without_a_session_or_from_elsewhere(desk: Desk) -> None:
    making = await maker(desk)
    files = {"file": ("a.csv", csv_file(2), "text/csv")}
    stranger = await desk.nobody.post("/campaigns/new", files=files, headers={"Origin": ORIGIN})
    assert stranger.headers["location"].startswith("/sign-in")
    assert (await making.upload(csv_file(2), csrf="0" * 64)).status_code == 403
    token = hidden(await making.visitor.get("/"))["csrf"]
    foreign = await making.visitor.http.post(
        "/campaigns/new", data={"csrf": token, "name": "x"}, files=files, headers={"Origin": "https://evil.example"}
    )
    assert foreign.status_code == 403
    assert pieces_of(desk) == 0


async def test_discarded_it_is_gone_with_its_file(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare()
    assert "Discard “Spring”?" in text_of(await making.page("discard"))
    assert (await making.save("discard", {})).status_code == 303
    assert (await making.page()).status_code == 404
    assert pieces_of(desk) == 0


async def test_left_for_a_week_it_is_gone_with_its_file(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare()
    with desk.database.write() as session:
        assert drafts.drop_expired(session, desk.clock()) == 0
    desk.clock.pass_(days=7)
    with desk.database.write() as session:
        assert drafts.drop_expired(session, desk.clock()) == 1
    assert pieces_of(desk) == 0


# --- recipients ------------------------------------------------------------------------------------------------------

HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "An empty file has no recipients"),
    "blank": (b"\n \n", "the file is empty"),
    "header only": (b"phone,name\n", "there is a header but no row under it"),
    "not utf-8": ("phone,name\n+447700900123,Zoë\n".encode("cp1252"), "name its encoding"),
    "pdf": (b"%PDF-1.7 whatever", "not a recipient list but a PDF file"),
    "broken gzip": (gzip.compress(csv_file(500))[:900], "the archive ends too early"),
    "not a workbook": (b"PK\x03\x04 no zip at all", "archive"),
    "json array": (b'[{"phone": "+447700900123"}]', "one JSON object per line"),
    "web page": (b"<!DOCTYPE html><p>hello", "a web page"),
    "bytes": (bytes(range(1, 256)) * 40, ""),
    "one endless line": (b"x" * 10_000_000, "a line has over 1,000,000 characters"),
    "bad json lines": (b'{"phone": }\n{"a"\n', "no row can be read"),
}


async def test_a_hostile_file_is_refused_in_words_on_the_page(desk: Desk) -> None:
    visiting = (await maker(desk)).visitor
    for case, (data, text) in HOSTILE.items():
        answer = await Maker(visiting).upload(data)
        assert answer.status_code == 422, case
        assert text.lower() in text_of(answer).lower(), case
        assert 'value="Spring"' in answer.text, case  # what was typed is still there


async def test_a_file_that_could_not_be_read_needs_no_second_upload(desk: Desk) -> None:
    making = await maker(desk)
    assert (await making.upload("phone,name\n+447700900123,Zoë\n".encode("cp1252"))).status_code == 422
    answer = await making.upload(None, encoding="cp1252")
    assert answer.headers["location"] == f"{making.at}/columns"
    assert "Zoë" in (await making.page("columns")).text


async def test_what_a_file_says_is_never_markup(desk: Desk) -> None:
    nasty = "<script>alert(1)</script>"
    data = f'phone,"{nasty}"\n+447700900123,"{nasty}"\n"{nasty}",x\n'.encode()
    making = await maker(desk)
    await making.upload(data, f"{nasty}.csv", name=nasty)
    pages = [await making.page("recipients"), await making.page("columns")]
    await making.save("columns", {"use-0": "number", "use-1": "variable", "name-1": "name"})
    await making.save("message", {**MESSAGE, "sender": "MyStore", "text": f"{nasty} {{{{ name }}}}"})
    pages.append(await making.page("message"))
    await making.save("time", TIME)
    pages += [await making.page("check"), await making.visitor.get(f"{making.at}/start")]
    pages.append(await making.visitor.get(f"{making.at}/check", row=2))
    for page in pages:
        assert page.status_code == 200
        assert nasty not in page.text
        assert "&lt;script&gt;" in page.text


async def test_columns_of_one_name_are_told_apart_by_their_place(desk: Desk) -> None:
    data = b"phone,name,name,phone\n+447700900123,Ann,Smith,x\n"
    making = await maker(desk)
    fields = {"use-0": "number", "use-1": "variable", "name-1": "first", "use-2": "variable", "name-2": "last",
              "use-3": "ignored"}  # fmt: skip
    await making.prepare(data, columns=fields, message={"text": "{{ last }}, {{ first }}"})
    await making.start()
    assert [message.text for message in messages_of(desk)] == ["Smith, Ann"]


async def test_of_five_hundred_columns_the_first_hundred_can_be_used(desk: Desk) -> None:
    header, row = ",".join(f"c{n}" for n in range(499)), ",".join("v" for _ in range(499))
    making = await maker(desk)
    answer = await making.upload(f"phone,{header}\n+447700900123,{row}\n".encode())
    assert answer.status_code == 303
    page = await making.page("columns")
    assert "The file has 500 columns; the first 100 can be used here" in text_of(page)
    fields = dict.fromkeys((f"use-{n}" for n in range(100)), "ignored")
    fields |= {"use-0": "number", **{f"name-{n}": "" for n in range(100)}}
    assert (await making.save("columns", fields)).status_code == 303


async def test_a_file_without_names_is_read_from_its_first_row(desk: Desk) -> None:
    making = await maker(desk)
    fields = {"use-0": "variable", "name-0": "name", "use-1": "number", "name-1": ""}
    page = await making.prepare(b"Ann;+447700900123\nBo;+447700900124\n", columns=fields)
    assert "2 messages would leave" in text_of(page)
    await making.start()
    assert [message.text for message in messages_of(desk)] == ["Hi Ann", "Hi Bo"]


@pytest.mark.parametrize(
    "pasted", ["+447700900123, +447700900124;\n+447700900125\n", "Phone\tName\n+447700900123\tA\n"]
)
async def test_numbers_can_be_pasted(desk: Desk, pasted: str) -> None:
    making = await maker(desk)
    answer = await making.upload(None, pasted=pasted)
    assert answer.headers["location"] == f"{making.at}/columns"
    assert "+447700900123" in (await making.page("columns")).text
    assert "+447700900123" in (await making.page("recipients")).text


async def test_the_recipients_of_an_earlier_campaign_can_be_written_to_again(desk: Desk) -> None:
    first, again = await maker(desk), await maker(desk)
    await first.prepare()
    await first.start()
    (campaign,) = campaigns_of(desk)
    answer = await again.upload(None, earlier=str(campaign.id), which="all")
    assert answer.headers["location"] == f"{again.at}/columns"
    assert draft_of(desk, again.draft_id).file_name == "recipients of Spring"
    await again.save("columns", {"use-0": "number", "use-1": "reference"})
    await again.save("message", {**MESSAGE, "text": "Once more"})
    await again.save("time", TIME)
    assert "3 messages would leave" in text_of(await again.page("check"))
    gone = await (await maker(desk)).upload(None, earlier=str(again.draft_id), which="all")
    assert gone.status_code == 422
    assert "not there any more" in text_of(gone)


async def test_gzip_and_ndjson_are_read_as_the_api_reads_them(desk: Desk) -> None:
    rows = [{"name": "Ann", "to": "+447700900123", "ref": "r1"}, {"to": "+447700900124", "name": "Bo"}]
    data = gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
    making = await maker(desk)
    fields = {"use-0": "variable", "name-0": "who", "use-1": "number", "name-1": "", "use-2": "reference"}
    await making.prepare(data, columns=fields, message={"text": "Dear {{ who }}"})
    await making.start()
    assert [(one.text, one.reference) for one in messages_of(desk)] == [("Dear Ann", "r1"), ("Dear Bo", None)]


async def test_a_workbook_is_read(desk: Desk) -> None:
    making = await maker(desk)
    page = await making.prepare(workbook([["Mobile", "Name"], ["+447700900123", "Ann"]]))
    assert "1 message would leave" in text_of(page)
    await making.start()
    assert [message.text for message in messages_of(desk)] == ["Hi Ann"]


async def test_another_file_replaces_the_first_and_its_pieces(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare()
    await making.upload(csv_file(7))
    assert pieces_of(desk) == 1
    await making.save("time", TIME)
    assert "7 messages would leave" in text_of(await making.page("check"))
    assert (await making.upload(csv_file(2, header="phone,other"))).headers["location"] == f"{making.at}/columns"
    assert (await making.page("message")).headers["location"] == f"{making.at}/columns"


async def test_a_large_file_comes_back_byte_by_byte(desk: Desk) -> None:
    data = csv_file(100_000)
    making = await maker(desk)
    await making.upload(data)
    assert pieces_of(desk) > 1
    file_id = draft_of(desk, making.draft_id).file_id
    assert file_id is not None
    assert b"".join(drafts.pieces(desk.database, file_id)) == data
    assert desk.left_over() == []


# --- faults and going back -------------------------------------------------------------------------------------------

WRONG: list[tuple[str, dict[str, str], str]] = [
    ("columns", {**COLUMNS, "use-0": "ignored"}, "Say which column holds the phone number"),
    ("columns", {**COLUMNS, "use-1": "number"}, "only one can be"),
    ("columns", {**COLUMNS, "name-1": "first name"}, "A name is made of letters, digits and _"),
    ("columns", {**COLUMNS, "name-1": "reference"}, "means something else here"),
    ("columns", {**COLUMNS, "region": "XX"}, "This is no country"),
    ("message", {**MESSAGE, "text": " "}, "Write a message"),
    ("message", {**MESSAGE, "text": "Hi {{ name"}, "is not closed"),
    ("message", {**MESSAGE, "text": "Hi {{ city }}"}, "No column fills “city”"),
    ("message", {**MESSAGE, "text": "x" * 5001}, "5,000 at most"),
    ("message", {**MESSAGE, "kind": "stored"}, "Choose a stored template"),
    ("time", {"start": "now"}, "Choose at least one account"),
    ("time", {**TIME, "weight-qikli": "many"}, "Expected a number"),
    ("time", {**TIME, "start": "at", "at": "2020-01-01T10:00", "zone": "UTC"}, "This time is past"),
    ("time", {**TIME, "start": "at", "at": "2026-03-29T02:30", "zone": "Europe/Berlin"}, "does not exist on that day"),
    ("time", {**TIME, "start": "at", "at": "0001-01-01T00:00", "zone": "Asia/Tokyo"}, "between the years 1970 and"),
    ("time", {**TIME, "start": "at", "at": "2030-01-01T10:00", "zone": "UTC"}, "At most a year ahead"),
    ("time", {**TIME, "start": "at", "at": "soon", "zone": "Nowhere/City"}, "There is no such time zone"),
    ("time", {**TIME, "opens": "09:00"}, "Expected a time of the day"),
    ("time", {**TIME, "opens": "09:00", "closes": "20:00"}, "Choose at least one day"),
    ("time", {**TIME, "pace": "slices", "slice": "10"}, "This is needed"),
    ("time", {**TIME, "canary": "-1"}, "Expected a number"),
    ("time", {**TIME, "errors": "500"}, "Expected a number from 0.1 to 100"),
    ("time", {**TIME, "most": "3"}, "This is needed"),
    ("time", {**TIME, "allow": "England"}, "is no country"),
    ("time", {**TIME, "max_rate": "nan"}, "Expected a number"),
]


async def test_a_fault_is_said_beside_what_was_typed(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare()
    for step, fields, text in WRONG:
        answer = await making.save(step, fields)
        assert answer.status_code == 422, text
        assert text in text_of(answer)
        assert 'role="alert"' in answer.text, text
        kept = draft_of(desk, making.draft_id).answers[step]
        assert {name: kept[name] for name in fields} == fields, text
        await making.save(step, {"columns": COLUMNS, "message": MESSAGE, "time": TIME}[step])


async def test_going_back_loses_nothing_not_even_what_is_wrong(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare()
    for go, leads in (("back", "columns"), ("recipients", "recipients"), ("stay", "message")):
        answer = await making.save("message", {**MESSAGE, "text": "Hi {{ na"}, go)
        assert answer.headers["location"] == f"{making.at}/{leads}"
    assert "Hi {{ na" in (await making.page("message")).text


async def test_a_step_that_is_not_reached_leads_to_the_one_that_is(desk: Desk) -> None:
    making = await maker(desk)
    await making.upload(csv_file(2))
    for step in ("message", "time", "check", "start"):
        assert (await making.page(step)).headers["location"] == f"{making.at}/columns"
    assert (await making.page()).headers["location"] == f"{making.at}/columns"
    assert (await making.save("time", TIME)).headers["location"] == f"{making.at}/columns"


async def test_a_sender_the_account_would_refuse_is_said_with_the_way_back(desk: Desk) -> None:
    making = await maker(desk)
    page = await making.prepare(message={"sender": ""})
    assert "It cannot be sent so" in text_of(page)
    assert "account qikli has none of its own" in text_of(page)
    assert (await making.visitor.get(f"{making.at}/start")).headers["location"] == f"{making.at}/check"


async def test_a_file_that_breaks_behind_its_first_rows_is_said_at_the_check(desk: Desk) -> None:
    data = csv_file(100) + b"".join(b"x,%d,%s\n" % (n, b"y" * 90_000) for n in range(3)) + b"A,\xff\xfe\n"
    making = await maker(desk)
    page = await making.prepare(data)
    assert "It cannot be sent so" in text_of(page)
    assert "Back to “Recipients”" in text_of(page)


# --- the live preview ------------------------------------------------------------------------------------------------

TEXTS = [
    "Hi {{ name }}",
    "Grüße – {{ name }}",
    "{{ name }} " + "x" * 160,
    "🎉" * 40 + "{{ name }}",
    "€" * 90 + "{{ name }}",
    "Line one\nline two {{ name }}",
    "{% if name %}yes{% endif %} {{ name | upcase }}",
]


@pytest.mark.parametrize("gsm7_only", ["", "on"])
async def test_the_count_that_is_shown_is_the_count_that_is_stored(desk: Desk, gsm7_only: str) -> None:
    visiting = (await maker(desk)).visitor
    for number, text in enumerate(TEXTS, 1):
        making = Maker(visiting)
        fields = {**MESSAGE, "text": text.replace("\n", "\r\n"), "gsm7_only": gsm7_only}
        await making.prepare(csv_file(1), message=fields)
        shown = text_of(await making.save("message/live", fields))
        await making.start("draft")
        assert len(messages_of(desk)) == number
        stored = next(one for one in messages_of(desk) if one.campaign_id == campaigns_of(desk)[-1].id)
        assert f"Parts {stored.segments} Encoding {stored.encoding[:3]}-{stored.encoding[3:]}" in shown, text


async def test_the_preview_stores_nothing_and_says_what_is_wrong(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare()
    before = draft_of(desk, making.draft_id).answers
    assert "is not closed" in text_of(await making.save("message/live", {**MESSAGE, "text": "Hi {{ name"}))
    assert "Hi P2" in text_of(await making.save("message/live", {**MESSAGE, "row": "2"}))
    assert "Hi P2" in text_of(await making.save("message/live", {**MESSAGE, "row": "999"}))
    assert draft_of(desk, making.draft_id).answers == before


async def test_characters_that_make_it_dearer_are_named_and_replaced_with_one_button(desk: Desk) -> None:
    text = "“Quoted” – {{ name }} 🎉 " + "x" * 60
    making = await maker(desk)
    await making.prepare(message={"text": text})
    page = text_of(await making.page("message"))
    assert "2 parts instead of 1" in page
    assert "U+1F389 PARTY POPPER" in page
    await making.save("message", {**MESSAGE, "text": text}, "replace")
    assert draft_of(desk, making.draft_id).answers["message"]["text"] == '"Quoted" - {{ name }} 🎉 ' + "x" * 60
    await making.save("message", {**MESSAGE, "text": text}, "remove")
    assert "🎉" not in draft_of(desk, making.draft_id).answers["message"]["text"]


async def test_a_missing_value_is_an_error_or_has_a_default(desk: Desk) -> None:
    making = await maker(desk)
    fields = {"text": "Hi {{ city }}", "absent": "default", "missing": "you"}
    await making.prepare(csv_file(1), message=fields)
    assert "variables without a column" in (await making.page("check")).text.lower()
    await making.start()
    assert [message.text for message in messages_of(desk)] == ["Hi you"]


async def test_a_stored_template_is_pinned_with_its_version(desk: Desk) -> None:
    for text in ("Old {{ name }}", "New {{ name }}"):
        await desk.submit.post("/v1/templates/welcome", json={"text": text})
        await desk.submit.put("/v1/templates/welcome", json={"text": text})
    making = await maker(desk)
    await making.prepare(csv_file(1), message={"kind": "stored", "template": "welcome@1", "text": ""})
    await making.start()
    (campaign,) = campaigns_of(desk)
    assert (campaign.template_name, campaign.template_version, campaign.template) == ("welcome", 1, "Old {{ name }}")


async def test_numbers_are_read_anew_for_another_country(desk: Desk) -> None:
    making = await maker(desk)
    await making.upload(b"phone\n07700900123\n")
    first = text_of(await making.save("columns/live", {"use-0": "number", "region": ""}))
    second = text_of(await making.save("columns/live", {"use-0": "number", "region": "GB"}))
    assert first.startswith(" 0 of the first 1")
    assert second.startswith(" 1 of the first 1")


# --- the check -------------------------------------------------------------------------------------------------------


async def test_the_rejected_rows_can_be_downloaded_with_their_reasons(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare(csv_file(2) + b"=cmd|calc,X\n+447700900000,Again\n")
    answer = await making.page("rejects.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="rejected-rows.csv"'
    lines = answer.text.splitlines()
    assert lines[0] == "row,column,value,code,reason"
    assert lines[1].startswith("4,phone,'=cmd|calc,number_")
    assert ",duplicate," in lines[2]


async def test_the_check_finds_what_the_import_then_does(desk: Desk) -> None:
    with desk.database.write() as session:
        add_suppressions(session, {"+447700900001"}, "", "STOP", desk.clock())
    making = await maker(desk)
    page = text_of(await making.prepare(csv_file(30) + b"bad,x\n+447700900000,y\n"))
    assert "29 messages would leave" in page
    await making.start("draft")
    (campaign,) = campaigns_of(desk)
    with desk.database.read() as session:
        rejects = session.execute(select(Reject.code).order_by(Reject.row_no)).scalars().all()
    assert (campaign.rows_accepted, list(rejects)) == (29, ["suppressed", "number_letters", "duplicate"])


async def test_the_text_of_any_row_can_be_seen(desk: Desk) -> None:
    making = await maker(desk)
    await making.prepare(csv_file(40) + b"nonsense,X\n")
    seen: dict[int, str] = {}
    for row in (41, 42, 43):
        seen[row] = text_of(await making.visitor.get(f"{making.at}/check", row=row))
    assert "Hi P39" in seen[41]
    assert "Row 42: letters in the number" in seen[42]
    assert "The file has no recipient in this row" in seen[43]


async def test_settings_of_every_kind_reach_the_campaign(desk: Desk) -> None:
    fields: dict[str, str] = {
        "account-quicksms": "on", "weight-qikli": "30", "weight-quicksms": "70", "sender-quicksms": "Shop",
        "failover": "",
        "opens": "09:00", "closes": "20:00", "day-1": "on", "day-5": "on", "window_zone": "Europe/London",
        "pace": "slices", "slice": "100", "every": "15", "every-unit": "minutes", "max_rate": "2.5", "priority": "high",
        "canary": "10", "share": "90", "wait": "1", "wait-unit": "hours", "codes": "27, DLT-*", "errors": "20",
        "last": "50", "most": "3", "period": "1", "period-unit": "days", "repeat": "30", "repeat-unit": "minutes",
        "allow": "GB, ie", "validity": "2", "validity-unit": "hours", "on_unknown": "resend",
        "max_parts": "25",
    }  # fmt: skip
    making = await maker(desk)
    page = text_of(await making.prepare(time=fields))
    for text in (
        "qikli 30 %, quicksms 70 %",
        "100 messages every 15 minutes",
        "United Kingdom, Ireland",
        "at most 3 in 1 day",
        "25 parts",
    ):
        assert text in page.replace("\N{NARROW NO-BREAK SPACE}", " ")
    await making.start("draft")
    (campaign,) = campaigns_of(desk)
    expected: dict[str, Any] = {
        "window": {"from": "09:00", "to": "20:00", "days": [1, 5], "zone": "Europe/London"},
        "pacing": {"slice": 100, "every": 900},
        "canary": {"size": 10, "share": 0.9, "wait": 3600, "codes": ["27", "DLT-*"]},
        "guard": {"share": 0.2, "last": 50},
        "caps": {"most": 3, "period": 86400, "repeat": 1800},
    }
    assert campaign.steering == expected
    assert max_parts(campaign.options) == 25
    assert "25 parts" in text_of(await making.visitor.http.get(f"/campaigns/{campaign.id}"))
    assert (dict(campaign.route), campaign.failover) == ({"qikli": 30, "quicksms": 70}, False)
    assert campaign.routing == {"senders": {"quicksms": "Shop"}, "allow": ["GB", "IE"]}
    assert (campaign.max_rate, campaign.priority, campaign.validity, campaign.on_unknown) == (
        2.5,
        "high",
        7200,
        "resend",
    )


async def test_a_made_campaign_can_be_opened_and_nothing_of_the_file_stays_in_the_draft(desk: Desk) -> None:
    making: Maker = await maker(desk)
    await making.prepare()
    location = (await making.start()).headers["location"]
    assert (await making.visitor.http.get(location)).status_code == 200
    draft = draft_of(desk, making.draft_id)
    assert (draft.answers, draft.sample, draft.checked, draft.file_id) == ({}, {}, {}, None)
