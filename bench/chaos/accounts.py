"""The accounts of a run: small limits or none, short timeouts and look-ups: hours of trouble in half a minute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ROUTE = {"qikli": 3, "quicksms": 3, "qikberry": 3, "cliqtel": 3}
SENDER = "Drumline"
NUMBER = "+12025550123"
REPORT_WAIT = 16.0  # seconds
GIVE_UP = 11.0  # seconds

_TEMPLATE = """\
[accounts.qikli]
provider = "qikli"
base_url = "{qikli}"
credentials = {{ username = "CHAOS_QIKLI_USERNAME", password = "CHAOS_QIKLI_PASSWORD" }}
limits = [{limits[qikli]}]
request_cap = 5
timeout = "2s"
max_connections = {connections}
poll = {{ every = "1s", limit = 50 }}
look_up = {{ after = ["1500ms", "3s", "5s"], give_up_after = "{give_up}s", overdue = "4s" }}
report_wait = "{report_wait}s"
options = {{ include_logs = true }}

[accounts.quicksms]
provider = "quicksms"
base_url = "{quicksms}"
credentials = {{ api_key = "CHAOS_QUICKSMS_KEY" }}
limits = [{limits[quicksms]}]
timeout = "2s"
max_connections = {connections}
look_up = {{ after = ["1s", "2s", "4s", "6s", "8s"], give_up_after = "{give_up}s" }}
report_wait = "{report_wait}s"
webhook = {{ push = true, secret = "CHAOS_QUICKSMS_SECRET", token = "CHAOS_TOKEN" }}

[accounts.qikberry]
provider = "qikberry"
base_url = "{qikberry}"
credentials = {{ access_token = "CHAOS_QIKBERRY_TOKEN" }}
limits = [{limits[qikberry]}]
poll_limits = [{{ limit = 50, per = "1s", counts = "requests" }}]
request_cap = 4
timeout = "2s"
max_connections = {connections}
poll = {{ every = "1s" }}
look_up = {{ after = ["1500ms", "3s", "5s"], give_up_after = "{give_up}s" }}
report_wait = "{report_wait}s"
options = {{ service = "T" }}

[accounts.cliqtel]
provider = "cliqtel"
base_url = "{cliqtel}"
credentials = {{ api_key = "CHAOS_CLIQTEL_KEY" }}
limits = [{limits[cliqtel]}]
timeout = "2s"
max_connections = {connections}
sender = "{number}"
poll = {{ every = "1s" }}
look_up = {{ after = ["1500ms", "4s", "7s"], give_up_after = "60s" }}
report_wait = "{report_wait}s"
"""

ENVIRONMENT: Mapping[str, str] = {
    "CHAOS_QIKLI_USERNAME": "sandbox",
    "CHAOS_QIKLI_PASSWORD": "sandbox",
    "CHAOS_QUICKSMS_KEY": "sk_live_sandbox",
    "CHAOS_QUICKSMS_SECRET": "quicksms-webhook-secret",
    "CHAOS_TOKEN": "unguessable",
    "CHAOS_QIKBERRY_TOKEN": "qb_sandbox",
    "CHAOS_CLIQTEL_KEY": "17|sandbox",
}
"""What the simulator knows; nothing here opens anything real."""

SETTINGS: Mapping[str, str] = {
    "DRUMLINE_BATCH_SECONDS": "2",
    "DRUMLINE_LEASE_SECONDS": "4",
    "DRUMLINE_SHUTDOWN_SECONDS": "4",
    "DRUMLINE_SWEEP_SECONDS": "1",
    "DRUMLINE_JOB_LOST_SECONDS": "4",
    "DRUMLINE_LOOK_UP_CLAIM_SECONDS": "5",
    "DRUMLINE_LOOK_UP_RETRY_SECONDS": "1",
    "DRUMLINE_POLL_LOCK_SECONDS": "3",
}


def _limits(rate: int | None) -> dict[str, list[tuple[int, str]]]:
    """So many a second of what, by provider. `rate`: messages of each account; None: no limits."""
    if rate is None:
        return {provider: [] for provider in ROUTE}
    messages = (rate, "messages")
    return {
        "qikli": [messages],
        "quicksms": [(rate, "requests")],
        "qikberry": [messages],
        "cliqtel": [(25, "requests"), messages],
    }


def accounts_file(base_urls: Mapping[str, str], rate: int | None, connections: int) -> str:
    limits = {
        provider: ", ".join(f'{{ limit = {limit}, per = "1s", counts = "{what}" }}' for limit, what in several)
        for provider, several in _limits(rate).items()
    }
    return _TEMPLATE.format(
        limits=limits,
        connections=connections,
        number=NUMBER,
        give_up=f"{GIVE_UP:g}",
        report_wait=f"{REPORT_WAIT:g}",
        **base_urls,
    )


def sandbox_settings(rate: int | None, latency: tuple[float, float]) -> dict[str, dict[str, Any]]:
    """The simulator as strict as the accounts are told: whoever is too fast is refused and counted. `latency`: seconds
    from the acceptance to the answer, in which a worker's death leaves an outcome that nobody has read."""
    common: dict[str, Any] = {
        "dlr_delay": [0.2, 2.0],
        "latency": list(latency),
        "mix": {"delivered": 0.9, "undelivered": 0.05, "expired": 0.03, "rejected": 0.02},
        "retry_scale": 0.02,
    }
    settings = {
        provider: {**common, "limits": [{"limit": n, "per_seconds": 1, "counts": what} for n, what in several]}
        for provider, several in _limits(rate).items()
    }
    settings["quicksms"]["webhook_secret"] = ENVIRONMENT["CHAOS_QUICKSMS_SECRET"]
    return settings
