"""The switches of the Qikberry simulator beyond the common ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sandbox.limits import Window
from sandbox.settings import Settings, SettingsError


@dataclass(slots=True, kw_only=True)
class QikberrySettings(Settings):
    """
    tokens            access token → account
    timezone          of every timestamp without an offset, and of `time` in requests
    services          product codes the account has; None = any
    templates         alias → {id, body, sender, service}
    max_recipients    of one request; more answer 422 (0 = no cap, as none is documented)
    credits           None = without end; one per unit. A request that costs more answers `balance_status`
    repeat_minutes    the same text, sender and number within this time → item DUPLICATE (0 = off)

    Answers to a send:
    status_form       "number" (200), "text" ("200") or "word" ("OK"); accepted_http is the HTTP status, 200 or 202
    numbers_as_text   units, length, charges and credits as strings
    group_id          "always", "named" (only with `name` in the request) or "never"
    custom_key        under which name the client's own id comes back
    answer_gap        every Nth accepted recipient is missing from the answer although the message says it was accepted
    drop_gap          every Nth recipient is neither accepted, nor answered, nor counted in the message
    empty_data        `data: []` although all are accepted
    repeat_ids        every item carries the id of the first
    template_form     "sms" or "channel": in which shape sms/send/template answers
    notallowed        number prefixes answered with the item status "notallowed"

    Errors:
    error_code        False leaves the optional `code` out
    validation_form   "text", "object" (field → list) or "list": what `message` is in a 422
    throttle_hint     Retry-After with a 429, which no document promises

    Reports:
    final_statuses    outcome → codes or names to choose from ("013", "MOB-OFF", "TIMEOUT-DLR")
    suffix_statuses   number ending → such a code or name; wins over final_statuses and decides the outcome
    enroute           ENROUTE half-way to the final status, in pull and push
    status_words      "short" (DELIVRD) or "long" (DELIVERED)
    envelope          of GET sms/status: "new" (data, links, meta) or "old" (data.data)
    no_record         what an id nobody knows answers: 200 with empty data, 404 or 422
    balance_form      data of finance/balance: "object" (reference) or "list" (public documentation)

    Pushes:
    push_form         "flat", "envelope", "list", "envelope_list", "form" or "get"
    push_custom       "both", "cid" or "custom": where the client's own id stands
    epoch_fields      deliv_at, sent_at and submit_at beside the *_time strings
    signature         a Signature header: hex HMAC-SHA256 of the raw body, keyed with the webhook id
    webhook_id        of the account's default webhook (`callback_url`, `webhook_secret`)
    """

    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "status_form": ("number", "text", "word"),
        "group_id": ("always", "named", "never"),
        "template_form": ("sms", "channel"),
        "validation_form": ("text", "object", "list"),
        "status_words": ("short", "long"),
        "envelope": ("new", "old"),
        "balance_form": ("object", "list"),
        "push_form": ("flat", "envelope", "list", "envelope_list", "form", "get"),
        "push_custom": ("both", "cid", "custom"),
    }

    limits: tuple[Window, ...] = (Window(1000, 60.0, methods=("GET",)),)
    webhook_secret: str | None = "qikberry-webhook-secret"  # noqa: S105  a documented default of a simulator
    tokens: dict[str, str] = field(default_factory=lambda: {"qb_sandbox": "sandbox"})
    timezone: str = "Asia/Kolkata"
    services: tuple[str, ...] | None = None
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    max_recipients: int = 0
    credits: float | None = None
    balance_status: int = 400
    repeat_minutes: float = 0.0
    status_form: str = "number"
    accepted_http: int = 200
    numbers_as_text: bool = False
    group_id: str = "always"
    custom_key: str = "customid"
    answer_gap: int = 0
    drop_gap: int = 0
    empty_data: bool = False
    repeat_ids: bool = False
    template_form: str = "sms"
    notallowed: tuple[str, ...] = ()
    error_code: bool = True
    validation_form: str = "text"
    throttle_hint: bool = True
    final_statuses: dict[str, list[str]] = field(default_factory=dict)
    suffix_statuses: dict[str, str] = field(default_factory=dict)
    enroute: bool = False
    status_words: str = "short"
    envelope: str = "new"
    no_record: int = 200
    balance_form: str = "object"
    push_form: str = "flat"
    push_custom: str = "both"
    epoch_fields: bool = True
    signature: bool = False
    webhook_id: str = "sandbox-webhook"

    def update(self, changes: Mapping[str, Any]) -> None:
        """As in `Settings`; a time zone must exist."""
        try:
            ZoneInfo(changes.get("timezone", self.timezone))
        except (ZoneInfoNotFoundError, ValueError, TypeError) as error:
            raise SettingsError(f"timezone: {error}") from error
        Settings.update(self, changes)
