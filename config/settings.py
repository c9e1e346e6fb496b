"""Settings from the environment (`DRUMLINE_*`) and from files in a secrets directory."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
"""The repository (or image) root: where `config/`, `models/` … live."""

REDIS_URL_FILE = "redis.url"
"""In the state folder, while `drumline up` runs its own Redis: so that other commands find it."""


DAY = 86_400.0
YEAR = 366 * DAY
# Bounds no installation needs to go beyond: what is far above them overflows a time and stops everything while it runs.
Port = Annotated[int, Field(ge=1, le=65_535)]
Seconds = Annotated[float, Field(gt=0, le=DAY)]


class SettingsError(Exception):
    """A setting is wrong. The text names the variable, what was found and what was expected."""


class Settings(BaseSettings):
    """Everything that is not an account. Field `x` is the variable `DRUMLINE_X`."""

    model_config = SettingsConfigDict(env_prefix="DRUMLINE_", env_file=".env", extra="ignore")

    database_url: str = Field("sqlite:///var/drumline.db", repr=False)  # both may hold a password
    redis_url: str = Field("", repr=False)  # empty: the embedded server that `drumline up` and `make demo` start
    accounts_file: Path = Path("config/accounts.toml")
    prices_file: Path = Path("config/prices.toml")  # for previews; absent: nothing is priced
    state_dir: Path = Path("var")  # beat's and Flower's state, uploads, the embedded Redis
    environment: str = "prod"  # part of nothing on the wire; shown in logs and metrics
    public_url: str = ""  # how providers reach our webhooks, e.g. https://sms.example.com

    api_host: str = "127.0.0.1"
    api_port: Port = 8000
    flower_host: str = "127.0.0.1"
    flower_port: Port = 5555
    flower_user: str = "operator"
    flower_password: SecretStr | None = None
    flower_url: str = ""  # where browsers reach Flower, for the dashboard's link, e.g. https://flower.example.com

    metrics_token: SecretStr | None = None  # lets Prometheus read /metrics without an API key
    tracing_endpoint: str = ""  # OTLP over HTTP, e.g. http://127.0.0.1:4318/v1/traces; empty: no traces
    tracing_sample: float = Field(1.0, ge=0.0, le=1.0)  # share of the traces that are kept

    log_format: Literal["console", "json"] = "console"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    batch_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0  # a batch is what its account may send in this time
    lease_seconds: float = Field(60.0, ge=3.0, le=DAY)  # what a dead worker held is found after this
    shutdown_seconds: float = Field(20.0, ge=2.0, le=DAY)  # how long a worker finishes what it holds
    sweep_seconds: Seconds = 5.0  # between two sweeps
    job_lost_seconds: Seconds = 30.0  # a job that nobody took in this time is put on Redis again
    look_up_claim_seconds: Seconds = 120.0  # how long one worker looks for a message before another may
    look_up_retry_seconds: Seconds = 20.0  # after a look-up that got no answer
    poll_lock_seconds: Seconds = 60.0  # beyond a poll's timeout, until a dead poller's place is free
    default_region: str = ""  # ISO country of numbers without country code; empty: refuse them
    # Seconds beyond validity before a missing report is `expired (no_dlr)`.
    no_report_grace: float = Field(7200.0, ge=0, le=YEAR)
    cap_messages: int = Field(0, ge=0, le=1_000_000)  # per number and `cap_hours` over all campaigns; 0: no cap
    cap_hours: float = Field(24.0, gt=0, le=YEAR / 3600)
    repeat_minutes: float = Field(0.0, ge=0, le=YEAR / 60)  # same text to same number not again within; 0: always
    missed_grace: float = Field(900.0, gt=0, le=YEAR)  # seconds: a start or run missed by more is not fired blindly
    default_zone: str = "UTC"  # of times and cron expressions that name none
    secrets_dir: Path | None = None

    suppress_on: Literal["nothing", "opt_out", "recipient"] = "opt_out"  # which failures suppress the number for good
    stop_languages: str = "en"  # whose stop words count, comma-separated, or `all`
    stop_words: str = ""  # further ones, comma-separated
    stop_per_sender: bool = False  # a stop counts for the number it was sent to, not for every sender
    start_words: bool = True  # START or UNSTOP takes a stop back

    events_secret: SecretStr | None = None  # signs outgoing events; unset: made once, kept in state_dir
    events_allowed_networks: str = ""  # private networks events may go to, comma-separated, e.g. 10.1.0.0/16

    suppression_secret: SecretStr | None = None  # knows erased numbers again; unset: made once, kept in state_dir
    purge_after_days: float = Field(0.0, ge=0, le=36_500)  # beat erases what ended longer ago; 0: only `drumline purge`

    @field_validator("default_region")
    @classmethod
    def _known_region(cls, given: str) -> str:
        if not given:
            return given
        from phonenumbers import SUPPORTED_REGIONS  # its tables cost every process that has no region to look up

        if given.upper() not in SUPPORTED_REGIONS:
            raise ValueError("expected a country's two letters, like GB or DE, or nothing")
        return given.upper()

    @field_validator("default_zone")
    @classmethod
    def _known_zone(cls, given: str) -> str:
        try:
            ZoneInfo(given)
        except (KeyError, ValueError, OSError):
            raise ValueError("expected the name of a time zone, like UTC or Europe/Berlin") from None
        return given

    def broker_url(self) -> str:
        """The Redis URL in Celery's spelling. Raises SettingsError where there is none."""
        if not self.redis_url:
            raise SettingsError(
                "DRUMLINE_REDIS_URL is not set. Start everything with `drumline up` (brings its own Redis), "
                "or set it, e.g. redis://127.0.0.1:6379/0 or unix:///run/drumline/redis.sock"
            )
        if self.redis_url.startswith("unix://"):
            return "redis+socket://" + self.redis_url.removeprefix("unix://")
        return self.redis_url


