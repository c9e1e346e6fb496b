"""What the API lets in: limits of bodies, rows and uploads. Field `x` is the variable `DRUMLINE_API_X`."""

from __future__ import annotations

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.settings import explained

MIB = 1024 * 1024


class ApiOptions(BaseSettings):
    """Sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix="DRUMLINE_API_", env_file=".env", extra="ignore")

    max_body: int = Field(default=8 * MIB, ge=1024)  # of any JSON request
    max_upload: int = Field(default=1024 * MIB, ge=1024)  # of a recipient file, as it travels
    max_push: int = Field(default=MIB, ge=1024)  # of a webhook
    max_inline: int = Field(default=10_000, ge=1)  # recipients in the JSON of a new campaign
    max_preview: int = Field(default=1_000, ge=1)  # rows of a preview
    uploads_at_once: int = Field(default=2, ge=1)  # imports that one process works on; others wait
    failed_logins: int = Field(default=10, ge=1)  # per address and minute, then it has to wait
    cors_origins: str = ""  # pages of these origins may call the API, comma-separated; empty: none
    docs: bool = True  # whether /docs and /openapi.json are served


def read_options() -> ApiOptions:
    """What the environment says. Raises SettingsError naming each variable that is wrong."""
    try:
        return ApiOptions()
    except ValidationError as error:
        raise explained(error, "DRUMLINE_API_") from error
