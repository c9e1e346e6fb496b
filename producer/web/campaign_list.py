"""The first page: campaigns, newest first, each with how far it is, how fast, and when it will be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from models.plain import storable
from models.states import CampaignState
from producer.api.context import Context, Here
from producer.api.values import decode_cursor, encode_cursor
from producer.overview import Progress, listed
from producer.samples import rates, totals_of
from producer.web.guard import Anyone, page_router
from producer.web.live import Fragments
from producer.web.render import markup, render
from producer.web.shares import triples
from producer.web.streams import live

router = page_router()

PAGE = 25
FILTERS = {
    "": (),
    "active": (CampaignState.RUNNING, CampaignState.PAUSED, CampaignState.SCHEDULED, CampaignState.IMPORTING),
    **{str(state): (state,) for state in CampaignState},
}
"""What the state filter offers."""


@dataclass(frozen=True, slots=True)
class Line:
    """One campaign of the list. `rate` in messages a second and `eta` in seconds; None: not known or not running."""

    progress: Progress
    rate: float | None

    @property
    def eta(self) -> float | None:
        return self.progress.left / self.rate if self.rate and self.progress.left else None

    @property
    def bar(self) -> list[tuple[str, int, str]]:
        return triples(self.progress.by_state)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which campaigns a viewer asked for."""

    state: str = ""
    name: str = ""
    cursor: str | None = None

    def url(self, path: str = "/", **changes: str | None) -> str:
        given = {"state": self.state, "name": self.name, "cursor": self.cursor, **changes}
        query = urlencode({name: value for name, value in given.items() if value})
        return f"{path}?{query}" if query else path


@dataclass(frozen=True, slots=True)
class Lines:
    items: Sequence[Line]
    more: str | None


def wanted_of(
    state: Annotated[str, Query(max_length=20)] = "",
    name: Annotated[str, Query(max_length=200)] = "",
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Wanted:
    """From the address; an unknown state shows all."""
    return Wanted(state if state in FILTERS else "", storable(name).strip(), cursor)


Asked = Annotated[Wanted, Depends(wanted_of)]


@router.get("/")
def page(request: Request, here: Here, viewer: Anyone, wanted: Asked) -> Response:
    return render(
        request, "campaigns.html",
        viewer=viewer, lines=look(here, wanted), wanted=wanted, filters=FILTERS, live=wanted.url("/live/campaigns"),
    )  # fmt: skip


@router.get("/live/campaigns")
def live_list(request: Request, here: Here, viewer: Anyone, wanted: Asked) -> Response:
    decode_cursor(wanted.cursor, UUID)
    return live(request, viewer, ("campaigns", wanted), lambda: fragments(here, wanted))


def look(here: Context, wanted: Wanted) -> Lines:
    """A page of campaigns: four indexed queries, whatever the number of messages."""
    before, now = decode_cursor(wanted.cursor, UUID), here.now()
    with here.database.read() as session:
        found = listed(session, PAGE + 1, FILTERS[wanted.state], wanted.name, before)
        shown = found[:PAGE]
        running = [one for one in shown if one.campaign.state is CampaignState.RUNNING]
        speeds = rates(
            session, now, {one.campaign.id: totals_of(one.by_state) for one in running},
            {one.campaign.id: one.campaign.started_at for one in running if one.campaign.started_at},
        )  # fmt: skip
    more = encode_cursor(str(shown[-1].campaign.id)) if len(found) > PAGE else None
    return Lines([Line(one, speeds.get(one.campaign.id)) for one in shown], more)


def fragments(here: Context, wanted: Wanted) -> Fragments:
    """Row by row; the rows as a whole only when other campaigns are on the page."""
    lines = look(here, wanted)
    rows = {f"c-{line.progress.campaign.id}": markup(here, "campaign_row.html", line=line) for line in lines.items}
    return Fragments(rows)
