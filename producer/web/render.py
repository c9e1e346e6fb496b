"""Templates to answers: one Jinja environment, everything escaped, and the headers that every page carries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from producer.api.context import Context, context_of
from producer.web import account_view, formats, words

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    # Without a referrer browsers would send `Origin: null` with our own forms too, and they could not be told apart.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Vary": "Cookie",
}
"""Of every page; X-Content-Type-Options, X-Frame-Options and Cache-Control: no-store are every answer's anyhow."""

NAVIGATION: list[tuple[str, str, str]] = [
    # address, name, scope
    ("/", "Campaigns", "read"),
    ("/accounts", "Accounts", "read"),
    ("/suppressions", "Suppressions", "submit"),
    ("/keys", "API keys", "admin"),
    ("/system", "System", "read"),
]


@cache
def environment() -> Environment:
    """Autoescaping for every template; an unknown name is an error, not an empty text."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    for name in ("count", "percent", "per_minute", "span", "day", "brief", "clock", "iso", "money", "window", "ago"):
        made.filters[name] = getattr(formats, name)
    for name in ("state_word", "tone", "event_word", "class_words"):
        made.filters[name] = getattr(words, name)
    made.filters |= {"health": account_view.health, "windows": account_view.windows, "speed": account_view.rate}
    made.globals |= {"static": static_url, "navigation": NAVIGATION}
    return made


def render(request: Request, template: str, status: int = 200, /, **values: Any) -> HTMLResponse:
    """A page. `viewer` (None: nobody is signed in) is expected among the values."""
    can_create = getattr(request.app.state, "new_campaign", False)  # whether there is a page /campaigns/new
    page = markup(context_of(request), template, path=request.url.path, can_create=can_create, **values)
    return HTMLResponse(page, status, dict(HEADERS))


def markup(here: Context, template: str, **values: Any) -> str:
    """A template's text: a whole page, or one part of it for the live stream."""
    return environment().get_template(template).render(**{"now": here.now(), **values})


@cache
def static_url(name: str) -> str:
    """With a digest of the content, so that browsers may keep it for good."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"
