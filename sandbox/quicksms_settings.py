"""The switches of the QuickSMS simulator beyond the common ones; what each stands for is in QuickSMS API 2.0."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from sandbox.limits import Window
from sandbox.settings import Settings


@dataclass(slots=True, kw_only=True)
class QuickSmsSettings(Settings):
    """
    keys               API key → connection status: draft, active, suspended, archived
    environment        "live", or "test" for a connection that always simulates
    allowed_ips        None = any
    test_allowlist     numbers that test keys may reach; a trailing * makes a prefix
    test_sender        the only sender of test keys
    default_sender     account default for RCS fallback
    rcs_agents         approved RCS agents
    rcs_reach          share of RCS messages that stay RCS, the others fall back to SMS
    read_share         share of delivered RCS messages that are read; read_delay = seconds after delivery
    out_of_hours       "off", "hold" or "reject"; hours_resume_in = seconds until the window opens
    anti_flood         "off", "enforce" or "monitor"; anti_flood_window in seconds
    credits            None = without end; one per part
    blocked_countries  number prefixes → COUNTRY_NOT_ALLOWED
    blocked_words      in any case → CONTENT_BLOCKED
    degraded           /v1/health answers 503
    pending_webhook    push PENDING before the final status
    idempotency_ttl    seconds that a key is remembered
    sandbox_dlr_delay, sandbox_read_delay   of sandbox mode; the second counts from delivery, so 5 to 10 s from the send
    lock_failures, lock_window, lock_seconds  brute-force protection
    v1_users           user → password of the legacy API; v1_disabled: "", "temporary" or "permanent"
    v1_require_https   answer Error 200, as the real one does to plain HTTP
    v1_receipt_url, inbound_url  account URLs of legacy receipts and inbound messages
    """

    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "environment": ("live", "test"),
        "out_of_hours": ("off", "hold", "reject"),
        "anti_flood": ("off", "enforce", "monitor"),
        "v1_disabled": ("", "temporary", "permanent"),
    }

    limits: tuple[Window, ...] = (Window(1000, 60.0),)
    webhook_secret: str | None = "quicksms-webhook-secret"  # noqa: S105  a documented default of a simulator
    keys: dict[str, str] = field(default_factory=lambda: {"sk_live_sandbox": "active", "sk_test_sandbox": "active"})
    environment: str = "live"
    allowed_ips: tuple[str, ...] | None = None
    test_allowlist: tuple[str, ...] = ("447700900*",)
    test_sender: str = "QuickSMS"
    default_sender: str | None = None
    rcs_agents: tuple[str, ...] = ("BrandAgent",)
    rcs_reach: float = 1.0
    read_share: float = 1.0
    read_delay: tuple[float, float] = (1.0, 1.0)
    out_of_hours: str = "off"
    hours_resume_in: float = 60.0
    anti_flood: str = "off"
    anti_flood_window: float = 60.0
    credits: float | None = None
    blocked_countries: tuple[str, ...] = ()
    blocked_words: tuple[str, ...] = ()
    degraded: bool = False
    pending_webhook: bool = False
    idempotency_ttl: float = 86_400.0
    sandbox_dlr_delay: tuple[float, float] = (3.0, 5.0)
    sandbox_read_delay: tuple[float, float] = (2.0, 5.0)
    lock_failures: int = 10
    lock_window: float = 60.0
    lock_seconds: float = 300.0
    v1_users: dict[str, str] = field(default_factory=lambda: {"sandbox": "sandbox"})
    v1_disabled: str = ""
    v1_require_https: bool = False
    v1_receipt_url: str | None = None
    inbound_url: str | None = None
