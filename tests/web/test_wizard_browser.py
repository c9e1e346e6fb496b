"""A new campaign in a real browser: by keyboard alone, counted while it is written, kept, and started once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from playwright.async_api import Browser, Page, expect
from sqlalchemy import func, select

from models.states import CampaignState
from models.tables import Campaign
from tests.producer.api.desk import csv_file
from tests.web.conftest import Stage
from tests.web.test_browser import AUDIT, Seen, tab_to, visit

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


def made(stage: Stage, name: str) -> list[Campaign]:
    with stage.database.read() as session:
        return list(session.execute(select(Campaign).where(Campaign.name == name)).scalars())


async def begin(page: Page, stage: Stage, name: str, rows: int = 3) -> None:
    """To the third step."""
    await page.goto(f"{stage.url}/campaigns/new")
    await page.get_by_label("Name of the campaign").fill(name)
    await page.get_by_label("Recipient file").set_input_files(
        {"name": "people.csv", "mimeType": "text/csv", "buffer": csv_file(rows)}
    )
    await on(page, "columns")
    await on(page, "message")


async def on(page: Page, step: str) -> None:
    await page.locator(".onward .primary").click()
    await page.wait_for_url(f"**/{step}")


async def finish(page: Page, text: str = "Hi {{ name }}") -> None:
    """From the third step to the question."""
    await page.get_by_label("Sender", exact=True).fill("MyStore")
    await page.get_by_label("Message", exact=True).fill(text)
    await on(page, "time")
    await page.locator("[name=account-quicksms]").check()
    await on(page, "check")
    await page.get_by_role("link", name="Start campaign…").click()
    await page.wait_for_url("**/start?how=start")


async def audit(page: Page) -> None:
    """Labels, names, headings, contrast; and nothing to scroll sideways."""
    assert await page.evaluate(AUDIT) == []
    width = await page.evaluate("[document.scrollingElement.scrollWidth, document.documentElement.clientWidth]")
    assert width[0] <= width[1]


async def test_a_whole_campaign_is_made_by_the_keyboard_alone(browser: Browser, stage: Stage) -> None:
    async with visit(browser, stage, "submit") as page:
        await page.goto(f"{stage.url}/campaigns/new")
        await tab_to(page, "name")
        await page.keyboard.type("By keyboard")
        await press(page, "Or paste numbers")
        await tab_to(page, "pasted")
        await page.keyboard.type("Phone\tName\n+447700900123\tAma\n+447700900124\tBen")
        await press(page, "Continue")
        await page.wait_for_url("**/columns")
        await tab_to(page, "name-1")
        await page.keyboard.press("Enter")  # Enter in a field goes on
        await page.wait_for_url("**/message")
        await tab_to(page, "sender")
        await page.keyboard.type("MyStore")
        await tab_to(page, "text")
        await page.keyboard.type("Hi ")
        await press(page, "name")
        assert await page.evaluate("document.activeElement.id") == "text"
        await page.keyboard.type("!")
        await expect(page.locator(".bubble")).to_have_text("Hi Ama!")
        await press(page, "Continue")
        await page.wait_for_url("**/time")
        await page.locator("[name=account-quicksms]").focus()
        await page.keyboard.press("Space")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/check")
        await press(page, "Start campaign…")
        await page.wait_for_url("**/start?how=start")
        await press(page, "Send 2 messages")
        await page.wait_for_url("**/campaigns/*?done=start")
        await expect(page.get_by_role("heading", level=1)).to_have_text("By keyboard")
    (campaign,) = made(stage, "By keyboard")
    assert (campaign.state, campaign.rows_accepted) == (CampaignState.RUNNING, 2)


async def press(page: Page, name: str, most: int = 120) -> None:
    """Tab to the link, button or summary of this name, and press Enter."""
    for _ in range(most):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.innerText.trim()") == name:
            await page.keyboard.press("Enter")
            return
    raise AssertionError(f"the keyboard does not reach {name!r}")


async def test_one_emoji_changes_the_counter_while_it_is_typed(browser: Browser, stage: Stage) -> None:
    async with visit(browser, stage, "submit") as page:
        await begin(page, stage, "Emoji")
        text = page.get_by_label("Message", exact=True)
        await text.fill("Hi {{ name }} " + "x" * 100)
        await expect(page.locator("#used")).to_contain_text("106 of 160")
        await expect(page.locator("#encoding")).to_have_text("GSM-7")
        await text.press("End")
        await page.keyboard.insert_text("🎉")
        await expect(page.locator("#encoding")).to_have_text("UCS-2 (Unicode)")
        await expect(page.locator("#parts")).to_have_text("2")
        await expect(page.locator("#announcer")).to_have_text("2 parts, UCS-2 (Unicode), 108 of 134")
        await page.get_by_role("button", name="Remove what has none").click()
        await expect(page.locator("#parts")).to_have_text("1")
        assert await text.input_value() == "Hi {{ name }} " + "x" * 100


async def test_dearer_characters_are_replaced_with_one_click(browser: Browser, stage: Stage) -> None:
    async with visit(browser, stage, "submit") as page:
        await begin(page, stage, "Quotes")
        await page.get_by_label("Message", exact=True).fill("“{{ name }}” – ok")
        await page.get_by_role("button", name="Write the nearest characters").click()
        await expect(page.locator(".bubble")).to_have_text('"P0" - ok')
        await page.get_by_role("button", name="The next row").click()
        await expect(page.locator(".bubble")).to_have_text('"P1" - ok')
        await expect(page.get_by_role("button", name="The next row")).to_be_focused()


async def test_a_reload_keeps_everything_and_so_does_going_back(browser: Browser, stage: Stage) -> None:
    async with visit(browser, stage, "submit") as page:
        await begin(page, stage, "Reloaded")
        await page.get_by_label("Sender", exact=True).fill("MyStore")
        await page.get_by_label("Message", exact=True).fill("Hi {{ name }}, half a thou")
        await page.get_by_role("button", name="Recipients").click()
        await page.wait_for_url("**/recipients")
        await expect(page.get_by_label("Name of the campaign")).to_have_value("Reloaded")
        await page.goto(page.url.replace("/recipients", ""))
        await page.wait_for_url("**/time")  # what was complete stays complete
        await page.reload()
        await page.get_by_role("button", name="Message").click()
        await page.wait_for_url("**/message")
        await expect(page.get_by_label("Message", exact=True)).to_have_value("Hi {{ name }}, half a thou")
        await expect(page.get_by_label("Sender", exact=True)).to_have_value("MyStore")


async def test_a_double_click_and_a_step_back_start_it_once(browser: Browser, stage: Stage) -> None:
    async with visit(browser, stage, "submit") as page:
        await begin(page, stage, "Once")
        await finish(page)
        await page.get_by_role("button", name="Send 3 messages").dblclick()
        await page.wait_for_url("**/campaigns/*?done=start")
        await page.reload()
        await page.go_back()
        await page.wait_for_url("**/campaigns/*")
    (campaign,) = made(stage, "Once")
    assert campaign.rows_accepted == 3


async def test_without_javascript_every_step_works(browser: Browser, stage: Stage) -> None:
    async with visit(browser, stage, "submit", java_script_enabled=False) as page:
        await begin(page, stage, "Plain")
        await page.get_by_label("Message", exact=True).fill("Hi {{ name }} 🎉")
        await page.get_by_role("button", name="Preview").click()
        await expect(page.locator(".bubble")).to_have_text("Hi P0 🎉")
        await expect(page.locator("#encoding")).to_have_text("UCS-2 (Unicode)")
        await page.get_by_role("button", name="Remove what has none").click()
        await expect(page.locator("#encoding")).to_have_text("GSM-7")
        await finish(page)
        await page.get_by_role("button", name="Send 3 messages").click()
        await page.wait_for_url("**/campaigns/*?done=start")
    assert len(made(stage, "Plain")) == 1


async def test_a_large_file_shows_its_progress_and_its_fault_on_the_page(browser: Browser, stage: Stage) -> None:
    async with visit(browser, stage, "submit") as page:
        await page.goto(f"{stage.url}/campaigns/new")
        await page.get_by_label("Name of the campaign").fill("Large")
        file = page.get_by_label("Recipient file")
        await file.set_input_files({"name": "big.csv", "mimeType": "text/csv", "buffer": csv_file(60_000)})
        await on(page, "columns")
        await expect(page.get_by_text("50 of the first 50 rows")).to_be_visible()
        assert await page.evaluate("document.querySelector('#wizard') !== null")


async def test_a_fault_is_focused_and_leads_to_its_field(
    browser: Browser, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = Seen.note  # the browser tells the status of a refused form, which is what is wanted here
    monkeypatch.setattr(Seen, "note", lambda self, wrong, text: note(self, wrong and "422" not in text, text))
    async with visit(browser, stage, "submit") as page:
        await begin(page, stage, "Faulty")
        await page.get_by_label("Message", exact=True).fill("Hi {{ name")
        await page.locator(".onward .primary").click()
        summary = page.locator("#faults")
        await expect(summary).to_be_focused()
        await summary.get_by_role("link").click()
        await expect(page.get_by_label("Message", exact=True)).to_have_attribute("aria-invalid", "true")
        assert "is not closed" in await page.locator("#fault-text").inner_text()


@pytest.mark.parametrize(
    "look", [{}, {"color_scheme": "dark"}, {"viewport": {"width": 360, "height": 740}}], ids=["light", "dark", "phone"]
)
async def test_every_step_is_usable_by_everybody(browser: Browser, stage: Stage, look: dict[str, Any]) -> None:
    async with visit(browser, stage, "submit", **look) as page:
        await page.goto(f"{stage.url}/campaigns/new")
        await audit(page)
        await begin(page, stage, f"Looked at {look}")
        draft = UUID(page.url.split("/")[-2])
        await page.get_by_label("Message", exact=True).fill("“{{ name }}” 🎉 " + "word " * 40)
        await expect(page.locator("#parts")).not_to_have_text("1")
        await audit(page)
        await finish(page)
        await audit(page)
        for step in ("recipients", "columns", "time", "check", "discard"):
            await page.goto(f"{stage.url}/campaigns/new/{draft}/{step}")
            for one in await page.locator("details").all():
                await one.evaluate("one => { one.open = true; }")
            await audit(page)


async def test_campaigns_are_begun_from_the_list(browser: Browser, stage: Stage) -> None:
    async with visit(browser, stage, "submit") as page:
        await page.get_by_role("link", name="New campaign").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("New campaign")
        await expect(page.locator("[aria-current=step]")).to_contain_text("Recipients")
    with stage.database.read() as session:
        assert session.execute(select(func.count()).select_from(Campaign)).scalar_one() > 0
