"""In with an API key, out at once: sessions, forms, origins and headers."""

from __future__ import annotations

import re

import httpx
import pytest

from models.tables import WebSession
from producer.keys import revoke_key
from producer.sessions import IDLE, LASTS, digest_of
from producer.web.sign_in import own_path
from tests.producer.api.desk import Desk, client
from tests.web.visitor import ORIGIN, Visitor, hidden, visitor

PAGES = ["/", "/accounts", "/suppressions", "/keys", "/system", "/live/campaigns", "/live/accounts"]


@pytest.mark.parametrize("path", PAGES)
async def test_nobody_sees_a_page_without_signing_in(desk: Desk, path: str) -> None:
    answer = await desk.nobody.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")
    assert not answer.content


async def test_signing_in_leads_back_to_the_page_that_was_wanted(desk: Desk) -> None:
    asked = await desk.nobody.get("/accounts", params={"done": "x"})
    assert asked.headers["location"] == "/sign-in?next=%2Faccounts%3Fdone%3Dx"
    answer = await Visitor(desk.nobody).sign_in(desk.keys["read"], "/accounts?done=x")
    assert (answer.status_code, answer.headers["location"]) == (303, "/accounts?done=x")
    assert (await desk.nobody.get("/accounts")).status_code == 200


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\\b", "/\tx", "", "x"]
)
def test_no_other_site_is_gone_on_to(wanted: str) -> None:
    assert own_path(wanted) == "/"


async def test_a_key_that_is_not_right_opens_nothing_and_is_not_repeated(desk: Desk) -> None:
    answer = await Visitor(desk.nobody).sign_in(desk.keys["read"][:-3] + "AAA")
    assert (answer.status_code, "not a valid key" in answer.text) == (403, True)
    assert desk.keys["read"][:20] not in answer.text
    assert "drumline_session" not in desk.nobody.cookies


async def test_failed_sign_ins_wait_like_failed_api_calls(desk: Desk) -> None:
    someone = Visitor(desk.nobody)
    answers = [(await someone.sign_in("dk_wrong")).status_code for _ in range(11)]
    assert answers == [403] * 10 + [429]
    blocked = await someone.sign_in(desk.keys["submit"])
    assert (blocked.status_code, blocked.headers["retry-after"]) == (429, "60")
    assert (await desk.nobody.get("/v1/campaigns")).status_code == 429


async def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(desk: Desk) -> None:
    answer = await Visitor(desk.nobody).sign_in(desk.keys["read"])
    cookie = next(line for line in answer.headers.get_list("set-cookie") if line.startswith("drumline_session="))
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie  # plain http, on this machine


async def test_over_https_the_cookie_never_travels_without_it(desk: Desk) -> None:
    async with client(desk.app, None) as secure:
        secure.base_url = httpx.URL("https://drumline.test")
        answer = await Visitor(secure).sign_in(desk.keys["read"], Origin="https://drumline.test")
        cookie = next(line for line in answer.headers.get_list("set-cookie") if "drumline_session=" in line)
        assert cookie.startswith("__Host-drumline_session=")
        assert "Secure" in cookie
        assert (await secure.get("/")).status_code == 200


async def test_only_a_digest_of_the_session_is_kept(desk: Desk) -> None:
    someone = await visitor(desk, "read")
    token = someone.http.cookies["drumline_session"]
    with desk.database.read() as session:
        kept = session.get_one(WebSession, digest_of(token))
        assert token not in str([getattr(kept, column.key) for column in WebSession.__table__.columns])


async def test_a_revoked_key_ends_its_sessions_at_once(desk: Desk) -> None:
    someone = await visitor(desk, "read")
    assert (await someone.get("/")).status_code == 200
    with desk.database.write() as session:
        revoke_key(session, desk.keys["read"][3:13], desk.clock())
    assert (await someone.get("/")).status_code == 303


