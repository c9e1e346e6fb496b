"""Keys that the installation makes for itself: given as a setting, or made once and kept in the state folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from pydantic import SecretStr

from config.settings import Settings, SettingsError

EVENTS_KEY = "events.key"
SUPPRESSION_KEY = "suppression.key"
_LEAST = 16


def events_key(settings: Settings) -> bytes:
    """Signs outgoing events. Raises SettingsError."""
    return _key(settings, settings.events_secret, EVENTS_KEY, "DRUMLINE_EVENTS_SECRET")


def suppression_key(settings: Settings) -> bytes:
    """Knows erased numbers again, see `models.forgotten`. It must never change. Raises SettingsError."""
    return _key(settings, settings.suppression_secret, SUPPRESSION_KEY, "DRUMLINE_SUPPRESSION_SECRET")


def _key(settings: Settings, given: SecretStr | None, file: str, variable: str) -> bytes:
    if given is None:
        return _key_file(settings.state_dir / file)
    key = given.get_secret_value().encode()
    if len(key) < _LEAST:
        raise SettingsError(f"{variable}: expected at least {_LEAST} characters, found {len(key)}")
    return key


def _key_file(path: Path) -> bytes:
    """One machine needs no setting: the key is made once. Several machines share the setting instead."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    if not path.exists():
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(fresh, path)  # whole or not at all; whoever comes second takes the first one's
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_bytes().strip()
