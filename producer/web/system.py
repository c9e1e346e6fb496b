"""Where else to look: Flower, the API's documentation, the metrics; and whether what we stand on is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import Request, Response
from redis.exceptions import RedisError
from sqlalchemy import func, select

from models.database import DatabaseError
from models.states import CampaignState
from models.tables import Campaign, InboxPage
from producer.api.context import Context, Here
from producer.limits import standings
from producer.web.formats import count
from producer.web.guard import Anyone, page_router
from producer.web.render import render

router = page_router()


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was looked at."""

    name: str
    tone: str
    text: str


@router.get("/system")
def page(request: Request, here: Here, viewer: Anyone) -> Response:
    return render(
        request, "system.html",
        viewer=viewer, facts=list(_facts(here)), flower=here.settings.flower_url, docs=here.options.docs,
    )  # fmt: skip


def _facts(here: Context) -> Iterator[Fact]:
    yield _database(here)
    yield _redis(here)
    with here.database.read() as session:
        waiting = session.execute(select(func.count()).where(InboxPage.parsed_at.is_(None))).scalar_one()
        running = session.execute(select(func.count()).where(Campaign.state == CampaignState.RUNNING)).scalar_one()
        silent = [one.account for one in standings(session, here.accounts, here.now()) if one.stale]
    yield Fact("Campaigns", "quiet", f"{count(running)} running")
    yield Fact("Report inbox", "good" if waiting < 100 else "warn", f"{count(waiting)} pages wait to be read")
    told = f"no word from {', '.join(silent)}" if silent else f"all {len(here.accounts)} accounts are looked after"
    yield Fact("Workers", "bad" if silent else "good", told)


def _database(here: Context) -> Fact:
    try:
        here.database.check()
    except DatabaseError:
        return Fact("Database", "bad", f"{here.database.dialect} does not answer")
    return Fact("Database", "good", f"{here.database.dialect} answers")


def _redis(here: Context) -> Fact:
    try:
        here.ping_redis()
    except (RedisError, OSError, ValueError):
        return Fact("Redis", "bad", "does not answer: nothing is sent until it does")
    return Fact("Redis", "good", "answers")
