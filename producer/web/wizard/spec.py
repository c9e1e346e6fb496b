"""Everything the steps said, as one campaign: the same spec as the API's and the command line's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from config.accounts import Account
from models.steering import SteeringError
from models.tables import Draft
from models.windows import WindowError
from producer.api.campaign_models import CampaignIn
from producer.api.campaigns import routing_of
from producer.api.context import Context
from producer.campaigns import CampaignError, CampaignSpec, check_spec
from producer.readers import Hint
from producer.web.wizard import columns, flow, message
from producer.web.wizard.columns_page import choices_of
from producer.web.wizard.flow import Step
from producer.web.wizard.message import Content, TextFault
from producer.web.wizard.plan import Plan, plan_of
from producer.web.wizard.recipients import hint_of
from providers.base import Provider

PLACES: Mapping[str, Step] = {
    "name": Step.RECIPIENTS, "region": Step.COLUMNS, "template": Step.MESSAGE, "template_name": Step.MESSAGE,
    "sender": Step.MESSAGE,
}  # fmt: skip
"""Which step a field of a campaign belongs to; all others belong to the fourth."""


class StepFault(ValueError):
    """A step must be mended before the campaign can be checked or made."""

    def __init__(self, step: Step, text: str) -> None:
        super().__init__(text)
        self.step = step


@dataclass(frozen=True, slots=True)
class Whole:
    """A campaign as the steps describe it. `hint`: how to read its file; `start`: now, at, or draft."""

    spec: CampaignSpec
    hint: Hint
    start: str


def whole_of(here: Context, draft: Draft) -> Whole:
    """Raises StepFault for the first step that is not right (any more)."""
    sample = flow.choice_sample(draft)
    choices, fields = choices_of(here, draft)
    for text in columns.faults(choices, fields).values():
        raise StepFault(Step.COLUMNS, text)
    content = _content(here, draft)
    plan = plan_of(draft.answers.get(Step.TIME, {}), here.accounts, here.now())
    for text in plan.faults.values():
        raise StepFault(Step.TIME, text)
    spec = _spec(draft, content, plan, columns.region_of(fields))
    _check(spec, here.accounts, here.providers)
    return Whole(spec, columns.mapped(hint_of(draft.answers.get(Step.RECIPIENTS, {})), sample, choices), plan.start)


def _content(here: Context, draft: Draft) -> Content:
    try:
        with here.database.read() as session:
            found = message.content_of(session, draft.answers.get(Step.MESSAGE, {}))
        message.parsed(found)
    except TextFault as error:
        raise StepFault(Step.MESSAGE, str(error)) from error
    return found


def _spec(draft: Draft, content: Content, plan: Plan, region: str | None) -> CampaignSpec:
    try:
        body = CampaignIn(
            name=draft.name, sender=content.sender, template=content.text, missing=content.missing,
            gsm7_only=content.gsm7_only, region=region, **plan.body,
        )  # fmt: skip
        steering = body.steering.steering()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise StepFault(PLACES.get(str(first["loc"][0]), Step.TIME), f"{place}: {first['msg']}") from error
    except (SteeringError, WindowError) as error:
        raise StepFault(Step.TIME, str(error)) from error
    given = body.model_dump(exclude={"recipients", "start", "steering"}) | {"routing": routing_of(body)}
    given |= {"template_name": content.name, "template_version": content.version}
    return CampaignSpec(
        **given, source=(draft.file_name or "dashboard")[:255], steering=steering, api_key_id=draft.api_key_id
    )


def _check(spec: CampaignSpec, accounts: Mapping[str, Account], providers: Mapping[str, Provider]) -> None:
    try:
        check_spec(spec, accounts, providers)
    except CampaignError as error:
        raise StepFault(PLACES.get(error.field, Step.TIME), str(error)) from error
