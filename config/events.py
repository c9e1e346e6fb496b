"""The secret of each event endpoint: derived, never stored, so that a copy of the database signs nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from uuid import UUID

from config.settings import Settings, SettingsError

KEY_FILE = "events.key"
_LEAST = 16


def endpoint_secret(settings: Settings, endpoint_id: UUID) -> str:
    """What its owner checks signatures with. Raises SettingsError for a DRUMLINE_EVENTS_SECRET that is too short."""
    digest = hmac.new(_key(settings), endpoint_id.bytes, hashlib.sha256).digest()
    return "whsec_" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 over `timestamp.body`, as the header Drumline-Signature carries it."""
    signed = str(timestamp).encode() + b"." + body
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def _key(settings: Settings) -> bytes:
    if settings.events_secret is None:
        return _key_file(settings.state_dir / KEY_FILE)
    given = settings.events_secret.get_secret_value().encode()
    if len(given) < _LEAST:
        raise SettingsError(f"DRUMLINE_EVENTS_SECRET: expected at least {_LEAST} characters, found {len(given)}")
    return given


def _key_file(path: Path) -> bytes:
    """One machine needs no setting: the key is made once. Several machines share DRUMLINE_EVENTS_SECRET instead."""
    path.parent.mkdir(parents=True, exist_ok=True)
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
