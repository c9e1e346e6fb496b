"""Step four: through which accounts, when, how fast, and what stops it."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID
from zoneinfo import available_timezones

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from models.tables import Draft
from producer.api.context import Context, Here
from producer.limits import standings
from producer.web.guard import Form, Operator, Viewer, text_of
from producer.web.wizard import check, flow
from producer.web.wizard.flow import Step
from producer.web.wizard.plan import DAYS, defaults, plan_of
from producer.web.wizard.reading import UNITS
from producer.web.wizard.routing import wizard_router

router = wizard_router()


@router.get("/campaigns/new/{draft_id}/time")
def page(request: Request, draft_id: UUID, here: Here, viewer: Operator) -> Response:
    return _page(request, here, viewer, flow.load(here, draft_id, viewer, Step.TIME))


@router.post("/campaigns/new/{draft_id}/time")
async def save(request: Request, draft_id: UUID, here: Here, viewer: Operator, form: Form) -> Response:
    """When it is right, the check follows at once."""
    given = (text_of(form, "go"), flow.fields_of(form))
    answer, draft = await run_in_threadpool(_save, request, here, viewer, draft_id, *given)
    if draft is not None:
        await check.limited(here, check.run, here, draft)
    return answer


def _save(
    request: Request, here: Context, viewer: Viewer, draft_id: UUID, go: str, fields: dict[str, str]
) -> tuple[Response, Draft | None]:
    """The answer, and the draft if it is to be checked before that."""
    flow.load(here, draft_id, viewer, Step.TIME)
    faults = plan_of(fields, here.accounts, here.now()).faults
    draft = flow.keep(here, draft_id, viewer, Step.TIME, fields, complete=not faults)
    if faults and flow.moves_on(go):
        return _page(request, here, viewer, draft, faults), None
    return flow.away(flow.target(draft, Step.TIME, go)), draft if flow.moves_on(go) else None


def fields_of(here: Context, draft: Draft) -> dict[str, str]:
    kept = draft.answers.get(Step.TIME)
    return dict(kept) if kept else defaults(here.accounts, here.settings.default_zone)


def _page(
    request: Request, here: Context, viewer: Viewer, draft: Draft, faults: Mapping[str, str] | None = None
) -> Response:
    with here.database.read() as session:
        standing = {one.account: one for one in standings(session, here.accounts, here.now())}
    return flow.show(
        request, viewer, Step.TIME, draft,
        f=fields_of(here, draft), faults=faults or {}, accounts=here.accounts, standing=standing, days=DAYS,
        units=list(UNITS), zones=sorted(available_timezones()),
        sender=draft.answers.get(Step.MESSAGE, {}).get("sender", ""),
    )  # fmt: skip
