"""The pictures of the documentation: `python -m bench.screenshots` writes docs/screenshots/*.png.

Chromium looks at a server of ours over a made-up database (bench/showcase.py); nothing leaves this machine.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from bench.showcase import ACCOUNTS, fill
from bench.web_server import WebServer, serve
from config.settings import ROOT
from models.database import Database

CHROMIUM = "/usr/bin/chromium"
SWITCHES = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
]  # fmt: skip
PRICES = ROOT / "config" / "prices.example.toml"
DESK = {"width": 1240, "height": 900}
PHONE = {"width": 360, "height": 780}


@dataclass(frozen=True, slots=True)
class Shot:
    """`campaign`: whose page, put into the path. `whole`: the page to its end, not only the first screen."""

    name: str
    path: str
    campaign: str = "Order updates"
    dark: bool = False
    phone: bool = False
    whole: bool = True


SHOTS = (
    Shot("campaigns", "/"),
    Shot("campaign", "/campaigns/{}"),
    Shot("campaign-dark", "/campaigns/{}", dark=True),
    Shot("campaign-phone", "/campaigns/{}", phone=True),
    Shot("campaigns-phone", "/", phone=True),
    Shot("campaign-canary", "/campaigns/{}", campaign="Delivery windows", whole=False),
    Shot("messages", "/campaigns/{}/messages", whole=False),
    Shot("accounts", "/accounts"),
    Shot("suppressions", "/suppressions", whole=False),
)


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield opened
        opened.close()


def sign_in(page: Page, server: WebServer, scope: str) -> None:
    page.goto(f"{server.url}/sign-in")
    page.get_by_label("API key").fill(server.key(scope))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{server.url}/")


def _options(shot: Shot) -> dict[str, Any]:
    return {"viewport": PHONE if shot.phone else DESK, "color_scheme": "dark" if shot.dark else "light",
            "device_scale_factor": 2 if shot.phone else 1, "reduced_motion": "reduce"}  # fmt: skip


def take(opened: Browser, server: WebServer, ids: dict[str, Any], shot: Shot, folder: Path) -> None:
    with opened.new_context(**_options(shot)) as context:
        page = context.new_page()
        sign_in(page, server, "admin")
        page.goto(server.url + shot.path.format(ids[shot.campaign]))
        page.wait_for_timeout(1200)  # live figures are in
        page.screenshot(path=folder / f"{shot.name}.png", full_page=shot.whole)


def parse(what: str | None) -> argparse.Namespace:
    """`to`: the folder, which exists then; `only`: part of a picture's name."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--only", default="")
    chosen = parser.parse_args()
    chosen.to.mkdir(parents=True, exist_ok=True)
    return chosen


@contextmanager
def stage() -> Iterator[tuple[Browser, WebServer, Database, dict[str, Any]]]:
    """A browser, a server over the made-up database, that database, and its campaigns' ids by name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = Database(f"sqlite:///{folder / 'showcase.db'}")
        database.migrate()
        ids = fill(database, database.now())
        with serve(database, folder, ACCOUNTS, prices_file=PRICES) as server, browser() as opened:
            yield opened, server, database, ids
        database.close()


def main() -> None:
    chosen = parse(__doc__)
    with stage() as (opened, server, _, ids):
        for shot in SHOTS:
            if chosen.only in shot.name:
                take(opened, server, ids, shot, chosen.to)
                print(chosen.to / f"{shot.name}.png")


if __name__ == "__main__":
    main()
