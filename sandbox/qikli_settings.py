"""The switches of the Qikli simulator beyond the common ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sandbox.qikli_codes import spell
from sandbox.settings import Settings, SettingsError


@dataclass(slots=True, kw_only=True)
class QikliSettings(Settings):
    """
    users             user → password; every user is an account of its own
    max_destinations  of one request; more answer 400 BAD_REQUEST
    accepted_status   26 (as in the manual), 0 (classic) or 7 (old): what an accepted destination answers
    registry_names    the current registry's names ("PENDING_ACCEPTED") instead of the manual's ("MESSAGE_ACCEPTED")
    omit_bulk_id      leave bulkId out of the answer to a single destination without one, as old deployments do
    answer_gap        every Nth accepted destination is missing from the answer (0 = none)
    shuffle_answer    destinations in the answer in random order
    parts_in_answer   smsCount in the answer, as in the classic API
    final_statuses    outcome → statuses to choose from, as "status[:error[:permanent]]" (see qikli_codes.spell)
    suffix_statuses   number ending → such a status; wins over final_statuses and decides the outcome
    intermediate      DELIVERED_TO_OPERATOR (id 2) half-way to DELIVERED_TO_HANDSET, in pull and push
    pull_pushed       whether pushed reports can be pulled as well
    push_size         reports in one POST at most
    logs              False: GET /sms/1/logs answers 404
    logs_per_minute   its own limit (0 = none)
    duplicate_guard   a messageId used before is refused with status 23
    flood_guard       status 20 for the 21st differing or the 7th identical text to one number within an hour
    credits           in `currency`; None = without end. Spent by parts × price; then status 12
    sender_max        characters of an alphanumeric sender
    error_form        "classic" (requestError) or "code" (errorCode, description, action)
    throttle_hint     Retry-After with a 429 of the rate limits
    """

    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"error_form": ("classic", "code")}

    users: dict[str, str] = field(default_factory=lambda: {"sandbox": "sandbox"})
    max_destinations: int = 1000
    accepted_status: int = 26
    registry_names: bool = False
    omit_bulk_id: bool = False
    answer_gap: int = 0
    shuffle_answer: bool = False
    parts_in_answer: bool = False
    final_statuses: dict[str, list[str]] = field(default_factory=dict)
    suffix_statuses: dict[str, str] = field(default_factory=dict)
    intermediate: bool = False
    pull_pushed: bool = True
    push_size: int = 100
    logs: bool = True
    logs_per_minute: int = 120
    duplicate_guard: bool = True
    flood_guard: bool = False
    credits: float | None = None
    sender_max: int = 11
    error_form: str = "classic"
    throttle_hint: bool = True

    def update(self, changes: Mapping[str, Any]) -> None:
        """As in `Settings`; statuses that no report could spell are refused as well."""
        for spec in _specs(changes):
            try:
                spell(spec)
            except (ValueError, AttributeError) as error:
                raise SettingsError(f"status {spec!r}: {error}") from error
        Settings.update(self, changes)


def _specs(changes: Mapping[str, Any]) -> Iterator[Any]:
    for specs in dict(changes.get("final_statuses") or {}).values():
        yield from specs
    yield from dict(changes.get("suffix_statuses") or {}).values()
