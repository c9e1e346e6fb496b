"""From a configured account to its adapter, for every room that needs one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from providers.base import AccountSettings, Provider
from providers.registry import build


class WebhookLike(Protocol):
    @property
    def push(self) -> bool: ...
    @property
    def secret(self) -> str | None: ...
    @property
    def token(self) -> str | None: ...


class PollLike(Protocol):
    @property
    def limit(self) -> int | None: ...


class AccountLike(Protocol):
    """What an adapter needs of an account's configuration."""

    @property
    def name(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def base_url(self) -> str: ...
    @property
    def credentials(self) -> Mapping[str, str]: ...
    @property
    def options(self) -> Mapping[str, object]: ...
    @property
    def request_cap(self) -> int | None: ...
    @property
    def timeout(self) -> float: ...
    @property
    def webhook(self) -> WebhookLike: ...
    @property
    def poll(self) -> PollLike: ...


def open_provider(account: AccountLike, public_url: str = "") -> Provider:
    """Raises ValueError naming the account and what is wrong with its settings."""
    try:
        return build(account.provider, _settings(account, public_url))
    except ValueError as error:
        raise ValueError(f"accounts.{account.name}: {error}") from error


def _settings(account: AccountLike, public_url: str) -> AccountSettings:
    return AccountSettings(
        name=account.name,
        base_url=account.base_url,
        credentials=account.credentials,
        options=account.options,
        request_cap=account.request_cap,
        timeout=account.timeout,
        webhook_url=webhook_url(account, public_url),
        webhook_secret=account.webhook.secret,
        webhook_token=account.webhook.token,
        poll_limit=account.poll.limit,
    )


def webhook_url(account: AccountLike, public_url: str) -> str | None:
    """Where the provider shall push reports, or None when push is not wanted."""
    if not account.webhook.push or not public_url:
        return None
    token = f"/{account.webhook.token}" if account.webhook.token else ""
    return f"{public_url.rstrip('/')}/v1/dlr/{account.name}{token}"