async def test_a_session_ends_when_idle_and_in_any_case_after_half_a_day(desk: Desk) -> None:
    someone = await visitor(desk, "read")
    desk.clock.pass_(seconds=IDLE.total_seconds() - 1)
    assert (await someone.get("/")).status_code == 200
    desk.clock.pass_(seconds=IDLE.total_seconds())
    assert (await someone.get("/")).status_code == 303
    busy = await visitor(desk, "read")
    for _ in range(int(LASTS / IDLE * 2)):
        assert (await busy.get("/")).status_code == 200
        desk.clock.pass_(seconds=IDLE.total_seconds() / 2)
    assert (await busy.get("/")).status_code == 303


async def test_signing_out_ends_the_session_and_not_only_the_cookie(desk: Desk) -> None:
    someone = await visitor(desk, "read")
    stolen = someone.http.cookies["drumline_session"]
    assert (await someone.post("/sign-out")).headers["location"] == "/sign-in"
    async with client(desk.app, None, {"Cookie": f"drumline_session={stolen}"}) as thief:
        assert (await thief.get("/")).status_code == 303


async def test_a_signed_in_browser_has_no_access_to_the_api(desk: Desk) -> None:
    """The API takes keys alone: no cookie is ever worth a call of it, so it needs no protection against forged ones."""
    someone = await visitor(desk, "admin")
    assert (await someone.get("/v1/campaigns")).status_code == 401


# --- forms -----------------------------------------------------------------------------------------------------------

POSTS = ["/suppressions", "/suppressions/lift", "/keys", "/sign-out", "/accounts/qikli/open", "/campaigns/{}/pause"]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("token", [None, "", "0" * 64, "é"])
async def test_no_form_works_without_its_token(desk: Desk, path: str, token: str | None) -> None:
    someone = await visitor(desk, "admin")
    data = {} if token is None else {"csrf": token}
    where = path.format("00000000-0000-0000-0000-000000000000")
    answer = await someone.http.post(where, data=data, headers={"Origin": ORIGIN})
    assert (answer.status_code, "too old or is not ours" in answer.text) == (403, True)


async def test_the_token_of_another_session_is_refused(desk: Desk) -> None:
    someone, other = await visitor(desk, "admin"), await visitor(desk, "admin")
    token = hidden(await other.get("/"))["csrf"]
    answer = await someone.http.post("/sign-out", data={"csrf": token}, headers={"Origin": ORIGIN})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://drumline.test.evil.example"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"},
        {"Referer": "https://evil.example/drumline.test"},
        {},
    ],
)
async def test_a_form_from_elsewhere_is_refused_even_with_the_right_token(desk: Desk, headers: dict[str, str]) -> None:
    someone = await visitor(desk, "admin")
    token = hidden(await someone.get("/"))["csrf"]
    answer = await someone.http.post("/sign-out", data={"csrf": token}, headers=headers)
    assert answer.status_code == 403
    assert (await someone.get("/")).status_code == 200


async def test_nobody_is_signed_in_by_a_form_from_elsewhere(desk: Desk) -> None:
    forged = {"key": desk.keys["read"], "next": "/"}
    elsewhere = await desk.nobody.post("/sign-in", data=forged, headers={"Origin": "https://evil.example"})
    no_token = await desk.nobody.post("/sign-in", data=forged, headers={"Origin": ORIGIN})
    assert [elsewhere.status_code, no_token.status_code] == [403, 403]
    assert "drumline_session" not in desk.nobody.cookies


# --- headers ---------------------------------------------------------------------------------------------------------


async def test_every_page_carries_the_headers_that_keep_others_out(desk: Desk) -> None:
    someone = await visitor(desk, "admin")
    for path in ("/", "/sign-in", "/accounts", "/suppressions", "/keys", "/system", "/campaigns/nonsense"):
        answer = await someone.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r"<script(?![^>]* src=)|\son[a-z]+=|\sstyle=|<style", answer.text)


async def test_assets_are_ours_and_kept_by_their_digest(desk: Desk) -> None:
    page = (await desk.nobody.get("/sign-in")).text
    found = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(set(found)) == 3
    for path in found:
        answer = await desk.nobody.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert (await desk.nobody.get("/static/drumline.css")).headers["cache-control"] == "no-cache"
    assert (await desk.nobody.get("/static/../web/guard.py")).status_code == 404
