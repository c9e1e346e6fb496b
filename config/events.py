"""The secret of each event endpoint: derived, never stored, so that a copy of the database signs nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
from uuid import UUID

from config.own_keys import events_key
from config.settings import Settings


def endpoint_secret(settings: Settings, endpoint_id: UUID) -> str:
    """What its owner checks signatures with. Raises SettingsError for a DRUMLINE_EVENTS_SECRET that is too short."""
    digest = hmac.new(events_key(settings), endpoint_id.bytes, hashlib.sha256).digest()
    return "whsec_" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 over `timestamp.body`, as the header Drumline-Signature carries it."""
    signed = str(timestamp).encode() + b"." + body
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
