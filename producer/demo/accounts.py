"""The demonstration's accounts: the documented limits, scaled so that it ends in about a minute."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

SCALE = 3  # times the documented limits
ROUTE = {"qikli": 30, "quicksms": 45, "qikberry": 20, "cliqtel": 5}
CLIQTEL_NUMBER = "+12025550123"

_TEMPLATE = """\
# Written by `drumline demo`: four simulated providers, their documented limits times {scale}.

[accounts.qikli]                    # no documented limit: 60 messages a second
provider = "qikli"
base_url = "{qikli}"
credentials = {{ username = "DEMO_QIKLI_USERNAME", password = "DEMO_QIKLI_PASSWORD" }}
limits = [{{ limit = 60, per = "1s", counts = "messages" }}]
request_cap = 20
poll = {{ every = "2s", limit = 200 }}
options = {{ include_logs = true }}

[accounts.quicksms]                 # 1000 requests a minute, times {scale}
provider = "quicksms"
base_url = "{quicksms}"
credentials = {{ api_key = "DEMO_QUICKSMS_KEY" }}
limits = [{{ limit = {quicksms_limit}, per = "1m", counts = "requests" }}]
webhook = {{ push = true, secret = "DEMO_QUICKSMS_SECRET", token = "DEMO_TOKEN" }}

[accounts.qikberry]                 # 1000 GETs a minute, times {scale}; 50 messages a second of our own choice
provider = "qikberry"
base_url = "{qikberry}"
credentials = {{ access_token = "DEMO_QIKBERRY_TOKEN" }}
limits = [{{ limit = 50, per = "1s", counts = "messages" }}]
poll_limits = [{{ limit = {qikberry_limit}, per = "1m", counts = "requests" }}]
request_cap = 25
poll = {{ every = "2s" }}
options = {{ service = "T" }}

[accounts.cliqtel]                  # 60 requests a minute for everything and 10 messages a second, times {scale}
provider = "cliqtel"
base_url = "{cliqtel}"
credentials = {{ api_key = "DEMO_CLIQTEL_KEY" }}
limits = [
    {{ limit = {cliqtel_minute}, per = "1m", counts = "requests" }},
    {{ limit = {cliqtel_second}, per = "1s", counts = "messages" }},
]
sender = "{number}"
poll = {{ every = "6s" }}
"""


@dataclass(frozen=True, slots=True)
class DemoAccounts:
    """The file to write, the environment it names, and the simulator's own switches."""

    toml: str
    environment: dict[str, str]
    sandbox: dict[str, dict[str, object]]


def demo_accounts(base_urls: dict[str, str]) -> DemoAccounts:
    secret = secrets.token_hex(16)
    return DemoAccounts(
        toml=_TEMPLATE.format(
            scale=SCALE,
            number=CLIQTEL_NUMBER,
            quicksms_limit=1000 * SCALE,
            qikberry_limit=1000 * SCALE,
            cliqtel_minute=60 * SCALE,
            cliqtel_second=10 * SCALE,
            **base_urls,
        ),
        environment={
            "DEMO_QIKLI_USERNAME": "sandbox",
            "DEMO_QIKLI_PASSWORD": "sandbox",
            "DEMO_QUICKSMS_KEY": "sk_live_sandbox",
            "DEMO_QUICKSMS_SECRET": secret,
            "DEMO_TOKEN": secrets.token_urlsafe(16),
            "DEMO_QIKBERRY_TOKEN": "qb_sandbox",
            "DEMO_CLIQTEL_KEY": "17|sandbox",
        },
        sandbox={
            name: {"limit_scale": SCALE, "dlr_delay": [1.0, 4.0], "mix": {"delivered": 0.95, "undelivered": 0.05}}
            for name in base_urls
        }
        | {
            "quicksms": {
                "limit_scale": SCALE,
                "dlr_delay": [1.0, 4.0],
                "mix": {"delivered": 0.95, "undelivered": 0.05},
                "webhook_secret": secret,
            }
        },
    )


def write(accounts: DemoAccounts, path: Path) -> None:
    path.write_text(accounts.toml, "utf-8")
