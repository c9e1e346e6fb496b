"""Encoding and parts of a text, as the carriers count: GSM-7 160/153 septets, UCS-2 70/67 UTF-16 units."""

from functools import lru_cache
from math import ceil

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("^{}\\[~]|€\f")
_GSM = _BASIC | _EXTENDED


@lru_cache(maxsize=1024)  # a campaign has few texts, and many recipients of each
def encoding_and_parts(text: str) -> tuple[str, int]:
    """("GSM-7" or "UCS-2", number of parts); an extension character counts two septets."""
    if _GSM.issuperset(text):
        septets = len(text) + sum(map(text.count, _EXTENDED))
        return "GSM-7", 1 if septets <= 160 else ceil(septets / 153)
    units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    return "UCS-2", 1 if units <= 70 else ceil(units / 67)
