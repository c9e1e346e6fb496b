"""What every page shows, to whom, and that nothing typed by anybody ever runs."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, update

from config import names
from models.moves import Move, apply_moves
from models.states import CampaignState, MessageState
from models.tables import AccountStatus, Campaign, Message, Suppression
from producer.campaigns import pause
from producer.keys import list_keys
from producer.limits import STALE_SECONDS
from tests.producer.api.desk import Desk, people
from tests.web.visitor import visitor

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
SAFE = "&lt;script&gt;alert("


async def running(desk: Desk, many: int = 5, name: str = "Spring", **changes: object) -> UUID:
    return UUID(await desk.draft(name=name, recipients=people(many), start=True, **changes))


def move(desk: Desk, campaign_id: UUID, *steps: MessageState, n: int = 1, **values: object) -> list[UUID]:
    """Take the first `n` queued messages through these states."""
    with desk.database.write() as session:
        query = select(Message.id).where(Message.campaign_id == campaign_id, Message.state == MessageState.QUEUED)
        ids = list(session.execute(query.order_by(Message.row_no).limit(n)).scalars())
        for step in steps:
            given = values if step is steps[-1] else {}
            apply_moves(session, [Move(message_id, step, values=given) for message_id in ids], desk.clock())
    return ids


async def test_the_list_shows_progress_and_filters_by_state_and_name(desk: Desk) -> None:
    spring, autumn = await running(desk), UUID(await desk.draft(name="Autumn 50%", recipients=people(2)))
    move(desk, spring, MessageState.SUBMITTING, MessageState.SUBMITTED, MessageState.DELIVERED, n=2)
    reader = await visitor(desk, "read")
    page = (await reader.get("/")).text
    assert 'aria-valuenow="2"' in page
    assert "2 of 5 final, 40" in page
    assert page.index("Autumn") < page.index("Spring")
    for params, shown in (
        ({"state": "running"}, [spring]), ({"state": "draft"}, [autumn]), ({"name": "AUT"}, [autumn]),
        ({"name": "%"}, [autumn]), ({"name": "_pring"}, []), ({"state": "nonsense"}, [spring, autumn]),
    ):  # fmt: skip
        found = (await reader.get("/", **params)).text
        assert [one for one in (spring, autumn) if f"/campaigns/{one}" in found] == shown, params


async def test_the_list_goes_on_page_by_page(desk: Desk) -> None:
    for number in range(27):
        await desk.draft(name=f"Campaign {number:02}")
    reader = await visitor(desk, "read")
    first = (await reader.get("/")).text
    assert ("Campaign 26" in first, "Campaign 01" in first) == (True, False)
    more = first.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0]
    second = (await reader.get(more)).text
    assert ("Campaign 26" in second, "Campaign 01" in second, "Campaign 00" in second) == (False, True, True)
    assert (await reader.get("/", cursor="nonsense")).status_code == 422


async def test_the_campaign_page_says_first_whether_it_is_well(desk: Desk) -> None:
    campaign = await running(desk)
    move(desk, campaign, MessageState.SUBMITTING, MessageState.SUBMITTED, n=3)
    desk.clock.pass_(seconds=30)
    page = (await (await visitor(desk, "read")).get(f"/campaigns/{campaign}")).text
    assert "Sending at 6.0/min of" in page
    assert "all sent in about 20 seconds" in page
    assert "<h1>Spring</h1>" in page


async def test_errors_are_told_with_their_reason_and_what_it_means(desk: Desk) -> None:
    campaign = await running(desk)
    steps = (MessageState.SUBMITTING, MessageState.SUBMITTED, MessageState.UNDELIVERED)
    move(desk, campaign, *steps, n=2, code="27", klass="temporary", reason="absent subscriber")
    page = (await (await visitor(desk, "read")).get(f"/campaigns/{campaign}")).text
    assert "<code>27</code>" in page
    assert "absent subscriber" in page
    assert "Passing: phone off, network down" in page
    assert '<th scope="row">GB</th>' in page


async def test_nothing_typed_by_anybody_ever_runs(desk: Desk) -> None:
    campaign = await running(desk, 2, HOSTILE, template=f"Hi {HOSTILE}", sender="MyStore")
    steps = (MessageState.SUBMITTING, MessageState.SUBMITTED, MessageState.UNDELIVERED)
    [message] = move(desk, campaign, *steps, code=HOSTILE[:60], klass="<u>", reason=HOSTILE, network=HOSTILE[:60])
    with desk.database.write() as session:
        session.execute(update(Message).where(Message.id == message).values(reference=HOSTILE, sender="<b>Store"))
        session.execute(update(Campaign).values(sender="<b>Store", source=HOSTILE))
        pause(session, campaign, HOSTILE, desk.clock())
        session.add(
            Suppression(msisdn="+447700900999", sender=HOSTILE[:60], source=HOSTILE[:60], created_at=desk.clock())
        )
        session.add(AccountStatus(
            account="qikli", updated_at=desk.clock(),
            snapshot={"breaker": {"state": "open", "kind": "errors", "reason": HOSTILE, "for": 3, "probe_in": 1}},
        ))  # fmt: skip
    admin = await visitor(desk, "admin")
    await admin.post("/keys", name=HOSTILE, scope="read")
    paths = ["/", f"/?name={HOSTILE}", f"/campaigns/{campaign}", f"/campaigns/{campaign}/cancel", "/suppressions",
             f"/campaigns/{campaign}/messages", f"/campaigns/{campaign}/messages?find={HOSTILE[:40]}",
             f"/messages/{message}", "/accounts", "/accounts/qikli/close", "/keys",
             f"/suppressions?find={HOSTILE[:40]}", f"/sign-in?next=/{HOSTILE}",
             f"/suppressions/lift?phone=1&sender={HOSTILE}"]  # fmt: skip
    for path in paths:
        page = (await admin.get(path)).text
        assert "<script>alert" not in page, path
        assert "<img src=x" not in page, path
        assert "<b>Store" not in page, path
    assert SAFE in (await admin.get(f"/campaigns/{campaign}")).text
    assert SAFE in (await admin.get(f"/messages/{message}")).text


# --- scopes ----------------------------------------------------------------------------------------------------------


async def test_a_reader_is_shown_no_button_no_number_and_no_text(desk: Desk) -> None:
    campaign = await running(desk)
    [message] = move(desk, campaign, MessageState.SUBMITTING)
    reader = await visitor(desk, "read")
    page = (await reader.get(f"/campaigns/{campaign}")).text
    assert f"/campaigns/{campaign}/pause" not in page
    assert 'href="/suppressions"' not in page
    assert 'href="/keys"' not in page
    for path in (f"/campaigns/{campaign}/messages", f"/messages/{message}", f"/campaigns/{campaign}/messages.csv"):
        shown = (await reader.get(path)).text
        assert "+44…00" in shown
        assert "+447700900000" not in shown
        assert "Hi P0" not in shown
    assert (
        "needs a key of scope submit"
        in (await reader.get(f"/campaigns/{campaign}/messages", find="+447700900000")).text
    )
    assert "close" not in (await reader.get("/accounts")).text


@pytest.mark.parametrize("path", ["/suppressions", "/keys", "/accounts/qikli/open", "/campaigns/{}/pause"])
async def test_what_a_reader_may_not_do_is_refused(desk: Desk, path: str) -> None:
    campaign = await running(desk)
    reader = await visitor(desk, "read")
    for answer in (await reader.get(path.format(campaign)), await reader.post(path.format(campaign), name="x")):
        assert answer.status_code == 403
        assert "scope" in answer.text
    with desk.database.read() as session:
        assert session.get_one(Campaign, campaign).state is CampaignState.RUNNING


@pytest.mark.parametrize("path", ["/keys", "/suppressions/lift"])
async def test_only_an_admin_makes_keys_and_lifts_suppressions(desk: Desk, path: str) -> None:
    operator = await visitor(desk, "submit")
    assert (await operator.post(path, name="x", scope="admin", phone="+447700900001")).status_code == 403
    assert "Lift" not in (await operator.get("/suppressions")).text


# --- steering --------------------------------------------------------------------------------------------------------


async def test_pausing_asks_first_keeps_the_reason_and_wakes_the_dispatcher(desk: Desk) -> None:
    campaign = await running(desk)
    operator = await visitor(desk, "submit")
    asked = await operator.get(f"/campaigns/{campaign}/pause")
    assert "Pause this campaign?" in asked.text
    desk.rung.clear()
    answer = await operator.post(f"/campaigns/{campaign}/pause", reason="wrong price")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/campaigns/{campaign}?done=pause")
    page = (await operator.get(f"/campaigns/{campaign}", done="pause")).text
    assert "Paused: wrong price. 5 messages wait" in page
    assert f"/campaigns/{campaign}/resume" in page
    assert f"/campaigns/{campaign}/pause" not in page
    assert (names.DISPATCH, names.CONTROL_QUEUE) in desk.rung


@pytest.mark.parametrize(
    ("word", "before", "after"),
    [
        ("start", CampaignState.DRAFT, CampaignState.RUNNING),
        ("resume", CampaignState.PAUSED, CampaignState.RUNNING),
        ("cancel", CampaignState.RUNNING, CampaignState.CANCELLED),
    ],
)
async def test_each_button_does_what_it_says(
    desk: Desk, word: str, before: CampaignState, after: CampaignState
) -> None:
    campaign = UUID(await desk.draft(recipients=people(2), start=before is not CampaignState.DRAFT))
    if before is CampaignState.PAUSED:
        with desk.database.write() as session:
            pause(session, campaign, "", desk.clock())
    answer = await (await visitor(desk, "submit")).post(f"/campaigns/{campaign}/{word}")
    assert answer.status_code == 303
    with desk.database.read() as session:
        assert session.get_one(Campaign, campaign).state is after


async def test_failures_are_sent_again_as_a_campaign_of_their_own(desk: Desk) -> None:
    campaign = await running(desk, 1)
    move(desk, campaign, MessageState.SUBMITTING, MessageState.SUBMITTED, MessageState.UNDELIVERED, code="27")
    operator = await visitor(desk, "submit")
    assert f"/campaigns/{campaign}/retry-failed" in (await operator.get(f"/campaigns/{campaign}")).text
    answer = await operator.post(f"/campaigns/{campaign}/retry-failed")
    where = answer.headers["location"].split("?")[0]
    assert where != f"/campaigns/{campaign}"
    assert "Spring (retry)" in (await operator.get(where)).text


async def test_what_is_not_possible_now_is_told_as_a_page(desk: Desk) -> None:
    draft = await desk.draft()
    operator = await visitor(desk, "submit")
    assert "not possible now" in (await operator.get(f"/campaigns/{draft}/resume")).text
    answer = await operator.post(f"/campaigns/{draft}/resume")
    assert (answer.status_code, "only a paused one can be resumed" in answer.text) == (409, True)
    missing = "00000000-0000-0000-0000-000000000001"
    for path in (f"/campaigns/{missing}", f"/messages/{missing}", "/campaigns/nonsense", f"/campaigns/{missing}/pause"):
        found = await operator.get(path)
        assert (found.status_code, found.headers["content-type"]) == (404, "text/html; charset=utf-8")


# --- messages --------------------------------------------------------------------------------------------------------


async def test_a_number_is_found_however_it_is_written_and_only_in_this_campaign(desk: Desk) -> None:
    campaign, other = await running(desk), await running(desk, name="Other")
    operator = await visitor(desk, "submit")
    for find in ("+447700900003", "+44 7700 900003", "0044 7700 900003"):
        page = (await operator.get(f"/campaigns/{campaign}/messages", find=find)).text
        assert page.count('href="/messages/') == 1, find
    with desk.database.read() as session:
        query = select(Message.id).where(Message.campaign_id == other, Message.msisdn == "+447700900003")
        foreign = session.execute(query).scalar_one()
    assert str(foreign) not in page
    assert "no message to" in (await operator.get(f"/campaigns/{campaign}/messages", find=str(foreign))).text
    assert "neither a number" in (await operator.get(f"/campaigns/{campaign}/messages", find="hello")).text


async def test_messages_are_shown_by_state(desk: Desk) -> None:
    campaign = await running(desk, 10)
    [moved] = move(desk, campaign, MessageState.SUPPRESSED)
    operator = await visitor(desk, "submit")
    page = (await operator.get(f"/campaigns/{campaign}/messages", state="suppressed")).text
    assert page.split('href="/messages/')[1].startswith(str(moved))
    assert page.count('href="/messages/') == 1
    assert "No message is expired" in (await operator.get(f"/campaigns/{campaign}/messages", state="expired")).text


async def test_pages_of_messages_leave_none_out_and_repeat_none(desk: Desk) -> None:
    campaign = await running(desk, 120)
    operator = await visitor(desk, "submit")
    path, seen = f"/campaigns/{campaign}/messages", list[str]()
    while path and len(seen) < 500:
        page = (await operator.get(path)).text
        seen += [part.split('"')[0] for part in page.split('href="/messages/')[1:]]
        path = (
            page.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
            if 'rel="next"' in page else ""
        )  # fmt: skip
    assert len(seen) == len(set(seen)) == 120


async def test_one_message_tells_its_whole_history(desk: Desk) -> None:
    campaign = await running(desk)
    [message] = move(desk, campaign, MessageState.SUBMITTING, MessageState.SUBMITTED, MessageState.DELIVERED)
    page = (await (await visitor(desk, "submit")).get(f"/messages/{message}")).text
    assert "Delivered: arrived on the phone" in page
    assert [page.index(f">{state}</span>") for state in ("submitting", "submitted")] == sorted(
        page.index(f">{state}</span>") for state in ("submitting", "submitted")
    )
    assert "Hi P0" in page


async def test_downloads_are_the_apis_own(desk: Desk) -> None:
    campaign = await desk.draft(recipients=[*people(1), {"phone": "12", "name": "x"}])
    operator = await visitor(desk, "submit")
    table = await operator.get(f"/campaigns/{campaign}/messages.csv")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert "+447700900000" in table.text
    assert len((await operator.get(f"/campaigns/{campaign}/rejects.csv")).text.splitlines()) == 2


# --- accounts --------------------------------------------------------------------------------------------------------


async def test_an_account_is_shown_with_what_stops_it(desk: Desk) -> None:
    windows = [{"limit": 60, "per": 60.0, "counts": "requests", "used": 58, "ahead": 0, "foreign": 2, "remaining": 2}]
    submit = {"windows": windows, "blocked_for": 34.0, "reason": "429", "ramp": 1.0, "messages_per_second": 0.5}
    with desk.database.write() as session:
        session.add(AccountStatus(
            account="qikli", updated_at=desk.clock(), snapshot={"breaker": {"state": "closed"}, "submit": submit}
        ))  # fmt: skip
    reader = await visitor(desk, "read")
    page = (await reader.get("/accounts")).text
    assert "Blocked for 34 seconds: 429" in page
    assert "58 used, 2 left (2 by others)" in page
    assert "no worker has spoken of it yet" in page.lower()
    desk.clock.pass_(seconds=STALE_SECONDS + 5)
    assert "silent for 20 seconds" in (await reader.get("/accounts")).text


@pytest.mark.parametrize("word", ["open", "close", "unblock"])
async def test_orders_to_an_account_are_left_for_its_workers(desk: Desk, word: str) -> None:
    operator = await visitor(desk, "submit")
    assert (await operator.get(f"/accounts/qikli/{word}")).status_code == 200
    answer = await operator.post(f"/accounts/qikli/{word}", reason="high bounce")
    assert answer.headers["location"] == f"/accounts?done={word}&account=qikli#account-qikli"
    with desk.database.read() as session:
        status = session.get_one(AccountStatus, "qikli")
        assert (status.order_word, status.order_note) == (word, "high bounce")
    assert "Its workers have not carried it out yet" in (await operator.get("/accounts")).text


async def test_an_order_survives_that_redis_is_away(desk: Desk) -> None:
    desk.redis_down.append(ConnectionError("away"))
    answer = await (await visitor(desk, "submit")).post("/accounts/qikli/open")
    assert answer.status_code == 303
    assert (await (await visitor(desk, "submit")).post("/accounts/nobody/open")).status_code == 404


# --- suppressions and keys -------------------------------------------------------------------------------------------


async def test_numbers_are_suppressed_all_or_none(desk: Desk) -> None:
    operator = await visitor(desk, "submit")
    wrong = await operator.post("/suppressions", "/suppressions", phones="+447700900001\nhello", sender="", source="")
    assert wrong.status_code == 422
    assert "Number 2: letters in the number" in wrong.text
    assert "hello" in wrong.text
    good = await operator.post("/suppressions", "/suppressions", phones="+447700900001, +44 7700 900002", source="desk")
    assert good.headers["location"] == "/suppressions?done=added-2"
    page = (await operator.get("/suppressions", done="added-2")).text
    assert ("+447700900001" in page, "+447700900002" in page, "2 numbers are suppressed now" in page) == (True,) * 3
    assert "+447700900002" not in (await operator.get("/suppressions", find="+447700900001")).text


async def test_an_admin_lifts_a_suppression_after_a_question(desk: Desk) -> None:
    admin = await visitor(desk, "admin")
    await admin.post("/suppressions", phones="+447700900001", sender="MyStore")
    asked = await admin.get("/suppressions/lift", phone="+447700900001", sender="MyStore")
    assert "Write to +447700900001 again?" in asked.text
    wrong = await admin.post("/suppressions/lift", phone="+447700900001", sender="")
    assert wrong.status_code == 404
    done = await admin.post("/suppressions/lift", phone="+447700900001", sender="MyStore")
    assert done.headers["location"] == "/suppressions?done=lifted-1"
    assert "No number is suppressed" in (await admin.get("/suppressions")).text


async def test_a_new_key_is_shown_once_and_works(desk: Desk) -> None:
    admin = await visitor(desk, "admin")
    made = await admin.post("/keys", name="shop", scope="read")
    key = made.text.split('id="secret">')[1].split("<")[0]
    assert (await visitor(desk)).http is not None
    answer = await (await visitor(desk)).sign_in(key)
    assert answer.status_code == 303
    later = (await admin.get("/keys")).text
    assert key not in later
    assert key[:13] in later
    assert (await admin.post("/keys", name="", scope="read")).status_code == 422
    assert (await admin.post("/keys", name="x", scope="root")).status_code == 422


async def test_revoking_ones_own_key_signs_out(desk: Desk) -> None:
    admin = await visitor(desk, "admin")
    with desk.database.read() as session:
        own = next(row.id for row in list_keys(session) if row.scope == "admin")
    assert "you are signed out too" in (await admin.get(f"/keys/{own}/revoke")).text
    await admin.post(f"/keys/{own}/revoke")
    assert (await admin.get("/keys")).headers["location"].startswith("/sign-in")


async def test_the_system_page_says_how_to_link_flower(desk: Desk) -> None:
    reader = await visitor(desk, "read")
    assert "DRUMLINE_FLOWER_URL" in (await reader.get("/system")).text
    desk.app.state.context.settings.flower_url = "https://flower.example.com"
    page = (await reader.get("/system")).text
    assert 'href="https://flower.example.com"' in page
    assert "DRUMLINE_FLOWER_URL" not in page


async def test_a_database_that_is_away_is_told_as_a_page(desk: Desk) -> None:
    reader = await visitor(desk, "read")
    with desk.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE campaigns RENAME TO elsewhere")
    answer = await reader.get("/")
    assert answer.status_code == 503
    assert "database does not answer" in answer.text
    assert "elsewhere" not in answer.text


async def test_a_campaign_that_waits_for_its_hour_says_when(desk: Desk) -> None:
    soon = (desk.clock() + timedelta(hours=3)).isoformat()
    campaign = await desk.draft(recipients=people(1), start_at=soon, start=True)
    page = (await (await visitor(desk, "read")).get(f"/campaigns/{campaign}")).text
    assert "begin to leave on 1 Mar 2026, 15:00 UTC (in 3 hours)" in page
