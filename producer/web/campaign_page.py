"""One campaign: is it well, how far is it, how fast, what failed and why, what does it cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from models.options import DEFAULT_PARTS, max_parts
from models.states import MessageState
from producer.api import exports
from producer.api.context import Context, Here, part_of
from producer.keys import Scope
from producer.web.campaign_view import CampaignView, Figures, look
from producer.web.guard import Anyone, page_router
from producer.web.live import Fragments
from producer.web.render import markup, render
from producer.web.streams import live

router = page_router()

FIRST_COUNT = 0.15  # seconds a page waits for figures that were never counted
PARTS = ("verdict", "state", "funnel", "chart", "errors", "countries", "accounts", "cost", "events", "actions")
"""The live parts: each is one template under `campaign/` and one element of the page."""
FOR_OPERATORS = frozenset({"actions"})

DONE: Mapping[str, str] = {
    "start": "Started.",
    "made": "Stored as a draft. Nothing leaves until somebody starts it.",
    "pause": "Paused. Nothing more leaves; what has left is followed to its end.",
    "resume": "Resumed, exactly where it stopped.",
    "cancel": "Cancelled. What had not left is being closed; that may take a moment.",
    "retry-failed": "This is the new campaign: it is filled in the background and starts by itself.",
}


def figures_of(request: Request) -> Figures:
    return part_of(request, "figures", Figures)


@router.get("/campaigns/{campaign_id}")
def page(
    request: Request,
    campaign_id: UUID,
    here: Here,
    viewer: Anyone,
    done: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    view = look(here, figures_of(request), campaign_id, FIRST_COUNT)
    return render(
        request, "campaign.html",
        viewer=viewer, view=view, done=DONE.get(done, ""), prices=here.prices, states=list(MessageState),
        longest_text=max_parts(view.campaign.options), usual_parts=DEFAULT_PARTS,
        live="" if view.final else f"/live/campaigns/{campaign_id}",
    )  # fmt: skip


@router.get("/live/campaigns/{campaign_id}")
def live_page(request: Request, campaign_id: UUID, here: Here, viewer: Anyone) -> Response:
    figures, operator = figures_of(request), viewer.scope.covers(Scope.SUBMIT)
    look(here, figures, campaign_id)  # what does not exist is not watched
    return live(request, viewer, ("campaign", campaign_id, operator), maker(here, figures, campaign_id, operator))


def maker(here: Context, figures: Figures, campaign_id: UUID, operator: bool) -> Callable[[], Fragments]:
    """What makes a campaign's fragments, for operators with the buttons."""
    names = [name for name in PARTS if operator or name not in FOR_OPERATORS]

    def make() -> Fragments:
        view = look(here, figures, campaign_id)
        return Fragments({name: part(here, name, view) for name in names}, view.final)

    return make


def part(here: Context, name: str, view: CampaignView) -> str:
    return markup(here, f"campaign/{name}.html", view=view, prices=here.prices)


@router.get("/campaigns/{campaign_id}/messages.csv")
def messages_file(
    campaign_id: UUID,
    here: Here,
    viewer: Anyone,
    state: Annotated[list[MessageState] | None, Query()] = None,
) -> Response:
    """As the API gives it; numbers are masked for keys of scope read."""
    return exports.messages(campaign_id, here, viewer, state)


@router.get("/campaigns/{campaign_id}/rejects.csv")
def rejects_file(campaign_id: UUID, here: Here, viewer: Anyone) -> Response:
    return exports.rejects(campaign_id, here, viewer)
