"""The dashboard on the API's app: its pages at `/`, its assets at `/static`."""

from __future__ import annotations

from fastapi import FastAPI

from producer.web import campaign_list, sign_in
from producer.web.live import Hub
from producer.web.static_files import assets


def add_dashboard(app: FastAPI) -> None:
    """Add every page. Live streams are ended by `ends_with_the_server(app.state.live)`."""
    app.state.live = Hub()
    for router in (sign_in.entrance, sign_in.router, campaign_list.router):
        app.include_router(router)
    app.mount("/static", assets(), name="static")
