"""Words by which a person says stop (or start again). Pure.

A text means stop when it is a stop word, or begins with one: "STOP", "stop!", "Stop ALL please". A word further in
("please don't stop") means nothing, and words that begin other answers too ("End of May suits me") count only alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

# By language: what the operators' own lists and the law there know.
STOP_WORDS: dict[str, tuple[str, ...]] = {
    "en": ("stop", "stopall", "unsubscribe", "cancel", "end", "quit", "optout", "opt-out", "opt out", "revoke"),
    "fr": ("stop", "arret", "arreter", "desabonner", "desinscription"),
    "de": ("stop", "stopp", "abmelden", "abbestellen", "austragen"),
    "es": ("baja", "alto", "parar", "cancelar", "detener"),
    "pt": ("sair", "parar", "cancelar", "pare"),
    "it": ("stop", "basta", "annulla", "cancellami", "disiscrivi"),
    "nl": ("stop", "afmelden", "uitschrijven", "stoppen"),
    "sv": ("stopp", "stop", "avsluta", "avregistrera"),
    "da": ("stop", "afmeld", "frameld"),
    "no": ("stopp", "stop", "avmeld"),
    "fi": ("stop", "lopeta", "peruuta"),
    "pl": ("stop", "rezygnuje", "wypisz", "koniec"),
    "cs": ("stop", "odhlasit", "konec"),
    "tr": ("dur", "iptal", "ret"),
    "ru": ("стоп", "отписаться", "отмена"),
    "uk": ("стоп", "вiдписатися", "відписатися"),
    "el": ("στοπ", "διακοπη"),
    "ar": ("توقف", "الغاء", "إلغاء", "ايقاف"),
    "he": ("הסר", "הפסק"),
    "hi": ("रोकें", "बंद"),
    "zh": ("停止", "退订", "取消"),
    "ja": ("停止", "解除"),
    "ko": ("중지", "수신거부"),
    "in": ("berhenti", "stop"),
    "sw": ("acha", "simama"),
}
ALONE = frozenset({"end", "cancel", "quit", "alto", "baja", "basta", "pare", "dur", "ret", "acha", "konec", "koniec"})
"""Everyday words: they say stop only when they are the whole message."""

START_WORDS = ("start", "unstop", "subscribe", "optin", "opt-in", "opt in")


class Meaning(StrEnum):
    STOP = "stop"
    START = "start"


def folded(text: str) -> str:
    """Without case, accents, width and punctuation at either end; inner blanks single."""
    wide = unicodedata.normalize("NFKD", text).casefold()
    kinds = [(character, unicodedata.category(character)) for character in wide]
    # Accents are dropped, and so are invisible characters; all other signs part words.
    kept = [" " if kind[0] in "PSZ" or kind == "Cc" else character for character, kind in kinds if kind not in _DROPPED]
    return " ".join("".join(kept).split())


_DROPPED = frozenset({"Mn", "Cf"})


@dataclass(frozen=True, slots=True)
class StopWords:
    """The words in use. `per_sender`: a stop counts for the number it was sent to, not for every sender."""

    stop: frozenset[str]
    start: frozenset[str] = frozenset()
    per_sender: bool = False

    @classmethod
    def of(cls, stop: Iterable[str], start: Iterable[str] = (), *, per_sender: bool = False) -> StopWords:
        return cls(_all_folded(stop), _all_folded(start), per_sender)

    def meaning(self, text: str) -> Meaning | None:
        said = folded(text)
        for words, meaning in ((self.stop, Meaning.STOP), (self.start, Meaning.START)):
            if said in words or any(said.startswith(f"{word} ") for word in words - ALONE):
                return meaning
        return None


def _all_folded(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word for text in words if (word := folded(text)))


def languages(names: Iterable[str]) -> frozenset[str]:
    """The stop words of these languages (`all`: of every one). Raises ValueError for one that is not known."""
    found: set[str] = set()
    listed = list(names)
    for name in STOP_WORDS if listed == ["all"] else listed:
        if name not in STOP_WORDS:
            raise ValueError(f"language {name!r}, expected one of {', '.join(sorted(STOP_WORDS))}")
        found |= set(STOP_WORDS[name])
    return frozenset(found)
