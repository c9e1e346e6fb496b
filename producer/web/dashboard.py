"""The dashboard on the API's app: its pages at `/`, its assets at `/static`."""

from __future__ import annotations

from fastapi import FastAPI

from producer.web import (
    accounts,
    campaign_list,
    campaign_messages,
    campaign_page,
    keys,
    sign_in,
    steering,
    suppressions,
    system,
)
from producer.web.accounts import Answers
from producer.web.breakdown import Breakdowns
from producer.web.campaign_view import Figures
from producer.web.live import Hub
from producer.web.static_files import assets
from producer.web.wizard import check_page, columns_page, message_page, recipients, time_page

_ROUTERS = (
    sign_in.entrance,
    sign_in.router,
    recipients.uploads,  # /campaigns/new comes before /campaigns/{id}
    recipients.router,
    columns_page.router,
    message_page.router,
    time_page.router,
    check_page.router,
    campaign_list.router,
    campaign_page.router,
    campaign_messages.router,
    steering.router,
    accounts.router,
    suppressions.router,
    keys.router,
    system.router,
)


def add_dashboard(app: FastAPI) -> None:
    """Add every page. Live streams are ended by `ends_with_the_server(app.state.live)`."""
    app.state.live = Hub()
    app.state.new_campaign = True
    context = app.state.context
    app.state.figures = Figures(Breakdowns(context.database, context.now))
    app.state.answers = Answers()
    for router in _ROUTERS:
        app.include_router(router)
    app.mount("/static", assets(), name="static")
