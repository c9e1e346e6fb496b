"""The dashboard in a real browser: live, by keyboard, on a phone, in the dark, for everybody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from playwright.async_api import Browser, Page, expect

from bench.showcase import send
from models.states import CampaignState
from models.tables import Campaign
from tests.web.conftest import Stage

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

PATHS = ["/", "/campaigns/{}", "/campaigns/{}/messages", "/campaigns/{}/pause", "/accounts", "/accounts/cliqtel/close",
         "/suppressions", "/keys", "/system"]  # fmt: skip


class Seen:
    """What a page did that it must not do."""

    def __init__(self, page: Page, url: str) -> None:
        self.faults: list[str] = []
        page.on("console", lambda message: self.note(message.type in {"error", "warning"}, message.text))
        page.on("pageerror", lambda error: self.note(True, str(error)))
        page.on("request", lambda request: self.note(not request.url.startswith(url + "/"), request.url))

    def note(self, wrong: bool, text: str) -> None:
        if wrong:
            self.faults.append(text)


@asynccontextmanager
async def visit(browser: Browser, stage: Stage, scope: str = "admin", **options: Any) -> AsyncIterator[Page]:
    """A signed-in page; at the end nothing forbidden has happened on it."""
    async with await browser.new_context(**options) as context:
        context.set_default_timeout(20_000)
        page = await context.new_page()
        seen = Seen(page, stage.url)
        await page.goto(f"{stage.url}/sign-in")
        await page.get_by_label("API key").fill(stage.keys[scope])
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url(f"{stage.url}/")
        yield page
        assert seen.faults == []


def path(stage: Stage, pattern: str) -> str:
    return stage.url + pattern.format(stage.ids["Order updates"])


def state_of(stage: Stage, campaign: UUID) -> CampaignState:
    with stage.database.read() as session:
        return session.get_one(Campaign, campaign).state


async def test_signing_in_leads_to_the_campaigns(browser: Browser, stage: Stage) -> None:
    async with visit(browser, stage) as page:
        await expect(page.get_by_role("heading", level=1)).to_have_text("Campaigns")
        for name in stage.ids:
            await expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
        await page.get_by_role("link", name="Order updates").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Order updates")


async def test_new_figures_appear_without_a_reload(browser: Browser, stage: Stage) -> None:
    async with visit(browser, stage) as page:
        await page.goto(path(stage, "/campaigns/{}"))
        await expect(page.locator("#live-status")).to_have_text("Live")
        await page.evaluate("window.mark = 'the same page'")
        submitted = page.locator("#funnel dd").nth(1)
        before = await submitted.inner_text()
        send(stage.database, stage.ids["Order updates"], stage.database.now(), 7)
        await expect(submitted).not_to_have_text(before)
        assert await page.evaluate("window.mark") == "the same page"


async def test_a_swap_keeps_focus_open_parts_and_what_is_being_typed(browser: Browser, stage: Stage) -> None:
    async with visit(browser, stage) as page:
        await page.goto(path(stage, "/campaigns/{}"))
        await page.locator("#do-pause").focus()
        await page.get_by_label("Number or message id").fill("+4477")
        await page.locator("#chart-table summary").click()
        await page.locator("#do-pause").focus()
        await page.evaluate(
            """() => { for (const id of ["actions", "chart"]) {
                 const copy = document.getElementById(id).cloneNode(true);
                 copy.querySelectorAll("details").forEach((one) => { one.open = false; });
                 window.copies = (window.copies || []).concat(copy.outerHTML); } }"""
        )
        await page.evaluate(
            """async () => { const { swap } = await import(document.querySelector("script[type=module]").src);
                 for (const html of window.copies) {
                   const holder = document.createElement("template"); holder.innerHTML = html;
                   swap(holder.content.firstElementChild); } }"""
        )
        assert await page.evaluate("document.activeElement.id") == "do-pause"
        assert await page.locator("#chart-table").evaluate("one => one.open")
        await expect(page.get_by_label("Number or message id")).to_have_value("+4477")


async def test_pausing_and_resuming_by_the_keyboard_alone(browser: Browser, stage: Stage) -> None:
    campaign = stage.ids["Order updates"]
    async with visit(browser, stage, "submit") as page:
        await page.goto(path(stage, "/campaigns/{}"))
        await tab_to(page, "do-pause")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Pause this campaign?")
        await tab_to(page, "reason")
        await page.keyboard.type("checking the text")
        await page.keyboard.press("Enter")
        await expect(page.locator("#verdict")).to_contain_text("Paused: checking the text")
        assert state_of(stage, campaign) is CampaignState.PAUSED
        await tab_to(page, "do-resume")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/resume")
        # The browser gives an autofocused button the focus with its first picture, which may come after the load.
        await expect(page.get_by_role("button", name="Resume")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#do-pause")).to_be_visible()
        assert state_of(stage, campaign) is CampaignState.RUNNING


async def tab_to(page: Page, wanted: str, most: int = 60) -> None:
    for _ in range(most):
        await page.keyboard.press("Tab")
        found = await page.evaluate(
            """() => { const one = document.activeElement;
                 return [one.id, getComputedStyle(one).outlineStyle]; }"""
        )
        assert found[1] != "none", f"the focus on {found[0]!r} cannot be seen"
        if found[0] == wanted:
            return
    raise AssertionError(f"{wanted} is not reached by Tab")


async def test_the_skip_link_comes_first_and_leads_to_the_content(browser: Browser, stage: Stage) -> None:
    async with visit(browser, stage) as page:
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"


async def test_everything_needed_works_without_javascript(browser: Browser, stage: Stage) -> None:
    campaign = stage.ids["Delivery windows"]
    async with visit(browser, stage, java_script_enabled=False) as page:
        await page.goto(f"{stage.url}/campaigns/{campaign}")
        await expect(page.locator("#live-status")).to_have_text("Not live: reload for new figures")
        await page.get_by_role("link", name="Resume").click()
        await page.get_by_role("button", name="Resume").click()
        await expect(page.locator("#state")).to_have_text("running")
        await page.get_by_role("link", name="Pause").click()
        await page.get_by_role("button", name="Pause").click()
        await expect(page.locator("#state")).to_have_text("paused")
        await page.goto(path(stage, "/campaigns/{}/messages"))
        await page.get_by_label("State").select_option("delivered")
        await page.get_by_role("button", name="Show").click()
        assert "state=delivered" in page.url
        await expect(page.locator("#messages tbody tr").first).to_be_visible()


async def test_a_search_swaps_only_the_table(browser: Browser, stage: Stage) -> None:
    async with visit(browser, stage) as page:
        await page.goto(path(stage, "/campaigns/{}/messages"))
        await page.evaluate("window.mark = 'the same page'")
        number = await page.locator("#messages tbody th a").first.inner_text()
        await page.get_by_label("Number or message id").fill(number)
        await page.get_by_role("button", name="Show").click()
        await page.wait_for_url("**find=**")
        await expect(page.locator("#messages tbody th a").first).to_have_text(number)
        assert await page.evaluate("window.mark") == "the same page"


async def test_suppressing_and_lifting_a_number(browser: Browser, stage: Stage) -> None:
    async with visit(browser, stage) as page:
        await page.goto(f"{stage.url}/suppressions")
        await page.get_by_label("Numbers", exact=True).fill("+447700900777")
        await page.get_by_role("button", name="Suppress these numbers").click()
        await expect(page.get_by_role("status").first).to_have_text("1 numbers are suppressed now.")
        await page.get_by_role("link", name="Lift +447700900777").click()
        await page.get_by_role("button", name="Lift the suppression").click()
        await expect(page.get_by_role("link", name="Lift +447700900777")).to_have_count(0)


# --- for everybody ---------------------------------------------------------------------------------------------------

AUDIT = """() => {
  const faults = [], say = (text, one) => faults.push(text + ": " + (one ? one.outerHTML.slice(0, 120) : ""));
  const hidden = (one) => one.closest("[hidden], [aria-hidden=true]") || !one.getClientRects().length;
  const named = (one) => (one.getAttribute("aria-label") || one.textContent || "").trim();
  for (const one of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
    if (!hidden(one) && !one.labels.length && !one.getAttribute("aria-label")) say("no label", one);
  let level = 0;
  for (const one of document.querySelectorAll("h1, h2, h3, h4")) {
    const next = Number(one.tagName[1]);
    if (next > level + 1) say("a heading level is left out", one);
    level = next;
  }
  if (document.querySelectorAll("h1").length !== 1) say("not one h1");
  for (const role of ["header", "main", "nav"]) if (!document.querySelector(role)) say("no " + role);
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) say("twice the id " + id);
  for (const one of document.querySelectorAll("a[href], button")) if (!hidden(one) && !named(one)) say("no name", one);
  for (const one of document.querySelectorAll("img")) if (one.getAttribute("alt") === null) say("no alt", one);
  for (const one of document.querySelectorAll("table")) {
    if (!one.caption) say("no caption", one);
    for (const cell of one.querySelectorAll("th")) if (!cell.scope) say("no scope", cell);
  }
  for (const one of document.querySelectorAll("[role=progressbar]"))
    if (!one.getAttribute("aria-label") || !one.hasAttribute("aria-valuenow")) say("no value", one);
  const pointing = (one) => one.getAttribute("aria-labelledby") || one.getAttribute("aria-describedby");
  for (const one of document.querySelectorAll("[aria-labelledby], [aria-describedby]"))
    for (const id of pointing(one).split(" "))
      if (!document.getElementById(id)) say("no element " + id, one);
  if (!document.documentElement.lang) say("no language");
  const rgb = (text) => [...text.match(/[\\d.]+/g).map(Number), 1].slice(0, 4);
  const linear = (v) => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const light = (c) => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const found = rgb(getComputedStyle(one).backgroundColor);
      if (found[3] > 0.95) return found;
    }
    return [255, 255, 255, 1];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || hidden(one) || one.closest("svg, .hidden, script, option")) continue;
    const a = light(rgb(getComputedStyle(one).color)), b = light(ground(one));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) say("contrast " + ratio.toFixed(2), one);
  }
  return faults;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_is_usable_by_everybody(browser: Browser, stage: Stage, scheme: Any) -> None:
    async with visit(browser, stage, color_scheme=scheme) as page:
        found = {}
        for pattern in PATHS:
            await page.goto(path(stage, pattern))
            found[pattern] = await page.evaluate(AUDIT)
        assert found == {pattern: [] for pattern in PATHS}
        ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(244, 246, 248)" if scheme == "light" else "rgb(14, 18, 23)")


async def test_no_page_scrolls_sideways_on_a_phone(browser: Browser, stage: Stage) -> None:
    async with visit(browser, stage, viewport={"width": 360, "height": 740}) as page:
        wide = {}
        for pattern in PATHS:
            await page.goto(path(stage, pattern))
            wide[pattern] = await page.evaluate("document.scrollingElement.scrollWidth")
        assert wide == dict.fromkeys(PATHS, 360)


async def test_a_stopped_account_is_let_work_from_its_card(browser: Browser, stage: Stage) -> None:
    async with visit(browser, stage, "submit") as page:
        await page.goto(f"{stage.url}/accounts")
        card = page.get_by_role("region", name="cliqtel")
        await expect(card).to_contain_text("401: the API key is not valid")
        await card.get_by_role("link", name="Let it work").click()
        await page.get_by_role("button", name="Let it work").click()
        await expect(page.get_by_role("region", name="cliqtel")).to_contain_text("Ordered: close")
