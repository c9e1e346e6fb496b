"""A campaign's `options` as they are stored: those of its providers' adapters, and one of our own beside them.

Ours is taken out before an adapter sees them: some refuse what they do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_PARTS = "max_parts"
"""How many parts a text may have; stored only where it is not the default."""
DEFAULT_PARTS = 10
"""Few texts are meant to be longer: mostly a value went wrong, and every part is paid for."""
MOST_PARTS = 255
"""What the header of a text in parts can count."""


def stored_options(adapter: Mapping[str, str], max_parts: int) -> dict[str, Any]:
    return dict(adapter) if max_parts == DEFAULT_PARTS else {**adapter, MAX_PARTS: max_parts}


def adapter_options(stored: Mapping[str, Any]) -> dict[str, str]:
    """What is handed to the adapter with every message."""
    return {str(name): str(value) for name, value in stored.items() if name != MAX_PARTS}


def max_parts(stored: Mapping[str, Any]) -> int:
    return int(stored.get(MAX_PARTS, DEFAULT_PARTS))
