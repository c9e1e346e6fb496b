"""The switches of the Cliqtel simulator beyond the common ones (Cliqtel SMS API Reference)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sandbox.limits import Counts, Window
from sandbox.settings import Settings


def _numbers() -> tuple[dict[str, Any], ...]:
    kinds = {"country_code": "US", "number_type": "local"}
    return (
        {"id": 11, "number": "+12025550123", "sms_enabled": True} | kinds,
        {"id": 6, "number": "+12025550124", "sms_enabled": True} | kinds,
        {"id": 7, "number": "+12025550125", "sms_enabled": False} | kinds,
    )


@dataclass(slots=True, kw_only=True)
class CliqtelSettings(Settings):
    """
    keys               API key → scopes (sms:read, sms:write)
    numbers            own numbers: [{id, number, country_code, number_type, sms_enabled}]: the only approved senders
    wallet             balance in `currency`, None = without end; balance_status: HTTP status of insufficient_balance
    send_failed_share  share of valid sends that the carrier refuses (500 send_failed)
    carrier            name printed in answers
    signature          what the webhook's HMAC covers: "raw" = the bytes sent; "stringify" = JSON.stringify of payload
                       while the bytes sent are spaced; "php" = PHP's json_encode while the bytes sent are compact
    push_statuses      which status changes are pushed
    """

    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"signature": ("raw", "stringify", "php")}

    limits: tuple[Window, ...] = (Window(60, 60.0), Window(10, 1.0, Counts.MESSAGES))
    price: float = 0.008
    webhook_secret: str | None = "cliqtel-application-key"  # noqa: S105  a documented default of a simulator
    keys: dict[str, list[str]] = field(default_factory=lambda: {"17|sandbox": ["sms:read", "sms:write"]})
    numbers: tuple[dict[str, Any], ...] = field(default_factory=_numbers)
    wallet: float | None = None
    balance_status: int = 422
    send_failed_share: float = 0.0
    carrier: str = "didfarm"
    signature: str = "raw"
    push_statuses: tuple[str, ...] = ("sent", "delivered", "failed")
