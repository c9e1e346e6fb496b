"""The pictures of a new campaign: `python -m bench.wizard_shots` writes docs/screenshots/wizard-*.png.

One campaign is made step by step in Chromium, as a person would, over the made-up database of bench/showcase.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page

from bench.screenshots import DESK, PHONE, parse, sign_in, stage
from bench.web_server import WebServer
from producer.suppressions import add_suppressions

TEXT = (
    "Hi {{ first_name | default: 'there' }}, your order {{ order }} is ready – collect it in {{ city }} till Friday ☕"
)
PLAIN = "Hi {{ first_name | default: 'there' }}, your order {{ order }} is ready. Collect it until Friday."
_PEOPLE = ("Ama", "Ben", "Chloe", "Dara", "Eoin", "Femi", "Grace", "Hugo")

Shoot = Callable[[str], None]


def recipients(count: int = 800) -> bytes:
    """A file as people have them: mostly good, a few rows not."""
    rows = [
        f"{_PEOPLE[n % len(_PEOPLE)]},+44770090{n:04d},A-{1000 + n},{('London', 'Leeds', 'Cork')[n % 3]}"
        for n in range(count)
    ]
    rows[3] = "Dara,0770 09O 0003,A-1003,Cork"
    rows[9] = rows[8]
    rows[20] = "Hugo,,A-1020,Leeds"
    return ("First name,Mobile,Order,City\n" + "\n".join(rows) + "\n").encode()


def walk(page: Page, server: WebServer, shoot: Shoot) -> None:
    """Through all steps; `shoot` is called on each."""
    page.goto(f"{server.url}/campaigns/new")
    page.get_by_label("Name of the campaign").fill("Orders to collect")
    page.get_by_label("Recipient file").set_input_files(
        {"name": "customers.csv", "mimeType": "text/csv", "buffer": recipients()}
    )
    shoot("recipients")
    _on(page, "columns")
    shoot("columns")
    _on(page, "message")
    page.get_by_label("Sender", exact=True).fill("MyStore")
    page.get_by_label("Message", exact=True).fill(TEXT)
    page.get_by_text("UCS-2 (Unicode)").wait_for()
    shoot("message")
    page.get_by_label("Message", exact=True).fill(PLAIN)
    _on(page, "time")
    for account in ("quicksms", "qikli"):
        page.locator(f"[name=account-{account}]").check()
    page.get_by_label("Weight").nth(0).fill("30")
    page.get_by_label("Weight").nth(1).fill("70")
    page.get_by_text("Only at certain hours").click()
    page.get_by_label("From", exact=True).fill("09:00")
    page.get_by_label("To", exact=True).fill("20:00")
    page.get_by_text("Send a sample first").click()
    page.get_by_label("Messages in the sample").fill("100")
    shoot("time")
    page.get_by_role("button", name="Check the campaign").click()
    page.wait_for_url("**/check")
    shoot("check")
    page.get_by_role("link", name="Start campaign…").click()
    page.get_by_role("button", name="Send ").wait_for()
    shoot("confirm")


def _on(page: Page, step: str) -> None:
    page.locator(".onward .primary").click()
    page.wait_for_url(f"**/{step}")


def main() -> None:
    chosen = parse(__doc__)
    with stage() as (opened, server, database, _):
        with database.write() as session:
            add_suppressions(session, {"+447700900700", "+447700900701"}, "", "STOP", database.now())
        for end, (steps, options) in LOOKS.items():
            with opened.new_context(reduced_motion="reduce", **options) as context:
                page = context.new_page()
                sign_in(page, server, "submit")

                def shoot(step: str, page: Page = page, end: str = end, steps: tuple[str, ...] = steps) -> None:
                    if step in steps and chosen.only in f"wizard-{step}{end}":
                        page.wait_for_timeout(300)
                        page.screenshot(path=chosen.to / f"wizard-{step}{end}.png", full_page=True)

                walk(page, server, shoot)


ALL = ("recipients", "columns", "message", "time", "check", "confirm")
LOOKS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "": (ALL, {"viewport": DESK}),
    "-dark": (("message", "check"), {"viewport": DESK, "color_scheme": "dark"}),
    "-phone": (("columns", "message"), {"viewport": PHONE, "device_scale_factor": 2}),
}
"""Which steps are shown how."""

if __name__ == "__main__":
    main()