SECRETS = (
    "database_url",
    "redis_url",
    *(name for name, field in Settings.model_fields.items() if field.annotation == SecretStr | None),
)
"""Settings that may stand in a file instead: field `x` in the file that the variable `DRUMLINE_X_FILE` names."""


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings. Raises SettingsError naming the variable that is wrong."""
    return load()


def load() -> Settings:
    """Read the environment anew. Raises SettingsError."""
    try:
        given = _from_files()
        found = Settings(**given)
        if found.secrets_dir:
            found = Settings(_secrets_dir=found.secrets_dir, **given)
    except ValidationError as error:
        raise explained(error) from error
    if not found.redis_url and (running := found.state_dir / REDIS_URL_FILE).exists():
        found.redis_url = running.read_text("utf-8").strip()
    return found


def _from_files() -> dict[str, Any]:
    """Secrets whose variable is not set but names a file. Raises SettingsError for one that cannot be read."""
    environment = {**dotenv_values(".env"), **os.environ}
    variables = {name: f"DRUMLINE_{name.upper()}" for name in SECRETS}
    named = {
        name: (f"{variable}_FILE", environment[f"{variable}_FILE"])
        for name, variable in variables.items()
        if not environment.get(variable) and environment.get(f"{variable}_FILE")
    }
    return {name: _read_secret(variable, str(path)) for name, (variable, path) in named.items()}


def _read_secret(variable: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}: {path} cannot be read: {error}") from error


def explained(error: ValidationError, prefix: str = "DRUMLINE_") -> SettingsError:
    """One line for each variable that is wrong: what was found, and what was expected."""
    return SettingsError("\n".join(_explain(item, prefix) for item in error.errors()))


def _explain(item: object, prefix: str) -> str:
    details = item if isinstance(item, dict) else {}
    name = "_".join(str(part) for part in details.get("loc", ())).upper()
    said = str(details.get("msg")).removeprefix("Value error, ")
    return f"{prefix}{name.removeprefix(prefix)}: found {details.get('input')!r}; {said}"
