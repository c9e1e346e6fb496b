"""The settings of a Qikberry account: what may stand in its options, and what a campaign may say differently."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from providers.base import AccountSettings, Outgoing
from providers.shared import Options, credential, endpoint_base, join_url

# Qikberry developer documentation: "auth/me"; every other path from the public documentation of the same platform.
# The documents say of each endpoint that elements of it "may change from service to service": so paths are options.
PATHS: Mapping[str, str] = {
    "json": "sms/send/json",
    "send": "sms/send",
    "template": "sms/send/template",
    "channels": "sms/message/send",
    "status": "sms/status",
    "balance": "finance/balance",
    "me": "auth/me",
    "unsubscribers": "sms/suppressions/unsubscribers",
}

MODES = ("json", "send", "template", "channels")
TYPES = ("A", "N", "U")  # auto-detect, normal, Unicode
MOST_TAGS = 3  # "Maximum of 3 opt-out tags can be applied per outbound campaign"
MAX_UNITS = ("2", "3")
DEFAULT_CAP = 100
"""Recipients in one request where the account does not say: not documented, and a status page holds 100 rows, so that
the reports of one request fit one page."""

PROMOTIONAL_SERVICES = frozenset({"P", "MKT"})


@dataclass(frozen=True, slots=True)
class Account:
    """Everything an account says, validated. What is secret (or the key of a signature) is not in its repr."""

    base_url: str
    token: str = field(repr=False)
    service: str
    mode: str
    cap: int
    timeout: float
    paths: Mapping[str, str]
    defaults: Mapping[str, str]
    webhook_id: str = field(repr=False)
    verification_token: str = field(repr=False)
    verify_signature: bool
    signature_algorithm: str
    zone: ZoneInfo
    currency: str | None
    absence_proves: bool
    cross_check: bool
    poll_by_date: bool
    name_requests: bool
    to_as_text: bool
    max_parts: int
    probe: str

    def url(self, path: str, query: Mapping[str, str] | None = None) -> str:
        return join_url(self.base_url, self.paths[path], query)

    @property
    def promotional(self) -> bool:
        return self.service.upper() in PROMOTIONAL_SERVICES

    def said(self, message: Outgoing, key: str) -> str:
        """An option of the message's campaign, or the account's own; empty where neither says anything."""
        return message.options.get(key, "").strip() or self.defaults.get(key, "")

    def tags(self, message: Outgoing) -> list[str]:
        return split_tags(self.said(message, "tags"))


def read_account(settings: AccountSettings) -> Account:
    """The account from its settings. Raises ValueError("options.x: found …, expected …")."""
    given = {**settings.options, **_joined(settings.options)}
    options = Options(given)
    account = _read(settings, given, options)
    options.done()
    _agree(account)
    return account


def _read(settings: AccountSettings, given: Mapping[str, object], options: Options) -> Account:
    mode = options.choice("mode", MODES, "json")
    paths = _paths(options)
    return Account(
        base_url=_base(settings.base_url, paths),
        token=credential(settings, "access_token"),
        service=options.text("service").strip(),
        mode=mode,
        cap=_cap(settings.request_cap, mode),
        timeout=settings.timeout,
        paths=paths,
        defaults=_defaults(given, options),
        webhook_id=options.text("webhook_id"),
        verification_token=options.text("verification_token") or settings.webhook_token or "",
        verify_signature=options.flag("verify_signature"),
        signature_algorithm=options.choice("signature_algorithm", ("sha256", "sha512", "sha1"), "sha256"),
        zone=_zone(options.text("timezone", "Asia/Kolkata")),
        currency=options.text("currency") or None,
        absence_proves=options.flag("absence_proves"),
        cross_check=options.flag("cross_check"),
        poll_by_date=options.flag("poll_by_date"),
        name_requests=options.flag("name_requests"),
        to_as_text=options.flag("to_as_text"),
        max_parts=options.whole("max_parts", 10, 1, 255),
        probe=options.choice("probe", ("balance", "me"), "balance"),
    )


def _base(given: str, paths: Mapping[str, str]) -> str:
    """The documented base URL, though it was written with an endpoint or (for Qikberry's own host) without its path."""
    bare = endpoint_base(given, *paths.values())
    return f"{bare}/api/v2" if re.fullmatch(r"https?://alerts\.qikberry\.com", bare) else bare


def _cap(asked: int | None, mode: str) -> int:
    """Only the JSON endpoint takes a reference for each recipient; everywhere else a request carries one message."""
    return max(1, asked or DEFAULT_CAP) if mode == "json" else 1


def _paths(options: Options) -> Mapping[str, str]:
    given = options.table("paths")
    for key, value in given.items():
        if key not in PATHS:
            raise Options.wrong(f"paths.{key}", value, "one of " + ", ".join(PATHS) + " as its name")
        if not isinstance(value, str) or not value.strip("/ "):
            raise Options.wrong(f"paths.{key}", value, "a path below the base URL")
    return {**PATHS, **{key: str(value) for key, value in given.items()}}


def _defaults(given: Mapping[str, object], options: Options) -> Mapping[str, str]:
    """What a campaign may override, as the text a campaign would write."""
    texts = ("entity_id", "template_id", "port", "template_alias", "template", "text_variable")
    max_units = str(options.whole("max_units", 2, 2, 3)) if given.get("max_units") is not None else ""
    return {
        **{name: options.text(name) for name in texts},
        "type": options.choice("type", TYPES, "A"),
        "tags": _tags(options),
        "max_units": max_units,
        "flash": "1" if options.flag("flash") else "",
    }


def _joined(given: Mapping[str, object]) -> Mapping[str, str]:
    """A list of tags as the comma-separated text that a campaign would write."""
    tags = given.get("tags")
    if not isinstance(tags, list):
        return {}
    if not all(isinstance(tag, str) and tag.strip() and "," not in tag for tag in tags):
        raise Options.wrong("tags", tags, "a list of texts without commas")
    return {"tags": ",".join(tags)}


def split_tags(written: str) -> list[str]:
    return [tag for tag in (part.strip() for part in written.split(",")) if tag]


def _tags(options: Options) -> str:
    tags = split_tags(options.text("tags"))
    if len(tags) > MOST_TAGS:
        raise Options.wrong("tags", ",".join(tags), f"at most {MOST_TAGS} opt-out tags")
    return ",".join(tags)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise Options.wrong("timezone", name, "the name of a time zone, such as Asia/Kolkata") from error


def _agree(account: Account) -> None:
    """Options that only make sense together."""
    if not account.service:
        raise Options.wrong("service", account.service, "the product code of the account, such as T, P or G")
    if account.verify_signature and not account.webhook_id:
        raise Options.wrong("verify_signature", True, "webhook_id beside it: it is the key of the signature")
    if account.absence_proves and account.cap > 1:
        raise Options.wrong("absence_proves", True, "request_cap = 1 beside it: a batch is never sent again unproven")
