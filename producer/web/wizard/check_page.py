"""Step five: what would happen, and the buttons that make it happen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from models.options import DEFAULT_PARTS
from models.steering import Pacing, Spread, Steering
from models.tables import Draft
from producer import drafts
from producer.api.context import Context, Here
from producer.api.problems import Problem
from producer.campaigns import CampaignSpec
from producer.web.formats import money, percent, span
from producer.web.guard import Form, Operator, Viewer, text_of
from producer.web.render import render
from producer.web.wizard import check, flow
from producer.web.wizard.countries import countries
from producer.web.wizard.finish import How, finish
from producer.web.wizard.flow import Step
from producer.web.wizard.routing import wizard_router
from producer.web.wizard.spec import StepFault, Whole, whole_of

router = wizard_router()


@router.get("/campaigns/new/{draft_id}/check")
async def page(
    request: Request,
    draft_id: UUID,
    here: Here,
    viewer: Operator,
    row: Annotated[int | None, Query(ge=1, le=10**9)] = None,
) -> Response:
    """`row`: also the text of this row of the file."""
    if row is None:
        return _page(request, here, viewer, flow.load(here, draft_id, viewer, Step.CHECK))
    return await check.limited(here, _with_row, request, here, viewer, draft_id, row)


def _with_row(request: Request, here: Context, viewer: Viewer, draft_id: UUID, number: int) -> Response:
    draft = flow.load(here, draft_id, viewer, Step.CHECK)
    try:
        one = check.one_row(here, draft, number)
    except StepFault as fault:
        one = check.OneRow(number, fault=str(fault))
    return _page(request, here, viewer, draft, one)


@router.post("/campaigns/new/{draft_id}/check")
async def again(draft_id: UUID, here: Here, viewer: Operator, form: Form) -> Response:
    """Check (again), or go elsewhere."""
    go = text_of(form, "go")
    draft = flow.load(here, draft_id, viewer, Step.CHECK)
    if flow.moves_on(go):
        await check.limited(here, check.run, here, draft)
        return flow.away(flow.url_of(draft_id, Step.CHECK))
    return flow.away(flow.target(draft, Step.CHECK, go))


@router.get("/campaigns/new/{draft_id}/rejects.csv")
def rejects(draft_id: UUID, here: Here, viewer: Operator) -> Response:
    """The rows that would get nothing, with place and reason."""
    draft = flow.load(here, draft_id, viewer, Step.CHECK)
    if draft.rejects_id is None:
        raise Problem(404, "not-found", "no row was rejected")
    headers = {"Content-Disposition": 'attachment; filename="rejected-rows.csv"'}
    return StreamingResponse(
        drafts.pieces(here.database, draft.rejects_id), media_type="text/csv; charset=utf-8", headers=headers
    )


@router.get("/campaigns/new/{draft_id}/start")
def confirm(
    request: Request, draft_id: UUID, here: Here, viewer: Operator, how: Annotated[How, Query()] = How.START
) -> Response:
    """What will happen, in one sentence, with the number of messages and the cost."""
    draft = flow.load(here, draft_id, viewer, Step.CHECK)
    found, whole, _ = _state(here, draft)
    if found is None or whole is None or "fault" in found or not found["counts"]["valid"]:
        return flow.away(flow.url_of(draft_id, Step.CHECK))
    return render(
        request, "wizard/confirm.html",
        viewer=viewer, draft=draft, how=how, found=found, whole=whole, digest=found["digest"],
        cost=costs(found), start_at=whole.spec.start_at,
    )  # fmt: skip


@router.post("/campaigns/new/{draft_id}/start")
async def start(request: Request, draft_id: UUID, here: Here, viewer: Operator, form: Form) -> Response:
    """Sent twice it leads to the same campaign twice, which is made once."""
    how = How.DRAFT if text_of(form, "how") == How.DRAFT else How.START
    return await check.limited(here, _finish, request, here, viewer, draft_id, text_of(form, "checked"), how)


def _finish(request: Request, here: Context, viewer: Viewer, draft_id: UUID, digest: str, how: How) -> Response:
    draft = flow.load(here, draft_id, viewer, Step.CHECK)
    try:
        campaign_id = finish(here, draft, digest, how)
    except StepFault as fault:
        return _page(request, here, viewer, draft, fault=fault)
    return flow.away(f"/campaigns/{campaign_id}?done={'start' if how is How.START else 'made'}")


@router.get("/campaigns/new/{draft_id}/discard")
def ask_discard(request: Request, draft_id: UUID, here: Here, viewer: Operator) -> Response:
    return render(request, "wizard/discard.html", viewer=viewer, draft=flow.load(here, draft_id, viewer))


@router.post("/campaigns/new/{draft_id}/discard")
def discard(draft_id: UUID, here: Here, viewer: Operator) -> Response:
    with here.database.write() as session:
        flow.draft_of(session, draft_id, viewer)
        drafts.discard(session, draft_id, viewer.key_id)
    return flow.away("/campaigns/new")


# --- what is shown ---------------------------------------------------------------------------------------------------


def _state(here: Context, draft: Draft) -> tuple[dict[str, Any] | None, Whole | None, StepFault | None]:
    """The check if it still holds, the campaign, and what is wrong with it by now (a start time that passed)."""
    try:
        whole = whole_of(here, draft)
    except StepFault as fault:
        return check.current(draft), None, fault
    return check.current(draft), whole, None


def _page(
    request: Request, here: Context, viewer: Viewer, draft: Draft, one: check.OneRow | None = None,
    fault: StepFault | None = None,
) -> Response:  # fmt: skip
    found, whole, wrong = _state(here, draft)
    if found is not None and "fault" in found and wrong is None:
        wrong = StepFault(Step(found["step"]), found["fault"])
    wrong = fault or wrong
    good = found if found is not None and "fault" not in found and wrong is None else None
    return flow.show(
        request, viewer, Step.CHECK, draft, 422 if fault else 200,
        found=good, whole=whole, wrong=wrong, fix=flow.TITLES[wrong.step] if wrong else "", one=one,
        reasons=check.reasons(good) if good else [], cost=costs(good) if good else "",
        at=datetime.fromisoformat(found["at"]) if found else None, names=countries(),
        settings=list(settings_of(whole.spec)) if whole else [], decimal=Decimal,
    )  # fmt: skip


def costs(found: dict[str, Any]) -> str:
    """481.45 EUR + 12.00 USD; empty: no price is known."""
    return " + ".join(money(Decimal(amount), currency) for currency, amount in found["cost"]["total"].items())


def settings_of(spec: CampaignSpec) -> Iterator[tuple[str, str]]:
    """Only what was chosen, in words."""
    whole = sum(spec.route.values())
    yield "Accounts", ", ".join(f"{name} {percent(weight, whole)}" for name, weight in spec.route.items())
    if spec.routing.get("senders"):
        yield "Senders", ", ".join(f"{name}: {sender}" for name, sender in spec.routing["senders"].items())
    if spec.template_name:
        yield "Template", f"{spec.template_name}, version {spec.template_version}"
    for title, key in (("Only to", "allow"), ("Not to", "deny")):
        if spec.routing.get(key):
            yield title, ", ".join(countries().get(code, code) for code in spec.routing[key])
    if spec.priority != "normal":
        yield "Priority", spec.priority
    if spec.max_rate is not None:
        yield "At most", f"{spec.max_rate:g} messages a second"
    if spec.validity is not None:
        yield "Worth sending", f"for {span(spec.validity)}"
    if spec.max_parts != DEFAULT_PARTS:
        yield "Longest text", f"{spec.max_parts} parts"
    if not spec.failover:
        yield "Failover", "off: messages wait for their account"
    if spec.on_unknown == "resend":
        yield "If nobody knows", "send again"
    yield from _steering(spec.steering)


def _steering(steering: Steering) -> Iterator[tuple[str, str]]:
    if steering.window is not None:
        yield "Hours", f"{steering.window}{'' if steering.window.zone else ', by each recipient’s own clock'}"
    if steering.pacing is not None:
        yield "Pace", _pace(steering.pacing)
    if (canary := steering.canary) is not None:
        yield "First a sample", f"{canary.size:,} messages; on only if {canary.share:.0%} arrive in {span(canary.wait)}"
    if (guard := steering.guard) is not None:
        yield "Stops itself", f"when {guard.share:.0%} of the last {guard.last:,} fail"
    if (caps := steering.caps) is not None:
        if caps.most:
            yield "Per number", f"at most {caps.most:,} in {span(caps.period or 0)}, over all campaigns"
        if caps.repeat:
            yield "Same text", f"not again within {span(caps.repeat)}"


def _pace(pacing: Pacing) -> str:
    if isinstance(pacing, Spread):
        return f"spread evenly over {span(pacing.seconds)}"
    return f"{pacing.size:,} messages every {span(pacing.every)}"
