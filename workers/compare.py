"""`python -m workers.compare CAMPAIGN [MOST]`: whether the providers say of a campaign's messages what we say.

Prints one JSON object per account and line. Nothing is changed: what differs is for people to look into. Every question
is charged to the account's limits.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

import orjson
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config.accounts import AccountsError
from config.settings import SettingsError
from models.database import DatabaseError
from models.states import ACCEPTED_ONCE, FINAL, MessageState
from models.tables import Campaign, Message
from providers.base import Found, LookUpBy, NoAnswer, NotThere, Report, Sighting, Sought
from workers.charged import look_up
from workers.command import command_runtime
from workers.outgoing import sought
from workers.runtime import Runtime

MOST: Final = 100  # messages of an account that are asked about, where nobody says otherwise
AT_ONCE: Final = 100
_CAN_BE_ASKED: Final = frozenset({LookUpBy.QUERY, LookUpBy.EVIDENCE})
_NEVER_TAKEN: Final = frozenset({MessageState.REJECTED, MessageState.SUPPRESSED, MessageState.CANCELLED})


class Said(StrEnum):
    """What the provider's word is to ours."""

    SAME = "same"
    UNFINISHED = "unfinished"  # one side has no end yet: nothing speaks against the other
    OTHER = "other"
    SILENT = "silent"  # no answer, or one that proves nothing


@dataclass(frozen=True, slots=True)
class Ours:
    """One message as we know it."""

    id: UUID
    state: MessageState
    provider_id: str | None
    sought: Sought


@dataclass(slots=True)
class Compared:
    """`why`: why nothing could be asked. The numbers are messages; `differences` are sentences."""

    account: str
    why: str = ""
    asked: int = 0
    same: int = 0
    unfinished: int = 0
    silent: int = 0
    differences: list[str] = field(default_factory=list)


def compare(ours: Ours, sighting: Sighting | None, *, absence_proves: bool) -> tuple[Said, str]:
    """What a provider showed, against what we hold. The sentence says what differs. Pure."""
    match sighting:
        case Found(candidates=candidates, otherwise=otherwise):
            fitting = [one for one in candidates if None in {one.provider_id, ours.provider_id}]
            fitting += [one for one in candidates if one.provider_id == ours.provider_id]
            if not fitting and _may_be_among(ours, otherwise):
                return Said.SILENT, ""
            if not fitting:
                return Said.OTHER, f"is {ours.provider_id} with us, and {candidates[0].provider_id} there"
            return _of_state(ours, fitting[-1])
        case NotThere() if ours.state not in ACCEPTED_ONCE:
            return Said.SAME, ""
        case NotThere() if absence_proves and not _may_be_among(ours, sighting):
            return Said.OTHER, f"is {ours.state} with us, and not there"
        case _:
            return Said.SILENT, ""


def _may_be_among(ours: Ours, absence: NotThere | NoAnswer) -> bool:
    """Whether the message may be one of those that the provider shows with another text."""
    if isinstance(absence, NoAnswer):
        return False
    return bool(absence.others) if ours.provider_id is None else ours.provider_id in absence.others


def _of_state(ours: Ours, theirs: Report) -> tuple[Said, str]:
    if ours.state in _NEVER_TAKEN:
        return Said.OTHER, f"is {ours.state} with us, and was taken there ({theirs.raw_status or theirs.state})"
    if theirs.state is ours.state:
        return Said.SAME, ""
    if theirs.state not in FINAL or ours.state not in FINAL:
        return Said.UNFINISHED, ""
    return Said.OTHER, f"is {ours.state} with us, and {theirs.state} there ({theirs.raw_status})"


async def compare_account(runtime: Runtime, name: str, campaign_id: UUID, most: int) -> Compared:
    """Ask about at most `most` messages of this account that left, chosen at random."""
    account, found = await runtime.account(name), Compared(name)
    if account.policy.by not in _CAN_BE_ASKED:
        found.why = f"{account.account.provider} cannot be asked about a message"
        return found
    chosen = await runtime.read(choose, name, campaign_id, most, runtime.now(), account.policy.give_up_after)
    for first in range(0, len(chosen), AT_ONCE):
        part = chosen[first : first + AT_ONCE]
        sightings = await look_up(runtime, account, [ours.sought for ours in part])
        told = Counter[Said]()
        for ours in part:
            sighting = sightings.get(ours.sought.message.id)
            said, sentence = compare(ours, sighting, absence_proves=account.policy.proves_absence)
            told[said] += 1
            if said is Said.OTHER:
                found.differences.append(f"{name}: message {ours.id} {sentence}")
        found.asked += len(part)
        found.same += told[Said.SAME]
        found.unfinished += told[Said.UNFINISHED]
        found.silent += told[Said.SILENT]
    return found


def choose(
    session: Session, account: str, campaign_id: UUID, most: int, now: datetime, remembered: float
) -> list[Ours]:
    """Messages whose request left, and which the provider should still remember (`remembered`: seconds)."""
    campaign = session.get_one(Campaign, campaign_id)
    if campaign.purged_at is not None:
        return []
    query = (
        select(Message)
        .where(
            Message.campaign_id == campaign_id, Message.account == account, Message.attempt_id.is_not(None),
            Message.attempted_at > now - timedelta(seconds=remembered),
            Message.state.not_in((MessageState.QUEUED, MessageState.SUBMITTING, MessageState.UNKNOWN)),
        )
        .order_by(func.random())
        .limit(most)
    )  # fmt: skip
    rows = session.execute(query).scalars()
    return [Ours(row.id, row.state, row.provider_id, sought(row, campaign, now)) for row in rows]


def accounts_of(session: Session, campaign_id: UUID) -> list[str]:
    query = select(Message.account).where(Message.campaign_id == campaign_id).distinct()
    return sorted(session.execute(query).scalars())


async def compare_all(runtime: Runtime, campaign_id: UUID, most: int) -> list[Compared]:
    names = await runtime.read(accounts_of, campaign_id)
    gone = [Compared(name, "the account is not in the accounts file any more") for name in names
            if name not in runtime.accounts]  # fmt: skip
    known = [compare_account(runtime, name, campaign_id, most) for name in names if name in runtime.accounts]
    return [*gone, *await asyncio.gather(*known)]


def main(campaign: str, most: str = str(MOST)) -> None:
    """Raises AccountsError, SettingsError, DatabaseError."""
    with command_runtime() as runtime:
        found = runtime.run(compare_all(runtime, UUID(campaign), int(most)))
    for one in found:
        sys.stdout.buffer.write(orjson.dumps(asdict(one), option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (AccountsError, SettingsError, DatabaseError) as error:
        sys.exit(str(error))
