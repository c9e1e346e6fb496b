"""From a checked draft to a campaign, once: created and tied to the draft in one transaction, filled, started."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from models.tables import Draft
from producer import campaigns, drafts
from producer.api.campaigns import wake
from producer.api.context import Context
from producer.api.problems import Problem
from producer.campaigns import CampaignError
from producer.import_feed import ImportDied
from producer.quota import QuotaExceeded
from producer.readers import FileError
from producer.template import Template
from producer.web.wizard import check
from producer.web.wizard.flow import Step
from producer.web.wizard.spec import StepFault, Whole, whole_of

log = structlog.get_logger("drumline.web")


class How(StrEnum):
    START = "start"  # now, or at its time
    DRAFT = "draft"  # the campaign with its recipients, to be started by hand


_REFUSALS = (FileError, CampaignError, ImportDied, StepFault, QuotaExceeded)
"""What can be told to whoever pressed the button; anything else is a fault of ours."""


class _Taken(Exception):
    """The draft became a campaign in this moment."""


def finish(here: Context, draft: Draft, digest: str, how: How) -> UUID:
    """The campaign: made now, or before by the same draft. Raises StepFault, Problem (nothing was made then)."""
    if check.current(draft) is None or check.digest_of(draft) != digest:
        raise Problem(409, "conflict", "the campaign was changed since it was checked; look at the check again")
    whole = whole_of(here, draft)
    try:
        campaign_id = _create(here, draft, whole)
    except _Taken:
        return _existing(here, draft)
    try:
        _fill(here, draft, whole, campaign_id)
        _begin(here, draft, campaign_id, how)
    except BaseException as error:
        _undo(here, draft, campaign_id)  # a draft that is tied to half a campaign could never be mended
        if isinstance(error, _REFUSALS):
            raise StepFault(Step.RECIPIENTS, f"The campaign was not made: {error}.") from error
        raise
    if how is How.START:
        wake(here)
    log.info("campaign_made", campaign=str(campaign_id), how=str(how))
    return campaign_id


def _create(here: Context, draft: Draft, whole: Whole) -> UUID:
    template = Template.parse(whole.spec.template, missing=whole.spec.missing)
    with here.database.write() as session:
        campaign_id = campaigns.create(session, whole.spec, template, here.now())
        if not drafts.settle(session, draft.id, campaign_id):
            raise _Taken
    return campaign_id


def _existing(here: Context, draft: Draft) -> UUID:
    with here.database.read() as session:
        found = drafts.get(session, draft.id, draft.api_key_id).campaign_id
    if found is None:
        raise Problem(409, "conflict", "the campaign was being made by another window; look at it again")
    return found


def _fill(here: Context, draft: Draft, whole: Whole, campaign_id: UUID) -> None:
    with check.opened(here, draft) as file:
        done = here.importer().run(campaign_id, file, whole.hint, draft.file_name)
    if not done.accepted:
        raise CampaignError("recipients", "every recipient was rejected")


def _begin(here: Context, draft: Draft, campaign_id: UUID, how: How) -> None:
    """Start it and drop the draft's file in one transaction."""
    with here.database.write() as session:
        if how is How.START:
            campaigns.start(session, campaign_id, here.now())
        drafts.forget(session, draft.id)
        _strip(session, draft)


def _strip(session: Session, draft: Draft) -> None:
    """Numbers and texts are the campaign's from here on; the draft only knows what it became."""
    held = drafts.get(session, draft.id, draft.api_key_id, lock=True)
    held.file_id = held.rejects_id = None
    held.answers, held.sample, held.checked = {}, {}, {}


def _undo(here: Context, draft: Draft, campaign_id: UUID) -> None:
    with here.database.write() as session:
        campaigns.forget(session, campaign_id)
        drafts.release(session, draft.id)
